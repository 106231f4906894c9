"""Whatever bytes stand where the services' code should be: they are judged, twice the same, and
what is said points into them."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from flowc_dsl.check import Report, check_system
from flowc_dsl.compile import compile_program
from flowc_dsl.diagnostics.full import render_full
from flowc_dsl.diagnostics.sarif import render_sarif
from flowc_dsl.diagnostics.width import Look
from flowc_dsl.pysource.read import read_code
from support.programs import TODAY

CASES = Path(__file__).parents[1] / "golden/cases"
FLOW = (CASES / "flw109_undeclared_emit/main.flow").read_text(encoding="utf-8")
PATHS = ("services/orders.py", "services/stock.py", "services/mailer.py", "shop_events.py")
OWN = [(CASES / "flw109_undeclared_emit" / path).read_text(encoding="utf-8") for path in PATHS]
TEXTS = [path.read_text(encoding="utf-8") for path in sorted(CASES.glob("flw1*/**/*.py"))]
LINES = sorted({line for text in TEXTS for line in text.splitlines(keepends=True)})
WORDS = ["\t", "    ", "\r", "\f", "é", "(", ")", '"""', "yield ", "return ", "await ", "*", "\\\n"]


def judge(files: dict[str, bytes]) -> Report:
    compiled = compile_program({"main.flow": FLOW}, "main.flow")
    assert compiled.system is not None
    code = read_code(compiled.system, files.get)
    return check_system(compiled.system, TODAY, sources=compiled.sources, code=code)


def holds(files: dict[str, bytes]) -> None:
    report = judge(files)
    for found in report.diagnostics:
        for label in (found.primary, *found.related):
            if found.code == "FLW092":  # a file that can't be read has no text to point into
                continue
            text = report.sources[label.span.path].text
            assert 0 <= label.span.start <= label.span.end <= len(text)
    shown = render_full(report.diagnostics, report.sources, Look())
    assert render_sarif(report.diagnostics, report.sources, {}, "0")
    again = judge(files)
    assert render_full(again.diagnostics, again.sources, Look()) == shown


@given(st.dictionaries(st.sampled_from(PATHS), st.binary(max_size=200), min_size=1))
def test_any_bytes(files):
    holds(files)


@given(st.dictionaries(st.sampled_from(PATHS), st.text(max_size=100), min_size=1))
def test_any_text(files):
    holds({path: text.encode("utf-8", "surrogatepass") for path, text in files.items()})


@given(
    st.tuples(*(st.just(own) | st.sampled_from(TEXTS) for own in OWN[:3])).map(list),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 900), st.integers(0, 30)), max_size=3),
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 900), st.sampled_from(WORDS + LINES)),
        max_size=4,
    ),
)
def test_damaged_code(texts, cuts, words):
    for which, at, length in cuts:
        texts[which] = texts[which][:at] + texts[which][at + length :]
    for which, at, word in words:
        texts[which] = texts[which][:at] + word + texts[which][at:]
    holds({path: text.encode() for path, text in zip(PATHS, [*texts, OWN[3]], strict=True)})


HANDLERS = (("Orders", "on_stock_refused"), ("Stock", "on_order_placed"))


@given(st.lists(st.sampled_from(LINES), max_size=12), st.integers(0, 1))
def test_lines_in_any_order(lines, which):
    name, handler = HANDLERS[which]
    head = f"from shop_events import *\nclass {name}:\n    def {handler}(self, event):\n"
    body = "".join(f"        {line.strip()}\n" for line in lines)
    last = "        return CheckoutSubmitted(id=1)\n"
    holds({PATHS[which]: (head + body + last).encode(), PATHS[3]: OWN[3].encode()})
