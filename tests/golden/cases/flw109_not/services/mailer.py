import shop_events


def confirm(event):
    return (shop_events.OrderConfirmed(id=event.id) for _ in range(1))
