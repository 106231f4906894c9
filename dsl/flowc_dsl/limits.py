"""Every bound of the language, named, units last; the relations between them hold at import."""

from __future__ import annotations

from typing import Final

# ---- text
FILE_BYTES_MAX: Final = 1024 * 1024
NESTING_MAX: Final = 32  # of braces, brackets, parentheses and `<`
NAME_CHARS_MAX: Final = 128
SYNTAX_FAULTS_MAX: Final = 25  # reported of one file
RECOVERIES_MAX: Final = 250  # tried in one file; then the rest of it is given up
FAULTS_MAX: Final = 1_000  # of names and types, kept of one program
COMPARISONS_MAX: Final = 50_000  # of a name with candidates, for "did you mean"
MEANT_COMPARISONS_MAX: Final = 200_000  # the same, to see which declarations a slip was meant for
DECLARED_EDITS_MAX: Final = 200  # undeclared events of one report that get a declaration as an edit
FILES_MAX: Final = 10_000  # of one program

# ---- the services' Python source, which is read and not run
PY_FILE_BYTES_MAX: Final = 1024 * 1024
PY_FILES_MAX: Final = 5_000  # of one program
PY_NAME_CHARS_MAX: Final = 500  # of a module's dotted name; a longer one is none of the project's
PY_NAME_PARTS_MAX: Final = 100  # of a dotted name
PY_CALLS_MAX: Final = 16  # from a handler through helpers to what one of them emits

# ---- numbers
INT_MAX: Final = 2**63 - 1
INT_MIN: Final = -(2**63)
FLOAT_MAX: Final = 1.7976931348623157e308
DURATION_MS_MAX: Final = 100 * 366 * 86_400_000
RATE_PER_S_MAX: Final = 1_000_000_000
PERCENT_MAX: Final = 100
DECIMAL_PRECISION_MAX: Final = 38
VERSION_MAX: Final = 10_000
PARTITIONS: Final = 64
REPLICAS_MAX: Final = 64
RETRY_ATTEMPTS_MAX: Final = 1_000
BACKOFF_MIN_MS: Final = 100  # of `retry N` without `backoff`
BACKOFF_MAX_MS: Final = 2_000
LAW_BOUND_MAX: Final = 1_000_000

assert REPLICAS_MAX <= PARTITIONS  # a replica without a partition has no work
assert SYNTAX_FAULTS_MAX < RECOVERIES_MAX

# ---- taste: beyond these a rule speaks up, as an info; `[thresholds]` of flow.toml sets others
HUB_TYPES_MAX: Final = 16  # event types that one service reads and emits (FLW307)
EXCHANGE_TYPES_MAX: Final = 5  # event types between two services, both ways (FLW604)
GOD_EVENT_FIELDS_MIN: Final = 6  # fewer fields are no god event (FLW605)
UTILISATION_MAX: Final = 0.8  # of a service's processes, on average (FLW508)
