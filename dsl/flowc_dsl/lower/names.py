"""Pass 2: who declares what. One flat namespace; a context may be reopened."""

from __future__ import annotations

from collections.abc import Iterator

from flowc_dsl.lower.faults import BuiltIn, CaseTwin, Conflict, DeclaredTwice, Reserved
from flowc_dsl.lower.memo import Declarations, Declared
from flowc_dsl.lower.work import BUILT_IN, Work, items_of
from flowc_dsl.model import Context, Library
from flowc_dsl.source import Span
from flowc_dsl.syntax import tree as t

_KINDS: dict[type[t.Node], str] = {
    t.Enum: "enum",
    t.Struct: "type",
    t.Library: "library",
    t.Event: "event",
    t.Context: "context",
    t.Service: "service",
    t.Expect: "expectation",
    t.Scenario: "scenario",
}


def declare_names(work: Work) -> None:
    """Fills `declared`, `contexts` and `libraries`."""
    lower: dict[str, str] = {}
    titles: dict[str, Span] = {}
    for tree in work.each_tree():
        for name, declared, item in _declarations(work, tree):
            if isinstance(item, t.Test):
                _title(work, tree, item, titles)
                continue
            if isinstance(item, t.Context):
                _context(work, tree, item)
            if _declare(work, name, declared):
                if isinstance(item, t.Event):
                    _event_name(work, declared.span, declared.kind, name, lower)
                if isinstance(item, t.Library):
                    work.libraries[name] = Library(name, item.path.value, declared.span)


def _declarations(work: Work, tree: t.Tree) -> Declarations:
    """What a file declares, tests too: they follow from its tree alone."""
    kept = work.memo.files.get(tree.source.path)
    if kept is None or kept.tree is not tree:
        return tuple(_each_declaration(tree))
    if kept.declarations is None:
        kept.declarations = tuple(_each_declaration(tree))
    return kept.declarations


def _each_declaration(tree: t.Tree) -> Iterator[tuple[str, Declared, t.Node]]:
    for _, item in items_of(tree):
        if isinstance(item, t.Test):
            yield item.title.value, Declared("test", tree.span(item.title)), item
            continue
        kind = _KINDS.get(type(item))
        name = getattr(item, "name", None)
        if kind is not None and isinstance(name, t.Name) and name.text:
            kind = item.kind.text if isinstance(item, t.Event) else kind
            yield name.text, Declared(kind, tree.span(name)), item


def _declare(work: Work, name: str, declared: Declared) -> bool:
    kind, span = declared.kind, declared.span
    first = work.declared.get(name)
    if first is not None:
        if not first.kind == kind == "context":
            work.report(DeclaredTwice(span, kind, name, first.span, first.kind))
        return False
    if name in BUILT_IN and kind in ("type", "enum"):
        work.report(BuiltIn(span, kind, name))
        return False
    work.declared[name] = declared
    return True


def _event_name(work: Work, span: Span, kind: str, name: str, lower: dict[str, str]) -> None:
    """Each event is a table of the log, and its tables don't tell case."""
    if name.startswith("_"):
        work.report(Reserved(span, kind, name))
    twin = lower.setdefault(name.lower(), name)
    if twin != name:
        work.report(CaseTwin(span, kind, name, work.declared[twin].span, twin))


def _context(work: Work, tree: t.Tree, item: t.Context) -> None:
    name, span = item.name.text, tree.span(item.name)
    owner = item.owner.value if item.owner else None
    first = work.contexts.get(name)
    if first is None:
        work.contexts[name] = Context(name, span, owner, tree.doc(item))
        return
    if owner is not None and first.owner is not None and owner != first.owner:
        message = f"context `{name}` has two owners: '{first.owner}' and '{owner}'"
        assert item.owner is not None
        work.report(Conflict(tree.span(item.owner), message, "keep one of them", first.span))
    doc = first.doc or tree.doc(item)
    work.contexts[name] = Context(name, first.span, first.owner or owner, doc)


def _title(work: Work, tree: t.Tree, item: t.Test, titles: dict[str, Span]) -> None:
    span, title = tree.span(item.title), item.title.value
    first = titles.setdefault(title, span)
    if first != span:
        work.report(DeclaredTwice(span, "test", title, first, "test"))
