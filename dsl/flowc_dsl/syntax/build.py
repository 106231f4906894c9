"""From a rule of the grammar and its children to a node: `BUILDERS[rule](children, start, end)`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from flowc_dsl.syntax import tree as t

Children = list[Any]
Builder = Callable[[Children, int, int], Any]


def _same(node: Callable[..., t.Node]) -> Builder:
    """The children are the node's fields, in order."""
    return lambda c, start, end: node(start, end, *c)


def _first(c: Children, _start: int, _end: int) -> Any:
    return c[0]


def _tuple(c: Children, _start: int, _end: int) -> tuple[Any, ...]:
    return tuple(c)


def _leaf(node: Callable[[int, int, str], t.Node]) -> Builder:
    return lambda c, start, end: node(start, end, c[0])


def _rest(node: Callable[..., t.Node], fixed: int) -> Builder:
    """The first `fixed` children are fields, the rest is one tuple, the last field."""
    return lambda c, start, end: node(start, end, *c[:fixed], tuple(c[fixed:]))


def unquoted(raw: str) -> str:
    """What a string means; one with bad escapes (a fault of its own) means its raw text."""
    if not raw.startswith('"'):
        return raw.strip("'")  # no string at all, which is a fault of its own
    if "\\" in raw:
        try:
            value = json.loads(raw if raw.endswith('"') else raw + '"', strict=False)
        except ValueError:
            return raw[1:].removesuffix('"')
        assert isinstance(value, str)
        return value
    return raw[1:].removesuffix('"')


def _text(c: Children, start: int, end: int) -> t.Text:
    return t.Text(start, end, unquoted(c[0]))


def _quoted(c: Children, start: int, end: int) -> t.Name:
    return t.Name(start, end, unquoted(c[0]))


def _annotation(c: Children, start: int, end: int) -> t.Name:
    return t.Name(start, end, c[0][1:])


def _type(c: Children, start: int, end: int) -> t.Type:
    name, given, optional = c[0], c[1:-1], c[-1] is not None
    inner = given[0] if given and given[0] is not None else ()
    types = tuple(x for x in inner if isinstance(x, t.Type))
    bounds = tuple(x for x in inner if isinstance(x, t.Number))
    return t.Type(start, end, name, types, bounds, optional)


def _event(c: Children, start: int, end: int) -> t.Event:
    scope, kind, name, *rest = c
    body = tuple(x for x in rest if isinstance(x, (t.Field, t.Upcast, t.Broken)))
    clauses = tuple(x for x in rest if not isinstance(x, (t.Field, t.Upcast, t.Broken)))
    return t.Event(start, end, scope, kind, name, clauses, body)


def _output(c: Children, start: int, end: int) -> t.Output:
    name, many, chance = c
    return t.Output(start, end, name, many or "one", chance)


def _many(c: Children, _start: int, _end: int) -> str:
    return "maybe" if c[0] == "?" else "any"


def _on(c: Children, start: int, end: int) -> t.On:
    names = tuple(x for x in c if isinstance(x, t.Name))
    return t.On(start, end, names, tuple(c[len(names) :]))


def _join(c: Children, start: int, end: int) -> t.Join:
    names = [x for x in c if isinstance(x, t.Name)]
    return t.Join(start, end, tuple(names[:-1]), names[-1], tuple(c[len(names) :]))


def _after(c: Children, start: int, end: int) -> t.After:
    delay, event, unless, *clauses = c
    return t.After(start, end, delay, event, unless or (), tuple(clauses))


def _leads_to(c: Children, start: int, end: int) -> t.LeadsTo:
    names = [x for x in c if isinstance(x, t.Name)]
    return t.LeadsTo(start, end, names[0], tuple(names[1:]), tuple(c[len(names) :]))


def _reach(kind: Any) -> Builder:
    return lambda c, start, end: t.Reach(start, end, kind, *c)


def _timing(kind: Any) -> Builder:
    return lambda c, start, end: t.Timing(start, end, kind, c[0])


def _outage(kind: Any) -> Builder:
    return lambda c, start, end: t.Outage(start, end, kind, c[0], tuple(c[1:]))


