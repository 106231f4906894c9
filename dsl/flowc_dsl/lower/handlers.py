"""Handlers: `on`, joins, `every` and `after`, with their clauses."""

from __future__ import annotations

from typing import Any, Final, Literal, cast

from flowc_dsl import limits
from flowc_dsl.cutting import cut_from_list
from flowc_dsl.lower.clauses import once, option
from flowc_dsl.lower.faults import Conflict, Repeated
from flowc_dsl.lower.literals import duration_ms, fine_ms, fraction, whole
from flowc_dsl.lower.work import Work, ref, refs
from flowc_dsl.model import Handler, Output, Ref, Retry, Takes
from flowc_dsl.source import Span
from flowc_dsl.syntax import tree as t

# What the durations of each are. A deviation is of the time itself, not of its logarithm.
DISTRIBUTIONS: Final = {
    "constant": ("time",),
    "exponential": ("mean",),
    "uniform": ("least", "most"),
    "normal": ("mean", "deviation"),
    "lognormal": ("mean", "deviation"),
}


def handler(work: Work, tree: t.Tree, node: t.Handler, service: str) -> Handler:
    """One handler with all its clauses; each clause counts once."""
    clauses = once(work, tree, node.clauses, f"a handler of service `{service}`")
    common = _common(work, tree, clauses)
    match node:
        case t.On():
            triggers = _distinct(work, tree, node.triggers, "an `on`")
            return Handler("on", _over(tree, node.triggers), triggers, **common)
        case t.Join():
            triggers = _distinct(work, tree, node.triggers, "a join")
            by = ref(tree, node.by) if node.by.text else None
            return Handler("join", _over(tree, node.triggers), triggers, by=by, **common)
        case t.Every():
            period = duration_ms(work, tree, node.period)
            return Handler("every", tree.span(node.period), period_ms=period, **common)
        case t.After():
            return Handler(
                "after",
                tree.span(node.event),
                refs(tree, (node.event,)),
                unless=_distinct(work, tree, node.unless, "an `unless`"),
                period_ms=duration_ms(work, tree, node.delay),
                **common,
            )


def _over(tree: t.Tree, names: tuple[t.Name, ...]) -> Span:
    return Span(tree.source.path, names[0].start, names[-1].end)


def _distinct(work: Work, tree: t.Tree, names: tuple[t.Name, ...], owner: str) -> tuple[Ref, ...]:
    found: dict[str, Ref] = {}
    before = 0
    for one in refs(tree, names):
        first = found.setdefault(one.name, one)
        if first is not one:
            cut = cut_from_list(tree.source, before, one.span.end)
            work.report(Repeated(one.span, f"`{one.name}`", owner, first.span, cut))
        before = one.span.end
    return tuple(found.values())


def _common(work: Work, tree: t.Tree, clauses: dict[Any, Any]) -> dict[str, Any]:
    alias, reads = clauses.get(t.Alias), clauses.get(t.Reads)
    ordered, idempotent = clauses.get(t.Ordered), clauses.get(t.Idempotent)
    within, retry = clauses.get(t.Within), clauses.get(t.Retry)
    replay, delivery = clauses.get(t.Replay), clauses.get(t.Delivery)
    takes, emits = clauses.get(t.Takes), clauses.get(t.Emits)
    found: dict[str, Any] = {}
    if emits:
        found["outputs"] = _outputs(work, tree, emits)
    if alias and alias.name.text:
        found["name"] = ref(tree, alias.name)
    if reads:
        found["reads"] = _distinct(work, tree, reads.names, "`reads`")
    if ordered and ordered.by.text:
        found["ordered_by"] = ref(tree, ordered.by)
    if idempotent:
        found["idempotent"] = True
        found["idempotent_by"] = ref(tree, idempotent.by) if idempotent.by else None
    if within:
        found["within_ms"] = duration_ms(work, tree, within.duration)
    if retry:
        found["retry"] = _retry(work, tree, retry)
    if replay:
        found["replay"] = option(work, tree, replay.what, "replay", ("skip", "safe"))
    if delivery:
        found["delivery"] = option(work, tree, delivery.what, "delivery", ("latest", "all"))
    if takes:
        found["takes"] = _takes(work, tree, takes)
    return found


