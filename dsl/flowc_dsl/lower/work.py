"""What the passes share: the files, what was found in them so far, and the faults."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from flowc_dsl import limits
from flowc_dsl.lower.faults import UnknownName
from flowc_dsl.lower.memo import Declared, Memo
from flowc_dsl.model import (
    Context,
    Enum,
    Event,
    Exemption,
    Expect,
    Law,
    Library,
    Ref,
    Scenario,
    Service,
    Struct,
    Test,
)
from flowc_dsl.rules.wording import Guess, guess
from flowc_dsl.source import Source
from flowc_dsl.syntax import tree as t
from flowc_dsl.syntax.faults import Fault

SCALAR_NAMES = frozenset(
    {"string", "bool", "int", "float", "decimal", "uuid", "timestamp", "date", "duration", "bytes"}
)
BUILT_IN = SCALAR_NAMES | {"list", "map"}


@dataclass(slots=True)
class Work:
    """`given` are the files as they came, `sources` and `trees` those of the program, main
    first."""

    given: Mapping[str, str | bytes]
    main: str
    memo: Memo = field(default_factory=Memo)
    sources: dict[str, Source] = field(default_factory=dict)
    trees: dict[str, t.Tree] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    broken: bool = False  # text was not understood: what is missing may stand in it
    dropped: int = 0  # faults over the bound
    comparisons: int = 0
    file: str = ""  # what a pass is at, for the report of its own failure

    system: Ref | None = None
    declared: dict[str, Declared] = field(default_factory=dict)
    types: dict[str, Struct] = field(default_factory=dict)
    enums: dict[str, Enum] = field(default_factory=dict)
    events: dict[str, Event] = field(default_factory=dict)
    libraries: dict[str, Library] = field(default_factory=dict)
    contexts: dict[str, Context] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    laws: list[Law] = field(default_factory=list)
    exemptions: list[Exemption] = field(default_factory=list)
    expects: list[Expect] = field(default_factory=list)
    scenarios: list[Scenario] = field(default_factory=list)
    tests: list[Test] = field(default_factory=list)

    def report(self, fault: Fault) -> None:
        """Keeps a fault, up to the bound; then counts it."""
        if len(self.faults) < limits.FAULTS_MAX:
            self.faults.append(fault)
        else:
            self.dropped += 1

    @property
    def told(self) -> int:
        """How many faults were reported."""
        return len(self.faults) + self.dropped

    def nearest(self, name: str, candidates: Collection[str]) -> Guess | None:
        """The candidate that was probably meant; none once enough time was spent on guesses."""
        self.comparisons += len(candidates)
        if self.dropped or self.comparisons > limits.COMPARISONS_MAX:
            return None
        return guess(name, candidates)

    def expect_part(self, name: Ref, kind: str, known: Collection[str], owner: str) -> None:
        """Reports a field or member that its owner does not have."""
        if name.name not in known and not self.broken:
            near, where = self.nearest(name.name, known), f" in `{owner}`"
            self.report(UnknownName(name.span, name.name, kind, near, where=where))

    def each_tree(self) -> Iterator[t.Tree]:
        """The files, the main file first."""
        for path, tree in self.trees.items():
            self.file = path
            yield tree
        self.file = ""

    def each_item(self) -> Iterator[tuple[t.Tree, t.Context | None, t.Node]]:
        """Every declaration with its file and the context that it stands in."""
        for tree in self.each_tree():
            for context, item in items_of(tree):
                yield tree, context, item

    def owns(self, tree: t.Tree, name: t.Name) -> bool:
        """Whether this place is the one that declares the name; a second declaration is left
        out."""
        found = self.declared.get(name.text)
        return found is not None and found.span == tree.span(name)


def items_of(tree: t.Tree) -> Iterator[tuple[t.Context | None, t.Node]]:
    """The declarations of a file, each with the context that it stands in."""
    for item in tree.items:
        yield None, item
        if isinstance(item, t.Context):
            for member in item.members:
                yield item, member


def ref(tree: t.Tree, name: t.Name) -> Ref:
    """A name as it was written here."""
    return Ref(name.text, tree.span(name))


def refs(tree: t.Tree, names: tuple[t.Name, ...]) -> tuple[Ref, ...]:
    """Without those that are missing in broken text."""
    return tuple(ref(tree, name) for name in names if name.text)
