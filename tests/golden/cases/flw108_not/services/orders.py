from __future__ import annotations

import services.orders_checks as checks
from libs.pricing import total
from shop_events import OrderCancelled, OrderPlaced


class Orders:
    def on_checkout_submitted(self, event):
        checks.check(total([1]))
        return OrderPlaced(id=event.id)

    def on_stock_refused(self, event):
        return OrderCancelled(id=event.id)
