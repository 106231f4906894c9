"""Faults as data, and how they look.

`diagnostic` is the data; `order` the one order; `full`, `concise` and `json_format` turn
diagnostics into text, as pure functions of them and the sources; `width` knows how wide
text is on a terminal; `rebase` shows paths from elsewhere.
"""
