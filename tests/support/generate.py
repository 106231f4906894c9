"""Systems of any size from a seed: valid text that checks clean, for benchmarks and properties."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random


@dataclass
class _Part:
    """One file's worth of text: a context with its services, and the events they emit."""

    index: int
    events: list[str] = field(default_factory=list)
    services: list[str] = field(default_factory=list)


FIELDS = (
    "total: decimal(12,2)",
    "count: int",
    "note: string?",
    "at: timestamp",
    "tags: list<string>",
)


def generate(services: int, files: int = 1, seed: int = 0, rings: int = 0) -> dict[str, str]:
    """Texts by path; `main.flow` is the main file, and imports the others.

    Each service reads one to three events of services before it (so there is no cycle) or an
    external event, and emits one or two of its own. What nobody reads in the end is exported. With
    `rings`, that many pairs of services are added that keep each other going (FLW301).
    """
    random = Random(seed)
    parts = [_Part(index) for index in range(files)]
    unread: set[str] = set()
    emitted: list[str] = []
    scope: dict[str, str] = {}
    home: dict[str, _Part] = {}
    for number in range(services):
        part = parts[number * files // services]
        if number % 10 == 0:
            name = f"Source{number}Seen"
            scope[name], home[name] = "external ", part
            emitted.append(name)
            unread.add(name)
        recent = emitted[-40:]
        wanted = random.sample(recent, k=min(len(recent), random.randint(1, 3)))
        if number % 10 == 0 and name not in wanted:
            wanted.append(name)
        unread.difference_update(wanted)
        own = [f"Step{number}{kind}Done" for kind in "AB"[: random.randint(1, 2)]]
        for event in own:
            scope[event], home[event] = "", part
        emitted += own
        unread.update(own)
        part.services.append(_service(number, wanted, own, random))
    for event in unread:
        scope[event] = "exported " if not scope[event] else scope[event]
    for event, part in home.items():
        part.events.append(_event(event, scope[event], part.index, random))
    for number in range(rings):
        _ring(parts[number % files], number)
    return {_path(part): _text(part, files) for part in parts}


def _ring(part: _Part, number: int) -> None:
    asked, answered = f"Ring{number}Asked", f"Ring{number}Answered"
    part.events += [f"event {name} key order_id {{ order_id: uuid }}" for name in (asked, answered)]
    part.services += [
        f"  service Ask{number} {{ on Source0Seen | {answered} -> {asked}? }}",
        f"  service Answer{number} {{ on {asked} -> {answered} }}",
    ]


def _path(part: _Part) -> str:
    return "main.flow" if part.index == 0 else f"parts/part{part.index}.flow"


def _text(part: _Part, files: int) -> str:
    head = ["system Generated"] if part.index == 0 else []
    if part.index == 0:
        head += [f'import "parts/part{index}.flow"' for index in range(1, files)]
    types = [f"type Line{part.index} {{ sku: string  qty: int }}"]
    context = [f'context Area{part.index} owner "team-{part.index}" {{', *part.services, "}"]
    return "\n".join([*head, *types, *part.events, *context]) + "\n"


def _event(name: str, scope: str, part: int, random: Random) -> str:
    fields = ["order_id: uuid", f"line: Line{part}", *random.sample(FIELDS, k=3)]
    return f"{scope}event {name} key order_id {{ {'  '.join(fields)} }}"


def _service(number: int, reads: list[str], emits: list[str], random: Random) -> str:
    joined = random.choice([" | ", ", "]).join(emits)
    first, *rest = reads
    lines = [f"    on {first} -> {joined}  ordered by order_id  within 10s"]
    if rest:
        lines.append(f"    on {' | '.join(rest)} as follow_up")
    body = "\n".join(lines)
    return f'  service Worker{number} {{\n    run python "workers:Worker{number}"\n{body}\n  }}'
