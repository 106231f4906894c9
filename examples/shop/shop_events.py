"""The events of Shop.

Written by `flowc types` from shop.flow: don't edit, write it again.
"""

from __future__ import annotations

import datetime as _datetime
import decimal as _decimal
import enum as _enum
import uuid as _uuid

import flowc

SCHEMA = "5bcdb45f626568dc"


class Currency(_enum.StrEnum):
    EUR = "EUR"
    USD = "USD"


class Reason(_enum.StrEnum):
    DECLINED = "DECLINED"
    OUT_OF_STOCK = "OUT_OF_STOCK"


class Line(flowc.Record, frozen=True, gc=False):
    sku: str
    qty: int
    price: _decimal.Decimal


class CheckoutSubmitted(flowc.Event, frozen=True, gc=False, kw_only=True):
    cart_id: _uuid.UUID
    customer: str
    currency: Currency
    coupon: str | None = None
    lines: list[Line]


class OrderCancelled(flowc.Event, frozen=True, gc=False):
    """The customer gets nothing, and pays nothing."""

    order_id: _uuid.UUID
    reason: Reason


class OrderPlaced(flowc.Event, frozen=True, gc=False):
    """A customer has committed to an order."""

    order_id: _uuid.UUID
    customer: str
    currency: Currency
    total: _decimal.Decimal
    lines: list[Line]


class OrderShipped(flowc.Event, frozen=True, gc=False):
    order_id: _uuid.UUID
    at: _datetime.datetime


class PaymentFailed(flowc.Event, frozen=True, gc=False):
    order_id: _uuid.UUID
    reason: Reason


class PaymentTaken(flowc.Event, frozen=True, gc=False):
    order_id: _uuid.UUID
    amount: _decimal.Decimal
    currency: Currency


class StockRefused(flowc.Event, frozen=True, gc=False):
    order_id: _uuid.UUID
    sku: str


class StockReserved(flowc.Event, frozen=True, gc=False):
    order_id: _uuid.UUID
