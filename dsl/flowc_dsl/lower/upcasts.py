"""The upcasts of an event: from version to version up to the one that is declared.

Only the fields of the declared version are known. What an earlier one had is known as far as the
steps say it: what a step makes is there until a later step renames it, and what one renames is not
there any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from flowc_dsl.lower.faults import BadVersion, Conflict, Incomplete, Repeated
from flowc_dsl.lower.literals import literal, version
from flowc_dsl.lower.samples import value
from flowc_dsl.lower.work import Work, ref
from flowc_dsl.model import Field, Literal_, Ref, TypeRef, Upcast
from flowc_dsl.source import Span
from flowc_dsl.syntax import tree as t


@dataclass(frozen=True, slots=True)
class Target:
    """The version that is declared."""

    event: str
    version: int
    key: str | None
    fields: Mapping[str, Field]


@dataclass(frozen=True, slots=True)
class _Block:
    """An upcast whose names are known, and not yet what its constants mean."""

    number: int
    sets: tuple[tuple[Ref, t.Value], ...]
    renames: tuple[tuple[Ref, Ref], ...]
    span: Span

    def made(self) -> Iterable[Ref]:
        return (*(target for target, _ in self.sets), *(new for _, new in self.renames))


def lower_upcasts(work: Work, tree: t.Tree, item: t.Event, target: Target) -> tuple[Upcast, ...]:
    """By version."""
    blocks: dict[int, _Block] = {}
    for node in item.body:
        if not isinstance(node, t.Upcast):
            continue
        number, span = version(work, tree, node.version), tree.span(node.version)
        if number is None:
            continue
        if number in blocks:
            what, owner = f"`upcast v{number}`", f"event `{target.event}`"
            work.report(Repeated(span, what, owner, blocks[number].span))
            continue
        if number >= target.version:
            message = f"`upcast v{number}` in version {target.version} of `{target.event}`"
            hint = f"an upcast lifts an older version; declare `v{number + 1}`, or remove it"
            work.report(BadVersion(span, message, hint))
        blocks[number] = _block(work, tree, node, number, target)
    ordered = [blocks[number] for number in sorted(blocks)]
    _check_renames(work, [block for block in ordered if block.number < target.version], target)
    return tuple(
        Upcast(block.number, _constants(work, tree, ordered, index, target), block.renames,
               block.span)
        for index, block in enumerate(ordered)
    )  # fmt: skip


def _block(work: Work, tree: t.Tree, node: t.Upcast, number: int, target: Target) -> _Block:
    sets: list[tuple[Ref, t.Value]] = []
    renames: list[tuple[Ref, Ref]] = []
    made: dict[str, Span] = {}
    used: dict[str, Span] = {}
    for step in node.steps:
        if isinstance(step, t.UpcastSet):
            name = ref(tree, step.name)
            sets.append((name, step.value))
        elif isinstance(step, t.UpcastRename):
            source, name = ref(tree, step.old), ref(tree, step.new)
            renames.append((source, name))
            _once(work, source, used, f"`rename {source.name}`", number)
            if source.name and source.name == name.name:
                message = f"`{source.name}` is renamed to itself in `upcast v{number}`"
                work.report(Conflict(source.span, message, "what has no step stays"))
        else:
            continue
        _once(work, name, made, f"`{name.name}`", number)
        _check_target(work, name, number, target)
    return _Block(number, tuple(sets), tuple(renames), tree.span(node.version))


def _once(work: Work, name: Ref, seen: dict[str, Span], what: str, number: int) -> None:
    if name.name in seen and name.name:
        work.report(Repeated(name.span, what, f"`upcast v{number}`", seen[name.name]))
    seen.setdefault(name.name, name.span)


def _check_target(work: Work, name: Ref, number: int, target: Target) -> None:
    """The fields of the version that the last upcast lifts to are known."""
    if name.name and number == target.version - 1:
        work.expect_part(name, "field", target.fields, target.event)


def _check_renames(work: Work, blocks: Iterable[_Block], target: Target) -> None:
    """No step renames what is not there any more, and no field of today is renamed away."""
    gone: dict[str, tuple[int, Ref, Ref]] = {}
    for block in blocks:
        for old, _ in block.renames:
            if old.name in gone:
                number, first, new = gone[old.name]
                message = (
                    f"`upcast v{block.number}` renames `{old.name}`, which is `{new.name}` since "
                    f"`upcast v{number}`"
                )
                work.report(Conflict(old.span, message, f"rename `{new.name}`", first.span))
        gone |= {old.name: (block.number, old, new) for old, new in block.renames if old.name}
        for made in block.made():
            gone.pop(made.name, None)
    for name, (_, old, new) in gone.items():
        field = target.fields.get(name)
        if field is not None and not field.type.optional and not work.broken:
            message = f"`rename {name} to {new.name}` leaves no value for field `{name}`"
            hint = f"set `{name}` too, or make it optional"
            work.report(Conflict(old.span, message, hint, field.span))


def _constants(
    work: Work, tree: t.Tree, blocks: list[_Block], index: int, target: Target
) -> tuple[tuple[Ref, Literal_], ...]:
    """What the constants of an upcast mean for the fields that they are in the end."""
    found = []
    for name, node in blocks[index].sets:
        last = _finally(name.name, blocks[index + 1 :])
        field = target.fields.get(last) if blocks[index].number < target.version else None
        if field is None:
            found.append((name, literal(work, tree, node)))
            continue
        if field.name == target.key:
            message = f"`{name.name}` is the key of `{target.event}`, and is set to a constant"
            hint = "order hangs on the key: rename a field to it, or declare a new event beside"
            work.report(Conflict(name.span, message, hint, field.span))
        found.append((name, value(work, tree, field.type, node, field.name)))
        if not work.broken:
            _check_whole(work, tree, field.type, node, field.name)
    return tuple(found)


def _finally(name: str, later: Iterable[_Block]) -> str:
    """The field that it is in the end; "" if a later step makes it anew."""
    for block in later:
        onwards = {old.name: new.name for old, new in block.renames}
        if name in onwards:
            name = onwards[name]
        elif any(made.name == name for made in block.made()):
            return ""
    return name


def _check_whole(work: Work, tree: t.Tree, type_: TypeRef, node: t.Value, field: str) -> None:
    """Unlike in a sample, no field is left out that is not optional."""
    if isinstance(node, t.ListValue) and type_.name == "list" and type_.args:
        for item in node.items:
            _check_whole(work, tree, type_.args[0], item, field)
    if not isinstance(node, t.ObjectValue):
        return
    if type_.name == "map" and len(type_.args) == 2:
        for pair in node.pairs:
            _check_whole(work, tree, type_.args[1], pair.value, field)
    elif type_.name in work.types:
        there = {pair.key.text: pair.value for pair in node.pairs}
        inner = work.types[type_.name].fields
        missing = tuple(f.name for f in inner if f.name not in there and not f.type.optional)
        if missing:
            work.report(Incomplete(tree.span(node), field, type_.name, missing))
        for one in inner:
            if one.name in there:
                _check_whole(work, tree, one.type, there[one.name], field)
