"""Broken text: each fault where it is, with what was meant, and none that only follows."""

import re

import pytest

from flowc_dsl.compile import compile_program
from flowc_dsl.diagnostics.fixing import apply_edits
from flowc_dsl.source import Source
from flowc_dsl.syntax import parse
from flowc_dsl.syntax import tree as t

HEAD = "system S external event A key k { k: uuid } event B key k { k: uuid }\n"


def faults(text: str) -> list[tuple[str, str, str, str | None]]:
    """Code, the text at the primary place, message and help."""
    found = compile_program({"m": HEAD + text}, "m").diagnostics
    return [
        (d.code, (HEAD + text)[d.primary.span.start : d.primary.span.end], d.message, d.help)
        for d in found
    ]


@pytest.mark.parametrize(
    ("text", "code", "at", "hint"),
    [
        ("evnt C { a: int }", "FLW001", "evnt", "did you mean `event`?"),
        ("Event C { a: int }", "FLW001", "Event", "did you mean `event`?"),
        ("event { a: int }", "FLW001", "{", "a name is missing"),
        ("event C { a int }", "FLW001", "a", "a field is written `a: type`"),
        ("event C { a: int, b: int }", "FLW001", ",", "remove `,`"),
        ("event C { a: int", "FLW003", "{", "add `}`"),
        ("event C a: int }", "FLW001", "a", "`{` is missing"),
        ("event C { a: list<int }", "FLW003", "<", "add `>`"),
        ("event C { a: string?? }", "FLW001", "?", "remove `?`"),
        ("service X { on A -> }", "FLW001", "}", "a name is missing"),
        ("service X { onn A -> B }", "FLW001", "onn", "did you mean `on`?"),
        ("service X { on A => B }", "FLW002", "=>", "write `->`"),
        ("service X { on A -> B; }", "FLW002", ";",
         "leave it out: nothing has to stand between items"),
        ("service X { every 5 -> B }", "FLW001", "5", "add the unit: `5s`, or `ms`, `m`, `h`, `d`"),
        ("service X { every 5sec }", "FLW002", "5sec", None),
        ("service X { after 5m A -> B }", "FLW001", "A", "`of` is missing"),
        ("service X { stateles on A }", "FLW001", "stateles", "did you mean `stateless`?"),
        ('service X { run: python "a" }', "FLW001", ":", "remove `:`"),
        ('service X { env { A: "\\q" } }', "FLW002", "\\q", "write `\\\\` for a backslash"),
        ("rules { forbid X reach Y }", "FLW001", "reach", "did you mean `reaches`?"),
        ("expect e: A lead to B", "FLW001", "lead", "did you mean `leads`?"),
        ("expect e A leads to B", "FLW001", "e", "write `e:`"),
        ("test 'x' { given A }", "FLW002", "'x'", 'write `"x"`'),
        ("import types", "FLW001", "types", 'strings stand in quotes: `"types"`'),
        ('import "x.flow', "FLW002", '"x.flow', 'add `"` on the same line'),
        ("}", "FLW003", "}", "remove it, or add what it should close before it"),
        ("event Größe { a: int }", "FLW002", "Größe", None),
        ("event C v0 { a: int }", "FLW002", "v0", None),
        ("# about C\nevent C { a: int }", "FLW002", "#", "a comment begins with `//`"),
        ("event C { a: int } /* of\nold */", "FLW002", "/*", "a comment begins with `//`"),
        ("event C (key a) { a: int }", "FLW001", "(", "remove `(` and `)`"),
        ("event C { a: string[] }", "FLW001", "[", "a list is written `list<string>`"),
        ("event C { a?: int }", "FLW001", "a", "an optional field is written `a: type?`"),
        ("event C\nservice X { on A }", "FLW001", "service", "`{ }` is missing"),
        ("event C { a: option<int> }", "FLW013", "option<int>",
         "an optional value is written `int?`"),
        ("event C { a: array<int> }", "FLW013", "array<int>", "write `list<int>`"),
        ("event C { a: dict<int, int> }", "FLW013", "dict<int, int>", "write `map<int, int>`"),
        ("event C { a: datetime }", "FLW011", "datetime", "did you mean `timestamp`?"),
        ('service "X" { on A -> B }', "FLW001", '"X"', "a name stands without quotes"),
        ("service X { on A, B }", "FLW001", ",", "`|` stands between alternatives: `A | B`"),
        ("service X { on A or B }", "FLW001", "or", "write `|`"),
        ("service X { on A & B }", "FLW001", "}", "a join says by which key: `on A & B by KEY`"),
        ("service X { consumes A -> B }", "FLW001", "consumes", "write `on`"),
        ("service X { on A emits B }", "FLW001", "emits", "write `->`"),
        ("service X { database d on A }", "FLW001", "database", "write `store`"),
        ("topic C { a: int }", "FLW001", "topic", "write `event`"),
        ("Service X { on A }", "FLW001", "Service", "did you mean `service`?"),
        ("event Order-Placed { a: int }", "FLW002", "Order-Placed",
         'a name is written `OrderPlaced`, and a string `"Order-Placed"`'),
        ('rules { allow FLW201 on A because "x" until 1/2/2027 }', "FLW002", "1/2/2027",
         "write `2027-01-31`"),
        ("service X { on A - B }", "FLW002", "-", "an arrow is written `->`"),
        ("enum E { ONE, TWO, THREE, FOUR }", "FLW001", ",", "remove `,`"),
        ("event C { a: int, b: map<int, int>, c: int }", "FLW001", ",", "remove `,`"),
        ('enum E { "ONE" }', "FLW001", '"ONE"', "a name stands without quotes"),
        ("event C { a: { b: int } c: int }", "FLW001", "{",
         "write a `type NAME { … }` of its own, and its name here"),
        ("event C { a: int = 5  c: int }", "FLW001", "=",
         "a field has no default: make it optional (`?`), or set it in an `upcast`"),
        ('service X { run "node x.js" on A }', "FLW001", '"node x.js"',
         "say how: `run python`, `run exec`"),
        ("service X { run python a.b:C on A }", "FLW002", "a.b",
         'a name is written `b`, and a string `"a.b"`'),
        ("event C { a: uuid } key a", "FLW001", "key",
         "clauses of an event stand before its braces"),
        ("event C retain 30 days { a: uuid }", "FLW001", "30", "write `30d`"),
        ("event C rate 500 per second { a: uuid }", "FLW001", "500", "write `500/s`"),
        ("service X { on A -> B idempotent a }", "FLW001", "a", "`by` is missing"),
        ("service X { on Sales.A -> B }", "FLW002", "Sales.A",
         'a name is written `A`, and a string `"Sales.A"`'),
        ("event C { a: int =", "FLW001", "=", None),
        ("event C { a: int @PII }", "FLW031", "@PII", "did you mean `@pii`?"),
    ],
)  # fmt: skip
def test_one_mistake_is_one_fault_with_a_hint(text, code, at, hint):
    found = [f for f in faults(text) if f[0] != "FLW020"]
    assert [f[:2] for f in found] == [(code, at)]
    assert hint is None or found[0][3] == hint


