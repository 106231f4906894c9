"""The Python module that `flowc types` writes: enums, structs and event classes of a plan."""

from __future__ import annotations

import builtins
import datetime as dt
import decimal
import json
import keyword
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from hashlib import sha256
from typing import Any, Final

from flowc_dsl.plan import EventPlan, FieldPlan, Plan, TypePlan
from flowc_dsl.pysource.facts import GENERATED

SCALAR_TYPES: Final[dict[str, type[Any]]] = {
    "string": str,
    "bool": bool,
    "int": int,
    "float": float,
    "decimal": decimal.Decimal,
    "uuid": uuid.UUID,
    "timestamp": dt.datetime,  # aware, UTC
    "date": dt.date,
    "duration": dt.timedelta,
    "bytes": bytes,
}
"""The Python type of each scalar."""


def schema_hash(plan: Plan) -> str:
    """16 hex digits over what event classes depend on: events' fields, structs, enums."""
    shapes = {
        "events": {e.name: [asdict(f) for f in e.fields] for e in _declared(plan)},
        "structs": {name: [asdict(f) for f in fields] for name, fields in _structs(plan)},
        "enums": plan.enums,
    }
    text = json.dumps(shapes, sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()[:16]


def types_module(plan: Plan, source: str) -> str:
    """The module's text. `source` is the file it was made from, as the header names it."""
    lines = [
        f'"""The events of {plan.system}.',
        "",
        f"{GENERATED} {source}: don't edit, write it again.",
        '"""',
        "",
        "from __future__ import annotations",
        "",
        *_imports(plan),
        "",
        f'SCHEMA = "{schema_hash(plan)}"',
    ]
    for name, members in sorted(plan.enums.items()):
        lines += ["", "", f"class {name}(_enum.StrEnum):"]
        lines += [f'    {_identifier(m)} = "{m}"' for m in members] or ["    pass"]
    for name, fields in sorted(_structs(plan)):
        lines += _class(name, "flowc.Record", fields, "")
    for event in sorted(_declared(plan), key=lambda e: e.name):
        lines += _class(event.name, "flowc.Event", event.fields, event.doc)
    return "\n".join(lines) + "\n"


def _imports(plan: Plan) -> Iterator[str]:
    # Aliases, so that no field or event can hide a module.
    kinds = {k for fields in _all_fields(plan) for f in fields for k in _kinds(f.type)}
    hidden = any(_hidden(fields) for fields in _all_fields(plan))
    modules = {
        "builtins": hidden,
        "datetime": bool(kinds & {"timestamp", "date", "duration"}),
        "decimal": "decimal" in kinds,
        "enum": bool(plan.enums),
        "uuid": "uuid" in kinds,
    }
    used = [f"import {name} as _{name}" for name, is_used in modules.items() if is_used]
    yield from [*used, ""] if used else []
    yield "import flowc"


def _all_fields(plan: Plan) -> Iterator[tuple[FieldPlan, ...]]:
    yield from (e.fields for e in _declared(plan))
    yield from (fields for _, fields in _structs(plan))


def _declared(plan: Plan) -> list[EventPlan]:
    """Without the events that flowc makes."""
    return [e for e in plan.events if not e.waits]


def _structs(plan: Plan) -> list[tuple[str, tuple[FieldPlan, ...]]]:
    """Without those that repeat an event."""
    return [item for item in plan.structs.items() if "." not in item[0]]


def _kinds(declared: TypePlan) -> Iterator[str]:
    yield declared.kind
    for arg in declared.args:
        yield from _kinds(arg)


def _hidden(fields: tuple[FieldPlan, ...]) -> bool:
    """Whether a field is called like a builtin: then the class's annotations can't use that."""
    return any(hasattr(builtins, f.name) for f in fields)


def _class(name: str, base: str, fields: tuple[FieldPlan, ...], doc: str) -> Iterator[str]:
    optional = [f.type.optional for f in fields]
    options = ", kw_only=True" if optional != sorted(optional) else ""
    yield from ["", "", f"class {name}({base}, frozen=True, gc=False{options}):"]
    if doc:
        yield from _docstring(doc)
    if doc and fields:
        yield ""
    builtin = "_builtins." if _hidden(fields) else ""
    for field in fields:
        default = " = None" if field.type.optional else ""
        yield f"    {_identifier(field.name)}: {_annotation(field.type, builtin)}{default}"
        if field.doc:
            yield from _docstring(field.doc)
    if not fields and not doc:
        yield "    pass"


def _docstring(doc: str) -> Iterator[str]:
    # A literal of any text: quotes and backslashes in a declaration must not end it.
    lines = [line.rstrip() for line in doc.strip().splitlines()]
    safe = [line.replace("\\", "\\\\").replace('"""', '\\"\\"\\"') for line in lines]
    if safe[-1].endswith('"'):
        safe[-1] = safe[-1][:-1] + '\\"'
    if len(safe) == 1:
        yield f'    """{safe[0]}"""'
        return
    yield f'    """{safe[0]}'
    yield from (f"    {line}" if line else "" for line in safe[1:])
    yield '    """'


def _identifier(name: str) -> str:
    return f"{name}_" if keyword.iskeyword(name) else name


def _annotation(declared: TypePlan, builtin: str) -> str:
    args = [_annotation(a, builtin) for a in declared.args]
    kind = declared.kind
    if kind == "list":
        text = f"{builtin}list[{args[0]}]"
    elif kind == "map":
        text = f"{builtin}dict[{args[0]}, {args[1]}]"
    elif kind in {"struct", "enum"}:
        text = declared.name
    else:
        python = SCALAR_TYPES[kind]
        own = python.__module__ == "builtins"
        text = f"{builtin}{python.__name__}" if own else f"_{python.__module__}.{python.__name__}"
    return f"{text} | None" if declared.optional else text
