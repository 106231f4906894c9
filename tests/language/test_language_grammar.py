"""The grammar: the whole language, the table's freshness, and Lark's own parser as an oracle."""

from pathlib import Path

import pytest
from lark.exceptions import UnexpectedInput

from flowc_dsl.compile import compile_program
from flowc_dsl.record import Record
from flowc_dsl.source import Source
from flowc_dsl.syntax import parse
from flowc_dsl.syntax import tree as t
from flowc_dsl.syntax.table import load_table
from support.generate import generate
from support.grammar_table import TABLE, grammar, table_text

SHOP = (Path(__file__).parent / "data" / "shop.flow").read_text()


@pytest.fixture(scope="module")
def lark():
    return grammar()


def parsed(text: str) -> t.Tree:
    return parse(Source("main.flow", text))


def only(text: str) -> t.Node:
    tree = parsed(text)
    assert tree.faults == ()
    (item,) = tree.items
    return item


def items(text: str) -> tuple[t.Node, ...]:
    return only(f"service S {{ {text} }}").items


def test_the_table_is_made_from_the_grammar_and_free_of_conflicts():
    assert TABLE.read_text() == table_text(), "run `python tests/support/grammar_table.py`"


def test_the_whole_example_parses():
    tree = parsed(SHOP)
    assert tree.faults == ()
    kinds = {type(item).__name__ for item in tree.items}
    assert kinds == {
        "System", "Import", "Enum", "Struct", "Library", "Event", "Context", "Service", "Expect",
        "Rules", "Scenario", "Test",
    }  # fmt: skip


def test_every_node_spans_its_text_and_lies_in_its_parent():
    def check(node: Record, low: int, high: int) -> int:
        assert low <= node.start < node.end <= high, node
        count = 1
        for name in node.__match_args__[2:]:
            value = getattr(node, name)
            for child in value if isinstance(value, tuple) else (value,):
                if isinstance(child, t.Node):
                    count += check(child, node.start, node.end)
        if isinstance(node, t.Name) and SHOP[node.start] not in '"@':
            assert SHOP[node.start : node.end] == node.text
        return count

    tree = parsed(SHOP)
    assert sum(check(item, 0, len(SHOP)) for item in tree.items) > 300


def test_tokens_and_comments_are_all_of_the_text():
    tree = parsed(SHOP)
    pieces = sorted([(x.start, x.text) for x in (*tree.tokens, *tree.comments)])
    rest = SHOP
    for start, text in reversed(pieces):
        assert SHOP[start : start + len(text)] == text
        rest = rest[:start] + rest[start + len(text) :]
    assert rest.strip() == ""


@pytest.mark.parametrize("word", sorted(load_table().keywords))
def test_every_keyword_is_a_name_where_only_a_name_can_stand(word):
    text = f"""system {word}
enum {word} {{ {word} on }}
type T {{ {word}: {word} }}
event {word} v2 key {word} {{ {word}: {word}  at: int upcast v1 {{ {word} = {word} }} }}
context {word} {{ service {word} {{ on {word} -> {word} as {word} reads {word}, {word} }} }}
expect {word}: at most 1 {word} by {word}
rules {{ allow {word} on {word} }}
scenario {word} {{ check {word}, {word} }}
test "x" {{ given {word} {{ {word}: {word} }} }}
"""
    assert parsed(text).faults == ()


def test_lark_agrees_on_valid_programs(lark):
    for text in (SHOP, *generate(30, files=3).values()):
        lark.parse(text)
        assert parsed(text).faults == ()


@pytest.mark.parametrize("at", range(0, 330, 3))
def test_lark_agrees_when_a_token_is_missing(at, lark):
    tokens = parsed(SHOP).tokens
    token = tokens[at]
    text = SHOP[: token.start] + " " + SHOP[token.end :]
    try:
        lark.parse(text)
        valid = True
    except UnexpectedInput:
        valid = False
    assert (parsed(text).faults == ()) == valid, token


def test_handlers():
    handler, join, every, after = items(
        "on A | B -> C | D?, E* chance 2% as x ordered by k idempotent by k within 10s"
        " retry 5 backoff 100ms to 2s then drop replay skip delivery latest"
        " takes lognormal(20ms, 5ms) reads a, b"
        " on X & Y & Z by k -> W every 5s -> T after 15m of A unless B | C -> D"
    )
    assert [name.text for name in handler.triggers] == ["A", "B"]
    emits = handler.clauses[0]
    assert [[(o.name.text, o.many) for o in g.outputs] for g in emits.groups] == [
        [("C", "one"), ("D", "maybe")],
        [("E", "any")],
    ]
    assert [type(c).__name__ for c in handler.clauses] == [
        "Emits", "Alias", "Ordered", "Idempotent", "Within", "Retry", "Replay", "Delivery",
        "Takes", "Reads",
    ]  # fmt: skip
    assert (len(join.triggers), join.by.text, every.period.text) == (3, "k", "5s")
    assert [name.text for name in after.unless] == ["B", "C"]


def test_services():
    found = items(
        'run exec "node x.js" speaks jsonl replicas 1 to 4 stateless store s engine duckdb'
        ' per partition path "p" uses a, store b sees pii args { a: [1, { b: null }], "c": 1.5s }'
        ' env { A: "x" }'
    )
    assert [type(item).__name__ for item in found] == [
        "Run", "Replicas", "Stateless", "Store", "Uses", "Sees", "Args", "Env",
    ]  # fmt: skip


def test_documentation_belongs_to_what_follows():
    text = (
        "/// An event.\n/// Two lines.\nevent A {\n  /// A field.\n  a: int\n//// no\n b: int\n}\n"
    )
    tree = parsed(text)
    event = tree.items[0]
    assert tree.doc(event) == "An event.\nTwo lines."
    assert [tree.doc(field) for field in event.body] == ["A field.", ""]
    assert [comment.doc for comment in tree.comments] == [True, True, True, False]


def test_a_large_system_compiles_without_faults():
    compiled = compile_program(generate(200, files=10), "main.flow")
    assert compiled.diagnostics == ()
    assert len(compiled.system.services) == 200
    assert len(compiled.trees) == 10
