"""`make reference`: `docs/reference`, from the grammar, the rules, the commands and the limits."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

sys.path.insert(0, str(Path(__file__).parents[1]))

from flowc_dsl import limits as language_limits
from flowc_engine import limits as engine_limits
from flowc_engine.cli import COMMANDS, main
from flowc_engine.cli.explain import Document, documents
from support.reference_grammar import constructs

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "docs/reference"
HEAD: Final = "<!-- written by `make reference`; a change here is lost -->\n\n"
HELP_CHARS: Final = 88  # of a line
FAMILIES: Final = {
    "0": "Text, names, types and files",
    "1": "Decoupling and ownership",
    "2": "Wiring",
    "3": "Shape",
    "4": "Contract",
    "5": "Delivery",
    "6": "Responsibility",
    "7": "Data",
    "8": "Drift: the log against the declaration",
    "9": "Hygiene",
}
EXIT_CODES: Final = """
Exit codes: 0 clean, 1 findings, 2 usage or unreadable input, 3 a failure at run time, 130 a second
Ctrl-C. Data goes to stdout, prose to stderr; colour to a terminal only, and never with `NO_COLOR`.
"""


def pages() -> dict[str, str]:
    """Every page by its path below `docs/reference`; the same whenever nothing changed."""
    rules = documents()
    families = sorted({code[3] for code in rules})
    found = {
        "README.md": _index(rules, families),
        "language.md": _language(),
        "commands.md": _commands(),
        "limits.md": _limits(),
        "rules.md": _rules(rules, families),
    }
    for family in families:
        found[_family_page(family)] = _family(rules, family)
    return {path: HEAD + text.strip() + "\n" for path, text in found.items()}


def _index(rules: dict[str, Document], families: list[str]) -> str:
    chapters = "\n".join(
        f"  - [{FAMILIES[family]}]({_family_page(family)}): {_counted(rules, family)}"
        for family in families
    )
    return f"""# Reference

What the language says, what the compiler finds, what the commands do. The promises behind it are in
[`spec.md`](../../spec.md); how to begin is in the [`README`](../../README.md).

