"""What came of events, as it is kept in a store until its step is confirmed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import xxhash

from flowc.errors import StoreError
from flowc.storefile import KeptBatch, KeptStep

if TYPE_CHECKING:
    from pathlib import Path

    from flowc.codec import Codecs, EventCodec
    from flowc.outbox import Outbox
    from flowc.storefile import StoreFile
    from flowc_engine.bus import wire


@dataclass(slots=True)
class Outcome:
    """Of one event: of the last time that it was handled."""

    outputs: list[tuple[str, Any, int]] = field(default_factory=list)  # type, event, root
    parked: wire.Parked | None = None
    deferred: bool = False

    @property
    def through(self) -> bool:
        """Whether what its handlers did is in the store."""
        return not self.deferred and self.parked is None

    def emit(self, cause: int, outbox: Outbox) -> None:
        """What the handlers emitted."""
        for name, event, root in self.outputs:
            outbox.add([event], {type(event): name}, [cause], [root])


def keep_step(
    codecs: Codecs,
    step: wire.Step,
    bodies: Sequence[memoryview],
    of: Callable[[int], bool] | None,
    made: Sequence[str],
) -> KeptStep | None:
    """What of a step follows from the events that are `of` a file (None: all do), or None if
    nothing does. Events that flowc has `made` follow from no handler."""
    batches, at = [], 0
    for batch, body in zip(step.batches, bodies, strict=True):
        places = np.frombuffer(batch.places, "<u4") if batch.places else _from(at, batch.rows)
        at += batch.rows
        if batch.event not in made:
            codec = codecs[batch.event]
            kept = (
                _keep(codec, bytes(body), places) if of is None else _some(codec, body, places, of)
            )
            batches += [] if kept is None else [kept]
    chosen = of or _all
    parked = [p for p in step.parked if chosen(p.offset)]
    deferred, resolved = (
        [o for o in offsets if chosen(o)] for offsets in (step.deferred, step.resolved)
    )
    if not (batches or parked or deferred or resolved):
        return None
    return KeptStep(step.number, batches, parked, deferred, resolved)


def _all(_: int) -> bool:
    return True


def _from(at: int, rows: int) -> np.ndarray[Any, Any]:
    return np.arange(at, at + rows, dtype="<u4")


def _keep(codec: EventCodec, body: bytes, places: np.ndarray[Any, Any]) -> KeptBatch:
    return KeptBatch(codec.name, fields_digest(codec), places.tobytes(), body)


def _some(
    codec: EventCodec, body: memoryview, places: np.ndarray[Any, Any], of: Callable[[int], bool]
) -> KeptBatch | None:
    batch = codec.read(body)
    mask = [cause is not None and of(cause) for cause in batch.column("_cause").to_pylist()]
    if not any(mask):
        return None
    chosen = batch.filter(pa.array(mask, pa.bool_()))
    return _keep(codec, bytes(memoryview(chosen.serialize())), places[np.asarray(mask)])


def fields_digest(codec: EventCodec) -> str:
    """Of how bodies of this type are written."""
    return xxhash.xxh3_64_hexdigest(str(codec.schema).encode())


def outcomes_of(file: StoreFile, codecs: Codecs) -> dict[int, Outcome]:
    """By offset. Raises `StoreError` for outputs that were written with other fields."""
    found: dict[int, Outcome] = {}
    for step in file.kept():
        for offset, outcome in _outcomes(step, codecs, file).items():
            if not outcome.deferred or offset not in found or not found[offset].through:
                found[offset] = outcome  # what is through may only wait for its turn to be emitted
    return found


def _outcomes(step: KeptStep, codecs: Codecs, file: StoreFile) -> dict[int, Outcome]:
    found: defaultdict[int, Outcome] = defaultdict(Outcome)
    for cause, name, event, root in _outputs(step, codecs, file.path):
        found[cause].outputs.append((name, event, root))
    for parked in step.parked:
        found[parked.offset].parked = parked
    for offset in step.deferred:
        found[offset].deferred = True
    for offset in step.resolved:  # perhaps one that the step deferred itself
        found[offset].deferred = False
    return found


def _outputs(step: KeptStep, codecs: Codecs, path: Path) -> Iterable[tuple[int, str, Any, int]]:
    """Cause, type, event and root of each, in the order in which they were emitted."""
    rows: list[tuple[int, int, str, Any, int]] = []
    for kept in step.batches:
        try:
            codec = codecs[kept.event]
        except KeyError:
            codec = None
        if codec is None or fields_digest(codec) != kept.fields:
            raise StoreError(
                f"{path} holds events of {kept.event} that were not sent yet, with other fields "
                "than it has now; run it once as it was declared, and change it then"
            )
        batch = codec.read(kept.body)
        rows += zip(
            np.frombuffer(kept.places, "<u4").tolist(), batch.column("_cause").to_pylist(),
            [kept.event] * batch.num_rows, codec.objects(batch), batch.column("_root").to_pylist(),
            strict=True,
        )  # fmt: skip
    rows.sort(key=lambda row: row[0])
    return [row[1:] for row in rows]
