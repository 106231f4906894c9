"""What the services' Python source makes of FLW108 to FLW110 (3.26, 3.27): each a small program,
and the codes it has, with the file and line that they point at."""

import pytest

from flowc_dsl import limits
from support.programs import check_text

FLOW = """
system Shop
library pricing "libs/pricing"
external event In key id { id: uuid }
exported event Out key id { id: uuid }
exported event Other key id { id: uuid }
type Line { id: uuid }
enum Reason { LATE }
service A { run python "services.a:A" stateless uses pricing  on In -> Out }
service B { run python "services.b" stateless  on In as other -> Other? }
"""
A = "services/a.py"
EVENTS = '"""The events of Shop.\n\nWritten by `flowc types` from main.flow: don\'t edit.\n"""\n'


def said(files: dict[str, str], flow: str = FLOW) -> list[str]:
    """`CODE path:line` of each finding about code."""
    report = check_text({"main.flow": flow, "ev.py": EVENTS, **files})
    found = []
    for one in report.diagnostics:
        assert one.code != "FLW999", one
        if one.code in {"FLW108", "FLW109", "FLW110"}:
            span = one.primary.span
            line = report.sources[span.path].position(span.start).line
            found.append(f"{one.code} {span.path}:{line}")
    return found


def a(handler: str, head: str = "from ev import *") -> dict[str, str]:
    """Service A with one handler, whose body is given."""
    body = "".join(f"        {line}\n" for line in handler.splitlines())
    return {A: f"{head}\nclass A:\n    def on_in(self, event):\n{body}", "services/b.py": ""}


# ---- 108


@pytest.mark.parametrize(
    "text",
    [
        "import services.b  # here",
        "import services.b as x, os  # here",
        "from services import b  # here",
        "from services.b import anything  # here",
        "from services.b import *  # here",
        "from . import b  # here",
        "from .b import anything  # here",
        "def f():\n    import services.b  # here",
        "import typing\nif typing.TYPE_CHECKING:\n    from services import b  # here",
        "try:\n    from services import b  # here\nexcept ImportError: pass",
        "import importlib\nimportlib.import_module('services.b')  # here",
        "import importlib as i\nx = lambda: i.import_module('.b', package=__package__)  # here",
        "__import__('services.b')  # here",
        "class C:\n    class D:\n        import services.b  # here",
        "import os, \\\n  services.b  # here",
    ],
)
def test_an_import_of_another_services_code(text):
    line = next(number for number, line in enumerate(text.splitlines(), 1) if "# here" in line)
    files = {A: f"{text}\nclass A: pass\n", "services/b.py": "anything = 1\n"}
    assert said(files) == [f"FLW108 {A}:{line}"]


def test_a_relative_import_goes_up_to_the_root_and_not_above_it():
    files = {A: "from .x.y import z\nclass A: pass\n", "services/b.py": ""}
    assert said({**files, "services/x/y.py": "from .. import b"}) == ["FLW108 services/x/y.py:1"]
    assert said({**files, "services/x/y.py": "from .... import services"}) == []


@pytest.mark.parametrize(
    "line",
    [
        "import services.bb, services, b",
        "import services.b_",
        "from services import bb",
        "import services.b.deeper.still",  # `b` is no package
        "from ..services import b",  # above the root
        "import os, collections.abc, flowc",
        "importlib.import_module(name)",
        "importlib.import_module('.b')",  # without a package it is none
        "'import services.b'",
        "# import services.b",
    ],
)
def test_no_import_of_another_services_code(line):
    assert said({A: f"{line}\nclass A: pass\n", "services/b.py": ""}) == []


def test_the_shortest_way_is_the_witness():
    files = {
        A: "import long.one\nfrom short import x\nclass A: pass\n",
        "long/one.py": "import long.two",
        "long/two.py": "import services.b",
        "short.py": "\nimport services.b\nx = 1",
        "services/b.py": "",
    }
    report = check_text({"main.flow": FLOW, **files})
    (found,) = [one for one in report.diagnostics if one.code == "FLW108"]
    assert found.witness == ("services/a.py:2", "short.py:2", "services/b.py")
    assert found.subjects == ("A", "B")


