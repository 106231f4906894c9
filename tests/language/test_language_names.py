"""Names, types, clauses and imports: by expectation on the line."""

import re

import pytest

from flowc_dsl.compile import compile_program

BASE = "system S external event A key k { k: uuid  n: int } event B key k { k: uuid }\n"

CASES = {
    "names": """
type T { a: int }
enum T { X }                                // error: FLW010 "twice, first as a type"
event A { a: int }                          // error: FLW010 "`A` is declared twice"
event b { a: int }                          // error: FLW010 "differs from `B` in case alone"
type string { a: int }                      // error: FLW010 "built-in type"
service T { on A }                          // error: FLW010 "`T` is declared twice"
context K owner "x" { service P { on A } }
context K owner "y" { service Q { on A } }  // error: FLW030 "two owners"
context K { service R { on A } }
event _x { a: int }                         // error: FLW016 "`_x` begins with `_`"
""",
    "types": """
type T { a: strng }                         // error: FLW011 "unknown type `strng`"
event C { a: A }                            // error: FLW011 "`A` is an event, not a type"
event D { a: int  a: string }               // error: FLW012 "field `a` stands twice"
event E { a: int  A: string }               // error: FLW012 "in case alone"
event F { _a: int }                         // error: FLW016 "`_a` begins with `_`"
event G { a: decimal }                      // error: FLW013 "needs a precision and a scale"
event H { a: decimal(39,2) }                // error: FLW002 "precision `39` is not from 1 to 38"
event I { a: decimal(2,3) }                 // error: FLW013 "scale 3 is more than precision 2"
event J { a: list }                         // error: FLW013 "`list` needs 1 type argument"
event K { a: map<T, int> }                  // error: FLW013 "the key of a map can't be `T`"
event L { a: int<int> }                     // error: FLW013 "takes no type arguments"
event M { a: list<map<string, list<T?>>>? }
enum O { P Q P }                            // error: FLW012 "member `P` stands twice"
enum N { }                                  // error: FLW013 "has no members"
type R { s: list<Q> }                       // error: FLW011 "unknown type `Q`"
type U { v: map<string, V> }
type V { u: U? }                            // error: FLW015 "type `U` contains itself"
event W { a: string @pi }                   // error: FLW031 "knows no `@pi`"
""",
    "keys": """
event C key x { k: uuid }                   // error: FLW014 "it has no such field"
event D key k { k: list<int> }              // error: FLW014 "it is a `list`"
event E key k { k: uuid? }                  // error: FLW014 "it is optional"
event F v2 key k key k { k: uuid }          // error: FLW030 "`key` stands twice"
event G v2 { a: int upcast v2 { } }         // error: FLW017 "`upcast v2` in version 2"
event H v2 { a: int upcast v1 { b = 1 } }   // error: FLW207 "unknown field `b` in `H`"
event I v3 { a: int upcast v1 { b = 1 } upcast v2 { rename b to a } }
""",
    "services": """
service C { on A run python "a b" }         // error: FLW032 "`a b` is no Python target"
service D { on A run mock "x" }             // error: FLW032 "runs no code"
service E { on A run exec }                 // error: FLW032 "needs a command"
service F { on A run pyton "x" }            // error: FLW031 "`run` knows no `pyton`"
service G { on A replicas 0 }               // error: FLW002 "replicas `0` is not from 1 to 64"
service H { on A replicas 4 to 2 }          // error: FLW030 "end below their beginning"
service I { on A stateless store s }        // error: FLW030 "is `stateless` and has a store"
service J { on A store s store s }          // error: FLW010 "store `s` is declared twice"
service K { on A on A -> B }                // error: FLW030 "handles `A` twice without a name"
service L { on A | A }                      // error: FLW030 "`A` stands twice"
service M { on A -> B, B }                  // error: FLW030 "`B` stands twice"
service N { on A within 1s within 2s }      // error: FLW030 "`within` stands twice"
service O { on A retry 5 then prk }         // error: FLW031 "`then` knows no `prk`"
service P { on A retry 2 backoff 2s to 1s } // error: FLW030 "ends below its beginning"
service Q { on A within 0s }                // error: FLW002 "duration `0s` is not from 1ms"
service R { on A within 0.5ms }             // error: FLW002 "finer than 1 ms"
service T { every 99999999d -> B }          // error: FLW002 "not from 1ms to 36600d"
service U { on A -> B chance 101% }         // error: FLW002 "percentage `101%`"
service V { on A takes lognormal(1ms) }     // error: FLW030 "takes 2 durations, not 1"
service a { on A takes gauss(1ms) }         // error: FLW031 "`takes` knows no `gauss`"
service b { on A takes uniform(2ms, 1ms) }  // error: FLW030 "ends below its beginning"
service c { on A takes exponential(0s) }    // error: FLW030 "has a mean of more than 0"
service d { on A takes normal(1ms, 2ms) }   // error: FLW030 "would often be negative"
service e { on A takes uniform(0s, 0s) on B takes constant(0.5ms) }
service W { on A args { a: x } }            // error: FLW002 "`x` is no value"
service X { on A args { a: 1 a: 2 } }       // error: FLW012 "key `a` stands twice"
service Y { on A args { a: 9223372036854775808 } } // error: FLW002 "not from -9,223"
service Z { on A args { a: 1e999 } }        // error: FLW002 "number `1e999`"
""",
    "references": """
type T { a: int }
enum R { P Q }
event C key k { k: uuid  r: R  ts: list<T> }
library lib "l"
service X { on A store own uses lib, libb } // error: FLW207 "unknown library `libb`"
service Y { on Aa -> C }                    // error: FLW207 "unknown event `Aa`"
service Z { on T }                          // error: FLW207 "`T` is a type, not an event"
service U { on A as u -> lib }              // error: FLW207 "`lib` is a library, not an event"
service V { after 5m of A unless Cc -> B }  // error: FLW207 "unknown event `Cc`"
service W { on X uses store own, store no } // error: FLW207 "unknown store `no`"
expect e: A leads to D by k                 // error: FLW207 "unknown event `D`"
expect f: never A with C by x               // error: FLW207 "unknown field `x` in `A`"
rules { forbid X reaches Yy via store }     // error: FLW207 "`Yy`"
rules { allow FLW201 on Nobody because "" } // error: FLW207 "unknown name `Nobody`"
rules { limit fanout 5 }                    // error: FLW031 "`limit` knows no `fanout`"
rules { allow FLW201 on A because "x" until 2027-02-30 } // error: FLW002 "no date"
scenario s { check e, g }                   // error: FLW207 "unknown expectation `g`"
scenario t { crash Xx }                     // error: FLW207 "unknown service `Xx`"
test "1" { given C { rr: P } }              // error: FLW207 "unknown field `rr` in `C`"
test "2" { given C { r: PP } }              // error: FLW207 "unknown enum member `PP` in `R`"
test "3" { given C { ts: [{ b: 1 }] } }     // error: FLW207 "unknown field `b` in `T`"
test "3" { given A }                        // error: FLW010 "test `3` is declared twice"
""",
    "expectations": """
event C key n { n: int  k: string }
service X { on A -> B  on B -> C }
expect a: A leads to B within 1h by k
expect b: A leads to A                      // error: FLW030 "each `A` leads to itself already"
expect c: never A with A                    // error: FLW030 "no `A` could ever happen with itself"
expect d: A leads to B | C | B              // error: FLW030 "`B` stands twice in expectation `d`"
expect e: A leads to B | C by k             // error: FLW030 "the `uuid` of `A` with the `string`"
expect f: never C with A by n
expect g: at most -1 A                      // error: FLW002 "count `-1` is not from 0"
expect h: at most 1 A by k by n             // error: FLW030 "`by` stands twice"
expect i: at most 1 A by nn                 // error: FLW207 "unknown field `nn` in `A`"
""",
    "scenarios": """
service X { on A -> B  on B }
expect e: A leads to B
scenario a { load A 5/s for 1m load A 5/m crash X duplicate 1% check e }
scenario b { load B 5/s }                   // error: FLW030 "only what comes from outside"
scenario c { load Bb 5/s }                  // error: FLW207 "unknown event `Bb`"
scenario d { duplicate 1% duplicate 2% }    // error: FLW030 "`duplicate` stands twice"
scenario f { crash X at 1m at 2m }          // error: FLW030 "`at` stands twice in one `crash`"
scenario g { crash X every 1m for 1m }      // error: FLW030 "lasts as long as it takes to the next"
scenario h { crash X every 0s }             // error: FLW002 "duration `0s`"
scenario i { partition X at 0s for 1m check e, e } // error: FLW030 "`e` stands twice"
""",
    "values that fit": """
enum R { P Q }
type T { a: int  b: string? }
event C key k {
  k: uuid  s: string  b: bool  i: int  f: float  d: decimal(4,2)  t: timestamp  day: date
  du: duration  by: bytes  r: R  ts: list<T>  m: map<string, int>  n: map<int, R>  o: T?
}
service X { on A -> C  on C }
test "1" { given C { k: "8c0b9a52-5d0e-4a57-9f0e-0d8d3a4f2b11"  s: ""  b: true  i: -1  f: 1e3 } }
test "2" { given C { d: 12.50  t: "2026-01-31T12:00:00+01:00"  day: 2026-01-31  du: 1.5s } }
test "3" { given C { f: 1  d: "-12.5"  day: "2026-01-31"  du: "1h30m"  by: "aGk="  r: P } }
test "4" { given C { d: 99.990  r: "Q"  ts: [{ a: 1 b: null }, { }]  m: { "x y": 1 }  o: null } }
test "5" { given C { n: { "1": P }  o: { b: "x" } } stub X -> C { i: 1 } never C { b: false } }
""",
    "values that do not fit": """
enum R { P Q }
type T { a: int }
event C key k {
  k: uuid  s: string  b: bool  i: int  d: decimal(4,2)  t: timestamp  day: date
  du: duration  by: bytes  r: R  ts: list<T>  m: map<uuid, int>
}
service X { on A -> B  on B -> C  on C }
service Y { on A as y }
test "01" { given C { k: "8c0b9a52" } }     // error: FLW018 "`\"8c0b9a52\"` does not fit field `k`"
test "02" { given C { s: 1 } }              // error: FLW018 "which is a `string`"
test "03" { given C { b: yes } }            // error: FLW018 "which is a `bool`"
test "04" { given C { i: "1" } }            // error: FLW018 "which is an `int`"
test "05" { given C { i: 1.5 } }            // error: FLW018 "`1.5` does not fit field `i`"
test "06" { given C { i: 9223372036854775808 } } // error: FLW002 "not from -9,223"
test "07" { given C { d: 123.4 } }          // error: FLW018 "which is a `decimal(4,2)`"
test "08" { given C { d: 1.234 } }          // error: FLW018 "`1.234` does not fit"
test "09" { given C { t: "2026-01-31T12:00:00" } } // error: FLW018 "which is a `timestamp`"
test "10" { given C { day: 1 } }            // error: FLW018 "which is a `date`"
test "11" { given C { day: 2026-02-30 } }   // error: FLW002 "is no date"
test "12" { given C { du: 5 } }             // error: FLW018 "which is a `duration`"
test "13" { given C { by: "a" } }           // error: FLW018 "which is a `bytes`"
test "14" { given C { r: 1 } }              // error: FLW018 "which is a `R`"
test "15" { given C { ts: { a: 1 } } }      // error: FLW018 "which is a `list<T>`"
test "16" { given C { ts: [1] } }           // error: FLW018 "which is a `T`"
test "17" { given C { m: { x: 1 } } }       // error: FLW018 "field `m`, which is a `uuid`"
test "18" { given C { m: [1] } }            // error: FLW018 "which is a `map<uuid, int>`"
test "19" { given C { s: null } }           // error: FLW018 "`null` does not fit"
test "20" { given C { s: "" s: "" } }       // error: FLW012 "key `s` stands twice"
test "21" { then C { ts: [{ a: true }] } }  // error: FLW018 "`true` does not fit field `a`"
test "22" { stub X -> A }                   // error: FLW030 "service `X` does not emit `A`"
test "23" { stub Y -> B }                   // error: FLW030 "service `Y` does not emit `B`"
test "24" { stub Z -> B }                   // error: FLW207 "unknown service `Z`"
test "25" { then Bb within 5s }             // error: FLW207 "unknown event `Bb`"
""",
}


