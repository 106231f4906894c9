import flowc
from flowc.events import OrderCancelled, StockRefused


class Stock:
    def on_order_placed(self, batch):
        out = []
        out.append(flowc.Batch.of(OrderCancelled, {"id": batch["id"]}))
        out += [flowc.Batch.of(StockRefused, {"id": batch["id"]})]
        return out
