"""The services of the shop as plain functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from support.examples import Project, project

CART = UUID(int=1)


@pytest.fixture
def shop() -> Iterator[Project]:
    with project("shop") as loaded:
        yield loaded


def line(shop: Project, sku: str, qty: int, price: str) -> Any:
    return shop.events.Line(sku=sku, qty=qty, price=Decimal(price))


def placed(shop: Project, lines: list[Any], total: str = "10.00", order: int = 1) -> Any:
    return shop.events.OrderPlaced(
        order_id=UUID(int=order),
        customer="ada",
        currency=shop.events.Currency.EUR,
        total=Decimal(total),
        lines=lines,
    )


@pytest.mark.parametrize(
    ("coupon", "total"), [(None, "44.30"), ("WELCOME10", "39.87"), ("EXPIRED99", "44.30")]
)
def test_a_checkout_becomes_one_order(shop: Project, coupon: str | None, total: str) -> None:
    orders = shop.load("services.orders").Orders()
    checkout = shop.events.CheckoutSubmitted(
        cart_id=CART,
        customer="ada",
        currency=shop.events.Currency.EUR,
        coupon=coupon,
        lines=[line(shop, "A-1", 2, "9.90"), line(shop, "B-2", 1, "24.50")],
    )
    order = orders.on_checkout_submitted(checkout)
    assert order.total == Decimal(total)
    assert orders.on_checkout_submitted(checkout) == order  # a repeat gives no second order id


def test_an_order_gets_all_or_nothing(shop: Project) -> None:
    stock = shop.load("services.stock").Stock()
    before = stock.on_hand.copy()
    lines = [line(shop, "A-1", 1, "9.90"), line(shop, "D-4", 300, "1"), line(shop, "D-4", 101, "1")]
    refused = stock.on_order_placed(placed(shop, lines))
    assert (type(refused).__name__, refused.sku) == ("StockRefused", "D-4")
    assert stock.on_hand == before


def test_a_cancelled_order_gives_back_its_stock(shop: Project) -> None:
    stock = shop.load("services.stock").Stock()
    before = stock.on_hand.copy()
    order = placed(shop, [line(shop, "D-4", 400, "1")])
    assert type(stock.on_order_placed(order)).__name__ == "StockReserved"
    assert stock.on_hand["D-4"] == 0
    cancelled = shop.events.OrderCancelled(
        order_id=order.order_id, reason=shop.events.Reason.DECLINED
    )
    stock.release(cancelled)
    stock.release(cancelled)
    assert stock.on_hand == before


@pytest.mark.parametrize(
    ("total", "outcome"), [("400.00", "PaymentTaken"), ("400.01", "PaymentFailed")]
)
def test_a_card_has_a_limit(shop: Project, total: str, outcome: str) -> None:
    payments = shop.load("services.payments").Payments()
    order = placed(shop, [], total)
    payments.open(order)
    answer = payments.on_stock_reserved(shop.events.StockReserved(order_id=order.order_id))
    assert type(answer).__name__ == outcome
    assert payments.due == {}


def test_a_mail_says_how_it_ended(shop: Project) -> None:
    mail = shop.load("services.mailer").mail
    reason = shop.events.Reason.OUT_OF_STOCK
    text = mail(shop.events.OrderCancelled(order_id=CART, reason=reason))
    assert text == f"order {CART} was cancelled (out_of_stock)"


def test_customers_are_the_same_for_the_same_seed(shop: Project) -> None:
    checkouts = shop.load("sources.customers").checkouts
    first = list(checkouts(50, 7))
    assert first == list(checkouts(50, 7))
    assert first != list(checkouts(50, 8))
    assert len({c.cart_id for c in first}) == 50
    skus = Counter(line.sku for c in first for line in c.lines)
    assert set(skus) == {"A-1", "B-2", "C-3", "D-4"}