def test_a_system_without_a_name_is_not_called_by_the_next_word():
    text = "system\nexternal event A key k { k: uuid }\nservice X { on A }\n"
    (found,) = compile_program({"m": text}, "m").diagnostics
    assert (found.code, found.message) == ("FLW001", "expected a name, found `external`")
    assert found.help == "name the system: `system NAME`"


def test_a_habit_is_one_fault_however_often_it_shows():
    text = "# one\n# two\nevent C { a: int; b: int; }\n"
    found = compile_program({"m": HEAD + text}, "m").diagnostics
    assert [d.message for d in found] == [
        "`#` begins no comment here and in 1 more place",
        "`;` ends nothing here and in 1 more place",
    ]
    fixed = apply_edits(found, {"m": HEAD + text}, frozenset({"unsafe"})).texts["m"]
    assert fixed == HEAD + "// one\n// two\nevent C { a: int b: int }\n"


def test_what_is_written_as_elsewhere_can_be_mended_in_rounds():
    text = "System S\nExternal Event A Key k retain 30 days { k: uuid }\nService X { On A }\n"
    for _ in range(9):
        found = compile_program({"m": text}, "m").diagnostics
        text = apply_edits(found, {"m": text}, frozenset({"unsafe"})).texts.get("m", text)
    assert text == "system S\nexternal event A key k retain 30d { k: uuid }\nservice X { on A }\n"