@pytest.mark.parametrize("name", CASES)
def test_each_fault_is_on_its_line_and_no_other_is_reported(name):
    text = BASE + CASES[name]
    wanted = []
    for number, line in enumerate(text.splitlines(), 1):
        wanted += [(number, *m) for m in re.findall(r'// error: (FLW\d+) "(.*)"', line)]
    compiled = compile_program({"m": text}, "m")
    found = [
        (compiled.sources["m"].position(d.primary.span.start).line, d.code, d.message)
        for d in compiled.diagnostics
    ]
    assert [f[:2] for f in found] == [w[:2] for w in wanted]
    for (_, _, message), (_, _, words) in zip(found, wanted, strict=True):
        assert words in message


def codes(files: dict[str, str | bytes], main: str = "main.flow") -> list[str]:
    return [d.code for d in compile_program(files, main).diagnostics]


def test_imports_are_relative_to_their_file_and_stay_inside():
    files = {
        "main.flow": 'system S import "a/b.flow" import "a/../a/c.flow"',
        "a/b.flow": 'import "c.flow" import "../d.flow"',
        "a/c.flow": "type T { a: int }",
        "d.flow": "system S event E { t: T }",
        "unused.flow": "nonsense",
    }
    compiled = compile_program(files, "main.flow")
    assert compiled.diagnostics == ()
    assert list(compiled.trees) == ["main.flow", "a/b.flow", "a/c.flow", "d.flow"]
    assert compiled.system.events["E"].fields[0].type.name == "T"


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("/x.flow", "FLW021"),
        ("C:/x.flow", "FLW021"),
        ("..\\\\x.flow", "FLW020"),
        ("../x.flow", "FLW021"),
        ("a/../../x.flow", "FLW021"),
        ("x.flow", "FLW020"),
        ("", "FLW020"),
        ("main.flow", "FLW022"),
    ],
)
def test_an_import_that_can_not_be(target, code):
    assert codes({"main.flow": f'system S import "{target}"'}) == [code]


