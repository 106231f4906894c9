"""Any input from a seed, and what has to hold of it whatever it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from functools import cache
from pathlib import Path
from random import Random
from typing import Final

from flowc_dsl.check import check_system
from flowc_dsl.compile import compile_program
from flowc_dsl.diagnostics.concise import render_concise
from flowc_dsl.diagnostics.width import Look
from flowc_dsl.format.formatter import BrokenTextError, format_text
from flowc_dsl.syntax.tree import Tree
from support.generate import generate
from support.sentences import sentence

ROOT: Final = Path(__file__).parents[2]
TODAY: Final = date(2026, 1, 15)
MAIN: Final = "main.flow"
PIECES: Final = re.compile(r'"[^"\n]*"|//[^\n]*|\w+|\s+|[^\w\s]')
NAME: Final = re.compile(r"[A-Za-z_]\w{2,}")
CHARS: Final = '{}()<>[]:;,|&=?*@#"\\/.-+ \n\r\t\x00é漢e1vM_%'


@cache
def corpus() -> tuple[str, ...]:
    """The texts that people wrote: the golden cases and the examples."""
    folders = (ROOT / "tests/golden/cases", ROOT / "examples", ROOT / "tests/language/data")
    found = (path for folder in folders for path in folder.rglob("*.flow"))
    paths = sorted(path for path in found if path.is_file())  # `.flow` is the state of a run
    return tuple(path.read_text(encoding="utf-8") for path in paths)


def program(seed: int) -> str:
    """A program as somebody could write it: of the corpus, of the grammar, or one that is clean."""
    random = Random(seed)
    match random.randrange(6):
        case 0 | 1:
            return random.choice(corpus())
        case 2:
            (text,) = generate(
                random.randint(1, 12), seed=seed, rings=random.randint(0, 2)
            ).values()
            return text
        case _:
            return sentence(seed)


def any_input(seed: int) -> bytes:
    """A program, most often with damage: tokens lost, doubled, swapped or changed, two programs in
    one, an end that is missing, bytes that flipped; or bytes of no program at all."""
    random = Random(seed ^ 0x5EED)
    text = program(seed)
    kind = random.randrange(12)
    if kind == 0:
        return text.encode()
    if kind == 1:
        return random.randbytes(random.randrange(120))
    if kind == 2:
        other = program(seed + 1)
        at, on = random.randrange(len(text) + 1), random.randrange(len(other) + 1)
        text = text[:at] + other[on:]
    elif kind == 3:
        text = text[: random.randrange(len(text) + 1)]
    elif kind in {4, 5, 6}:
        text = _misnamed(text, random)
    else:
        text = _damaged(text, random)
    data = bytearray(text.encode("utf-8"))
    if kind == 7:
        for _ in range(random.choice((1, 2, 8))):
            if data:
                data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(data)


def _misnamed(text: str, random: Random) -> str:
    """Names for other names, here and there: most often it can still be parsed, and judged."""
    parts = PIECES.findall(text)
    words = [number for number, part in enumerate(parts) if NAME.fullmatch(part)]
    for _ in range(random.choice((1, 1, 2, 4)) if words else 0):
        at, other = random.choice(words), parts[random.choice(words)]
        parts[at] = other if random.random() < 0.7 else f"{parts[at][:-2]}{parts[at][-1:]}"
    return "".join(parts)


def _damaged(text: str, random: Random) -> str:
    parts = PIECES.findall(text)
    for _ in range(random.choice((1, 1, 1, 2, 5, 20))):
        if not parts:
            break
        at, other = random.randrange(len(parts)), random.randrange(len(parts))
        match random.randrange(6):
            case 0:
                del parts[at : at + random.choice((1, 1, 3, 30))]
            case 1:
                parts.insert(at, parts[other])
            case 2:
                parts[at], parts[other] = parts[other], parts[at]
            case 3:
                parts[at] = random.choice(CHARS)
            case 4:
                parts[at] = parts[other]
            case 5:
                parts[at] = parts[at][: random.randrange(len(parts[at]) + 1)]
    return "".join(parts)


def examine(data: bytes | Mapping[str, bytes]) -> str:
    """Checks a program, and asserts what holds of any: it is judged without a failure of ours,
    places are in the text, tokens and comments are the text, and the formatter keeps its laws.
    Returns the report."""
    files = dict(data) if isinstance(data, Mapping) else {MAIN: data}
    compilation = compile_program(files, MAIN)
    sources = compilation.sources
    report = check_system(
        compilation.system, TODAY, before=compilation.diagnostics, sources=sources
    )
    for found in report.diagnostics:
        assert found.code != "FLW999", found.message
        spans = [label.span for label in (found.primary, *found.related)]
        for span in [*spans, *(edit.span for edit in found.edits)]:
            length = len(sources[span.path].text) if span.path in sources else 0
            assert 0 <= span.start <= span.end <= length, (found.code, span)
    if not any(found.code in {"FLW005", "FLW006"} for found in report.diagnostics):
        for tree in compilation.trees.values():
            _check_tree(tree)
    return render_concise(report.diagnostics, sources, Look())


def _check_tree(tree: Tree) -> None:
    text, end = tree.source.text, 0
    pieces = sorted((piece.start, piece.text) for piece in (*tree.tokens, *tree.comments))
    for start, piece in [*pieces, (len(text), "")]:
        assert text.startswith(piece, start)
        assert text[end:start].strip(" \t\r\n") == ""
        end = start + len(piece)
    if len(text) % 3:
        return  # formatting takes as long as all else, and has laws of its own elsewhere
    try:
        once = format_text(text)
    except BrokenTextError:
        assert tree.faults
        return
    assert not tree.faults
    assert format_text(once) == once
