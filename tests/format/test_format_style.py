"""What the canonical layout looks like."""

from textwrap import dedent

import pytest

from flowc_dsl.format.doc import Hard, Line, Nest, group, render, row
from flowc_dsl.format.formatter import BrokenTextError, format_text


def formatted(text):
    return format_text(dedent(text).lstrip("\n"))


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("", ""),
        ("  \n\n", ""),
        ("// only this", "// only this\n"),
        ("system   Shop", "system Shop\n"),
        ("event A{}", "event A {}\n"),
        ("event A {x:int y : string ? @pii}", "event A { x: int  y: string? @pii }\n"),
        ("event A {x: decimal ( 12 , 2 )}", "event A { x: decimal(12,2) }\n"),
        (
            "event A {x: map<string,list < int >>?}",
            "event A { x: map<string, list<int>>? }\n",
        ),
        ("enum E{ A  B }", "enum E { A B }\n"),
        ("event A { upcast v1 {a=1 rename b to c} }",
         "event A { upcast v1 { a = 1  rename b to c } }\n"),
        ("service S { run mock on A|B->C ,D ?  as n within 5s }",
         "service S { run mock  on A | B -> C, D? as n  within 5s }\n"),
        ("service S { args {a:1,b:[1,2],} }", "service S { args { a: 1 b: [1, 2] } }\n"),
        ("service S { on A takes lognormal ( 1s,2s ) }",
         "service S { on A  takes lognormal(1s, 2s) }\n"),
        ("service S { after 5m of A unless B|C -> D }",
         "service S { after 5m of A unless B | C -> D }\n"),
        ("expect e : A leads to B|C within 1h by k", "expect e: A leads to B | C within 1h by k\n"),
        ("service S{\nrun mock}", "service S {\n  run mock\n}\n"),
        ("context C { service S { run mock } }", "context C {\n  service S { run mock }\n}\n"),
    ],
)  # fmt: skip
def test_one_line(written, canonical):
    assert format_text(written) == canonical


def test_what_is_too_long_breaks_at_its_clauses():
    text = """
    service Stock {
      on OrderPlaced -> StockReserved | StockRefused
      within 10s retry 5 backoff 100ms to 2s then drop reads order_id
      on OrderPlaced ->
      SomethingWithALongNameHappened | SomethingElseHappened | NothingHappenedAtAll | ThatIsAll
    }
    """
    assert formatted(text) == dedent("""\
    service Stock {
      on OrderPlaced -> StockReserved | StockRefused
        within 10s
        retry 5 backoff 100ms to 2s then drop
        reads order_id
      on OrderPlaced
        -> SomethingWithALongNameHappened | SomethingElseHappened | NothingHappenedAtAll | ThatIsAll
    }
    """)


def test_a_block_that_is_too_long_gets_lines():
    fields = "  ".join(f"field_number_{i}: string" for i in range(5))
    lines = "".join(f"  field_number_{i}: string\n" for i in range(5))
    assert format_text(f"event A {{ {fields} }}") == f"event A {{\n{lines}}}\n"


def test_a_literal_breaks_inside():
    text = """
    test "t" { given A {
    ids: ["8c0b9a52-5d0e-4a57-9f0e-0d8d3a4f2b11", "8c0b9a52-5d0e-4a57-9f0e-0d8d3a4f2b12"] } then B {
     x: 1 } within 5s }
    """
    assert formatted(text) == dedent("""\
    test "t" {
      given A {
        ids: ["8c0b9a52-5d0e-4a57-9f0e-0d8d3a4f2b11", "8c0b9a52-5d0e-4a57-9f0e-0d8d3a4f2b12"]
      }
      then B {
        x: 1
      } within 5s
    }
    """)


def test_empty_lines():
    text = """


    system S
    event A { x: int }
    event B { x: int }



    event C { x: int }
    event D {
      x: int


      y: int

    }
    // about E
    event E { x: int }
    // apart

    // about F
    event F {
      x: int
    }
    """
    assert formatted(text) == dedent("""\
    system S
    event A { x: int }
    event B { x: int }

    event C { x: int }

    event D {
      x: int

      y: int
    }

    // about E
    event E { x: int }
    // apart

    // about F
    event F {
      x: int
    }
    """)


def test_comments_stay_where_they_are():
    text = """
    system S // the name
    /// Documented.
    event A { // after the brace
        // above x
        x: int // behind x
        // at the end
    }
    service T {
      on A // why A
        | B
        -> C // why C
      // above the timer
      every 5s -> D   // behind it
    }
    // the end
    """
    assert formatted(text) == dedent("""\
    system S  // the name

    /// Documented.
    event A {  // after the brace
      // above x
      x: int  // behind x
      // at the end
    }

    service T {
      on A  // why A
        | B
        -> C  // why C
      // above the timer
      every 5s -> D  // behind it
    }
    // the end
    """)


def test_line_ends_become_newlines():
    assert format_text("system S\r\n\r\nevent A {\r\n x: int // c\r\n}\r\n") == (
        "system S\n\nevent A {\n  x: int  // c\n}\n"
    )


@pytest.mark.parametrize("text", ["event A {", "event A { x: }", 'import "a', "\x00", "event é {}"])
def test_a_broken_text_is_refused(text):
    with pytest.raises(BrokenTextError) as caught:
        format_text(text)
    assert caught.value.tree.faults


def test_groups_break_only_where_they_must():
    inner = group("f(", Nest(row([Line(""), "x,", Line(), "y"])), Line(""), ")")
    outer = group("let a =", Nest(row([Line(), inner])))
    assert render(outer, width=40) == "let a = f(x, y)"
    assert render(outer, width=12) == "let a =\n  f(x, y)"
    assert render(outer, width=8) == "let a =\n  f(\n    x,\n    y\n  )"
    assert render(group("a", Hard(), "b", Line(), "c")) == "a\nb\nc"
