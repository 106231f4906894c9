from libs.pricing import total
from shop_events import OrderCancelled, OrderPlaced

from services import stock as warehouse


class Orders:
    def on_checkout_submitted(self, event):
        if warehouse.LEFT:
            return OrderPlaced(id=event.id)

    def on_stock_refused(self, event):
        return OrderCancelled(id=event.id)
