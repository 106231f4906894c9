"""Pass 3: types and enums; no type contains itself."""

from __future__ import annotations

from typing import Final

from flowc_dsl import limits
from flowc_dsl.cutting import cut_again
from flowc_dsl.lower.faults import (
    BadType,
    CaseTwin,
    DuplicateField,
    RecursiveType,
    Repeated,
    Reserved,
    UnknownOption,
    UnknownType,
)
from flowc_dsl.lower.literals import whole
from flowc_dsl.lower.work import BUILT_IN, Work, ref
from flowc_dsl.model import Enum, Field, Ref, Struct, TypeRef
from flowc_dsl.rules.wording import Guess
from flowc_dsl.source import Span
from flowc_dsl.syntax import tree as t

ANNOTATIONS: Final = ("pii", "deprecated")
MAP_KEYS: Final = ("string", "int", "uuid", "date", "timestamp")

# What types are called elsewhere, in small letters.
FOREIGN: Final = {
    name: ours
    for ours, names in {
        "string": "str text varchar char",
        "int": "integer long short int32 int64 uint bigint number",
        "float": "double real float64 float32",
        "bool": "boolean",
        "timestamp": "datetime time instant",
        "uuid": "guid",
        "bytes": "binary blob bytea",
    }.items()
    for name in names.split()
}
_OPTIONAL: Final = ("optional", "option", "maybe", "nullable")
_LISTS: Final = ("array", "set", "seq", "vec", "vector")
_MAPS: Final = ("dict", "hash", "hashmap", "record")


def lower_types(work: Work) -> None:
    """All enums and types."""
    for tree, _, item in work.each_item():
        if isinstance(item, t.Enum) and work.owns(tree, item.name):
            members = _members(work, tree, item)
            span = tree.span(item.name)
            work.enums[item.name.text] = Enum(item.name.text, members, span, tree.doc(item))
        elif isinstance(item, t.Struct) and work.owns(tree, item.name):
            name, span = item.name.text, tree.span(item.name)
            found = fields(work, tree, item.fields, f"type `{name}`")
            work.types[name] = Struct(name, found, span, tree.doc(item))
            if not found and not work.broken:
                work.report(BadType(span, f"type `{name}` has no fields", "add one, or remove it"))
    _find_recursion(work)


def _members(work: Work, tree: t.Tree, item: t.Enum) -> tuple[Ref, ...]:
    found: dict[str, Ref] = {}
    for name in item.members:
        if not isinstance(name, t.Name) or not name.text:
            continue
        member = ref(tree, name)
        if member.name in found:
            owner, first = f"enum `{item.name.text}`", found[member.name].span
            cut = cut_again(tree.source, first, member.span)
            work.report(DuplicateField(member.span, "member", member.name, owner, first, cut))
        found.setdefault(member.name, member)
    if not found and not work.broken:
        message = f"enum `{item.name.text}` has no members"
        work.report(BadType(tree.span(item.name), message, "add one, or remove it"))
    return tuple(found.values())


def fields(
    work: Work, tree: t.Tree, items: tuple[t.Node, ...], owner: str, *, of_event: bool = False
) -> tuple[Field, ...]:
    """The fields of a type or event; of a name that comes twice, the first."""
    found: dict[str, Field] = {}
    spans: dict[str, Span] = {}  # with type and annotations
    lower: dict[str, Field] = {}
    for item in items:
        if not isinstance(item, t.Field) or not item.name.text:
            continue
        lowered = _field(work, tree, item)
        name, span = lowered.name, lowered.span
        if name in found:
            cut = cut_again(tree.source, spans[name], tree.span(item))
            work.report(DuplicateField(span, "field", name, owner, found[name].span, cut))
            continue
        found[name], spans[name] = lowered, tree.span(item)
        if of_event and name.startswith("_"):
            work.report(Reserved(span, "field", name))
        twin = lower.setdefault(name.lower(), lowered)
        if twin is not lowered:
            work.report(CaseTwin(span, "field", name, twin.span, twin.name))
    return tuple(found.values())


def _field(work: Work, tree: t.Tree, item: t.Field) -> Field:
    flags: dict[str, t.Name] = {}
    for mark in item.annotations:
        span = tree.span(mark)
        if mark.text not in ANNOTATIONS:
            options = tuple(f"@{word}" for word in ANNOTATIONS)
            near = work.nearest(f"@{mark.text}", options)
            work.report(UnknownOption(span, f"@{mark.text}", "a field", options, near))
        elif mark.text in flags:
            first = tree.span(flags[mark.text])
            cut = cut_again(tree.source, first, span)
            what, owner = f"`@{mark.text}`", f"field `{item.name.text}`"
            work.report(Repeated(span, what, owner, first, cut))
        flags.setdefault(mark.text, mark)
    return Field(
        item.name.text,
        type_ref(work, tree, item.type),
        tree.span(item.name),
        "pii" in flags,
        "deprecated" in flags,
        tree.doc(item),
    )