def test_a_cycle_of_imports_ends_and_each_direction_is_told():
    files = {A: "import services.b\nclass A: pass\n", "services/b.py": "import services.a\n"}
    assert said(files) == [f"FLW108 {A}:1", "FLW108 services/b.py:1"]


def test_what_an_init_around_a_service_imports_counts():
    files = {A: "class A: pass\n", "services/b.py": "", "services/__init__.py": "from . import b\n"}
    assert said(files) == ["FLW108 services/__init__.py:1"]


def test_a_library_that_leads_to_a_service_is_no_excuse():
    files = {
        A: "from libs.pricing import x\nclass A: pass\n",
        "libs/pricing.py": "import services.b\nx = 1\n",
        "services/b.py": "",
    }
    assert said(files) == ["FLW108 libs/pricing.py:1"]


def test_a_package_can_be_a_service_and_its_own_modules_are_its_own():
    files = {
        "services/a/__init__.py": "from .inner import A\n",
        "services/a/inner.py": "import services.a\nclass A: pass\n",
        "services/b.py": "",
    }
    assert said(files) == []


def test_two_services_of_one_module_do_not_import_each_other():
    flow = FLOW.replace("services.b", "services.a:B")
    assert (
        said({A: "import helper\nclass A: pass\nclass B: pass\n", "helper.py": "x = 1"}, flow) == []
    )


# ---- 109


EMITTED = {
    "returned": "return Other(id=1)",
    "yielded": "yield Other(id=1)",
    "in a list": "return [Out(id=1), Other(id=1)]",
    "one of two": "return Out(id=1) if event else Other(id=1)",
    "by or": "return None or Other(id=1)",
    "for each": "return [Other(id=x) for x in event]",
    "for each, lazily": "yield from (Other(id=x) for x in event)",
    "by a variable": "x = Other(id=1)\nreturn x",
    "by two variables": "x = Other(id=1)\ny = [x]\nreturn y",
    "added to a list": "x = []\nx.append(Other(id=1))\nreturn x",
    "a list added to a list": "x = []\nx += [Other(id=1)]\nreturn x",
    "by a loop": "for x in [Other(id=1)]:\n    yield x",
    "by a tuple": "x, y = Out(id=1), Other(id=1)\nreturn y",
    "on the way": "if (x := Other(id=1)):\n    yield x",
    "awaited": "return (await Other(id=1))",
    "as a batch": "return flowc.Batch.of(Other, {})",
    "as a batch by keyword": "return Batch(event=Other, columns={})",
    "by a function inside": "def f():\n    return Other(id=1)\nreturn f()",
    "through list and filter": "return list(filter(None, [Other(id=1)]))",
    "by map": "return map(Other, event)",
    "in a match": "match event:\n    case 1:\n        yield Other(id=1)",
    "by flowc.events": "from flowc.events import Other as O\nreturn O(id=1)",
    "by a module's alias": "import ev as e\nreturn e.Other(id=1)",
    "by flowc's module": "import flowc\nreturn flowc.events.Other(id=1)",
}


@pytest.mark.parametrize("body", EMITTED.values(), ids=EMITTED)
def test_an_undeclared_event_is_emitted(body):
    (found,) = said(a(body))
    assert found.startswith(f"FLW109 {A}:")


KEPT = {
    "declared": "return Out(id=1)",
    "compared": "if event == Other(id=1):\n    return Out(id=1)",
    "kept": "self.x = Other(id=1)\nreturn Out(id=1)",
    "an argument": "return Out(id=len(Other(id=1)))",
    "matched": "match event:\n    case Other():\n        return Out(id=1)",
    "an attribute of it": "x = Other(id=1)\nreturn x.id",
    "a name that is something else": "Other = dict\nreturn Other(id=1)",
    "a parameter": "def f(Other):\n    return Other(id=1)\nreturn f(dict)",
    "of another function": "def f():\n    return Other(id=1)\nf()\nreturn Out(id=1)",
    "in a lambda": "f = lambda: Other(id=1)\nreturn Out(id=f)",
    "no class at all": "return Other",
    "given to a batch that stays": "x = flowc.Batch.of(Other, {})\nreturn None",
    "no event": "return Line(id=1), Reason.LATE",
}