def test_an_import_cycle_is_reported_once_with_its_way():
    files = {
        "main.flow": 'system S import "a.flow"',
        "a.flow": 'import "b.flow"',
        "b.flow": 'import "a.flow"',
    }
    (found,) = compile_program(files, "main.flow").diagnostics
    assert found.code == "FLW022"
    assert found.witness == ("a.flow", "b.flow", "a.flow")
    assert found.primary.span.path == "b.flow"


def test_systems():
    assert codes({"main.flow": ""}) == ["FLW007"]
    assert codes({"main.flow": "type T { a: int }"}) == ["FLW007"]
    assert codes({"main.flow": "system S system T"}) == ["FLW030"]
    files = {"main.flow": 'system S import "a.flow"', "a.flow": "system T"}
    assert codes(files) == ["FLW023"]
    assert codes({}) == ["FLW020"]


def test_one_name_over_all_files():
    files = {"main.flow": 'system S import "a.flow" event A { }', "a.flow": "type A { a: int }"}
    (found,) = compile_program(files, "main.flow").diagnostics
    assert found.code == "FLW010"
    assert {found.primary.span.path, found.related[0].span.path} == set(files)


def test_a_failure_of_ours_is_a_diagnostic(monkeypatch):
    from flowc_dsl import compile as driver

    def broken(work):
        work.file = "main.flow"
        raise KeyError("oops")

    monkeypatch.setattr(driver, "PASSES", (*driver.PASSES[:2], ("breaking", broken)))
    compiled = compile_program({"main.flow": "system S"}, "main.flow")
    (found,) = compiled.diagnostics
    assert found.code == "FLW999"
    assert "breaking of `main.flow`: KeyError: 'oops'" in found.message
    assert compiled.system is None
