"""Faults as data, and how they look.

`diagnostic` is the data; `order` the one order; `policy` what of them is wanted, at which level;
`full`, `concise`, `json_format`, `github` and `sarif` turn diagnostics into text, as pure
functions of them and the sources; `place` says where a span is, `width` how wide text is on a
terminal; `rebase` shows paths from elsewhere; `fixing` applies edits.
"""
