from libs.pricing import total
from shop_events import OrderCancelled, OrderPlaced

import libs.pricing.clock


class Orders:
    def on_checkout_submitted(self, event):
        return OrderPlaced(id=event.id)

    def on_stock_refused(self, event):
        return OrderCancelled(id=event.id)
