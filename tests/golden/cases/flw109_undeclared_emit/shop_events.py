"""The events of Shop.

Written by `flowc types` from main.flow: don't edit, write it again.
"""
