"""Programs of every construct in any layout, and equality of what they mean."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import strategies as st

from flowc_dsl.source import Span

NAMES = ("Alpha", "Beta", "GammaHappened", "DeltaHasReallyHappenedAfterAll", "e5")
FIELDS = ("order_id", "at", "key", "sku", "on", "event", "a_rather_long_name_of_a_field")
DURATIONS = ("5s", "1.5s", "100ms", "2h", "30d")

Words = list[str]
name = st.sampled_from(NAMES)
field = st.sampled_from(FIELDS)
duration = st.sampled_from(DURATIONS)
text = st.sampled_from(('"a"', '"services.orders:Orders"', '"say \\"hi\\" // no comment"', '""'))
number = st.sampled_from(("1", "2", "17"))


def words(*parts: Any) -> st.SearchStrategy[Words]:
    """One construct of tokens, strategies of a token, and strategies of tokens, in a row."""
    made = [part if isinstance(part, st.SearchStrategy) else st.just(part) for part in parts]
    return st.tuples(*made).map(_flat)


def _flat(parts: Any) -> Words:
    found: Words = []
    for part in parts:
        found += [part] if isinstance(part, str) else _flat(part)
    return found


def maybe(*parts: Any) -> st.SearchStrategy[Words]:
    return st.one_of(st.just([]), words(*parts))


def some(part: Any, least: int = 0, most: int = 3, by: str = "") -> st.SearchStrategy[Words]:
    """A few of a construct, with a token between them."""

    def joined(parts: list[Any]) -> Words:
        found: Words = []
        for number_, one in enumerate(parts):
            found += [by] if number_ and by else []
            found += [one] if isinstance(one, str) else one
        return found

    return st.lists(part, min_size=least, max_size=most).map(joined)


def values() -> st.SearchStrategy[Words]:
    literals = ("1", "-2.5e3", '"s"', "5s", "200/s", "2%", "2027-01-31", "true", "null", "DECLINED")
    leaf = st.sampled_from(literals).map(lambda word: [word])
    return st.recursive(
        leaf,
        lambda inner: st.one_of(words("[", some(inner, by=","), "]"), objects(inner)),
        max_leaves=6,
    )


def objects(value: Any) -> st.SearchStrategy[Words]:
    key = st.one_of(field, st.just('"quoted key"'))
    pair = words(key, ":", value)
    return words("{", st.one_of(some(pair), some(pair, by=",")), "}")


def types() -> st.SearchStrategy[Words]:
    plain = st.sampled_from(("string", "int", "uuid", "Line")).map(lambda word: [word])
    whole = st.one_of(plain, words("decimal", "(", "12", ",", "2", ")"))
    return st.recursive(
        whole,
        lambda inner: st.one_of(
            words("list", "<", inner, ">"),
            words("map", "<", plain, ",", inner, ">"),
            words(inner, "?").filter(lambda found: found[-2:] != ["?", "?"]),
        ),
        max_leaves=3,
    )


fields_ = words(field, ":", types(), st.sampled_from(([], ["@pii"], ["@pii", "@deprecated"])))
upcast = words(
    "upcast",
    "v1",
    "{",
    some(st.one_of(words(name, "=", values()), words("rename", name, "to", name))),
    "}",
)
event = words(
    st.sampled_from(([], ["external"], ["exported"], ["internal"])),
    st.sampled_from(("event", "command")),
    name,
    maybe("v2"),
    maybe("key", field),
    maybe("retain", duration),
    maybe("rate", "500/s"),
    maybe("deprecated"),
    "{",
    some(st.one_of(fields_, upcast), most=4),
    "}",
)
output = words(name, st.sampled_from(([], ["?"], ["*"])), maybe("chance", "2%"))
emits = words("->", some(some(output, 1, 4, "|"), 1, 3, ","))
clauses = words(
    maybe(emits),
    maybe("as", name),
    maybe("reads", some(field, 1, 4, ",")),
    maybe("ordered", "by", field),
    maybe("idempotent", maybe("by", field)),
    maybe("within", duration),
    maybe(
        "retry", number, maybe("backoff", duration, maybe("to", duration)), maybe("then", "park")
    ),
    maybe("replay", "skip"),
    maybe("delivery", "latest"),
    maybe("takes", "lognormal", "(", "20ms", ",", "5ms", ")"),
)
handler = st.one_of(
    words("on", some(name, 1, 4, "|"), clauses),
    words("on", name, "&", name, "by", field, clauses),
    words("every", duration, clauses),
    words("after", duration, "of", name, maybe("unless", some(name, 1, 2, "|")), clauses),
)
service_item = st.one_of(
    handler,
    words("run", "python", text),
    words("run", "exec", text, maybe("speaks", "jsonl")),
    words("run", "mock"),
    words("replicas", number, maybe("to", number)),
    words("stateless"),
    words("store", name, maybe("engine", "sqlite"), maybe("per", "partition"), maybe("path", text)),
    words("uses", some(st.one_of(words(name), words("store", name)), 1, 2, ",")),
    words("sees", "pii"),
    words(st.sampled_from(("args", "env")), objects(values())),
)
service = words("service", name, maybe("owner", text), "{", some(service_item, most=4), "}")
enum = words("enum", name, "{", some(name, 1, 4), "}")
struct = words("type", name, "{", some(fields_, most=4), "}")
library = words("library", name, text)
context = words(
    "context",
    name,
    maybe("owner", text),
    "{",
    some(st.one_of(service, event, enum, struct, library)),
    "}",
)
window = words(maybe("within", duration), maybe("by", field))
expect = words(
    "expect",
    field,
    ":",
    st.one_of(
        words(name, "leads", "to", some(name, 1, 3, "|"), window),
        words("at", "most", number, name, window),
        words("never", name, "with", name, window),
    ),
)
rules = words(
    "rules",
    "{",
    some(
        st.one_of(
            words("forbid", name, "reaches", name, maybe("via", name)),
            words("require", name, "reaches", name),
            words("limit", "fan_out", number),
            words("allow", "FLW206", "on", name, "because", text, maybe("until", "2027-01-31")),
        )
    ),
    "}",
)
scenario = words(
    "scenario",
    name,
    "{",
    some(
        st.one_of(
            words("load", name, "200/s", maybe("for", duration)),
            words("crash", name, "every", duration, "for", duration),
            words("partition", name, "at", duration, "for", duration),
            words("duplicate", "1%"),
            words("check", some(name, 1, 3, ",")),
        ),
        most=5,
    ),
    "}",
)
sample = words(name, maybe(objects(values())))
test = words(
    "test",
    text,
    "{",
    some(
        st.one_of(
            words("given", sample),
            words("stub", name, "->", some(sample, 1, 2, ",")),
            words("then", sample, maybe("within", duration)),
            words("never", sample),
        )
    ),
    "}",
)
declaration = st.one_of(
    event, service, enum, struct, library, context, expect, rules, scenario, test
)
program = words(
    "system", name, some(words("import", '"a.flow"'), most=1), some(declaration, most=5)
)

TIGHT = frozenset("{}()<>[],:|&?*=")
SPACES = (" ", " ", "  ", "\n", "\n", "\n\n\n", "\t", "\r\n", " \n ")
COMMENTS = ("// why", "/// doc of it", "//", '// { " -> ', "//  two  spaces", "////")
ENDS = ("", "\n", " // the end", "\n\n// the end\n\n")


@st.composite
def any_layout(draw: st.DrawFn) -> str:
    """The text of a program, with any space and any comments between its tokens.

    The layout is drawn as one number: a choice for each token would take minutes to shrink.
    """
    return laid_out(draw(program), draw(st.integers(0, 2**32)))


def laid_out(tokens: Words, seed: int) -> str:
    """The tokens in one of many layouts; seed 0 has one space between any two."""
    if seed == 0:
        return " ".join(tokens)
    random = Random(seed)
    commented = random.choice((0, 0, 0.05, 0.3))  # how many tokens have a comment before them
    plain = random.choice((False, False, True))
    out: list[str] = []
    for word in tokens:
        while random.random() < commented:
            line_end = random.choice(("\n", "\n\n", "\r\n"))
            out += [random.choice(SPACES), random.choice(COMMENTS), line_end]
        tight = bool(out) and (word in TIGHT or out[-1] in TIGHT)
        if not (tight and not plain and random.random() < 0.5):
            out.append(" " if plain else random.choice(SPACES))
        out.append(word)
    return "".join(out) + random.choice(ENDS)


def without_places(value: Any) -> Any:
    """A value of the tree or the model as plain data, without places in the text."""
    if isinstance(value, Span):
        return None
    if hasattr(type(value), "__match_args__"):
        parts = {name: getattr(value, name) for name in type(value).__match_args__}
        parts = {k: v for k, v in parts.items() if k not in ("start", "end", "span")}
        return type(value).__name__, without_places(parts)
    if isinstance(value, dict):
        return {k: without_places(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [without_places(v) for v in value]
    return value