def test_comments_that_never_end_and_a_file_of_ends_are_read():
    for text in ("/*" * 100_000, ";" * 200_000, "#\n" * 100_000, "(" * 100_000):
        assert parse(Source("m", text)).faults


def test_a_missing_brace_is_reported_where_it_was_opened():
    text = "context K {\n  service X { on A -> B\n  service Y { on B }\n}\nevent C { a: int }"
    assert faults(text) == [("FLW003", "{", "`{` is never closed", "add `}`")]
    tree = parse(Source("m", text))
    assert [type(item).__name__ for item in tree.items] == ["Context", "Event"]
    assert [member.name.text for member in tree.items[0].members] == ["X", "Y"]


SEVERAL = """
event C { a: int  b }                // error: FLW001 "`b`"
service X {
  run python python                  // error: FLW001 "expected"
  on A -> B retry five               // error: FLW001 "a number"
  on B ->                            // ok
}                                    // error: FLW001 "a name"
enum { P Q }                         // error: FLW001 "a name"
service Y { on A -> C reads }        // error: FLW001 "a name"
rules { limit fan_out many }         // error: FLW001 "a number"
scenario s { crash }                 // error: FLW001 "a name"
wobble wobble { a b c }              // error: FLW001 "a declaration"
service Z { on A }
"""


def test_several_faults_in_one_run_each_on_its_line():
    source = Source("m", SEVERAL)
    wanted = {}
    for number, line in enumerate(SEVERAL.splitlines(), 1):
        if match := re.search(r'// error: (FLW\d+) "(.*)"', line):
            wanted[number] = (match[1], match[2])
    tree = parse(source)
    found = [fault.diagnostic() for fault in tree.faults]
    lines = [source.position(d.primary.span.start).line for d in found]
    assert lines == list(wanted)
    for diagnostic, (code, words) in zip(found, wanted.values(), strict=True):
        assert diagnostic.code == code
        assert words in diagnostic.message
    assert isinstance(tree.items[-1], t.Service)
    assert tree.items[-1].name.text == "Z"


def test_what_follows_from_broken_text_is_not_reported():
    assert [f[0] for f in faults("evnt C { a: Missing } service X { on D -> E uses f }")] == [
        "FLW001"
    ]


def test_positions_count_code_points():
    text = "system S // ✈ 🛫\r\nevent A { é: int }\n"
    compiled = compile_program({"m": text}, "m")
    (found,) = [d for d in compiled.diagnostics if d.code == "FLW002"]
    place = compiled.sources["m"].position(found.primary.span.start)
    assert (place.line, place.column) == (2, 11)


def test_faults_are_bounded():
    found = compile_program({"m": "% " * 5_000}, "m").diagnostics
    assert 0 < len(found) <= 25
    many = "system S event A {" + "a: int " * 3_000 + "}"
    diagnostics = compile_program({"m": many}, "m").diagnostics
    assert diagnostics[0].code == "FLW009"
    assert len(diagnostics) == 1_001


def test_nesting_is_bounded():
    deep = "system S service X { args { a: " + "[" * 50_000 + " } }"
    assert "FLW004" in [d.code for d in compile_program({"m": deep}, "m").diagnostics]
    types = "system S event A { a: " + "list<" * 40 + "int" + ">" * 40 + " }"
    assert [d.code for d in compile_program({"m": types}, "m").diagnostics] == ["FLW004"]
