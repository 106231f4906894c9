"""The declaration that an undeclared event would need, as an edit at the place where it belongs.

    on OrderPlaced -> StockReserved        event StockReserved key order_id { order_id: uuid }

The key is that of the event which causes it; the fields are the key and those that its readers
name. A field whose type is known nowhere, or a name that several services emit, gives no edit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flowc_dsl import limits
from flowc_dsl.diagnostics.diagnostic import Edit
from flowc_dsl.graph import FlowGraph, Use
from flowc_dsl.model import Event, Field, Ref, TypeRef
from flowc_dsl.rules.contract import named_fields
from flowc_dsl.source import Source, Span
from flowc_dsl.syntax import tree as t
from flowc_dsl.syntax.parser import parse


class Places:
    """A system with its texts; each text is parsed once, and only if it is needed."""

    def __init__(self, graph: FlowGraph, sources: Mapping[str, Source]) -> None:
        self._graph = graph
        self._sources = sources
        self._trees: dict[str, t.Tree] = {}
        self._made: dict[str, Edit | None] = {}

    def declaration(self, name: str) -> Edit | None:
        """The edit that declares it. All findings of one name have the same."""
        if name not in self._made and len(self._made) < limits.DECLARED_EDITS_MAX:
            self._made[name] = self._declaration(name)
        return self._made.get(name)

    def _declaration(self, name: str) -> Edit | None:
        emits = self._graph.emits.get(name, ())
        reads = (*self._graph.triggers.get(name, ()), *self._graph.watches.get(name, ()))
        use = (*emits, *reads)[0]
        if len({emit.service.name for emit in emits}) > 1:
            return None  # it would have several emitters
        fields = self._fields(name, use, reads)
        at = self._behind(use)
        if fields is None or at is None:
            return None
        scope = "" if emits else "external "
        span, before = at
        text = f"{before}{scope}event {name}{_body(*fields)}"
        return Edit(span, text, "safe" if emits else "unsafe")

    def _fields(
        self, name: str, use: Use, reads: tuple[Use, ...]
    ) -> tuple[str | None, dict[str, Field]] | None:
        """The key, and the fields with it; None where a reader needs one of unknown type."""
        causes = list(self._known(use.handler.triggers))
        if use.ref not in use.handler.triggers and len(causes) < len(use.handler.triggers):
            return None  # what causes it is not known yet
        if use.ref in use.handler.triggers:
            causes += self._known(use.handler.output_refs())
        others = [event for read in reads for event in self._known(read.handler.triggers)]
        known = {f.name: f for event in reversed([*causes, *others]) for f in event.fields}
        key = causes[0].key.name if causes and causes[0].key else None
        asked = [ref.name for read in reads for ref in _of_handler(read, name)]
        keys = [r.name for read in reads for r in (read.handler.by, read.handler.ordered_by) if r]
        key = next(iter(keys), key)
        wanted = dict.fromkeys([*([key] if key else []), *asked])
        if any(field not in known for field in wanted):
            return None
        if key is not None and not self._may_be_key(known[key].type):
            return None
        if key is None and any(r.service.replicas_max > 1 and r.service.stores for r in reads):
            return None  # a replica has to know which events are its own
        return key, {field: known[field] for field in wanted}

    def _may_be_key(self, type_: TypeRef) -> bool:
        """Whether it is a scalar or an enum, and not optional (spec 2.14)."""
        types = {"list", "map", *self._graph.system.types}
        return not type_.optional and type_.name not in types

    def _known(self, refs: tuple[Ref, ...]) -> Iterator[Event]:
        events = self._graph.system.events
        return (events[ref.name] for ref in refs if ref.name in events)

    def _behind(self, use: Use) -> tuple[Span, str] | None:
        """Where it belongs, and the space before it: behind the event that the service emits, or
        reads, or the last one above it; else behind whatever stands above it."""
        path, start = use.ref.span.path, use.ref.span.start
        source = self._sources.get(path)
        if source is None:
            return None
        if path not in self._trees:
            self._trees[path] = parse(source)
        tree = self._trees[path]
        nodes = dict(_events(tree, use.service.context))
        handlers = use.service.handlers
        near = [ref.name for handler in handlers for ref in handler.output_refs()]
        near += [ref.name for ref in use.handler.triggers]
        node: t.Node | None = next((nodes[name] for name in near if name in nodes), None)
        if node is None:
            above = [event for event in nodes.values() if event.end <= start]
            items = [item for item in tree.items if item.end <= start]
            node = (above or items or [None])[-1]
        return _after(source, node, is_event=isinstance(node, t.Event)) if node else None


def _of_handler(read: Use, name: str) -> Iterator[Ref]:
    if name in {ref.name for ref in read.handler.triggers}:
        for _, ref in named_fields(read.handler):
            yield ref


def _events(tree: t.Tree, context: str | None) -> Iterator[tuple[str, t.Event]]:
    """The events of a file that stand outside of contexts or in this one."""
    for item in tree.items:
        if isinstance(item, t.Event):
            yield item.name.text, item
        elif isinstance(item, t.Context) and item.name.text == context:
            yield from ((m.name.text, m) for m in item.members if isinstance(m, t.Event))


def _after(source: Source, node: t.Node, *, is_event: bool) -> tuple[Span, str]:
    """The end of the node's line, if only a comment stands there; else of the node."""
    text = source.text
    line = text.rfind("\n", 0, node.start) + 1
    indent = text[line : node.start]
    rest = text[node.end :].partition("\n")[0].rstrip("\r")
    if indent.strip() or (rest.strip() and not rest.lstrip().startswith("//")):
        at = Span(source.path, node.end, node.end)
        return at, " "
    end = node.end + len(rest.rstrip())
    return Span(source.path, end, end), f"\n{indent}" if is_event else f"\n\n{indent}"


def _body(key: str | None, fields: Mapping[str, Field]) -> str:
    clause = f" key {key}" if key else ""
    if not fields:
        return f"{clause} {{}}"
    parts = [f"{f.name}: {f.type.text}{' @pii' if f.pii else ''}" for f in fields.values()]
    return f"{clause} {{ {'  '.join(parts)} }}"
