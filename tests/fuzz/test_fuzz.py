"""Any input gives diagnostics, the same ones each time, and never a failure of ours (3.8, 3.37)."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from flowc_dsl.compile import compile_program
from flowc_dsl.format.formatter import format_text
from flowc_dsl.rules.registry import checked_rules
from flowc_dsl.source import Source
from flowc_dsl.syntax.parser import parse
from flowc_dsl.syntax.table import load_table
from support.fuzzing import MAIN, any_input, examine, program
from support.generate import generate
from support.layouts import without_places
from support.sentences import Walk, sentence

HERE = Path(__file__).parent
CASES = 100_000  # of the slow suite
CHUNKS = 250  # a test that takes 120 s is taken for one that hangs


def parsed(text):
    return parse(Source(MAIN, text))


def test_sentences_are_programs():
    for seed in range(80):
        assert not parsed(sentence(seed)).faults, seed


def test_sentences_say_whatever_the_grammar_can():
    """Each rule of the grammar, and nearly each of its forms with some options and without others:
    a new construct is fuzzed without being named anywhere."""
    rules = load_table().rules
    nodes = {n for n, rule in enumerate(rules) if not rule.origin.startswith("_")}
    nodes -= {n for n in nodes if rules[n].origin in {"error", "start"}}
    said, used = Counter(), set()
    for seed in range(600):
        walk = Walk(Random(seed), said)
        walk.text()
        used |= walk.used
    missing = {rules[n].origin for n in nodes} - {rules[n].origin for n in used}
    assert not missing
    assert len(nodes & used) >= len(nodes) * 0.95, sorted(rules[n].origin for n in nodes - used)


def test_inputs_reach_most_rules():
    """Fuzzing that never gets past the names would prove nothing of the rules."""
    codes = {checked.rule.code for checked in checked_rules()}
    of_text = len(codes) - 3  # 108 to 110 need Python beside it
    met: set[str] = set()
    for seed in range(1_500):  # a few hundred do; how many hangs on the corpus
        said = examine(any_input(seed))
        met |= {code for code in codes if code in said}
        if len(met) >= of_text / 2:
            return
    raise AssertionError(sorted(codes - met))


def test_any_input():
    for seed in range(80):
        examine(any_input(seed))


def test_an_after_without_its_event_is_told_as_that():
    assert "FLW001" in examine(b"service Abc {\n  after 5s of\n}\n")


def test_what_is_formatted_means_the_same():
    for seed in range(40):
        text = program(seed)
        tree = parsed(text)
        if tree.faults:
            continue
        after = format_text(text)
        assert without_places(parsed(after).items) == without_places(tree.items)
        models = [compile_program({MAIN: one}, MAIN).system for one in (text, after)]
        assert without_places(models[0]) == without_places(models[1])


def test_the_order_of_files_is_no_matter():
    files = {path: text.encode() for path, text in generate(12, files=4, seed=3).items()}
    files["parts/part2.flow"] = files["parts/part2.flow"].replace(b"-> Step", b"-> Stepp")
    files["parts/part1.flow"] += b"event Gone { at: strin }"
    orders = [list(files.items()) for _ in range(5)]
    for number, order in enumerate(orders):
        Random(number).shuffle(order)
    (report,) = {examine(dict(order)) for order in orders}
    assert report.count("FLW") > 3


REPORTS = """
import json, sys
sys.path.insert(0, sys.argv[1])
from support.fuzzing import any_input, examine
print(json.dumps([examine(any_input(seed)) for seed in range(40)]))
"""


def test_the_order_of_reports_hangs_on_no_hash():
    def reports(seed):
        env = {**os.environ, "PYTHONHASHSEED": str(seed)}
        args = [sys.executable, "-c", REPORTS, str(HERE.parent)]
        return json.loads(subprocess.run(args, env=env, check=True, capture_output=True).stdout)

    first = reports(0)
    assert any(first)
    assert all(reports(seed) == first for seed in (1, 4_294_967_295))


def test_the_target_runs_by_hand():
    args = [sys.executable, str(HERE / "fuzz_check.py"), "--plain", "--seconds", "0.2"]
    done = subprocess.run(args, check=True, capture_output=True, text=True)
    assert "no internal error" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_hundred_thousand_inputs(chunk):
    each = CASES // CHUNKS
    first = 1_000_000 + chunk * each
    for seed in range(first, first + each):
        try:
            examine(any_input(seed))
        except Exception as error:
            error.add_note(f"again: make fuzz ARGS='--seed {seed}'")
            raise
    print(f"{each:,} of {CASES:,} inputs, seeds from {first}: no internal error")


def many(count, before, between, one, after=""):
    return before + between.join(one.format(n=n) for n in range(count)) + after


IN = "system A external event In key id { id: uuid } "
MANY = {
    "names that are nearly others": many(1_500, IN, " ", "event Evt{n}a {{}}")
    + many(1_500, " service S { ", " ", "on Evnt{n}b -> Out{n}x", " }"),
    "events declared nowhere": many(
        3_000, IN + "service S { ", " ", "on In as h{n} -> Out{n}x", "}"
    ),
    "fields that are nearly others": many(
        1_500, "system A external event In { ", " ", "field{n}a: int"
    )
    + many(1_500, " } service S { on In reads ", ", ", "fild{n}b", " }"),
    "exemptions": many(
        3_000, IN + "service S { on In } rules { ", " ", 'allow FLX{n} on S because "x"', "}"
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MANY)
def test_thousands_of_faults_end_soon(name):
    """What is quadratic has a bound: without, the first of these takes many minutes."""
    start = time.process_time()
    report = examine(MANY[name].encode())
    assert "FLW207" in report or "FLW404" in report
    assert time.process_time() - start < 40  # seconds of a machine with company; alone, 3
