"""`flowc explain [CODE]`: the document of a code, or the list of all codes."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from textwrap import shorten
from typing import Final, NoReturn

import click

from flowc_engine.cli.common import ColorChoice, ExitCode, color_option, fail, look_for

SUMMARY_CHARS: Final = 80


@dataclass(frozen=True, slots=True)
class Document:
    """`docs/FLWnnn.md`: its title and level lines, its first sentence, and all of its text."""

    code: str
    name: str
    level: str
    summary: str
    text: str


_HEAD = re.compile(r"# (FLW\d{3}): (\S+)\n+Level: (error|warning|info)\n")
_LIKE_DIGITS = str.maketrans("OIL", "011")
_WHAT = re.compile(r"## What it does\n+(.+?)(?:\.\s|\n\n|\Z)", re.DOTALL)


@cache
def documents() -> dict[str, Document]:
    """The documents of all codes that flowc reports, by code."""
    folder = files("flowc_dsl") / "rules" / "docs"
    texts = [
        entry.read_text(encoding="utf-8")
        for entry in folder.iterdir()
        if re.fullmatch(r"FLW\d{3}\.md", entry.name)
    ]
    return {document.code: document for document in sorted(map(_document, texts), key=_code)}


def _code(document: Document) -> str:
    return document.code


def _document(text: str) -> Document:
    head, what = _HEAD.match(text), _WHAT.search(text)
    assert head is not None, text[:80]
    assert what is not None, text[:80]
    summary = re.sub(r"^(Reports|Names) ", "", " ".join(what[1].split())).rstrip(".")
    return Document(head[1], head[2], head[3], summary, text)


@click.command()
@click.argument("code", required=False)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@color_option
def command(code: str | None, as_json: bool, color: ColorChoice) -> None:
    """Say what CODE means: what it does, why it is bad, an example, what to do instead.

    \b
    Examples:
      flowc explain FLW102
      flowc explain

    CODE is a code (FLW101, or 101) or a rule's name (several-emitters); without it, all are listed.
    """
    found = [_find(code)] if code is not None else list(documents().values())
    if as_json:
        shown = [asdict(document) for document in found]
        click.echo(json.dumps({"format_version": "1.0", "codes": shown}, indent=2))
    elif code is None:
        click.echo(_table(found))
    else:
        look = look_for(sys.stdout, color)
        text = found[0].text if look.unicode else look_ascii(found[0].text)
        click.echo("\n".join(_painted(text)) if look.color else text, nl=False, color=True)


def look_ascii(text: str) -> str:
    return text.replace("…", "...").encode("ascii", "replace").decode("ascii")


def _find(code: str) -> Document:
    wanted = code.strip().upper()
    wanted = f"FLW{wanted}" if re.fullmatch(r"\d{3}", wanted) else wanted
    for document in documents().values():
        if wanted in {document.code, document.name.upper()}:
            return document
    return _unknown(code, wanted)


def _unknown(code: str, wanted: str) -> NoReturn:
    from difflib import get_close_matches

    names = [name for document in documents().values() for name in (document.code, document.name)]
    digits = f"FLW{wanted[3:].translate(_LIKE_DIGITS)}"
    near = (
        [digits]
        if digits in names
        else get_close_matches(wanted, names, n=1) or get_close_matches(code.lower(), names, n=1)
    )
    hint = f"did you mean {near[0]}?" if near else "`flowc explain` lists all codes"
    fail(f"unknown code {code!r}; {hint}", ExitCode.USAGE)


def _table(found: list[Document]) -> str:
    rows = [("code", "level", "name", "summary")]
    rows += [(d.code, d.level, d.name, d.summary) for d in found]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join(
        f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:<{widths[2]}}  {_short(row[3])}"
        for row in rows
    )


def _short(summary: str) -> str:
    """As much of a summary as one line of a table takes."""
    return shorten(summary, SUMMARY_CHARS, placeholder=" ...")


def _painted(text: str) -> Iterator[str]:
    """Headings bold, code green; no more than that."""
    code = False
    for line in text.split("\n"):
        if line.startswith("```"):
            code = not code
        elif code:
            yield f"  \x1b[32m{line}\x1b[0m"
        elif line.startswith("#"):
            yield f"\x1b[1m{line.lstrip('# ')}\x1b[0m"
        else:
            yield re.sub(r"`([^`]+)`", "\x1b[1m\\1\x1b[0m", line)