def _outputs(work: Work, tree: t.Tree, emits: t.Emits) -> tuple[tuple[Output, ...], ...]:
    seen: dict[str, Span] = {}
    groups: list[tuple[Output, ...]] = []
    for group in emits.groups:
        outputs: list[Output] = []
        for node in group.outputs:
            if not node.name.text:
                continue
            name = ref(tree, node.name)
            if name.name in seen:
                work.report(Repeated(name.span, f"`{name.name}`", "one `->`", seen[name.name]))
                continue
            seen[name.name] = name.span
            chance = fraction(work, tree, node.chance) if node.chance else None
            outputs.append(Output(name, node.many, chance))
        _check_chances(work, tree, group, outputs)
        if outputs:
            groups.append(tuple(outputs))
    return tuple(groups)


def _check_chances(work: Work, tree: t.Tree, group: t.OneOf, outputs: list[Output]) -> None:
    total = sum(output.chance or 0 for output in outputs)
    if len(outputs) > 1 and total > 1.000_001:
        message = f"the chances of these alternatives add up to {total * 100:g}%"
        work.report(Conflict(tree.span(group), message, "make it 100% or less"))


def _retry(work: Work, tree: t.Tree, node: t.Retry) -> Retry:
    attempts = whole(work, tree, node.attempts, "attempts", 0, limits.RETRY_ATTEMPTS_MAX)
    low, high = limits.BACKOFF_MIN_MS, limits.BACKOFF_MAX_MS
    if node.backoff:
        low = duration_ms(work, tree, node.backoff.low)
        high = duration_ms(work, tree, node.backoff.high) if node.backoff.high else low
        if high < low:
            message = "the backoff ends below its beginning"
            work.report(Conflict(tree.span(node.backoff), message, "write the smaller one first"))
            high = low
    then = "park"
    if node.then:
        then = option(work, tree, node.then, "then", ("park", "drop", "halt"))
    kind = cast("Literal['park', 'drop', 'halt']", then)
    return Retry(attempts, low, high, kind, tree.span(node), node.then is not None)


def _takes(work: Work, tree: t.Tree, node: t.Takes) -> Takes | None:
    """None where it makes no sense: a time that nobody said is better than a wrong one."""
    name = option(work, tree, node.distribution, "takes", tuple(DISTRIBUTIONS))
    wanted = DISTRIBUTIONS[name]
    args = tuple(fine_ms(work, tree, arg) for arg in node.args)
    if name != node.distribution.text or work.broken:
        return None
    if len(args) != len(wanted):
        plural = "s" * (len(wanted) > 1)
        message = f"`{name}` takes {len(wanted)} duration{plural}, not {len(args)}"
        work.report(Conflict(tree.span(node), message, f"write `{name}({', '.join(wanted)})`"))
        return None
    why = _nonsense(name, args)
    if why is not None:
        work.report(Conflict(tree.span(node), *why))
        return None
    return Takes(name, args, tree.span(node))


def _nonsense(name: str, args: tuple[float, ...]) -> tuple[str, str] | None:
    """What is wrong with the durations of a distribution, and what to do."""
    if name == "uniform" and args[1] < args[0]:
        return "this `uniform` time ends below its beginning", "write the smaller one first"
    if name in ("exponential", "lognormal", "normal") and args[0] == 0:
        return f"a `{name}` time has a mean of more than 0", "for no time at all, leave `takes` out"
    if name == "normal" and args[1] > args[0]:
        message = "a `normal` time that deviates by more than its mean would often be negative"
        return message, "write `lognormal`, which never is"
    return None
