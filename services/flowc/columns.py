"""Python values to Arrow columns and back, a column at a time.

Encoders are strict: Arrow itself would take 1.5 for an int as 1, an int for a timestamp as µs, and
a datetime for a date. Per value they do little more than look at its type; which row is wrong is
found afterwards, by whoever caught the `MisfitError`.
"""

from __future__ import annotations

import datetime as dt
import numbers
from collections.abc import Callable, Iterable
from decimal import Decimal
from itertools import chain
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
import pyarrow as pa

from flowc.classes import Classes
from flowc_dsl.plan import FieldPlan, TypePlan
from flowc_dsl.python_names import attribute_name
from flowc_engine.schema import arrow_field, arrow_type

Encode = Callable[[list[Any]], pa.Array]
Decode = Callable[[pa.Array], list[Any]]

_NONE: Final = type(None)
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_EXACT_US_MAX: Final = 2**33 * 1_000_000  # to 2242: seconds as a float are off by less than 0.5 µs


class MisfitError(Exception):
    """A column has a value that its type does not take. The message says what is wanted."""


class _Kind(NamedTuple):
    """Python types of a scalar: `exact` pass at a glance, subclasses of `bases` but not of `barred`
    pass too."""

    exact: frozenset[type]
    bases: tuple[type, ...]
    barred: tuple[type, ...] = ()


_KINDS: Final = {
    "string": _Kind(frozenset({str}), (str,)),
    "bool": _Kind(frozenset({bool}), (bool,)),
    "int": _Kind(frozenset({int}), (numbers.Integral,), (bool,)),
    "float": _Kind(frozenset({float, int}), (numbers.Real,), (bool,)),
    "decimal": _Kind(frozenset({Decimal, int}), (Decimal, int), (bool,)),
    "uuid": _Kind(frozenset({UUID}), (UUID,)),
    "timestamp": _Kind(frozenset({dt.datetime}), (dt.datetime,)),
    "date": _Kind(frozenset({dt.date}), (dt.date,), (dt.datetime,)),
    "duration": _Kind(frozenset({dt.timedelta}), (dt.timedelta,)),
    "bytes": _Kind(frozenset({bytes}), (bytes, bytearray)),
    "enum": _Kind(frozenset({str}), (str,)),
    "list": _Kind(frozenset({list}), (list, tuple)),
    "map": _Kind(frozenset({dict}), (dict,)),
}


def _type_check(kind: _Kind, *, optional: bool) -> Callable[[list[Any]], None]:
    """A function that raises `MisfitError` unless all values are of the kind."""
    exact = kind.exact | {_NONE} if optional else kind.exact

    def check(values: list[Any]) -> None:
        found = set(map(type, values))
        if found <= exact:
            return
        for odd in found - exact:
            if not issubclass(odd, kind.bases) or issubclass(odd, kind.barred):
                raise MisfitError(f"got {'None' if odd is _NONE else odd.__name__}")

    return check


# ---- Python → Arrow


def encoder(classes: Classes, declared: TypePlan) -> Encode:
    """The function from values to an Arrow column. It raises `MisfitError`."""
    kind = declared.kind
    if kind == "struct":
        return _struct_encoder(classes, declared)
    check = _type_check(_KINDS[kind], optional=declared.optional)
    to_arrow = arrow_type(classes.plan, declared)
    convert: Encode
    if kind == "uuid":
        convert = lambda values: pa.array(msgspec.to_builtins(values), to_arrow)  # noqa: E731 - one of several
    elif kind == "timestamp":
        convert = _timestamps(to_arrow)
    elif kind == "enum":
        convert = _members(frozenset(classes.plan.enums[declared.name]), to_arrow)
    elif kind == "list":
        convert = _list_encoder(encoder(classes, declared.args[0]), to_arrow)
    elif kind == "map":
        key, value = (encoder(classes, a) for a in declared.args)
        convert = _map_encoder(key, value, to_arrow)
    else:
        convert = lambda values: pa.array(values, to_arrow)  # noqa: E731 - one of several

    def encode(values: list[Any]) -> pa.Array:
        check(values)
        try:
            return convert(values)
        except (pa.ArrowException, ValueError, OverflowError, TypeError) as error:
            raise MisfitError(_first_line(error)) from error

    return encode


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _timestamps(to_arrow: pa.DataType) -> Encode:
    def convert(values: list[Any]) -> pa.Array:
        for value in values:
            if value is not None and value.tzinfo is None:
                raise MisfitError("got a datetime without a time zone")
        return pa.array(values, to_arrow)

    return convert


