"""Events of alternating types: few bodies, one order (spec 7.6)."""

from __future__ import annotations

import pytest

from flowc.classes import use_plan
from flowc.codec import Codecs, as_int64
from flowc.packing import EmittedBatch, Packer, by_type
from flowc.rows import Rows, in_order, offsets_of, rows_between
from flowc_engine.broker.verify import BodyVerifier
from flowc_engine.bus import wire
from support.plans import pipeline

PLAN = pipeline()


@pytest.fixture
def codecs():
    return Codecs(use_plan(PLAN))


def pack(codecs, kinds: str) -> Packer:
    """One event a letter: P is Placed, D is Paid; `n` is its place."""
    placed, paid = (codecs.classes.event(name) for name in ("Placed", "Paid"))
    events = [(placed if k == "P" else paid)(k=f"k{i}", n=i) for i, k in enumerate(kinds)]
    packer = Packer(7)
    for cls, own in by_type(events).items():
        codec = codecs[cls.__name__]
        nothing = as_int64([None] * len(own))
        columns = codec.columns([events[i] for i in own])
        packer.add(codec, EmittedBatch(cls.__name__, columns, nothing, nothing), own)
    return packer


def delivered(codecs, kinds: str, first: int = 100) -> list[Rows]:
    batches, bodies, _ = pack(codecs, kinds).bodies()
    assert BodyVerifier(PLAN).refuse(batches, [bytes(b) for b in bodies]) is None
    found = []
    for batch, body in zip(batches, bodies, strict=True):
        told = wire.Delivered(batch.event, batch.rows, first, "s", batch.places)
        codec = codecs[batch.event]
        found.append(Rows(codec, codec.read(body), offsets_of(told), "s"))
        first += 0 if batch.places else batch.rows
    return found


@pytest.mark.parametrize("kinds", ["PDPDPD", "PPDDPPD", "DDDDP", "PPPP", "PD", "DPPPPPPPPD"])
def test_the_order_comes_back(codecs, kinds):
    rows = delivered(codecs, kinds)
    assert len(rows) == len(set(kinds)), "one body a type"
    runs = in_order(rows)
    told = [(o, "P" if run.event == "Placed" else "D") for run in runs for o in run.offsets]
    assert told == [(100 + i, k) for i, k in enumerate(kinds)]
    assert [e.n for run in runs for e in run.events] == list(range(len(kinds)))


def test_neighbours_need_no_places(codecs):
    batches = pack(codecs, "PPPDD").bodies().batches
    assert [(b.event, b.rows, b.places) for b in batches] == [("Placed", 3, b""), ("Paid", 2, b"")]


def test_a_range_of_offsets_is_cut_out(codecs):
    cut = [rows_between(rows, 102, 105) for rows in delivered(codecs, "PDPDPD")]
    assert [list(r.offsets) for r in cut] == [[102, 104], [103]]


@pytest.mark.parametrize(
    ("places", "why"),
    [
        (([0, 1], [2, 3]), None),
        (([0, 2], [1, 3]), None),
        (([0, 2], [1, 4]), "leave gaps"),
        (([0, 2], [2, 3]), "taken twice"),
        (([2, 0], [1, 3]), "not ascending"),
        (([0], [1, 3]), "some rows only"),
    ],
)
def test_the_broker_takes_places_that_are_an_order(codecs, places, why):
    batches, bodies, _ = pack(codecs, "PPDD").bodies()
    told = [
        wire.Batch(b.event, b.rows, b"".join(p.to_bytes(4, "little") for p in own))
        for b, own in zip(batches, places, strict=True)
    ]
    refusal = BodyVerifier(PLAN).refuse(told, [bytes(b) for b in bodies])
    assert refusal is None if why is None else why in str(refusal)
