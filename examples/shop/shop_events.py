"""Event classes of Shop."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import uuid

import msgspec


class Reason(enum.StrEnum):
    DECLINED = "DECLINED"
    OUT_OF_STOCK = "OUT_OF_STOCK"


class Currency(enum.StrEnum):
    EUR = "EUR"
    USD = "USD"


class CheckoutSubmitted(msgspec.Struct, kw_only=True, frozen=True):
    cart_id: uuid.UUID
    customer: str
    currency: Currency
    coupon: str | None = None
    lines: list[Line]


class OrderPlaced(msgspec.Struct, kw_only=True, frozen=True):
    order_id: uuid.UUID
    customer: str
    currency: Currency
    total: decimal.Decimal
    lines: list[Line]


class StockReserved(msgspec.Struct, kw_only=True, frozen=True):
    order_id: uuid.UUID


class StockRefused(msgspec.Struct, kw_only=True, frozen=True):
    order_id: uuid.UUID
    sku: str


class PaymentTaken(msgspec.Struct, kw_only=True, frozen=True):
    order_id: uuid.UUID
    amount: decimal.Decimal
    currency: Currency


class PaymentFailed(msgspec.Struct, kw_only=True, frozen=True):
    order_id: uuid.UUID
    reason: Reason


class OrderShipped(msgspec.Struct, kw_only=True, frozen=True):
    order_id: uuid.UUID
    at: dt.datetime


class OrderCancelled(msgspec.Struct, kw_only=True, frozen=True):
    order_id: uuid.UUID
    reason: Reason


class Line(msgspec.Struct, kw_only=True, frozen=True):
    sku: str
    qty: int
    price: decimal.Decimal