def _members(members: frozenset[str], to_arrow: pa.DataType) -> Encode:
    def convert(values: list[Any]) -> pa.Array:
        array = pa.array(values, to_arrow)
        for text in array.unique().to_pylist():
            if text is not None and text not in members:
                raise MisfitError(f"got {text!r}, which is not among its members")
        return array

    return convert


def _spread(values: list[Any]) -> tuple[pa.Array, pa.Array | None]:
    """Offsets of lists laid end to end, and the mask of those that are null."""
    offsets, at = [0], 0
    for value in values:
        at += len(value) if value is not None else 0
        offsets.append(at)
    nulls = [v is None for v in values]
    return pa.array(offsets, pa.int32()), pa.array(nulls) if any(nulls) else None


def _list_encoder(item: Encode, to_arrow: pa.DataType) -> Encode:
    def convert(values: list[Any]) -> pa.Array:
        offsets, mask = _spread(values)
        flat = list(chain.from_iterable(v for v in values if v is not None))
        return pa.ListArray.from_arrays(offsets, item(flat), type=to_arrow, mask=mask)

    return convert


def _map_encoder(key: Encode, value: Encode, to_arrow: pa.DataType) -> Encode:
    def convert(values: list[Any]) -> pa.Array:
        offsets, mask = _spread(values)
        there = [v for v in values if v is not None]
        keys = key(list(chain.from_iterable(there)))
        items = value(list(chain.from_iterable(v.values() for v in there)))
        return pa.MapArray.from_arrays(offsets, keys, items, type=to_arrow, mask=mask)

    return convert


def _struct_encoder(classes: Classes, declared: TypePlan) -> Encode:
    fields = classes.plan.structs[declared.name]
    arrow_fields = [arrow_field(classes.plan, f) for f in fields]
    encoders = FieldEncoders(classes, fields)
    names = frozenset({declared.name})

    def encode(values: list[Any]) -> pa.Array:
        kinds = set(map(type, values))
        if declared.optional:
            kinds.discard(_NONE)
        for kind in kinds:
            if kind.__name__ not in names or not issubclass(kind, msgspec.Struct):
                raise MisfitError(f"got {'None' if kind is _NONE else kind.__name__}")
        nulls = [v is None for v in values]
        if not any(nulls):
            return pa.StructArray.from_arrays(encoders.encode(values), fields=arrow_fields)
        # A null row needs a value in each child: that of any other row does, for it is masked.
        stand_in = next((v for v in values if v is not None), None)
        if stand_in is None:
            return pa.nulls(len(values), pa.struct(arrow_fields))
        filled = [stand_in if v is None else v for v in values]
        return pa.StructArray.from_arrays(
            encoders.encode(filled), fields=arrow_fields, mask=pa.array(nulls)
        )

    return encode


class FieldEncoders:
    """From objects with the attributes of `fields` to a column a field."""

    def __init__(self, classes: Classes, fields: tuple[FieldPlan, ...]) -> None:
        self.fields = fields
        self._take = _attribute_columns([attribute_name(f.name) for f in fields])
        self._encoders = [encoder(classes, f.type) for f in fields]

    def encode(self, objects: list[Any]) -> list[pa.Array]:
        """Columns in the order of the declaration.

        Raises `MisfitError` ("coupon is string, got int").
        """
        arrays = []
        for field, encode, values in zip(
            self.fields, self._encoders, self._take(objects), strict=True
        ):
            try:
                arrays.append(encode(values))
            except MisfitError as error:
                text = f"{field.name} is {field.type.text}, {error}"
                raise MisfitError(text) from error.__cause__
        return arrays


def _attribute_columns(names: list[str]) -> Callable[[list[Any]], tuple[list[Any], ...]]:
    """A function from objects to a list of values an attribute.

    It is compiled: a list comprehension with the attribute's name in it takes half the time of
    `map(attrgetter(name), objects)`, and this is the hottest line of a source.
    """
    assert all(name.isidentifier() for name in names), names
    lists = "".join(f"[o.{name} for o in objects]," for name in names)
    code = f"lambda objects: ({lists})"
    return eval(code)  # type: ignore[no-any-return]  # noqa: S307 - identifiers only


# ---- Arrow → Python


