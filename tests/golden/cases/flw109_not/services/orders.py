from shop_events import OrderCancelled, OrderPlaced, StockRefused


class Base:
    def _placed(self, event):
        return OrderPlaced(id=event.id)


class Orders(Base):
    def on_checkout_submitted(self, event):
        if event == StockRefused(id=event.id):  # made, and not emitted
            return None
        self.last = StockRefused(id=event.id)
        return self._placed(event)

    def on_stock_refused(self, event):
        match event:
            case StockRefused():
                return OrderCancelled(id=describe(StockRefused(id=event.id)))

    def example(self):
        """No handler: nothing calls it."""
        return StockRefused(id=1)


def describe(event):
    return event.id
