"""Of one service alone."""


def check(amount):
    assert amount