- [Language](language.md): every construct, its grammar, and an example
- [Rules](rules.md): every finding that `flowc` reports, by its code
{chapters}
- [Commands](commands.md): every command with its options
- [Limits](limits.md): every bound, by name
"""


def _counted(rules: dict[str, Document], family: str) -> str:
    count = sum(code[3] == family for code in rules)
    return f"{count} code{'' if count == 1 else 's'}"


# ---- language


def _language() -> str:
    text = ["# Language", LANGUAGE.strip()]
    contents = []
    body = []
    for chapter, found in constructs():
        contents.append(
            f"- [{chapter}](#{_anchor(chapter)}): "
            + ", ".join(
                f"[{construct.title}](#{_anchor(construct.title)})" for construct, _ in found
            )
        )
        body.append(f"## {chapter}")
        for construct, rules in found:
            body += [f"### {construct.title}", construct.prose] if construct.prose else []
            body.append(f"```ebnf\n{rules}\n```")
            if construct.example:
                body.append(f"```flow\nsystem Example\n{construct.example}\n```")
    return "\n\n".join([*text, "\n".join(contents), *body])


LANGUAGE: Final = """
The grammar is LALR(1), and new lines mean nothing. In it, `"word"` stands for itself, `[x]` for x
or nothing, `x*` for any number of them, `x+` for one or more, and `|` for a choice; words in
capitals are tokens, which [have a section of their own](#tokens). Text that is broken still gives a
tree: every fault has its own place and hint.
"""


# ---- rules


def _family_page(family: str) -> str:
    return f"rules-{family}xx.md"


def _rules(rules: dict[str, Document], families: list[str]) -> str:
    text = ["# Rules", RULES.strip()]
    for family in families:
        text.append(f"## [{FAMILIES[family]}]({_family_page(family)})")
        text.append(_table(rules, family, _family_page(family)))
    return "\n\n".join(text)


RULES: Final = """
A finding has a code, which never changes its meaning. An `error` stops `flowc run`; a `warning` is
a finding too, and ends `flowc check` with 1; an `info` is worth knowing and no more. Levels are set
under `[levels]` in `flow.toml`, findings are chosen with `--select` and `--ignore`, exempted with
`allow CODE on NAME because "…"`, and kept apart by a baseline. `flowc explain CODE` shows what is
here.
"""


def _table(rules: dict[str, Document], family: str, page: str) -> str:
    rows = [
        f"| [{code}]({page}#{_anchor(f'{code}: {document.name}')}) | `{document.name}` | "
        f"{document.level} | {document.summary} |"
        for code, document in rules.items()
        if code[3] == family
    ]
    return "\n".join(["| code | name | level | summary |", "| --- | --- | --- | --- |", *rows])


def _family(rules: dict[str, Document], family: str) -> str:
    text = [f"# {FAMILIES[family]}", "[All rules](rules.md)", _table(rules, family, "")]
    own = [document for code, document in rules.items() if code[3] == family]
    text += [_demoted(document.text.strip()) for document in own]
    return "\n\n".join(text)


def _demoted(text: str) -> str:
    """Headings one level down, outside of examples."""
    code = False
    lines = []
    for line in text.split("\n"):
        code ^= line.startswith("```")
        lines.append(f"#{line}" if line.startswith("#") and not code else line)
    return "\n".join(lines)


# ---- commands


def _commands() -> str:
    text = ["# Commands", EXIT_CODES.strip()]
    text.append(
        "\n".join(
            f"- [`flowc {name}`](#flowc-{name}): {what}" for name, (_, what) in COMMANDS.items()
        )
    )
    parent = _context(main, "flowc", None)
    text += ["## flowc", f"```text\n{main.get_help(parent).strip()}\n```"]
    for name in COMMANDS:
        command = main.get_command(parent, name)
        assert command is not None, name
        context = _context(command, name, parent)
        text += [f"## flowc {name}", f"```text\n{_stripped(command.get_help(context))}\n```"]
    return "\n\n".join(text)


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    return click.Context(
        command, parent, name, terminal_width=HELP_CHARS, max_content_width=HELP_CHARS,
        **command.context_settings,
    )  # fmt: skip


def _stripped(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().split("\n"))


# ---- limits


def _limits() -> str:
    text = ["# Limits", LIMITS.strip()]
    for title, module in (("The language", language_limits), ("The engine", engine_limits)):
        text.append(f"## {title}")
        text += list(_bounds(module))
    return "\n\n".join(text)


LIMITS: Final = """
Every queue, retry, size and time has a bound with a name, and the relations between them are
asserted when flowc is started. The unit is the end of the name.
"""
_BOUND: Final = re.compile(r"([A-Z][A-Z0-9_]*): Final = (?:[^#]*?)(?:\s+#\s*(.*))?")


def _bounds(module: Any) -> Iterator[str]:
    """A table a section of the module, in its order."""
    assert module.__file__ is not None
    source = Path(module.__file__).read_text(encoding="utf-8")
    rows: list[str] = []
    title = ""
    for line in source.split("\n"):
        bound = _BOUND.fullmatch(line)
        if line.startswith("# ---- "):
            yield from _section(title, rows)
            title, rows = line.removeprefix("# ---- "), []
        elif bound is not None and bound[1] not in {"KIB", "MIB"}:
            value = getattr(module, bound[1])
            rows.append(f"| `{bound[1]}` | {_shown(value)} | {bound[2] or ''} |")
    yield from _section(title, rows)


def _section(title: str, rows: list[str]) -> Iterator[str]:
    if rows:
        if title:
            yield f"### {title[:1].upper()}{title[1:]}"
        yield "\n".join(["| name | bound | |", "| --- | --- | --- |", *rows])


def _shown(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"`{ast.literal_eval(repr(value))!r}`"


def _anchor(title: str) -> str:
    """As GitHub makes them."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def write() -> None:
    """Writes every page, and removes those that are no longer made."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    made = pages()
    for old in FOLDER.glob("*.md"):
        if old.name not in made:
            old.unlink()
    for path, text in made.items():
        (FOLDER / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
