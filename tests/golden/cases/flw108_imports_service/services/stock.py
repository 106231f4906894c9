from shop_events import StockRefused, StockReserved

LEFT = {"é": 1}


class Stock:
    def on_order_placed(self, event):
        return StockReserved(id=event.id) if LEFT else StockRefused(id=event.id)
