import shop_events as ev
from shop_events import OrderCanceled, OrderCancelled, OrderPlaced, StockReserved


class Orders:
    def on_checkout_submitted(self, event):
        yield OrderPlaced(id=event.id)
        yield ev.OrderConfirmed(id=event.id)

    def on_stock_refused(self, event):
        again = OrderPlaced(id=event.id)
        return [again, OrderCancelled(id=event.id), self._reserved(event)]

    def _reserved(self, event):
        return StockReserved(id=event.id)
