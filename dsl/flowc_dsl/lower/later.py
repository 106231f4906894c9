"""Pass 7: `expect`, `scenario` and `test`: names and fields are looked up, the meaning comes
later."""

from __future__ import annotations

from typing import Final, Literal

from flowc_dsl import limits
from flowc_dsl.lower.clauses import once
from flowc_dsl.lower.faults import UnknownName
from flowc_dsl.lower.literals import duration_ms, fraction, literal, per_second, whole
from flowc_dsl.lower.work import Work, ref
from flowc_dsl.model import Field, Later, Ref, TypeRef
from flowc_dsl.syntax import tree as t

Kind = Literal["event", "service", "field", "expect", "enum_member"]
Refs = list[tuple[Kind, Ref]]
Form = Literal["", "leads_to", "at_most", "never_with"]
_FORMS: Final[dict[type[t.Node], Form]] = {
    t.LeadsTo: "leads_to",
    t.AtMost: "at_most",
    t.NeverWith: "never_with",
}


def lower_later(work: Work) -> None:
    """All expectations, scenarios and tests."""
    for tree in work.each_tree():
        for item in tree.items:
            refs: Refs = []
            match item:
                case t.Expect():
                    _expect(work, tree, item, refs)
                    _keep(work, tree, item, "expect", item.name.text, item.name, refs)
                case t.Scenario():
                    _scenario(work, tree, item, refs)
                    _keep(work, tree, item, "scenario", item.name.text, item.name, refs)
                case t.Test():
                    _test(work, tree, item, refs)
                    _keep(work, tree, item, "test", item.title.value, item.title, refs)
                case _:
                    pass


def _keep(
    work: Work,
    tree: t.Tree,
    item: t.Node,
    construct: Literal["expect", "scenario", "test"],
    name: str,
    place: t.Node,
    refs: Refs,
) -> None:
    text = tree.source.text[item.start : item.end]
    found = tuple((kind, one) for kind, one in refs if one.name)
    form = _FORMS.get(type(item.body), "") if isinstance(item, t.Expect) else ""
    work.later.append(Later(construct, name, tree.span(place), found, text, form))


def _expect(work: Work, tree: t.Tree, item: t.Expect, refs: Refs) -> None:
    body = item.body
    events = [body.event]
    match body:
        case t.LeadsTo():
            events += body.to
        case t.AtMost():
            whole(work, tree, body.count, "count", 0, limits.INT_MAX)
        case t.NeverWith():
            events.append(body.other)
    refs += [("event", ref(tree, name)) for name in events]
    clauses = once(work, tree, body.clauses, f"expectation `{item.name.text}`")
    if within := clauses.get(t.Within):
        duration_ms(work, tree, within.duration)
    if by := clauses.get(t.By):
        refs.append(("field", ref(tree, by.name)))
        for event in events:
            if event.text in work.events and not _check_field(work, refs[-1][1], event.text):
                break  # one fault is enough for one name


def _check_field(work: Work, field: Ref, event: str) -> Field | None:
    """The field of an event that exists; an unknown event has been reported, or will be."""
    if event not in work.events or not field.name:
        return None
    by_name = {found.name: found for found in work.events[event].fields}
    if field.name not in by_name and not work.broken:
        near, where = work.nearest(field.name, by_name), f" in `{event}`"
        work.report(UnknownName(field.span, field.name, "field", near, where=where))
    return by_name.get(field.name)


def _scenario(work: Work, tree: t.Tree, item: t.Scenario, refs: Refs) -> None:
    for step in item.steps:
        match step:
            case t.Load():
                refs.append(("event", ref(tree, step.event)))
                per_second(work, tree, step.frequency)
                if step.length:
                    duration_ms(work, tree, step.length.duration)
            case t.Outage():
                refs.append(("service", ref(tree, step.service)))
                for timing in step.timings:
                    duration_ms(work, tree, timing.duration, low=0)
            case t.Duplicate():
                fraction(work, tree, step.percent)
            case t.Check():
                refs += [("expect", ref(tree, name)) for name in step.names]


def _test(work: Work, tree: t.Tree, item: t.Test, refs: Refs) -> None:
    for step in item.steps:
        match step:
            case t.Stub():
                refs.append(("service", ref(tree, step.service)))
                for sample in step.samples:
                    _sample(work, tree, sample, refs)
            case t.Given() | t.Never():
                _sample(work, tree, step.sample, refs)
            case t.Then():
                _sample(work, tree, step.sample, refs)
                if step.within:
                    duration_ms(work, tree, step.within.duration)


def _sample(work: Work, tree: t.Tree, sample: t.Sample, refs: Refs) -> None:
    refs.append(("event", ref(tree, sample.event)))
    if sample.value is None:
        return
    literal(work, tree, sample.value)
    for pair in sample.value.pairs:
        name = ref(tree, pair.key)
        refs.append(("field", name))
        field = _check_field(work, name, sample.event.text)
        if field is not None:
            _check_value(work, tree, field.type, pair.value, refs)


def _check_value(work: Work, tree: t.Tree, type_: TypeRef, value: t.Value, refs: Refs) -> None:
    """The names inside of a value: members of enums, fields of types."""
    if isinstance(value, t.Word):
        name = Ref(value.text, tree.span(value))
        refs.append(("enum_member", name))
        enum = work.enums.get(type_.name)
        members = [member.name for member in enum.members] if enum else []
        if value.text not in members and not work.broken:
            where = f" in `{type_.name}`"
            near = work.nearest(value.text, members)
            work.report(UnknownName(name.span, value.text, "enum member", near, where=where))
    elif isinstance(value, t.ListValue) and type_.name == "list" and type_.args:
        for item in value.items:
            _check_value(work, tree, type_.args[0], item, refs)
    elif isinstance(value, t.ObjectValue) and type_.name in work.types:
        by_name = {field.name: field for field in work.types[type_.name].fields}
        for pair in value.pairs:
            name = ref(tree, pair.key)
            refs.append(("field", name))
            if name.name in by_name:
                _check_value(work, tree, by_name[name.name].type, pair.value, refs)
            elif not work.broken:
                near, where = work.nearest(name.name, by_name), f" in `{type_.name}`"
                work.report(UnknownName(name.span, name.name, "field", near, where=where))
    elif isinstance(value, t.ObjectValue) and type_.name == "map" and len(type_.args) == 2:
        for pair in value.pairs:
            _check_value(work, tree, type_.args[1], pair.value, refs)