def _list(c: Children, start: int, end: int) -> t.ListValue:
    return t.ListValue(start, end, tuple(x for x in c if x is not None))


def _object(c: Children, start: int, end: int) -> t.ObjectValue:
    return t.ObjectValue(start, end, tuple(x for x in c if isinstance(x, t.Pair)))


BUILDERS: Final[dict[str, Builder]] = {
    "start": _tuple,
    "error": lambda _c, start, end: t.Broken(start, end),
    "system": _same(t.System),
    "import": _same(t.Import),
    "library": _same(t.Library),
    "enum": _rest(t.Enum, 1),
    "struct": _rest(t.Struct, 1),
    "event": _event,
    "scope": _leaf(t.Name),
    "kind": _leaf(t.Name),
    "version": _leaf(t.Version),
    "key": _same(t.Key),
    "retain": _same(t.Retain),
    "rate": _same(t.Rate),
    "deprecated": _same(t.Deprecated),
    "field": _rest(t.Field, 2),
    "annotation": _annotation,
    "type": _type,
    "type_args": _tuple,
    "type_bounds": _tuple,
    "upcast": _rest(t.Upcast, 1),
    "upcast_set": _same(t.UpcastSet),
    "upcast_rename": _same(t.UpcastRename),
    "context": _rest(t.Context, 2),
    "owner": _first,
    "service": _rest(t.Service, 2),
    "run": _same(t.Run),
    "speaks": _first,
    "replicas": _same(t.Replicas),
    "stateless": _same(t.Stateless),
    "store": _rest(t.Store, 1),
    "store_engine": _same(t.StoreEngine),
    "store_per_partition": _same(t.StorePerPartition),
    "store_path": _same(t.StorePath),
    "uses": _rest(t.Uses, 0),
    "use_store": _same(t.UseStore),
    "sees": _same(t.Sees),
    "args": _same(t.Args),
    "env": _same(t.Env),
    "on": _on,
    "join": _join,
    "every": _rest(t.Every, 1),
    "after": _after,
    "unless": _tuple,
    "emits": _rest(t.Emits, 0),
    "one_of": _rest(t.OneOf, 0),
    "output": _output,
    "many": _many,
    "chance": _first,
    "alias": _same(t.Alias),
    "reads": _rest(t.Reads, 0),
    "ordered": _same(t.Ordered),
    "idempotent": _same(t.Idempotent),
    "within": _same(t.Within),
    "retry": _same(t.Retry),
    "backoff": _same(t.Backoff),
    "then": _first,
    "replay": _same(t.Replay),
    "delivery": _same(t.Delivery),
    "takes": _rest(t.Takes, 1),
    "expect": _same(t.Expect),
    "leads_to": _leads_to,
    "at_most": _rest(t.AtMost, 2),
    "never_with": _rest(t.NeverWith, 2),
    "by": _same(t.By),
    "rules": _rest(t.Rules, 0),
    "forbid": _reach("forbid"),
    "require": _reach("require"),
    "limit": _same(t.Limit),
    "allow": _same(t.Allow),
    "because": _first,
    "until": _first,
    "scenario": _rest(t.Scenario, 1),
    "load": _same(t.Load),
    "crash": _outage("crash"),
    "partition": _outage("partition"),
    "duplicate": _same(t.Duplicate),
    "check": _rest(t.Check, 0),
    "for": _timing("for"),
    "at": _timing("at"),
    "period": _timing("every"),
    "test": _rest(t.Test, 1),
    "given": _same(t.Given),
    "stub": _rest(t.Stub, 1),
    "expect_then": _same(t.Then),
    "expect_never": _same(t.Never),
    "sample": _same(t.Sample),
    "constant": _leaf(t.Constant),
    "word": _leaf(t.Word),
    "list": _list,
    "object": _object,
    "pair": _same(t.Pair),
    "label": _leaf(t.Name),
    "quoted": _quoted,
    "name": _leaf(t.Name),
    "choice": _leaf(t.Name),
    "text": _text,
    "number": _leaf(t.Number),
    "duration": _leaf(t.Duration),
    "frequency": _leaf(t.Frequency),
    "percent": _leaf(t.Percent),
    "date": _leaf(t.Date),
}
