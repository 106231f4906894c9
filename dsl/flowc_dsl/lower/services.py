"""Services, with their stores and handlers."""

from __future__ import annotations

import re
from typing import Final, Literal, cast

from flowc_dsl import limits
from flowc_dsl.lower.clauses import once, option
from flowc_dsl.lower.faults import (
    BadLiteral,
    BadRun,
    Conflict,
    DeclaredTwice,
    DuplicateField,
    Repeated,
)
from flowc_dsl.lower.handlers import handler
from flowc_dsl.lower.literals import literal, whole
from flowc_dsl.lower.work import Work, ref
from flowc_dsl.model import Handler, Literal_, Ref, Run, Service, Store
from flowc_dsl.python_names import waiting_name
from flowc_dsl.source import Span
from flowc_dsl.syntax import tree as t

RUNS: Final = ("python", "exec", "mock")
ENGINES: Final = ("sqlite", "duckdb")
_TARGET: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(:[A-Za-z_]\w*)?")
_ONCE: Final = (t.Run, t.Replicas, t.Stateless, t.Sees, t.Args, t.Env)


def lower_service(work: Work, tree: t.Tree, context: t.Context | None, item: t.Service) -> Service:
    """One service, with its stores and handlers."""
    name = item.name.text
    single = once(work, tree, [i for i in item.items if isinstance(i, _ONCE)], f"service `{name}`")
    run, replicas, sees = single.get(t.Run), single.get(t.Replicas), single.get(t.Sees)
    low, high = _replicas(work, tree, replicas) if replicas else (1, 1)
    if sees:
        option(work, tree, sees.what, "sees", ("pii",))
    stores = _stores(work, tree, item)
    uses, store_refs = _uses(work, tree, item)
    stateless = single.get(t.Stateless)
    if stateless and stores:
        message = f"service `{name}` is `stateless` and has a store"
        work.report(Conflict(tree.span(stateless), message, "drop one of them", stores[0].span))
    return Service(
        name=name,
        span=tree.span(item.name),
        context=context.name.text if context and context.name.text else None,
        run=_run(work, tree, run) if run else None,
        replicas_min=low,
        replicas_max=high,
        replicas_span=tree.span(replicas) if replicas else None,
        stateless=stateless is not None,
        sees_pii=sees is not None,
        args=_args(work, tree, [single.get(t.Args), single.get(t.Env)]),
        stores=stores,
        store_refs=store_refs,
        uses=uses,
        handlers=_handlers(work, tree, item),
        doc=tree.doc(item),
        owner=item.owner.value if item.owner else None,
    )


def _run(work: Work, tree: t.Tree, node: t.Run) -> Run:
    kind = cast("Literal['python', 'exec', 'mock']", option(work, tree, node.kind, "run", RUNS))
    target = node.target.value if node.target else ""
    span = tree.span(node.target) if node.target else tree.span(node)
    if work.broken and not (node.kind.text and node.target):
        return Run(kind, target, span)  # what is missing may stand in text that was not understood
    if kind == "mock" and target:
        work.report(BadRun(span, "`run mock` runs no code", "remove the text, or `run python`"))
    elif kind == "python" and not _TARGET.fullmatch(target):
        what = f"`{target}` is no Python target" if target else "`run python` needs a target"
        work.report(BadRun(span, what, 'write `"package.module"` or `"package.module:Class"`'))
    elif kind == "exec" and not target.strip():
        work.report(BadRun(span, "`run exec` needs a command", 'write `run exec "COMMAND"`'))
    speaks = option(work, tree, node.speaks, "speaks", ("jsonl",)) if node.speaks else None
    if node.speaks and kind != "exec":
        message = f"`speaks` is for `run exec`, not for `run {kind}`"
        work.report(Conflict(tree.span(node.speaks), message, "remove it"))
    return Run(kind, target, span, "jsonl" if kind == "exec" else speaks)


def _replicas(work: Work, tree: t.Tree, node: t.Replicas) -> tuple[int, int]:
    low = whole(work, tree, node.low, "replicas", 1, limits.REPLICAS_MAX)
    if node.high is None:
        return low, low
    high = whole(work, tree, node.high, "replicas", 1, limits.REPLICAS_MAX)
    if high < low:
        message = f"replicas {low} to {high} end below their beginning"
        work.report(Conflict(tree.span(node), message, "write the smaller one first"))
    return low, max(low, high)


