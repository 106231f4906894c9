from shop_events import OrderPlaced, StockRefused, StockReserved


class Stock:
    def on_order_placed(self, event: OrderPlaced) -> OrderPlaced:
        order = OrderPlaced(id=event.id)
        made = StockReserved if order.id else StockRefused
        return made(id=order.id)
