from typing import TYPE_CHECKING

from shop_events import OrderConfirmed

if TYPE_CHECKING:
    from libs import pricing


def confirm(event):
    return OrderConfirmed(id=event.id)
