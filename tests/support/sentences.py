"""Programs of the whole grammar from a seed: a random walk over the parser's own table.

Whatever `flow.lark` can say is said sooner or later, also what it can say only since yesterday.
Names come from small pools by what stands before them, and are declared once as far as they reach,
so that many of them mean something and the rules have something to judge.
"""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Final

from flowc_dsl.syntax.table import END, Table, load_table

EVENTS: Final = ("OrderPlaced", "PaymentTaken", "StockReserved", "ParcelSent", "BookOrder", "Gone")
SERVICES: Final = ("Orders", "Payments", "Stock", "Mailer", "Desk")
FIELDS: Final = ("id", "total", "sku", "at", "customer", "key", "on")
TYPES: Final = ("string", "int", "uuid", "bool", "timestamp", "Line", "Reason", "decimal", "list")
CHOICES: Final = {
    "RUN": ("python", "exec", "mock"),
    "SPEAKS": ("jsonl",),
    "ENGINE": ("sqlite", "duckdb"),
    "SEES": ("pii",),
    "THEN": ("park", "drop", "halt"),
    "REPLAY": ("skip", "safe"),
    "DELIVERY": ("latest", "all"),
    "TAKES": ("lognormal", "constant", "uniform"),
    "LIMIT": ("fan_out", "depth", "exchange"),
    "ALLOW": ("FLW201", "FLW203", "FLW405", "FLW902", "FLW801"),
    "VIA": ("store", "event", "orders_db", "OrderPlaced"),
    "REACHES": ("Sales", "Orders", "OrderPlaced"),
    "FORBID": ("Sales", "Depot", "Orders", "OrderPlaced"),
    "REQUIRE": ("Sales", "Orders", "OrderPlaced"),
    "COLON": TYPES,
    "LESSTHAN": TYPES,
    "EQUAL": ("DECLINED", "OUT"),
    "CHECK": ("settled", "paid_once"),
}  # by the terminal before a name
NAMED_LIKE: Final = {
    **dict.fromkeys(("CRASH", "PARTITION", "STUB"), SERVICES),
    **dict.fromkeys(("KEY", "READS", "BY", "RENAME", "TO"), FIELDS),
}
NEW: Final = {
    "EVENT": EVENTS,
    "COMMAND": ("BookOrder", "TakePayment", "ShipParcel", "SendMail"),
    "SERVICE": SERVICES,
    "TYPE": ("Line", "Money", "Address"),
    "ENUM": ("Reason", "Colour"),
    "LIBRARY": ("pricing", "dates"),
    "SCENARIO": ("black_friday", "quiet"),
    "STORE": ("orders_db", "ledger", "depot"),
    "AS": ("first", "second", "third", "fourth"),
}  # what declares a name: each is taken once, as long as there are any
TEXTS: Final = ('"a"', '"services.orders:Orders"', '"say \\"hi\\" // no"', '""', '"libs/x"')
LITERALS: Final = {
    "NUMBER": (*("1", "2", "3", "7", "17") * 6, "-2.5e3"),
    "DURATION": ("5s", "1.5s", "100ms", "2h", "30d"),
    "FREQUENCY": ("200/s", "5/m"),
    "PERCENT": ("2%", "50%"),
    "DATE": ("2027-01-31", "2020-02-29"),
    "VERSION": ("v1", "v2", "v3"),
    "ANNOTATION": ("@pii", "@deprecated"),
    "STRING": TEXTS,
}
CLOSERS: Final = (END, "RBRACE", "RSQB", "RPAR", "MORETHAN")
TOKENS_MAX: Final = 400  # a walk that does not find its end by then is cut off
COMMENTS: Final = ("// why", "/// what it is", '// { " ->', "//")


def sentence(seed: int) -> str:
    """The text of a program without syntax errors, but for walks that were cut off."""
    return Walk(Random(seed)).text()


class Walk:
    """One way through the table; `used` are the rules that it took, by number, and `said` how often
    each terminal was said, by other walks too where they share it."""

    def __init__(self, random: Random, said: Counter[str] | None = None) -> None:
        self.random = random
        self.table: Table = load_table()
        self.states = [0]
        self.left = {kind: list(names) for kind, names in NEW.items()}
        self.before = "SYSTEM"
        self.said: Counter[str] = Counter() if said is None else said
        self.labels: list[str] = []
        self.used: set[int] = set()

    def text(self) -> str:
        """Tokens with a space, a new line or now and then a comment between them."""
        random = self.random
        goal = random.choice((15, 40, 80, 160))
        commented = random.choice((0, 0, 0.03))
        out = ["system Shop"]
        for number in range(TOKENS_MAX):
            kind = self._next(closing=number > goal)
            if kind in (None, END):
                break
            out.append("\n" if random.random() < 0.2 else " ")
            if random.random() < commented:
                out.append(f"{random.choice(COMMENTS)}\n")
            out.append(self._spelt(kind))
            self.before = kind
            self.said[kind] += 1
        return "".join(out) + random.choice(("", "\n", " // the end"))

    def _next(self, *, closing: bool) -> str | None:
        """A terminal that can follow, and is shifted; towards the end one that closes."""
        can = [kind for kind in self.table.actions[self.states[-1]] if kind != "ERROR"]
        self.random.shuffle(can)
        if self.random.random() < 0.5:  # what was not said yet
            can.sort(key=self.said.__getitem__)
        if self.random.random() < 0.95:  # an import leads nowhere, and stops the rules
            can.sort(key=lambda kind: kind == "IMPORT")
        if not closing:
            can.sort(key=lambda kind: kind == END)
        else:
            can.sort(key=lambda kind: CLOSERS.index(kind) if kind in CLOSERS else len(CLOSERS))
        for kind in can:
            used: list[int] = []
            states = self._shifted(kind, used)
            if states is not None:
                self.states = states
                self.used.update(used)
                return kind
        return None

    def _shifted(self, kind: str, used: list[int]) -> list[int] | None:
        """The stack behind the terminal; None where the table's look-ahead was too kind."""
        table, states = self.table, list(self.states)
        while True:
            action = table.actions[states[-1]].get(kind)
            if action is None:
                return None
            if action > 0:
                return [*states, action]
            rule = table.rules[-1 - action]
            used.append(-1 - action)
            if rule.size:
                del states[-rule.size :]
            states.append(table.gotos[states[-1]][rule.origin])
            if states[-1] == table.end:
                return states if kind == END else None

    def _spelt(self, kind: str) -> str:
        random, before = self.random, self.before
        if kind == "LABEL":
            if before == "EXPECT":
                return random.choice(("settled", "paid_once", "one_end"))
            self.labels = self.labels or random.sample(FIELDS, len(FIELDS))
            return self.labels.pop()
        if kind in LITERALS:
            return random.choice(LITERALS[kind])
        if kind != "NAME":
            if kind == "LBRACE":
                self.labels = []
            return self.table.spelling[kind]
        if self.left.get(before):
            return self.left[before].pop(0)
        return random.choice(CHOICES.get(before) or NAMED_LIKE.get(before) or EVENTS)