def decoder(classes: Classes, declared: TypePlan) -> Decode:
    """The function from an Arrow column to values; nulls are None."""
    kind = declared.kind
    if kind == "struct":
        return _struct_decoder(classes, declared)
    if kind == "list":
        return _list_decoder(decoder(classes, declared.args[0]))
    if kind == "map":
        key, value = (decoder(classes, a) for a in declared.args)
        return _map_decoder(key, value)
    if kind == "enum":
        members: dict[str | None, Any] = {str(m): m for m in classes.lookup(declared.name)}
        members[None] = None
        return lambda array: list(map(members.__getitem__, array.to_pylist()))
    return _DECODERS.get(kind, lambda array: array.to_pylist())


def _optional(read: Callable[[list[Any]], Iterable[Any]]) -> Callable[[list[Any]], list[Any]]:
    """Apply `read` to what is not None."""

    def convert(values: list[Any]) -> list[Any]:
        if None not in values:
            return list(read(values))
        found = iter(read([v for v in values if v is not None]))
        return [None if v is None else next(found) for v in values]

    return convert


def _read_timestamps(values: list[Any]) -> Iterable[dt.datetime]:
    if values and (min(values) < -_EXACT_US_MAX or max(values) > _EXACT_US_MAX):
        return [_EPOCH + dt.timedelta(0, 0, v) for v in values]
    seconds = [v / 1e6 for v in values]
    return msgspec.convert(seconds, list[dt.datetime], strict=False)


_timestamp_values = _optional(_read_timestamps)
_uuid_values = _optional(lambda values: msgspec.convert(values, list[UUID]))
_date_values = _optional(lambda values: map(dt.date.fromordinal, [v + 719_163 for v in values]))
_duration_values = _optional(lambda values: [dt.timedelta(0, 0, v) for v in values])
_decimal_values = _optional(lambda values: map(Decimal, values))


def decode_times(array: pa.Array) -> list[Any]:
    """A column of timestamps as aware datetimes."""
    return _timestamp_values(array.cast(pa.int64()).to_pylist())


# Arrow's own conversion of these takes 3 to 40 times as long.
_DECODERS: Final[dict[str, Decode]] = {
    "timestamp": decode_times,
    "uuid": lambda array: _uuid_values(array.to_pylist()),
    "date": lambda array: _date_values(array.cast(pa.int32()).to_pylist()),
    "duration": lambda array: _duration_values(array.cast(pa.int64()).to_pylist()),
    "decimal": lambda array: _decimal_values(array.cast(pa.string()).to_pylist()),
}


def _list_decoder(item: Decode) -> Decode:
    def decode(array: pa.Array) -> list[Any]:
        values, offsets = item(array.values), array.offsets.to_pylist()
        there = array.is_valid().to_pylist()
        ends = zip(offsets, offsets[1:], there, strict=False)
        return [values[a:b] if valid else None for a, b, valid in ends]

    return decode


def _map_decoder(key: Decode, value: Decode) -> Decode:
    def decode(array: pa.Array) -> list[Any]:
        keys, values = key(array.keys), value(array.items)
        offsets, there = array.offsets.to_pylist(), array.is_valid().to_pylist()
        ends = zip(offsets, offsets[1:], there, strict=False)
        return [
            dict(zip(keys[a:b], values[a:b], strict=True)) if valid else None
            for a, b, valid in ends
        ]

    return decode


def _struct_decoder(classes: Classes, declared: TypePlan) -> Decode:
    fields = classes.plan.structs[declared.name]
    build = FieldDecoders(classes, fields)
    make = classes.record_maker(declared.name)

    def decode(array: pa.Array) -> list[Any]:
        if not array.null_count:
            return build.objects(make, array.flatten(), len(array))
        found = iter(build.objects(make, array.drop_null().flatten(), len(array)))
        return [next(found) if valid else None for valid in array.is_valid().to_pylist()]

    return decode


class FieldDecoders:
    """From columns, one a field, to objects."""

    def __init__(self, classes: Classes, fields: tuple[FieldPlan, ...]) -> None:
        self._decoders = [decoder(classes, f.type) for f in fields]

    def objects(self, make: Callable[..., Any], columns: list[pa.Array], rows: int) -> list[Any]:
        """`make` takes the values in the order of the declaration."""
        if not self._decoders:
            return [make() for _ in range(rows)]
        values = [d(c) for d, c in zip(self._decoders, columns, strict=False)]
        return list(map(make, *values))