def type_ref(work: Work, tree: t.Tree, node: t.Type) -> TypeRef:
    """A type as it is used, with what is wrong about it reported."""
    name = node.name.text
    args = tuple(type_ref(work, tree, arg) for arg in node.args)
    precision, scale = None, None
    if name == "decimal":
        precision, scale = _decimal(work, tree, node)
    elif node.bounds:
        message = f"`{name}` takes no bounds in parentheses"
        work.report(BadType(tree.span(node), message, "only `decimal(precision, scale)` does"))
    wanted = {"list": 1, "map": 2}.get(name, 0)
    if len(args) != wanted and name:
        _bad_args(work, tree, node, wanted)
        args = args[:wanted] if len(args) > wanted else ()
    if name == "map" and len(args) == 2:
        _check_map_key(work, tree, node, args[0])
    foreign = bool(node.args) and name not in work.declared  # and that it takes none is said
    if name and name not in BUILT_IN and not foreign:
        _check_known(work, tree, node.name)
    return TypeRef(name, tree.span(node), args, precision, scale, node.optional)


def _decimal(work: Work, tree: t.Tree, node: t.Type) -> tuple[int, int]:
    if len(node.bounds) != 2:
        message = "`decimal` needs a precision and a scale"
        work.report(BadType(tree.span(node), message, "for example `decimal(12,2)`"))
        return limits.DECIMAL_PRECISION_MAX, 0
    high = limits.DECIMAL_PRECISION_MAX
    precision = whole(work, tree, node.bounds[0], "precision", 1, high)
    scale = whole(work, tree, node.bounds[1], "scale", 0, high)
    if scale > precision:
        message = f"scale {scale} is more than precision {precision}"
        hint = "the scale counts the digits behind the point, the precision all digits"
        work.report(BadType(tree.span(node.bounds[1]), message, hint))
    return precision, min(scale, precision)


def _bad_args(work: Work, tree: t.Tree, node: t.Type, wanted: int) -> None:
    name = node.name.text
    if wanted:
        shape = "list<T>" if name == "list" else "map<K, V>"
        found = len(node.args) or "none"
        message = f"`{name}` needs {wanted} type argument{'s' * (wanted > 1)}, and has {found}"
        work.report(BadType(tree.span(node), message, f"write `{shape}`"))
    else:
        message = f"`{name}` takes no type arguments"
        hint = "only `list<T>` and `map<K, V>` do"
        inner = ", ".join(tree.source.text[arg.start : arg.end] for arg in node.args)
        if name.lower() in _OPTIONAL and len(node.args) == 1:
            hint = f"an optional value is written `{inner}?`"
        elif name.lower() in _LISTS and len(node.args) == 1:
            hint = f"write `list<{inner}>`"
        elif name.lower() in _MAPS and len(node.args) == 2:  # key and value
            hint = f"write `map<{inner}>`"
        work.report(BadType(tree.span(node), message, hint))


def _check_map_key(work: Work, tree: t.Tree, node: t.Type, key: TypeRef) -> None:
    declared = work.declared.get(key.name)
    known = key.name in MAP_KEYS or (declared is not None and declared.kind == "enum")
    is_type = key.name in BUILT_IN or declared is not None  # else it is FLW207
    if is_type and (not known or key.optional):
        what = "optional" if known else f"`{key.name}`"
        names = ", ".join(f"`{name}`" for name in MAP_KEYS)
        message = f"the key of a map can't be {what}"
        work.report(BadType(tree.span(node.args[0]), message, f"it is one of {names}, or an enum"))


def _check_known(work: Work, tree: t.Tree, name: t.Name) -> None:
    declared = work.declared.get(name.text)
    if declared is not None and declared.kind in ("type", "enum"):
        return
    if work.broken and declared is None:
        return  # it may stand in text that was not understood
    kinds = ("type", "enum")
    known = [*BUILT_IN, *(n for n, d in work.declared.items() if d.kind in kinds)]
    actual = declared.kind if declared else None
    foreign = FOREIGN.get(name.text.lower())
    candidate = Guess(foreign, sure=False) if foreign else work.nearest(name.text, known)
    candidate = None if actual else candidate
    work.report(UnknownType(tree.span(name), name.text, candidate, actual))


def _find_recursion(work: Work) -> None:
    """Depth first over the types; each ring is reported once, at the field that closes it."""
    done: set[str] = set()
    for root in work.types:
        if root not in done:
            _walk(work, root, done)


def _walk(work: Work, root: str, done: set[str]) -> None:
    path = {root: None}  # a dict keeps order, and finds quickly
    stack = [iter(_needs(work.types[root]))]
    while stack:
        for name, span in stack[-1]:
            if name in path:
                names = list(path)
                work.report(RecursiveType(span, (*names[names.index(name) :], name)))
            elif name in work.types and name not in done:
                path[name] = None
                stack.append(iter(_needs(work.types[name])))
                break
        else:
            stack.pop()
            done.add(path.popitem()[0])


def _needs(struct: Struct) -> list[tuple[str, Span]]:
    found: list[tuple[str, Span]] = []
    pending = [(field.type, field.type.span) for field in struct.fields]
    while pending:
        type_, span = pending.pop(0)
        found.append((type_.name, span))
        pending += [(arg, arg.span) for arg in type_.args]
    return found
