"""Pass 7: `expect`, `scenario` and `test`."""

from __future__ import annotations

from typing import Any, Literal

from flowc_dsl import limits
from flowc_dsl.lower.clauses import once
from flowc_dsl.lower.faults import Conflict, Repeated
from flowc_dsl.lower.literals import duration_ms, fraction, per_second, whole
from flowc_dsl.lower.samples import sample
from flowc_dsl.lower.work import Work, ref, refs
from flowc_dsl.model import (
    Expect,
    Field,
    Load,
    Outage,
    Ref,
    Sample,
    Scenario,
    Service,
    Stub,
    Test,
    TypeRef,
)
from flowc_dsl.source import Span
from flowc_dsl.syntax import tree as t


def lower_expectations(work: Work) -> None:
    """All expectations, scenarios and tests."""
    for tree in work.each_tree():
        for item in tree.items:
            match item:
                case t.Expect():
                    work.expects.append(_expect(work, tree, item))
                case t.Scenario():
                    work.scenarios.append(_scenario(work, tree, item))
                case t.Test():
                    work.tests.append(_test(work, tree, item))
                case _:
                    pass


# ---- expect


def _expect(work: Work, tree: t.Tree, item: t.Expect) -> Expect:
    form: Literal["leads_to", "at_most", "never_with"]
    body, bound = item.body, None
    events, targets = refs(tree, (body.event,)), tuple[Ref, ...]()
    match body:
        case t.LeadsTo():
            form, targets = "leads_to", refs(tree, body.to)
        case t.AtMost():
            form, bound = "at_most", whole(work, tree, body.count, "count", 0, limits.INT_MAX)
        case t.NeverWith():
            form, targets = "never_with", refs(tree, (body.other,))
    clauses = once(work, tree, body.clauses, f"expectation `{item.name.text}`")
    within, by = clauses.get(t.Within), clauses.get(t.By)
    found = Expect(
        item.name.text,
        tree.span(item.name),
        form,
        events,
        targets,
        bound,
        duration_ms(work, tree, within.duration) if within else None,
        ref(tree, by.name) if by and by.name.text else None,
    )
    _check_targets(work, found)
    _check_by(work, found)
    return found


def _check_targets(work: Work, found: Expect) -> None:
    """No event stands on both sides, or twice on one."""
    for subject in found.events:
        seen: dict[str, Ref] = {}
        for target in found.targets:
            first = seen.setdefault(target.name, target)
            if first is not target:
                owner = f"expectation `{found.name}`"
                work.report(Repeated(target.span, f"`{target.name}`", owner, first.span))
            elif target.name == subject.name and found.form == "never_with":
                message = f"no `{target.name}` could ever happen with itself"
                hint = f"to have it once, write `at most 1 {target.name}`"
                work.report(Conflict(target.span, message, hint, subject.span))
            elif target.name == subject.name:
                message = f"each `{target.name}` leads to itself already"
                work.report(Conflict(target.span, message, "name what follows", subject.span))


def _check_by(work: Work, found: Expect) -> None:
    """The field is in each event, and can be compared: it has one type in all of them."""
    if found.by is None:
        return
    first: tuple[str, TypeRef] | None = None
    for event in (*found.events, *found.targets):
        if event.name not in work.events:
            continue
        field = _find_field(work, found.by, event.name)
        if field is None:
            return  # one fault is enough for one name
        kind = field.type.name
        if first is not None and kind != first[1].name:
            message = (
                f"`by {found.by.name}` compares the `{first[1].name}` of `{first[0]}` with the "
                f"`{kind}` of `{event.name}`"
            )
            hint = "give the field one type in all of these events"
            work.report(Conflict(found.by.span, message, hint, field.span))
            return
        first = first or (event.name, field.type)


def _find_field(work: Work, field: Ref, event: str) -> Field | None:
    """The field of an event that exists; else None, and a fault."""
    by_name = {found.name: found for found in work.events[event].fields}
    work.expect_part(field, "field", by_name, event)
    return by_name.get(field.name)


# ---- scenario


