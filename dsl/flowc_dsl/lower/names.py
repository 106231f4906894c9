"""Pass 2: who declares what. One flat namespace; a context may be reopened."""

from __future__ import annotations

from flowc_dsl.lower.faults import BuiltIn, CaseTwin, Conflict, DeclaredTwice, Reserved
from flowc_dsl.lower.work import BUILT_IN, Declared, Work
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
    for tree, _, item in work.each_item():
        if isinstance(item, t.Test):
            _title(work, tree, item, titles)
        kind = _KINDS.get(type(item))
        name = getattr(item, "name", None)
        if kind is None or not isinstance(name, t.Name) or not name.text:
            continue
        if isinstance(item, t.Event):
            kind = item.kind.text
        if isinstance(item, t.Context):
            _context(work, tree, item)
        if _declare(work, tree, name, kind):
            if isinstance(item, t.Event):
                _event_name(work, tree.span(name), kind, name.text, lower)
            if isinstance(item, t.Library):
                work.libraries[name.text] = Library(name.text, item.path.value, tree.span(name))


def _declare(work: Work, tree: t.Tree, name: t.Name, kind: str) -> bool:
    span = tree.span(name)
    first = work.declared.get(name.text)
    if first is not None:
        if not first.kind == kind == "context":
            work.report(DeclaredTwice(span, kind, name.text, first.span, first.kind))
        return False
    if name.text in BUILT_IN and kind in ("type", "enum"):
        work.report(BuiltIn(span, kind, name.text))
        return False
    work.declared[name.text] = Declared(kind, span)
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
