"""Any text, and any bytes: diagnostics in bounded time, and never a failure of ours."""

import random
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowc_dsl.compile import compile_program

SHOP = (Path(__file__).parent / "data" / "shop.flow").read_text()
PIECES = re.findall(r'"[^"\n]*"|//[^\n]*|\w+|\s+|[^\w\s]', SHOP)
CHARS = '{}()<>[]:;,|&=?*@#"\\/.-+ \n\t\x00\ud800é漢e1vM_%'


def check(data: str | bytes) -> None:
    compiled = compile_program({"main.flow": data, "types/money.flow": ""}, "main.flow")
    for found in compiled.diagnostics:
        assert found.code != "FLW999", found
        source = compiled.sources[found.primary.span.path]
        assert 0 <= found.primary.span.start <= found.primary.span.end <= len(source.text)
    if any(found.code == "FLW006" for found in compiled.diagnostics):
        return  # a file that is not text has no tokens
    tree = compiled.trees["main.flow"]
    assert tree.items or tree.faults or not tree.tokens
    pieces = sorted([(x.start, x.text) for x in (*tree.tokens, *tree.comments)])
    text = tree.source.text
    end = 0
    for start, piece in [*pieces, (len(text), "")]:
        assert text.startswith(piece, start)
        assert text[end:start].strip(" \t\r\n") == ""
        end = start + len(piece)


def mutated(seed: int) -> str:
    """The example with tokens or characters lost, moved and added."""
    rng = random.Random(seed)
    parts = list(PIECES if rng.random() < 0.6 else SHOP)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        at = rng.randrange(len(parts))
        match rng.randrange(4):
            case 0:
                del parts[at : at + rng.choice((1, 1, 3, 30))]
            case 1:
                parts.insert(at, rng.choice(PIECES))
            case 2:
                parts[at] = rng.choice(CHARS)
            case 3:
                other = rng.randrange(len(parts))
                parts[at], parts[other] = parts[other], parts[at]
    return "".join(parts)


def soup(seed: int) -> str:
    rng = random.Random(seed)
    return " ".join(rng.choice(PIECES) for _ in range(rng.randrange(90)))


@given(st.text(max_size=200))
@settings(max_examples=40, deadline=None)
def test_any_text(text):
    check(text)


@given(st.binary(max_size=200))
@settings(max_examples=40, deadline=None)
def test_any_bytes(data):
    check(data)


def test_mutated_programs():
    for seed in range(90):
        check(mutated(seed))


def test_tokens_in_any_order():
    for seed in range(50):
        check(soup(seed))


@pytest.mark.slow
def test_ten_thousand_inputs():
    for seed in range(1_000, 8_000):
        check(mutated(seed))
    for seed in range(1_000, 4_000):
        check(soup(seed))


MIB = 1 << 20
HUGE = {
    "braces": "{" * MIB,
    "closers": "}" * MIB,
    "types": "system A type B { x: list" + "<" * (MIB // 2),
    "junk": "% " * (MIB // 2),
    "quotes": '"' * MIB,
    "digits": "system A service X { replicas " + "9" * (MIB // 2) + " }",
    "spaces": " " * MIB,
    "names": "a" * MIB,
    "unknown": "system A service X {" + " on Evt as h" * (MIB // 12) + "}",
    "fields": "system A event X {" + "a: int " * (MIB // 8) + "}",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HUGE)
def test_a_file_of_the_largest_size_ends_soon(name):
    start = time.monotonic()
    check(HUGE[name][:MIB])
    assert time.monotonic() - start < 60  # seconds; a machine with company takes its time


@pytest.mark.parametrize("name", HUGE)
def test_a_larger_file_is_not_read_at_all(name):
    text = HUGE[name][:1000] + " " * MIB
    diagnostics = compile_program({"m": text}, "m").diagnostics
    assert [d.code for d in diagnostics] == ["FLW005"]


def test_a_slow_text_is_not_quadratic():
    """Twice the text takes about twice the time: what would be quadratic takes four times."""

    def seconds(size: int) -> float:
        text = ("% " * size) + (" " * size) + ("{ " * size) + '"x ' * size
        start = time.process_time()
        check(text)
        return time.process_time() - start

    seconds(500)
    small = min(seconds(2_000) for _ in range(2))
    large = min(seconds(8_000) for _ in range(2))
    assert large < small * 12


def test_bytes_that_are_not_utf8_are_placed():
    compiled = compile_program({"m": b"system S\n// \xc3\xa9 \xff"}, "m")
    (found,) = compiled.diagnostics
    assert found.code == "FLW006"
    place = compiled.sources["m"].position(found.primary.span.start)
    assert (place.line, place.column) == (2, 6)


def test_a_byte_order_mark_is_no_text():
    assert compile_program({"m": b"\xef\xbb\xbfsystem S"}, "m").diagnostics == ()
