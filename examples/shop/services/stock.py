"""What is on the shelves. An order gets all of its lines or none."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from shop_events import OrderCancelled, OrderPlaced, StockRefused, StockReserved

SHELVES = {"A-1": 4_000, "B-2": 2_500, "C-3": 900, "D-4": 400}


class Stock:
    def __init__(self) -> None:
        self.on_hand = Counter(SHELVES)
        self.reserved: dict[UUID, Counter[str]] = {}

    def on_order_placed(self, event: OrderPlaced) -> StockReserved | StockRefused:
        wanted: Counter[str] = Counter()
        for line in event.lines:
            wanted[line.sku] += line.qty
        for sku, qty in wanted.items():
            if self.on_hand[sku] < qty:
                return StockRefused(order_id=event.order_id, sku=sku)
        self.on_hand -= wanted
        self.reserved[event.order_id] = wanted
        return StockReserved(order_id=event.order_id)

    def release(self, event: OrderCancelled) -> None:
        """Puts back what was reserved; nothing was if it was cancelled for want of stock."""
        self.on_hand += self.reserved.pop(event.order_id, Counter())
