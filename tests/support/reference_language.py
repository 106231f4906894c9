"""The prose and the examples of the language reference, by the grammar rule that they begin at.

A rule of `flow.lark` that is not named here is shown under the one before it, so a new clause gets
into the reference by itself; a new construct deserves words and an example of its own.
"""

from __future__ import annotations

from typing import Final, NamedTuple

CHAPTERS: Final = {
    "": "Files and shared declarations",
    "events": "Events and commands",
    "services": "Contexts and services",
    "handlers": "Handlers",
    "properties, rules, scenarios, tests": "Properties, laws, scenarios and tests",
    "literals": "Literals",
}  # by the heading of a section of the grammar; any other is its own title


class Construct(NamedTuple):
    """`example` is the text behind `system Example`; it is checked without an error."""

    title: str
    prose: str
    example: str


CONSTRUCTS: Final = {
    "start": Construct(
        "Program",
        "A program is a main file and what it imports, directly or not. Its declarations may "
        "stand in any order. `//` begins a comment; `///` begins documentation of what follows.",
        "// nothing else is required",
    ),
    "system": Construct(
        "`system`",
        "Names the system. The main file needs it; an imported file names the same system or none.",
        "",
    ),
    "import": Construct(
        "`import`",
        "Takes in another file, by a path relative to this one. Names live in one namespace "
        "over all files; a path that is absolute, or leaves the project's folder, is an error.",
        "",
    ),
    "library": Construct(
        "`library`",
        "Code that services may share, which they say with `uses`.",
        'library pricing "libs/pricing"\n'
        "external event CheckoutSubmitted key cart { cart: uuid }\n"
        "service Orders { run mock  uses pricing  on CheckoutSubmitted }",
    ),
    "enum": Construct(
        "`enum`",
        "One of several words.",
        "enum Reason { DECLINED OUT_OF_STOCK EXPIRED }\n"
        "external event PaymentFailed key id { id: uuid  reason: Reason }\n"
        "service Desk { run mock  on PaymentFailed }",
    ),
    "struct": Construct(
        "`type`",
        "A value of several fields, inside of events. A type has a field, and does not contain "
        "itself.",
        "type Line { sku: string  qty: int }\n"
        "external event CartFilled key cart { cart: uuid  lines: list<Line> }\n"
        "service Desk { run mock  on CartFilled }",
    ),
    "event": Construct(
        "`event` and `command`",
        "An event has one emitter and any number of readers; a command has any number of "
        "senders and one handler. `external` comes from outside, `exported` is read outside, "
        "and `internal` stays in its context. Events with one `key` are handled in order; "
        "`retain` says how long an event is kept, and `rate` how many of an external one there "
        "are.",
        "/// A customer has committed to an order.\n"
        "external event OrderPlaced key order_id retain 30d rate 20/s { order_id: uuid }\n"
        "command BookParcel key order_id { order_id: uuid }\n"
        "exported event ParcelBooked key order_id { order_id: uuid }\n"
        "service Desk { run mock  on OrderPlaced -> BookParcel }\n"
        "service Depot { run mock  on BookParcel -> ParcelBooked }",
    ),
    "field": Construct(
        "Fields and types",
        "Scalars are `string`, `bool`, `int` (64 bits, signed), `float`, `decimal(p,s)`, "
        "`uuid`, `timestamp`, `date`, `duration` and `bytes`; besides there are `list<T>`, "
        "`map<K, V>`, types and enums. `?` makes any of them optional. `@pii` marks what is "
        "about a person, and `@deprecated` what should no longer be read.",
        "external event OrderPlaced key order_id {\n"
        "  order_id: uuid\n  customer: string @pii\n  total: decimal(12,2)\n  coupon: string?\n"
        "  tags: list<string>\n  notes: map<string, string>\n}\n"
        "service Desk { run mock  on OrderPlaced }",
    ),
    "upcast": Construct(
        "`upcast`",
        "How an event of an older version is read as one of the next: fields that get a value, and "
        "fields that have another name now.",
        "external event OrderPlaced v2 key id {\n  id: uuid\n  total: int\n  coupon: string?\n"
        "  upcast v1 { coupon = null  rename amount to total }\n}\n"
        "service Desk { run mock  on OrderPlaced }",
    ),
    "context": Construct(
        "`context`",
        "A part of the system with an owner. What is `internal` stays in it, and what it "
        "declares is emitted by its own services. A context may be opened again elsewhere.",
        'context Sales owner "team-sales" {\n'
        "  external event CheckoutSubmitted key cart { cart: uuid }\n"
        "  service Orders { run mock  on CheckoutSubmitted }\n}",
    ),
    "service": Construct(
        "`service`",
        "Handlers, and what they need: code to `run`, `replicas`, stores that belong to it alone, "
        "libraries that it `uses`, values for its code (`args`, `env`). A `stateless` service "
        "remembers nothing from one event to the next. `sees pii` lets it read what is `@pii`.",
        "external event OrderPlaced key id { id: uuid }\n"
        'service Orders owner "team-sales" {\n'
        '  run python "services.orders:Orders"\n  replicas 1 to 4\n'
        "  store orders_db engine sqlite per partition\n  args { limit: 3 }\n  on OrderPlaced\n}",
    ),
    "run": Construct(
        "`run`",
        'A Python class or module, another program (`run exec "COMMAND"`), or `run mock`, which '
        "emits what the handlers declare without any code.",
        "external event OrderPlaced key id { id: uuid }\n"
        'service Stock { run exec "node services/stock.js" speaks jsonl  on OrderPlaced }',
    ),
    "on": Construct(
        "`on`",
        "Reads events: one at a time of several (`A | B`), or several of one key together "
        "(`A & B by k`).",
        "external event OrderPlaced key id { id: uuid }\n"
        "external event PaymentTaken key id { id: uuid }\n"
        "exported event ParcelSent key id { id: uuid }\n"
        "service Parcels { run mock  on OrderPlaced & PaymentTaken by id -> ParcelSent }",
    ),
    "every": Construct(
        "`every`",
        "A timer: it emits by itself, each time that the duration is over.",
        "event DayClosed { at: timestamp }\n"
        "service Clock { run mock  every 1d -> DayClosed }\n"
        "service Books { run mock  on DayClosed }",
    ),
    "after": Construct(
        "`after`",
        "A deadline: it is due some time after an event, unless one of others came with the "
        "same key.",
        "external event OrderPlaced key id { id: uuid }\n"
        "external event MoneyReceived key id { id: uuid }\n"
        "exported event OrderPaid key id { id: uuid }\n"
        "exported event OrderExpired key id { id: uuid }\n"
        "service Payments {\n  run mock\n  on MoneyReceived -> OrderPaid\n"
        "  after 15m of OrderPlaced unless OrderPaid -> OrderExpired\n}",
    ),
    "emits": Construct(
        "Outputs",
        "`A | B` emits exactly one of them, `A, B` all, `A?` at most one, `A*` any number; "
        "`chance` says how often, for what is predicted. A handler without `->` emits nothing.",
        "external event OrderPlaced key id { id: uuid }\n"
        "exported event OrderTaken key id { id: uuid }\n"
        "exported event OrderRefused key id { id: uuid }\n"
        "exported event FraudSuspected key id { id: uuid }\n"
        "service Orders {\n  run mock\n"
        "  on OrderPlaced -> OrderTaken | OrderRefused chance 2%, FraudSuspected?\n}",
    ),
    "alias": Construct(
        "Clauses of a handler",
        "`as` names the function that handles it. `reads` lists the fields that it depends on. "
        "`ordered by` and `idempotent by` name fields of the event. `within` is the time it "
        "has, `retry … backoff … to … then park|drop|halt` what happens when it fails, `replay "
        "skip|safe` what happens when the past is handled again. `delivery latest` opts out of "
        "catching up; `takes` is how long it works, for what is predicted.",
        "external event OrderPlaced key id { id: uuid  total: int }\n"
        'service Payments owner "team-pay" {\n  run mock\n'
        "  on OrderPlaced as charge  reads id, total  ordered by id  idempotent by id  within 10s\n"
        "    retry 5 backoff 100ms to 2s then park  replay skip\n}",
    ),
    "expect": Construct(
        "`expect`",
        "A property of every run: one event leads to another, one happens at most so often, or two "
        "never happen together, by a key.",
        "external event OrderPlaced key id { id: uuid }\n"
        "exported event OrderShipped key id { id: uuid }\n"
        "service Shipping { run mock  on OrderPlaced -> OrderShipped }\n"
        "expect settled: OrderPlaced leads to OrderShipped within 1h by id\n"
        "expect once: at most 1 OrderShipped by id",
    ),
    "rules": Construct(
        "`rules`",
        "Laws of your own over the graph: `forbid` and `require` a path, `limit` a measure "
        "(`fan_out`, `depth`, `exchange`). `allow` takes away the findings of a rule about one "
        "name, for a reason, and until a day if there is one.",
        "context Sales {\n  external event OrderPlaced key id { id: uuid }\n"
        "  service Orders { run mock  on OrderPlaced -> OrderTaken }\n}\n"
        "event OrderTaken key id { id: uuid }\n"
        "context Depot { service Stock { run mock  on OrderTaken } }\n"
        "rules { require Sales reaches Depot  forbid Depot reaches Sales  limit fan_out 5 }",
    ),
    "scenario": Construct(
        "`scenario`",
        "What a simulation puts the system through: load, crashes, partitions and duplicates, "
        "and the expectations that have to hold meanwhile.",
        "external event OrderPlaced key id { id: uuid }\n"
        "service Orders { run mock  on OrderPlaced }\n"
        "expect once: at most 1 OrderPlaced by id\n"
        "scenario black_friday {\n  load OrderPlaced 200/s for 10m\n"
        "  crash Orders every 3m for 30s\n  duplicate 1%\n  check once\n}",
    ),
    "test": Construct(
        "`test`",
        "What follows from given events: `then` has to happen, `never` must not, and `stub` "
        "answers for a service.",
        "external event OrderPlaced key id { id: uuid }\n"
        "exported event OrderShipped key id { id: uuid }\n"
        "service Shipping { run mock  on OrderPlaced -> OrderShipped }\n"
        'test "an order is shipped" {\n'
        '  given OrderPlaced { id: "8c0b9a52-5d0e-4a57-9f0e-0d8d3a4f2b11" }\n'
        "  then OrderShipped within 5s\n}",
    ),
    "_value": Construct(
        "Values",
        "JSON's, with bare names of fields in objects and members of enums as bare words; besides "
        "durations (`1.5s`), rates (`200/s`), percentages (`2%`) and dates (`2027-01-31`).",
        "external event OrderPlaced key id { id: uuid }\n"
        "service Orders {\n  run mock\n"
        '  args { name: "x"  sizes: [1, 2.5]  pause: 1.5s  since: 2027-01-31 }\n'
        "  on OrderPlaced\n}",
    ),
    "label": Construct(
        "Names",
        "A keyword is a name wherever only a name can stand: a field may be called `at` or "
        "`key`. A word before `:` is always a label.",
        "external event ReadingTaken key key { key: uuid  at: timestamp  on: bool }\n"
        "service Gauges { run mock  on ReadingTaken }",
    ),
}
