"""The rules: one function each, declared once in the registry, grouped in files by family.

`registry` holds what a rule is and the list of all. By family: `ownership`, `borders`, `code`,
`emitting` 1xx; `wiring` 2xx; `shape`, `laws`, `meeting`, `rounds` 3xx; `contract`, `versions` 4xx;
`delivery`, `effects` 5xx; `naming`, `responsibility` 6xx; `privacy` 7xx; `hygiene` 9xx. Several
measure by `traffic` and `english`.
`docs/FLWnnn.md` is the document of a code; its examples are executed by the tests.
"""
