def confirmation(event):
    """"é" are two bytes and one column."""; from ..orders import Orders

    return f"{Orders.__name__}: {event.id}"
