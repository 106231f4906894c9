from shop_events import OrderConfirmed


def confirm(event):
    return OrderConfirmed(id=event.id)
