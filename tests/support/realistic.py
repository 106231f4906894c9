"""Systems that look like those of a company: contexts with files of their own, several handlers a
service, stores, laws, tests, a few rings and a few findings. For benchmarks and properties."""

from __future__ import annotations

from random import Random
from typing import Final

FIELDS: Final = (
    "total: decimal(12,2)",
    "count: int",
    "note: string?",
    "at: timestamp",
    "tags: list<string>",
    "customer: string @pii",
    "reason: Reason",
    "labels: map<string, string>",
)
SERVICES_PER_FILE: Final = 10


def realistic(services: int, files: int | None = None, seed: int = 0) -> dict[str, str]:
    """Texts by path; `main.flow` imports `shared.flow` and one file a context.

    An event is read by its own context mostly, and by others sometimes. One service in twenty asks
    one back, which closes a ring (FLW301 and what follows); one event in fifty is read by nobody.
    """
    random = Random(seed)
    count = files or max(1, services // SERVICES_PER_FILE)
    emitted = [f"Intake{index}Received" for index in range(count)]
    texts = {"shared.flow": _shared(count)}
    number = 0
    for index in range(count):
        size = services * (index + 1) // count - services * index // count
        local = [f"Intake{index}Received"]
        parts: list[str] = []
        for _ in range(size):
            events, service = _service(number, local, emitted, random)
            parts.append(service)
            parts[:0] = events
            number += 1
        texts[f"contexts/area{index}.flow"] = _area(index, parts, local)
    texts["main.flow"] = _main(count)
    return dict(sorted(texts.items(), key=lambda item: item[0] != "main.flow"))


def _shared(count: int) -> str:
    return (
        "enum Reason { DECLINED OUT_OF_STOCK EXPIRED }\n"
        "/// What is sold.\ntype Line { sku: string  qty: int }\n"
        + "".join(f'library lib{index} "libs/lib{index}"\n' for index in range(0, count, 10))
    )


def _main(count: int) -> str:
    imports = "".join(f'import "contexts/area{index}.flow"\n' for index in range(count))
    laws = "".join(
        f"  forbid Area{index} reaches Area{index - 1}\n" for index in range(9, count, 10)
    )
    return (
        f'system Generated\nimport "shared.flow"\n{imports}'
        f"rules {{\n  limit fan_out 12\n{laws}"
        '  allow FLW301 on Worker0 because "asked for by sales" until 2030-01-31\n}\n'
    )


def _area(index: int, parts: list[str], local: list[str]) -> str:
    events = [part for part in parts if not part.startswith("  ")]
    services = [part for part in parts if part.startswith("  ")]
    first = local[0]
    library = "" if index % 10 else f"    uses lib{index}\n"
    services[:1] = [text.replace("{\n", "{\n" + library, 1) for text in services[:1]]
    return (
        f"/// What area {index} hears from outside.\n"
        f"external event {first} key order_id rate 20/s {{ order_id: uuid  at: timestamp }}\n"
        + "".join(events)
        + f'\n/// The work of team {index}.\ncontext Area{index} owner "team-{index}" {{\n'
        + "\n".join(services)
        + "}\n"
        + (
            f"\nexpect ends{index}: {first} leads to {local[-1]} within 1h by order_id\n"
            f'test "area {index} answers" {{\n'
            f'  given {first} {{ order_id: "8c0b9a52-5d0e-4a57-9f0e-0d8d3a4f2b11" }}\n'
            f"  then {local[1]} within 5s\n}}\n"
            if len(local) > 1
            else ""
        )
    )


def _service(
    number: int, local: list[str], emitted: list[str], random: Random
) -> tuple[list[str], str]:
    """Declarations of its events, and the service; both lists of known events grow."""
    done, failed = f"Step{number}Done", f"Step{number}Failed"
    fresh = [event for event in local[-9:] if not event.startswith("Noted")]
    reads = [*fresh[-2:][:1], *random.sample(fresh, k=min(len(fresh), random.randint(0, 2)))]
    if random.random() < 0.3:
        reads.append(random.choice(emitted))
    reads = list(dict.fromkeys(reads))
    lines = [f'    run python "workers.area:Worker{number}" replicas {random.randint(1, 4)}']
    if random.random() < 0.5:
        lines.append(f"    store store{number} per partition")
    for at, event in enumerate(reads):
        output = (f"{done} | {failed}", f"Noted{number}?")[at > 0] if at < 2 else ""
        arrow = f" -> {output}" if output else ""
        reading = "reads order_id, line " if random.random() < 0.3 else ""
        takes = " takes lognormal(20ms, 5ms)" if number % 7 == 0 else ""
        lines.append(f"    on {event}{arrow} {reading}ordered by order_id within 10s{takes}")
        if at == 0 and number % 20 == 0:
            lines.append("      retry 5 backoff 100ms to 2s then park idempotent by order_id")
    own = [done, failed, *([f"Noted{number}"] if len(reads) > 1 else [])]
    if number % 20 == 0:  # a ring: what it asks comes back
        lines.append(f"    on {done} as again -> {reads[0]}?" if number % 40 else "")
        lines.append(f"    after 15m of {reads[0]} unless {done} -> Late{number}")
        own.append(f"Late{number}")
    local += own
    emitted += own
    events = [_event(name, number, random) for name in own]
    body = "\n".join(line for line in lines if line)
    return events, f"  /// Worker {number}.\n  service Worker{number} {{\n{body}\n  }}\n"


def _event(name: str, number: int, random: Random) -> str:
    fields = ["order_id: uuid", "line: Line", *random.sample(FIELDS, k=random.randint(2, 5))]
    scope = "exported " if number % 50 and not (number % 3 and name.endswith("Done")) else ""
    body = "\n".join(f"  {field}" for field in fields if not scope or "@pii" not in field)
    return f"/// {name} of worker {number}.\n{scope}event {name} key order_id {{\n{body}\n}}\n"
