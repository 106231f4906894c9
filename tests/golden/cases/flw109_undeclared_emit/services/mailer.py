from shop_events import CheckoutSubmitted, OrderConfirmed


async def confirm(event):
    yield CheckoutSubmitted(id=event.id) if event.again else OrderConfirmed(id=event.id)
