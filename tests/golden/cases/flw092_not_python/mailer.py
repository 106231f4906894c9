def on_order_placed(event:
    print(event)
