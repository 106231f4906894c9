from shop_events import StockRefused, StockReserved


class Stock:
    def on_order_placed(self, event):
        from libs.pricing.clock import HOUR

        return StockReserved(id=event.id) if HOUR else StockRefused(id=event.id)
