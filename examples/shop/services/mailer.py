"""Tells the customer how it ended. After a crash a mail may go out twice, under the same number."""

from __future__ import annotations

from shop_events import OrderCancelled, OrderShipped

from flowc import Context


def mail(event: OrderShipped | OrderCancelled) -> str:
    match event:
        case OrderShipped():
            return f"order {event.order_id} is on its way"
        case OrderCancelled():
            return f"order {event.order_id} was cancelled ({event.reason.value.lower()})"


def notify(event: OrderShipped | OrderCancelled, ctx: Context) -> None:
    if not ctx.replaying:
        ctx.log.info("mail: %s", mail(event))