@pytest.mark.parametrize("body", KEPT.values(), ids=KEPT)
def test_an_event_is_not_emitted(body):
    assert said(a(body)) == []


HELPED = {
    "a function": ("x = helper()\nreturn x", "def helper():\n    return Other(id=1)\n"),
    "a method": ("return self.help()", "class Base:\n    def help(self): return Other(id=1)\n"),
    "an alias": ("return again()", "def f(): yield Other(id=1)\nagain = f\n"),
}


@pytest.mark.parametrize(("body", "helper"), HELPED.values(), ids=HELPED)
def test_what_a_helper_emits_counts_for_the_service(body, helper):
    files = a(body, f"from ev import *\n{helper}")
    files[A] = files[A].replace("class A:", "class A(Base):") if "Base" in helper else files[A]
    (found,) = said(files)
    assert found.startswith(f"FLW109 {A}:")
    declared = FLOW.replace("-> Out", "-> Out  on In as again -> Other?").replace(
        "as other -> Other?", "as other"
    )
    assert said(files, declared) == []


def test_handlers_are_found_by_name_alias_inheritance_and_import():
    impl = (
        "from ev import *\nclass Base:\n    def on_in(self, event):\n        return Other(id=1)\n"
    )
    places = {
        "class A(Base): pass": 1,
        "A = Base": 1,
        "class A:\n    def other(self, e): pass\n    on_in = other": 0,
        "class A:\n    on_in = Base.on_in": 1,
        "class A(Missing): pass": 0,
    }
    for text, count in places.items():
        files = {A: f"from impl import Base\n{text}\n", "impl.py": impl, "services/b.py": ""}
        assert said(files) == ["FLW109 impl.py:4"] * count, text


def test_modules_that_import_all_of_each_other_are_gone_through_once():
    """Each way through them would be more than 5 ** 16."""
    names = [f"m{number}" for number in range(6)]
    everything = "".join(f"from {name} import *\n" for name in names)
    files = a("nothing()\nreturn helper()", everything)
    files |= {f"{name}.py": everything for name in names}
    files["m5.py"] += "from ev import Other\ndef helper():\n    return Other(id=1)\n"
    assert "FLW109 m5.py:9" in said(files)


def test_a_handler_is_judged_by_its_own_outputs():
    flow = FLOW.replace("-> Out }", "-> Out  on In as again -> Other }").replace("-> Other?", "")
    body = "from ev import *\nclass A:\n    def on_in(self, e): return Other(id=1)\n"
    files = {A: f"{body}    def again(self, e): return Other(id=1), Out(id=2)\n"}
    assert said(files, flow) == [f"FLW109 {A}:3", f"FLW109 {A}:4"]


def test_a_module_of_functions():
    files = {"services/b.py": "import ev\ndef other(e):\n    return ev.Out(id=1)\n"}
    assert said(files) == ["FLW109 services/b.py:3"]


def test_names_that_nothing_declares():
    head = "from ev import Othr, Out, Line, Reason, SCHEMA\nimport ev\nx = ev.Outt\ny = ev._enum\n"
    report = check_text({"main.flow": FLOW, "ev.py": EVENTS, A: f"{head}class A: pass\n"})
    found = [one for one in report.diagnostics if one.code == "FLW109"]
    assert [one.help and one.help.partition("?")[0] for one in found] == [
        "did you mean `Other`", "did you mean `Out`",
    ]  # fmt: skip


# ---- 110


SHARED = {A: "import util\nclass A: pass\n", "services/b.py": "import os\nimport util\n"}


def test_a_module_that_two_services_import():
    assert said({**SHARED, "util.py": "x = 1\n"}) == ["FLW110 services/b.py:2"]
    assert said({**SHARED, "util/__init__.py": "x = 1\n"}) == ["FLW110 services/b.py:2"]


