"""Each change of a generated event is judged as a table written by hand says, in all combinations:
what stops stored events, whom it breaks, what is to watch, and what is lost (spec 3.23 to 3.25)."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from flowc_dsl.compile import compile_program
from flowc_dsl.evolution.compare import compare
from flowc_dsl.model import System

HEAD = """system Shop
enum Reason { A B }
enum More { A B C }
type Line { sku: string  qty: int? }
type Wide { sku: string  qty: int?  tax: int? }
type Strict { sku: string  qty: int?  tax: int  vat: int }
"""
CONSTANTS = {
    "int": "0", "float": "0.5", "string": '"x"', "decimal(10,2)": "1", "decimal(12,2)": "1",
    "Reason": "A", "More": "C", "Line": '{ sku: "a" }', "Wide": '{ sku: "a" }',
    "Strict": '{ sku: "a"  tax: 1  vat: 1 }', "list<Line>": "[]", "list<Wide>": "[]",
    "list<Strict>": "[]", "list<int>": "[1]", "list<float>": "[]",
}  # fmt: skip
# From and to: whether stored values fit, and what readers meet: more, less, or something else.
STEPS = {
    ("int", "float"): (True, "more"),
    ("float", "int"): (False, ""),
    ("decimal(10,2)", "decimal(12,2)"): (True, "more"),
    ("decimal(12,2)", "decimal(10,2)"): (False, ""),
    ("Reason", "More"): (True, "more"),
    ("More", "Reason"): (False, ""),
    ("Line", "Wide"): (True, ""),
    ("Wide", "Line"): (True, "gone"),
    ("Line", "Strict"): (False, ""),
    ("Strict", "Line"): (True, "gone"),
    ("Wide", "Strict"): (False, ""),
    ("Strict", "Wide"): (True, "gone"),
}


def step(was: str, now: str) -> tuple[bool, str]:
    """By the table; a list is as its items are, and what may be null is more."""
    fits, meets = True, ""
    bare, other = was.rstrip("?"), now.rstrip("?")
    if bare != other:
        inner = [t.removeprefix("list<").removesuffix(">") for t in (bare, other)]
        lists = bare.startswith("list<"), other.startswith("list<")
        fits, meets = STEPS.get((inner[0], inner[1]), (False, "other"))
        if lists[0] != lists[1]:
            fits, meets = False, "other"
    if was.endswith("?") and not now.endswith("?"):
        fits = False
    if now.endswith("?") and not was.endswith("?"):
        meets = meets or "more"
    return fits, meets


@dataclass
class Made:
    """Two declarations, and what is to be said of the second: fields ("" for the event) with
    verdicts."""

    scope: str
    readers: dict[str, set[str] | None]  # what each says that it `reads`
    bumped: bool
    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)
    key: str = "id"
    want: set[tuple[str, str]] = field(default_factory=set)

    def needed(self, name: str) -> bool:
        return any(reads is None or name in reads for reads in self.readers.values())

    def system(self, *, old: bool) -> System:
        fields, version = (self.before, 1) if old else (self.after, 1 + self.bumped)
        key = "id" if old else self.key
        shown = "  ".join(f"{name}: {kind}" for name, kind in fields.items())
        upcast = f"upcast v1 {{ {'  '.join(self.steps)} }}" if self.bumped and not old else ""
        text = f"{HEAD}{self.scope}event E v{version} key {key} {{ id: uuid  {shown}  {upcast} }}\n"
        for name, reads in self.readers.items():
            clause = "" if reads is None else f"  reads {', '.join(sorted(reads) or ['id'])}"
            text += f"service {name} {{ on E{clause} }}\n"
        compiled = compile_program({"main.flow": text}, "main.flow")
        assert not [d for d in compiled.diagnostics if d.level == "error"], compiled.diagnostics
        assert compiled.system is not None
        return compiled.system


TYPES = st.builds(lambda kind, mark: kind + mark, st.sampled_from(sorted(CONSTANTS)),
                  st.sampled_from(["", "?"]))  # fmt: skip
READS = st.none() | st.sets(st.sampled_from("abcdef"))


@st.composite
def related(draw: st.DrawFn, was: str) -> str:
    """Mostly a type that is near: any other is simply another one."""
    bare = was.rstrip("?")
    near = [b for a, b in STEPS if a == bare] or [bare]
    return draw(st.sampled_from([*near, bare]) | st.sampled_from(sorted(CONSTANTS))) + draw(
        st.sampled_from(["", "?"])
    )


@st.composite
def changes(draw: st.DrawFn) -> Made:
    readers = draw(st.dictionaries(st.sampled_from(["P", "Q"]), READS, max_size=2))
    scope = draw(st.sampled_from(["", "external ", "exported "]))
    made = Made(scope, readers, draw(st.booleans()))
    pool = draw(st.lists(TYPES, min_size=1, max_size=3))  # few: that fields are of one type matters
    for name in draw(st.lists(st.sampled_from("abcdef"), unique=True, max_size=5)):
        kind = draw(st.sampled_from(["keep", "drop", "retype", "rename", "set", "add", "add set"]))
        was = draw(st.sampled_from(pool))
        if kind in ("rename", "set", "add set") and not made.bumped:
            kind = "retype"
        now = was if kind.startswith("add") else draw(related(was))
        mutate(made, kind, name, was, now)
    if draw(st.integers(0, 3)) == 0:
        made.before["k"], made.after["k"], made.key = "int", "int", "k"
        made.want.add(("k", "breaks"))
    if stored_otherwise(made) and not made.bumped:
        made.want.add(("", "needs an upcast"))
    constants(made)
    return made


def stored_otherwise(made: Made) -> bool:
    """An enum is stored as the name of its member: more of them are no other fields."""
    more = {("Reason", "More"), ("Reason?", "More?")}
    return made.before.keys() != made.after.keys() or any(
        was != made.after[name] and (was, made.after[name]) not in more
        for name, was in made.before.items()
    )


def mutate(made: Made, kind: str, name: str, was: str, now: str) -> None:
    outside = made.scope != ""
    if kind in ("add", "add set"):
        made.after[name] = now
        if not now.endswith("?") and made.scope == "external ":
            made.want.add((name, "breaks"))
        if kind == "add set":
            made.steps.append(f"{name} = {CONSTANTS[now.rstrip('?')]}")
        elif not now.endswith("?"):
            made.want.add((name, "needs an upcast"))
        return
    made.before[name] = was
    if kind == "keep":
        made.after[name] = was
    elif kind == "drop":
        if made.needed(name) or outside:
            made.want.add((name, "breaks"))
    elif kind == "rename":
        made.after[f"{name}{name}"] = was
        made.steps.append(f"rename {name} to {name}{name}")
        if made.needed(name) or outside:
            made.want.add((name, "breaks"))
    else:
        retype(made, kind, name, was, now)


def retype(made: Made, kind: str, name: str, was: str, now: str) -> None:
    made.after[name] = now
    fits, meets = step(was, now)
    if kind == "set":
        made.steps.append(f"{name} = {CONSTANTS[now.rstrip('?')]}")
        made.want.add((name, "watch lost"))
    elif not fits:
        made.want.add((name, "needs an upcast"))
    more = meets == "more" or (now.endswith("?") and not was.endswith("?"))
    breaks = made.needed(name) and meets in ("gone", "other")
    if made.scope:
        breaks |= meets == "gone"
        breaks |= more or meets == "other" if made.scope == "exported " else not fits
    if breaks:
        made.want.add((name, "breaks"))
    elif made.needed(name) and more:
        made.want.add((name, "watch"))


def constants(made: Made) -> None:
    """A new field with a constant, beside one of its type that is gone."""
    renamed = {s.split()[1] for s in made.steps if s.startswith("rename ")}
    gone = {n: t for n, t in made.before.items() if n not in made.after and n not in renamed}
    for made_step in made.steps:
        name = made_step.split()[0]
        if name == "rename" or name in made.before or made.after[name].endswith("?"):
            continue
        if made.after[name] in gone.values():
            made.want.add((name, "watch lost"))


@settings(max_examples=4 * settings().max_examples)
@given(changes())
def test_each_change_is_judged_as_the_table_says(made: Made) -> None:
    found = compare(made.system(old=True), made.system(old=False))
    said = {
        (c.part, str(c.verdict) + (" lost" if c.code == "FLW408" else "")) for c in found if c.code
    }
    assert said == made.want, (made.before, made.after, made.steps)
