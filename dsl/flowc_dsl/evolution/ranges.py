"""What a field may hold that it could not hold before: what its readers have to be ready for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from flowc_dsl.plan import Plan, TypePlan
from flowc_dsl.rules.wording import quoted


class Typed(NamedTuple):
    """A type as a plan has it; the plan knows its structs and enums."""

    plan: Plan
    type: TypePlan


class Range(NamedTuple):
    """How the values of a type differ from those of the one before, for a reader.

    `more` is what a value may be now, in words ("null", "`C`"). `gone` are fields of structs, by
    path, that are not there any more, `added` those that are new; who does not know a field does
    not miss it. `other` is True where no value can be read as it was.
    """

    more: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    other: bool = False


def compare_range(was: Typed, now: Typed) -> Range:
    """From one type to a later one, structs, lists and maps included."""
    more, gone, added, other = [], [], [], False
    for kind, text in _walk(was, now, ""):
        match kind:
            case "more":
                more.append(text)
            case "gone":
                gone.append(text)
            case "added":
                added.append(text)
            case _:
                other = True
    return Range(tuple(dict.fromkeys(more)), tuple(gone), tuple(added), other)


def _walk(was: Typed, now: Typed, path: str) -> Iterator[tuple[str, str]]:
    before, after = was.type, now.type
    where = f" in `{path}`" if path else ""
    if after.optional and not before.optional:
        yield "more", f"null{where}"
    if before.kind != after.kind:
        if (before.kind, after.kind) == ("int", "float"):
            yield "more", f"fractions{where}"
        elif (before.kind, after.kind) != ("float", "int"):
            yield "other", ""
        return
    match after.kind:
        case "decimal":
            whole = after.precision - after.scale > before.precision - before.scale
            if whole or after.scale > before.scale:
                yield "more", f"more digits{where}"
        case "enum":
            yield from _walk_enum(was, now, where)
        case "struct":
            yield from _walk_struct(was, now, path)
        case "map" if before.args[0].kind != after.args[0].kind:
            yield "other", ""
        case _:
            for a, b in zip(before.args, after.args, strict=True):
                yield from _walk(Typed(was.plan, a), Typed(now.plan, b), path)


def _walk_enum(was: Typed, now: Typed, where: str) -> Iterator[tuple[str, str]]:
    before, after = (side.plan.enums[side.type.name] for side in (was, now))
    if set(before).isdisjoint(after):
        yield "other", ""
    elif members := [member for member in after if member not in before]:
        yield "more", f"{quoted(members)}{where}"


def _walk_struct(was: Typed, now: Typed, path: str) -> Iterator[tuple[str, str]]:
    before = {f.name: f.type for f in was.plan.structs[was.type.name]}
    after = {f.name: f.type for f in now.plan.structs[now.type.name]}
    if before.keys().isdisjoint(after):
        yield "other", ""
        return
    inside = f"{path}." if path else ""
    for name, type_ in before.items():
        if name not in after:
            yield "gone", f"{inside}{name}"
        else:
            sides = Typed(was.plan, type_), Typed(now.plan, after[name])
            yield from _walk(*sides, f"{inside}{name}")
    for name in after:
        if name not in before:
            yield "added", f"{inside}{name}"
