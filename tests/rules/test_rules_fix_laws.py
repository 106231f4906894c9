"""The laws of `--fix`, over the golden corpus and over programs that were broken on purpose: what
it mends is mended, nothing new is wrong, no comment goes, and it ends (3.22, 3.36)."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from flowc_dsl.diagnostics.diagnostic import Level
from flowc_dsl.diagnostics.fixing import apply_edits
from flowc_dsl.format.formatter import BrokenTextError, format_text, kept_format
from flowc_engine.cli.checking import check_texts
from flowc_engine.cli.fixing import Texts, fixed_texts
from golden.test_golden_corpus import names, texts
from support.fuzzing import MAIN, TODAY, any_input, program
from support.generate import generate

SAFE = frozenset({"safe"})
ALL = frozenset({"safe", "unsafe", "display"})
NOWHERE = Path(__file__).parent / "nowhere"  # a root without a flow.toml, and without Python


def opened(files):
    data = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
    return Texts(data, MAIN, NOWHERE, check_texts(data, MAIN, TODAY, MAIN, NOWHERE))


def errors(one):
    found = one.checked.report.diagnostics
    return Counter((d.code, d.message) for d in found if d.level == Level.ERROR)


def comments(one):
    trees = one.checked.compilation.trees.values()
    return Counter(c.text.rstrip() for tree in trees for c in tree.comments)


def by_code(one):
    return Counter(code for code, _ in errors(one).elements())


def is_formatted(data):
    try:
        return format_text(data.decode()).encode() == data
    except (BrokenTextError, UnicodeDecodeError):
        return False


def running(one):
    """What the engine runs, but for who may read outside: None of a program with errors."""
    if one.checked.report.has_errors:
        return None
    plan = one.checked.plan
    return replace(plan, events=tuple(replace(e, exported=False) for e in plan.events))


def check_each_alone(one):
    """An editor applies one edit, or CI all that it likes."""
    if not one.checked.report.judged:
        return
    given = {path: data.decode() for path, data in one.files.items()}
    for found in one.checked.report.diagnostics:
        result = apply_edits([found], given, SAFE)
        if result.fixed:
            then = opened({**given, **result.texts})
            new = by_code(then) - by_code(one)  # a message may name what was mended
            assert not new, (found.message, errors(then) - errors(one))
            said = [(d.code, d.message) for d in then.checked.report.diagnostics]
            before = [(d.code, d.message) for d in one.checked.report.diagnostics]
            assert said.count((found.code, found.message)) < before.count(
                (found.code, found.message)
            )


def check_laws(files, allowed=SAFE):
    before = opened(files)
    done = fixed_texts(before, allowed, TODAY)
    after = done.texts
    codes = Counter(found.code for found in done.fixed)
    assert "FLW999" not in {d.code for d in after.checked.report.diagnostics}
    if before.checked.report.judged and allowed == SAFE:
        assert not errors(after) - errors(before), "a new error"
    if allowed == SAFE:
        check_each_alone(before)
        assert comments(after) == comments(before)
        if running(before) is not None:
            assert running(after) == running(before), "it runs differently"
    for path, data in before.files.items():
        assert not is_formatted(data) or is_formatted(after.files[path]) or allowed != SAFE
    again = fixed_texts(opened(after.files), allowed, TODAY)
    assert again.texts.files == after.files, "another run changes it again"
    return codes


@pytest.mark.parametrize("name", names())
def test_the_corpus(name):
    check_laws(texts(name))
    check_laws(texts(name), ALL)


def broken(seed):
    """A clean program with slips: letters, declarations, scopes and repeats."""
    random = Random(seed)
    (text,) = generate(random.randint(2, 10), seed=seed).values()
    lines = text.splitlines(keepends=True)
    for _ in range(random.choice((1, 2, 3))):
        at = random.randrange(1, len(lines))
        line = lines[at]
        match random.randrange(5):
            case 0:
                words = [w for w in line.split() if w[:4] in {"Step", "Sour"}]
                word = random.choice(words or ["on"])
                lines[at] = line.replace(word, word[:-2] + word[-1:], 1)
            case 1 if "event " in line:
                lines[at] = "// gone\n"
            case 2:
                lines[at] = line.replace("exported ", "").replace("external ", "")
            case 3:
                lines[at] = line.replace("by order_id", "by line", 1)
            case 4:
                lines[at] = line.replace("order_id", "order_idd", 1)
    text = "".join(lines)
    return kept_format("", text) if random.random() < 0.5 else text


def test_slips_in_clean_programs():
    mended = Counter()
    for seed in range(25):
        mended += check_laws({MAIN: broken(seed)})
    assert mended.keys() >= {"FLW207", "FLW404"}, mended


def test_any_program():
    for seed in range(25):
        check_laws({MAIN: program(seed)})
        check_laws({MAIN: any_input(seed)}, ALL)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1_000, 2_000, 25))
def test_many_programs(first):
    for seed in range(first, first + 25):
        check_laws({MAIN: broken(seed)})
        check_laws({MAIN: any_input(seed)})
        check_laws({MAIN: any_input(seed + 5_000)}, ALL)