@pytest.mark.parametrize("text", ["", '"""Nothing."""\n', "# nothing\n", EVENTS, "import os"])
def test_a_module_that_holds_nothing_or_event_classes_is_not_shared_code(text):
    assert said({**SHARED, "util.py": text}) == []


def test_a_module_that_passes_event_classes_on_is_not_shared_code_and_they_are_known():
    files = {
        A: "from events import Other\nclass A:\n    def on_in(self, e): return Other(id=1)\n",
        "services/b.py": "import events\n",
        "events/__init__.py": '"""All."""\nfrom .generated import *\n__all__ = ["Other"]\n',
        "events/generated.py": EVENTS,
    }
    assert said(files) == [f"FLW109 {A}:3"]


def test_what_shared_code_imports_is_not_told_again():
    files = {**SHARED, "util.py": "import deeper\nx = 2\n", "deeper.py": "x = 1\n"}
    assert said(files) == ["FLW110 services/b.py:2"]


def test_a_library_is_shared_by_those_who_use_it():
    both = FLOW.replace('"libs/pricing"', '"./util.py"')
    assert said({**SHARED, "util.py": "x = 1\n"}, both) == ["FLW110 services/b.py:2"]
    used = both.replace('"services.b" stateless', '"services.b" stateless uses pricing')
    assert said({**SHARED, "util.py": "x = 1\n"}, used) == []


def test_an_init_beside_services_is_to_be_split():
    files = {
        A: "from services import shown\nclass A: pass\n",
        "services/b.py": "from . import shown\n",
        "services/__init__.py": "def shown(): pass\n",
    }
    report = check_text({"main.flow": FLOW, **files})
    (found,) = [one for one in report.diagnostics if one.code == "FLW110"]
    assert "move what they share out of `services/__init__.py`" in (found.help or "")


def test_the_suggested_library_makes_it_fine():
    files = {**SHARED, "util.py": "x = 1\n"}
    report = check_text({"main.flow": FLOW, **files})
    (found,) = [one for one in report.diagnostics if one.code == "FLW110"]
    line = (found.help or "").split("`")[1]
    text = FLOW.replace("system Shop", f"system Shop\n{line}").replace(
        "stateless", "stateless uses util"
    )
    assert said(files, text) == []


# ---- what can't be read


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("def f(:\n", "it does not parse (line 1)"),
        ("x = '\0'", "it does not parse"),
        ("x = " + "(" * 500 + ")" * 500, "it does not parse (line 1)"),
        ("x = 1" + " + 1" * 60_000, "it is nested too deeply"),
        ("import " + ".".join("a" * 300_000), "it has a name of over 100 parts"),
        ("import a" + ".\\\n a" * 100_000, "it has a name of over 100 parts"),
        ("#" * (limits.PY_FILE_BYTES_MAX + 1), "it has more than 1,048,576 bytes"),
    ],
)
def test_a_file_that_cannot_be_judged_is_named(text, why):
    report = check_text({"main.flow": FLOW, A: text})
    (info,) = [one for one in report.diagnostics if one.code == "FLW092"]
    assert info.message == f"Python file `services/a.py` is not judged: {why}"
    assert said({A: text}) == []


def test_code_that_is_not_there_says_nothing():
    assert (
        check_text({"main.flow": FLOW}).diagnostics
        == check_text({"main.flow": FLOW, "services/c.py": "import services.a"}).diagnostics
    )


def test_exemptions_hold():
    files = {A: "import services.b\nimport util\nclass A: pass\n", "services/b.py": "import util\n"}
    files["util.py"] = "x = 1"
    assert said(files) == [f"FLW108 {A}:1", "FLW110 services/b.py:1"]
    rules = 'rules { allow FLW108 on B because "moving" allow FLW110 on A because "moving" }'
    report = check_text({"main.flow": FLOW + rules, **files})
    assert not [d for d in report.diagnostics if d.code in {"FLW108", "FLW110", "FLW902"}]
