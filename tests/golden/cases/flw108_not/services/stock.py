import importlib
import queue  # the standard library's, not a module of the project

from shop_events import StockReserved


class Stock:
    def on_order_placed(self, event):
        importlib.import_module("services.not_there")
        return StockReserved(id=event.id)
