"""Laws of comparing: nothing changed is nothing said, each change is seen, and what is called safe
the engine takes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flowc_dsl.compile import compile_program
from flowc_dsl.evolution.change import OUTSIDE, STORED, Change, Verdict
from flowc_dsl.evolution.compare import compare
from flowc_dsl.lifting import Stored, Unliftable, plan_lift
from flowc_dsl.model import System
from flowc_dsl.planning import make_plan
from support.generate import generate

TYPES = ["string", "int", "float", "decimal(10,2)", "uuid", "list<int>", "Line", "Reason"]
HEAD = "system Shop\nenum Reason { A B }\ntype Line { sku: string  qty: int? }\n"


def system_of(text: str) -> System:
    compiled = compile_program({"main.flow": text}, "main.flow")
    assert compiled.system is not None
    assert not [d for d in compiled.diagnostics if d.level == "error"], text
    return compiled.system


def changes(old: str, new: str) -> tuple[Change, ...]:
    return compare(system_of(HEAD + old), system_of(HEAD + new))


# ---- generated events


@st.composite
def fields(draw: st.DrawFn) -> dict[str, str]:
    names = draw(st.lists(st.sampled_from("abcdefg"), unique=True, max_size=5))
    return {n: draw(st.sampled_from(TYPES)) + draw(st.sampled_from(["", "?"])) for n in names}


def event(own: dict[str, str], version: int, upcast: str, scope: str) -> str:
    shown = "  ".join(f"{name}: {kind}" for name, kind in own.items())
    return f"{scope}event Placed v{version} key id {{ id: uuid  {shown}  {upcast} }}\n"


scopes = st.sampled_from(["", "external ", "exported "])
READERS = st.sampled_from(
    ["service R { on Placed }\n", "service R { on Placed reads id }\n",
     "service R { on Placed reads id }\nservice S { on Placed }\n", ""]
)  # fmt: skip


@given(fields(), scopes, READERS)
def test_a_system_against_itself(own, scope, readers):
    text = event(own, 1, "", scope) + readers
    assert changes(text, text) == ()


def test_large_systems_against_themselves():
    files = generate(60, files=4, seed=3)
    compiled = compile_program(files, "main.flow").system
    assert compare(compiled, compiled) == ()


@given(fields(), fields(), scopes, READERS, st.booleans())
def test_each_change_is_seen_and_what_is_safe_can_be_lifted(old, new, scope, readers, bump):
    upcast = "upcast v1 { }" if bump else ""
    before = event(old, 1, "", scope) + readers
    after = event(new, 1 + bump, upcast, scope) + readers
    found = changes(before, after)
    said = {c.part for c in found if c.part}
    for name in old.keys() | new.keys():
        if old.get(name) != new.get(name):
            assert name in said, (name, found)
    plans = [make_plan(system_of(HEAD + text)) for text in (before, after)]
    lift = plan_lift(*(Stored(plan, plan.event("Placed")) for plan in plans))
    if not any(c.breaks for c in found):
        assert not isinstance(lift, Unliftable), "called safe, and the engine refuses it"
    if isinstance(lift, Unliftable):
        assert any(c.breaks for c in found)


# ---- who is affected, one change at a time


def only(old: str, new: str) -> Change:
    (found,) = [c for c in changes(old, new) if c.breaks]
    return found


OLD = "event Placed key id { id: uuid  note: string  n: int }\n"
GONE = "event Placed v2 key id { id: uuid  n: int  upcast v1 { } }\n"


def test_a_removed_field_that_nobody_reads_is_safe():
    readers = "service A { on Placed reads n }\nservice B { on Placed reads id }\n"
    found = changes(OLD + readers, GONE + readers)
    assert not any(c.breaks for c in found)


def test_a_removed_field_that_one_service_reads_names_it_and_its_team():
    old = 'context Care owner "team-care" { service A { on Placed reads note } }\n'
    new = 'context Care owner "team-care" { service A { on Placed } }\nservice B { on Placed }\n'
    found = only(OLD + old, GONE + new)
    (one,) = found.affected
    assert (found.code, found.verdict, one.who) == ("FLW401", Verdict.BREAKS, "A")
    assert (one.owner, one.context, one.path) == ("team-care", "Care", ("Placed", "A.on Placed"))
    assert "says no `reads`" in one.how


def test_a_rename_by_upcast_breaks_who_reads_the_old_name_and_lifts_what_is_stored():
    lifted = "upcast v1 { rename note to text }"
    new = f"event Placed v2 key id {{ id: uuid  n: int  text: string  {lifted} }}\n"
    readers = "service A { on Placed reads n }\n"
    assert not any(c.breaks for c in changes(OLD + readers, new + readers))
    found = only(OLD + "service A { on Placed }\n", new + "service A { on Placed }\n")
    assert found.short == "field `note` is renamed to `text`"
    assert found.alone == "field `note` of `Placed` is renamed to `text`"


def test_wider_is_to_watch_for_readers_inside_and_breaks_those_outside():
    wide = (
        OLD.replace("n: int", "n: float")
        .replace("Placed", "Placed v2")
        .replace("}\n", "  upcast v1 { } }\n")
    )
    reader = "service A { on Placed }\n"
    (watch,) = [c for c in changes(OLD + reader, wide + reader) if c.verdict is not Verdict.SAFE]
    assert (watch.verdict, watch.code, [a.who for a in watch.affected]) == (
        Verdict.WATCH, "FLW409", ["A"],
    )  # fmt: skip
    assert watch.short == "field `n` is wider: it was int, now float, and may hold fractions"
    other = "service A { on Placed reads note }\n"
    assert {c.verdict for c in changes(OLD + other, wide + other)} == {Verdict.SAFE}
    found = only("exported " + OLD + reader, "exported " + wide + reader)
    assert [a.who for a in found.affected] == ["A", OUTSIDE]


def test_a_required_field_breaks_senders_outside_even_if_an_upcast_sets_it():
    old = "external " + OLD
    fields = "id: uuid  note: string  n: int  m: int"
    new = f"external event Placed v2 key id {{ {fields}  upcast v1 {{ m = 0 }} }}\n"
    found = only(old, new)
    assert (found.code, [a.who for a in found.affected]) == ("FLW402", [OUTSIDE])


def test_another_key_breaks_what_is_stored():
    new = "event Placed v2 key n { id: uuid  note: string  n: int  upcast v1 { } }\n"
    readers = (
        "service A { on Placed }\n"
        "service B { on Placed ordered by n store s per partition }\n"
        "service C { on Placed reads n store s per partition }\n"
        "service D { on Placed & Paid by n -> X }\n"
        "service E { on Placed reads n replicas 2 }\n"
        "external event Paid key n { n: int }\nevent X { }\n"
    )
    found = only(OLD + readers, new + readers)
    assert (found.verdict, found.code) == (Verdict.BREAKS, "FLW401")
    assert found.short == "the key of `Placed` was `id`, and is `n`"
    assert "order per key, joins and state by partition don't hold" in found.why
    assert [str(a) for a in found.affected if a.who != STORED] == [
        "A reads it in order per key in `A.on Placed`",
        "B is ordered by `n` in `B.on Placed`",
        "C has a store per partition, and reads it in `C.on Placed`",
        "D joins by `n` in `D.on Placed & Paid`",
        "E shares its partitions among replicas, and reads it in `E.on Placed`",
    ]


def test_a_key_that_changes_with_the_fields_and_without_a_version_is_said_too():
    new = "event Placed key n { id: uuid  n: int }\n"
    found = [(c.code, c.part) for c in changes(OLD, new) if c.breaks]
    assert found == [("FLW403", ""), ("FLW401", "n")]
    for was, now, what in (
        ("event P { a: int }", "event P key a { a: int }", "`P` had no key, and has `a`"),
        ("event P key a { a: int }", "event P { a: int }", "`P` had the key `a`, and has none"),
    ):
        assert only(was, now).what == what


def test_the_block_to_write_is_said():
    new = "event Placed v2 key id { id: uuid  note: string  n: int  why: Reason  upcast v1 { } }\n"
    found = only(OLD, new)
    assert (found.verdict, found.code) == (Verdict.LIFT, "FLW402")
    assert "upcast v1 { why = … }" in found.help


def test_each_field_that_stops_the_lift_is_said_with_one_block_for_all():
    own = "id: uuid  note: string  n: int  n1: int  n2: string  n3: list<Line>"
    new = f"event Placed v2 key id {{ {own}  upcast v1 {{ }} }}\n"
    found = [c for c in changes(OLD, new) if c.breaks]
    assert [(c.part, c.verdict, c.code) for c in found] == [
        (name, Verdict.LIFT, "FLW402") for name in ("n1", "n2", "n3")
    ]
    assert {c.help for c in found} == {"write `upcast v1 { n1 = …  n2 = …  n3 = … }`"}


def test_all_new_fields_of_a_nested_type_are_named():
    old = system_of(HEAD + "event P { l: list<Line>  m: Line? }\n")
    wide = HEAD.replace("qty: int?", "qty: int?  tax: int  vat: int")
    new = system_of(wide + "event P v2 { l: list<Line>  m: Line?  upcast v1 { } }\n")
    found = [c for c in compare(old, new) if c.breaks]
    assert [c.part for c in found] == ["l", "m"]
    assert all("whose new fields tax, vat are not optional" in c.why for c in found)


def test_a_rename_is_a_guess_and_said_as_one():
    new = "event Placed v2 key id { id: uuid  n: int  text: string  upcast v1 { } }\n"
    (found,) = [c for c in changes(OLD, new) if c.breaks]
    assert found.help == (
        "write `upcast v1 { rename note to text }` if `note` became `text`, else `text = …`"
    )


def test_a_step_that_can_not_be_done_is_said_with_what_else_is_missing():
    own = "id: uuid  note: string  n: int  m: int  o: int"
    new = f"event Placed v2 key id {{ {own}  upcast v1 {{ rename zz to m }} }}\n"
    found = [(c.code, c.part) for c in changes(OLD, new) if c.breaks]
    assert sorted(found) == [("FLW402", "o"), ("FLW403", "zz")]


# ---- what an upcast loses


def lost(old: str, new: str) -> list[str]:
    return [c.part for c in changes(old, new) if c.code == "FLW408"]


def test_a_constant_over_what_is_stored_loses_it():
    new = "event Placed v2 key id { id: uuid  note: string  n: int  upcast v1 { n = 0 } }\n"
    found = [c for c in changes(OLD, new) if c.code]
    assert [(c.code, c.verdict, c.part) for c in found] == [("FLW408", Verdict.WATCH, "n")]
    assert found[0].why == "v1 has `n`, and an upcast sets it to 0"
    kept = new.replace("n: int", "n: int  was: int").replace("n = 0", "rename n to was  n = 0")
    assert lost(OLD, kept) == []
    over = "event P v2 { a: int  b: int  upcast v1 { rename a to b  a = 0 } }\n"
    assert lost("event P { a: int  b: int }\n", over) == ["b"]


def test_a_constant_beside_what_nothing_carries_on_may_lose_it():
    new = "event Placed v2 key id { id: uuid  note: string  m: int  upcast v1 { m = 0 } }\n"
    assert lost(OLD, new) == ["m"]
    assert lost(OLD, new.replace("m: int", "m: float")) == []
    assert lost(OLD, new.replace("m = 0", "rename n to m")) == []
    assert lost(OLD, new.replace("m: int", "n: int  m: int")) == []


# ---- what is to watch


def watched(old: str, new: str) -> list[str]:
    assert not any(c.breaks for c in changes(old, new))
    return [f"{c.short}: {c.why}" for c in changes(old, new) if c.verdict is Verdict.WATCH]


ALL = "event Placed key id { id: uuid }\n"


def test_a_member_that_readers_don_t_know():
    old = system_of(HEAD + "event P { r: list<Reason> }\nservice A { on P }\n")
    new = system_of(HEAD.replace("A B }", "A B C }") + "event P { r: list<Reason> }\n"
                    "service A { on P }\n")  # fmt: skip
    (found,) = compare(old, new)
    assert (found.verdict, found.short) == (
        Verdict.WATCH, "field `r` is wider: it may hold `C`",
    )  # fmt: skip


def test_readers_that_leave_are_worth_knowing_where_nobody_is_left():
    one, two = "service A { on Placed }\n", "service B { on Placed }\n"
    assert watched(ALL + one + two, ALL + one) == []
    (said,) = watched(ALL + one, ALL)
    assert "service `A` is removed: nobody is left who reads `Placed`" in said
    (said,) = watched(ALL + one, ALL + "service A { }\n")
    assert "no longer reads `Placed`: nobody is left who reads `Placed`" in said
    assert watched("exported " + ALL + one, "exported " + ALL) == []


def test_a_reader_that_comes_later_begins_with_the_past_or_never_sees_it():
    one, other = "service A { on Placed }\n", "event X { }\nservice A { on X }\n"
    (found,) = [c for c in changes(ALL, ALL + one) if c.verdict is Verdict.WATCH]
    assert str(found.affected[0]) == "A first reads all stored `Placed`, and acts on it"
    assert watched(ALL, ALL + "service A { on Placed delivery latest }\n") == []
    assert watched("", ALL + one) == []
    new = "event X { }\nservice A { on X | Placed }\n"
    found = next(c for c in changes(ALL + other, ALL + new) if c.verdict is Verdict.WATCH)
    assert "goes on from where it is in the log" in str(found.affected[0])


def test_another_emitter_and_a_shorter_retention_name_the_readers():
    read = "service A { on Placed }\n"
    old = ALL + read + "external event In key id { id: uuid }\nservice S { on In -> Placed }\n"
    new = old.replace("service S", "service T")
    found = [c for c in changes(old, new) if c.subject == "Placed"]
    assert [(c.verdict, [a.who for a in c.affected]) for c in found] == [(Verdict.WATCH, ["A"])]
    for before, after, verdict in (("", "retain 1d ", Verdict.WATCH),
                                   ("retain 2d ", "retain 1d ", Verdict.WATCH),
                                   ("retain 1d ", "retain 2d ", Verdict.SAFE),
                                   ("retain 1d ", "", Verdict.SAFE)):  # fmt: skip
        texts = (ALL.replace("{", f"{kept}{{", 1) + read for kept in (before, after))
        assert [c.verdict for c in changes(*texts)] == [verdict]


def test_an_event_that_is_gone_stops_a_run_over_what_is_stored():
    found = only(ALL, "")
    assert (found.code, [a.who for a in found.affected]) == ("FLW401", [STORED])