def _stores(work: Work, tree: t.Tree, item: t.Service) -> tuple[Store, ...]:
    found: dict[str, Store] = {}
    for node in item.items:
        if not isinstance(node, t.Store) or not node.name.text:
            continue
        name, span = node.name.text, tree.span(node.name)
        if name in found:
            work.report(DeclaredTwice(span, "store", name, found[name].span, "store"))
            continue
        clauses = once(work, tree, node.clauses, f"store `{name}`")
        engine, path = clauses.get(t.StoreEngine), clauses.get(t.StorePath)
        found[name] = Store(
            name,
            span,
            option(work, tree, engine.name, "engine", ENGINES) if engine else ENGINES[0],
            t.StorePerPartition in clauses,
            path.path.value if path else None,
        )
    return tuple(found.values())


def _uses(work: Work, tree: t.Tree, item: t.Service) -> tuple[tuple[Ref, ...], tuple[Ref, ...]]:
    """Libraries, and stores of others."""
    libraries: dict[str, Ref] = {}
    stores: dict[str, Ref] = {}
    for node in item.items:
        if not isinstance(node, t.Uses):
            continue
        for used in node.names:
            of_store = isinstance(used, t.UseStore)
            name = ref(tree, used.name if isinstance(used, t.UseStore) else used)
            if not name.name:
                continue
            first = (stores if of_store else libraries).setdefault(name.name, name)
            if first is not name:
                owner = f"the `uses` of service `{item.name.text}`"
                work.report(Repeated(name.span, f"`{name.name}`", owner, first.span))
    return tuple(libraries.values()), tuple(stores.values())


def _args(
    work: Work, tree: t.Tree, nodes: list[t.Args | t.Env | None]
) -> tuple[tuple[str, Literal_, Span], ...]:
    """Each value with its place: that of the text itself, for a string."""
    found: list[tuple[str, Literal_, Span]] = []
    for node in nodes:
        seen: dict[str, Span] = {}
        for pair in node.value.pairs if node else ():
            key, span = pair.key.text, tree.span(pair.key)
            if key in seen:
                owner = "`args`" if isinstance(node, t.Args) else "`env`"
                work.report(DuplicateField(span, "key", key, owner, seen[key]))
                continue
            seen[key] = span
            _check_words(work, tree, pair.value)
            found.append((key, literal(work, tree, pair.value), tree.span(pair.value)))
    return tuple(found)


def _check_words(work: Work, tree: t.Tree, value: t.Value) -> None:
    """A bare word is a member of an enum, and nothing here has the type of one."""
    match value:
        case t.Word():
            message = f"`{value.text}` is no value"
            hint = f'strings stand in quotes: `"{value.text}"`'
            work.report(BadLiteral(tree.span(value), message, hint))
        case t.ListValue():
            for item in value.items:
                _check_words(work, tree, item)
        case t.ObjectValue():
            for pair in value.pairs:
                _check_words(work, tree, pair.value)
        case _:
            pass


def _handlers(work: Work, tree: t.Tree, item: t.Service) -> tuple[Handler, ...]:
    found: list[Handler] = []
    seen: dict[tuple[str, str], Span] = {}
    for node in item.items:
        if not isinstance(node, (t.On, t.Join, t.Every, t.After)):
            continue
        lowered = handler(work, tree, node, item.name.text)
        found.append(lowered)
        if lowered.kind == "on":
            _check_twice(work, lowered, seen, item.name.text)
        else:
            _check_waiting(work, lowered, seen, item.name.text)
    return tuple(found)


def _check_waiting(
    work: Work, handler: Handler, seen: dict[tuple[str, str], Span], service: str
) -> None:
    """What handlers wait for is told apart by their names."""
    if handler.kind != "every" and not handler.triggers:
        return  # its event could not be read, and that is what is reported
    name = waiting_name(handler)
    first = seen.setdefault((name, ""), handler.span)
    if first is not handler.span:
        message = f"service `{service}` has two handlers `{name}` that wait"
        work.report(Conflict(handler.span, message, "name one of them with `as NAME`", first))


def _check_twice(
    work: Work, handler: Handler, seen: dict[tuple[str, str], Span], service: str
) -> None:
    """Two handlers of one event need different names, or one function would have to be both."""
    name = handler.name.name if handler.name else ""
    for trigger in handler.triggers:
        first = seen.setdefault((name, trigger.name), trigger.span)
        if first is not trigger.span:
            named = f"as `{name}`" if name else "without a name"
            message = f"service `{service}` handles `{trigger.name}` twice {named}"
            work.report(Conflict(trigger.span, message, "name one of them with `as NAME`", first))