def _scenario(work: Work, tree: t.Tree, item: t.Scenario) -> Scenario:
    owner = f"scenario `{item.name.text}`"
    loads: list[Load] = []
    outages: dict[str, list[Outage]] = {"crash": [], "partition": []}
    checks: dict[str, Ref] = {}
    for step in item.steps:
        match step:
            case t.Load():
                loads += _load(work, tree, step)
            case t.Outage():
                outages[step.kind].append(_outage(work, tree, step))
            case t.Check():
                for name in refs(tree, step.names):
                    first = checks.setdefault(name.name, name)
                    if first is not name:
                        work.report(Repeated(name.span, f"`{name.name}`", owner, first.span))
            case _:
                pass
    duplicates = [step for step in item.steps if isinstance(step, t.Duplicate)]
    duplicate = once(work, tree, duplicates, owner).get(t.Duplicate)
    return Scenario(
        item.name.text,
        tree.span(item.name),
        tuple(loads),
        tuple(outages["crash"]),
        tuple(outages["partition"]),
        fraction(work, tree, duplicate.percent) if duplicate else 0.0,
        tuple(checks.values()),
    )


def _load(work: Work, tree: t.Tree, step: t.Load) -> list[Load]:
    rate = per_second(work, tree, step.frequency)
    length = duration_ms(work, tree, step.length.duration) if step.length else None
    if not step.event.text:
        return []
    event = ref(tree, step.event)
    declared = work.events.get(event.name)
    if declared is not None and not declared.external:
        message = f"`load {event.name}`: only what comes from outside can be loaded"
        hint = f"load what leads to it, or declare `external event {event.name}`"
        work.report(Conflict(event.span, message, hint, declared.span))
    return [Load(event, rate, tree.span(step), length)]


def _outage(work: Work, tree: t.Tree, step: t.Outage) -> Outage:
    found: dict[str, int] = {}
    first: dict[str, Span] = {}
    for timing in step.timings:
        span = tree.span(timing)
        length = duration_ms(work, tree, timing.duration, low=0 if timing.kind == "at" else 1)
        if timing.kind in found:
            what = f"`{timing.kind}`"
            work.report(Repeated(span, what, f"one `{step.kind}`", first[timing.kind]))
            continue
        found[timing.kind], first[timing.kind] = length, span
    period, length_ = found.get("every"), found.get("for")
    if period is not None and length_ is not None and length_ >= period:
        message = f"a `{step.kind}` lasts as long as it takes to the next one, or longer"
        work.report(Conflict(first["for"], message, "make `for` shorter than `every`"))
    return Outage(ref(tree, step.service), tree.span(step), found.get("at"), period, length_)


# ---- test


def _test(work: Work, tree: t.Tree, item: t.Test) -> Test:
    found: dict[str, list[Any]] = {"given": [], "stubs": [], "then": [], "never": []}
    for step in item.steps:
        match step:
            case t.Stub():
                found["stubs"].append(_stub(work, tree, step))
            case t.Given():
                found["given"].append(sample(work, tree, step.sample))
            case t.Never():
                found["never"].append(sample(work, tree, step.sample))
            case t.Then():
                within = duration_ms(work, tree, step.within.duration) if step.within else None
                found["then"].append(sample(work, tree, step.sample, within))
            case _:
                pass
    lists = {name: tuple(steps) for name, steps in found.items()}
    return Test(item.title.value, tree.span(item.title), **lists)


def _stub(work: Work, tree: t.Tree, step: t.Stub) -> Stub:
    samples = tuple(sample(work, tree, one) for one in step.samples)
    service = work.services.get(step.service.text)
    if service is not None:
        for one in samples:
            _check_emitted(work, service, one)
    return Stub(ref(tree, step.service), samples)


def _check_emitted(work: Work, service: Service, found: Sample) -> None:
    """A stub answers with what its service may emit, or the test is of another system."""
    emitted = {out.name for handler in service.handlers for out in handler.output_refs()}
    name = found.event.name
    if name in work.events and name not in emitted and not work.broken:
        message = f"service `{service.name}` does not emit `{name}`"
        hint = f"stub the service that emits it, or let a handler of `{service.name}` emit it"
        work.report(Conflict(found.event.span, message, hint, service.span))
