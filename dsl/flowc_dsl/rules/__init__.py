"""The rules: one function each, declared once in the registry, grouped in files by family.

`registry` holds what a rule is and the list of all; `ownership` 1xx, `wiring` 2xx, `shape` 3xx,
`delivery` 5xx, `hygiene` 9xx. `docs/FLWnnn.md` is the document of a code; its examples are executed
by the tests.
"""
