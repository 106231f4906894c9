"""What each rule says, by expectation on the line: `// FLW201` stands where a finding has to begin.

A case is whole: findings that no line expects fail it.
"""

import re

import pytest

from support.generate import generate
from support.programs import findings

HEAD = "system Shop\nexternal event In key id { id: uuid }\n"

CASES = {
    "two handlers of one service emit": """
        external event Too key id { id: uuid }
        exported event Out key id { id: uuid }
        service A { on In -> Out  on Too -> Out }
    """,
    "three emitters are one finding, at the second": """
        exported event Out key id { id: uuid }
        service A { on In -> Out }
        service B {
          on In -> Out                                            // FLW101
        }
        service C { on In -> Out }
    """,
    "an output of a deadline and of a timer counts as emitted": """
        exported event Out key id { id: uuid }
        service A { every 5s -> Out  on In }
        service B {
          after 5s of In -> Out                                   // FLW101
        }
    """,
    "one handler with a command twice is one handler": """
        command Do key id { id: uuid }
        service A { on In -> Do }
        service B { on Do | In }
    """,
    "two handlers of one service are several": """
        command Do key id { id: uuid }
        service A { on In -> Do }
        service B {
          on Do
          on Do as again                                          // FLW107
        }
    """,
    "unless reads, and is no edge": """
        event Late key id { id: uuid }
        event Done key id { id: uuid }
        service A { on In -> Done }
        service B {
          on Late
          after 5s of In unless Done -> Late                      // FLW309
        }
    """,
    "exported counts as a reader and only that": """
        exported event Out key id { id: uuid }                    // FLW202
        service A { on In }
    """,
    "external counts as an emitter and only that": """
        external event Ext key id { id: uuid }                    // FLW201
        service A { on In }
    """,
    "expect reads nothing": """
        event Out key id { id: uuid }                             // FLW201
        service A { on In -> Out }
        expect fine: In leads to Out within 1h by id
    """,
    "a command that nobody handles is 107 alone": """
        command Do key id { id: uuid }                            // FLW107
        command Never key id { id: uuid }                         // FLW107
        service A { on In -> Do }
    """,
    "a command that nobody sends": """
        command Do key id { id: uuid }                            // FLW202
        service A { on In }
        service B { on Do }
    """,
    "a cycle behind a missing emitter is 202 and 301": """
        event X key id { id: uuid }                               // FLW202
        event Y key id { id: uuid }
        event Z key id { id: uuid }
        service A { on In }
        service B {
          on X | Z -> Y                                           // FLW301 FLW305
        }
        service C { on Y -> Z }
    """,
    "a ring that nothing starts, and what hangs on it, is one 205": """
        event Y key id { id: uuid }                               // FLW205
        event Z key id { id: uuid }
        event W key id { id: uuid }
        service A { on In }
        service B {
          on Z -> Y                                               // FLW301
        }
        service C { on Y -> Z, W }
        service D { on W }
    """,
    "a timer starts a ring": """
        event Y key id { id: uuid }
        event Z key id { id: uuid }
        service A { on In }
        service B {
          on Z -> Y                                               // FLW301
          every 5s -> Y
        }
        service C { on Y -> Z? }
    """,
    "a self-trigger by an alternative is a cycle alone": """
        event X key id { id: uuid }
        exported event Y key id { id: uuid }
        service A {
          on In | X -> X | Y                                      // FLW301
        }
    """,
    "a self-trigger by every alternative": """
        event X key id { id: uuid }
        event Y key id { id: uuid }
        service A {
          on In | X | Y -> X | Y                                  // FLW301 FLW302
        }
    """,
    "a chance is a way out": """
        event X key id { id: uuid }
        service A {
          on In | X -> X chance 50%                               // FLW301
        }
    """,
    "a deadline that can be stopped is no self-trigger": """
        event X key id { id: uuid }
        service A {
          on In -> X
          after 5s of X unless In -> X                            // FLW301 FLW309
        }
    """,
    "ordered by looks at each trigger": """
        external event Other key oid { oid: uuid  id: uuid }
        external event Bare { id: uuid }
        service A {
          on In | Other | Bare ordered by id                      // FLW501 FLW509
        }
    """,
    "a join by the key of both": """
        external event Other key id { id: uuid }
        service A { on In & Other by id }
    """,
    "a misspelt reader does not make the event unread": """
        event Shipped key id { id: uuid }
        service A { on In -> Shipped }
        service B {
          on Shiped                                               // FLW207
        }
    """,
    "a misspelt output does not make the event unemitted": """
        event Shipped key id { id: uuid }
        service A {
          on In -> Shiped                                         // FLW207
        }
        service B { on Shipped }
    """,
    "a misspelt library or type does not make it unused": """
        library pricing "libs/pricing"
        type Line { sku: string }
        external event Two key id { id: uuid  line: Lime }        // FLW011
        service A {
          on In | Two
          uses pricng                                             // FLW207
        }
    """,
    "a service where an event is expected is 103 alone": """
        service A { on In }
        service B {
          on A                                                    // FLW103
        }
    """,
    "a name in nested arguments": """
        service A { on In }
        service B {
          args { peers: [{ host: "A" }] }                         // FLW103
          on In
        }
    """,
    "types that only unused types need are not reported": """
        type Outer { inner: Inner }                               // FLW203
        type Inner { kind: Kind }
        enum Kind { ONE }
        service A { on In }
    """,
    "an exemption is for its name alone": """
        event X key id { id: uuid }
        event Y key id { id: uuid }                               // FLW201
        service A { on In -> X, Y }
        rules { allow FLW201 on X because "read next month" }
    """,
    "an exemption of a self-trigger leaves the cycle": """
        event X key id { id: uuid }
        service A {
          on In | X -> X                                          // FLW301
        }
        rules { allow FLW302 on X because "the demo loops" }
    """,
    "rules run although a type is at fault": """
        type Ring { next: Ring? }                                 // FLW015 FLW203
        service A { on In }
    """,
    "and do not run where a declaration is left out": """
        event Out key id { id: uuid }
        service A { on In }
        service A { on In -> Out }                                // FLW010
    """,
    "nor where text is not understood": """
        event Out key id { id: uuid }
        service A { on In -> }                                    // FLW001
    """,
    "a law with a name that is nothing is not judged, nor a limit of nothing": """
        service A { on In }
        rules {
          require In reaches A via Nothing                        // FLW207
          limit depht 0                                           // FLW031
        }
    """,
    "an exemption of a law": """
        service A { on In }
        rules {
          forbid In reaches A
          allow FLW308 on A because "for now"
        }
    """,
    "one finding for an exemption that is reasonless and useless": """
        service A { on In }
        rules {
          allow FLW201 on In because " "                          // FLW901
        }
    """,
    "alternatives of a ring can meet in the end": """
        event Tried key id { id: uuid }
        event Done key id { id: uuid }
        event Failed key id { id: uuid }
        service A {
          on In | Failed -> Tried                                 // FLW301
        }
        service B { on Tried -> Done | Failed }
        service C { on Done & Failed by id }
    """,
    "who only hears of a deadline's outputs does not decide": """
        event Done key id { id: uuid }
        event Lapsed key id { id: uuid }
        service A {
          after 5s of In unless Done -> Lapsed                    // FLW309
        }
        service B { on In -> Done  on Lapsed }
        service C { on Done }
    """,
    "who answers a deadline's outputs decides": """
        event Done key id { id: uuid }
        event Lapsed key id { id: uuid }
        exported event Ended key id { id: uuid }
        service A { after 5s of In unless Done -> Lapsed }
        service B { on In -> Done  on Lapsed -> Ended? }
        service C { on Done }
    """,
    "a deadline that its own event renews races nothing": """
        exported event Silent key id { id: uuid }
        service A { after 5s of In unless In -> Silent }
    """,
    "an internal event without an emitter crosses nothing": """
        internal event Hidden key id { id: uuid }                 // FLW202
        context One { service A { on In | Hidden } }
        context Two { service B { on Hidden } }
    """,
    "a second emitter in another context is one finding": """
        context One { event Out key id { id: uuid }  service A { on In -> Out } }
        context Two {
          service B {
            on In -> Out                                          // FLW101
            on Out
          }
        }
    """,
    "two emitters that are both foreign are two faults": """
        context One { event Out key id { id: uuid }  service A { on Out } }
        context Two { service B {
          on In -> Out                                            // FLW106
        } }
        context Three { service C {
          on In -> Out                                            // FLW101
        } }
    """,
    "a field that one trigger lacks is 404 alone": """
        event Out key id { id: uuid }
        external event Too key id { id: uuid  n: int }
        service A { on In -> Out }
        service B {
          on Out | Too ordered by n                               // FLW404
        }
    """,
    "a timer has no fields": """
        exported event Ticked { at: timestamp }
        service A {
          on In
          every 5s -> Ticked
            reads at                                              // FLW404
            idempotent by at                                      // FLW404
        }
    """,
    "an address in a command": """
        service A {
          run exec "node send.js --to=smtp://mail"
          on In                                                   // FLW503 FLW507
        }
    """,
    "a file is not outside": """
        service A { run exec "node a.js --db file:///a"  args { db: "file:///b" }  on In }
    """,
    "laws via a service and via a context": """
        event Asked key id { id: uuid }
        event Answered key id { id: uuid }
        context Edge { service A { on In -> Asked } }
        context Core { service B { on Asked -> Answered } }
        service C { on Answered }
        service D { on Asked }
        rules {
          forbid A reaches C via B                                // FLW308
          forbid Edge reaches C via Core                          // FLW308
          forbid A reaches D via Core
          require A reaches C via B
          require A reaches D via B                               // FLW308
        }
    """,
    "a limit that is looser than another, or said twice": """
        service A { on In }
        rules {
          limit fan_out 5                                         // FLW902
          limit fan_out 3
          limit fan_out 3                                         // FLW902
          limit depth 5
        }
    """,
    "an event shares nothing": """
        service A { on In }
        rules {
          forbid In reaches A via store                           // FLW902
          require In reaches A via library                        // FLW902
        }
    """,
}


def expected(text: str) -> list[tuple[int, str]]:
    return [
        (number, code)
        for number, line in enumerate(text.splitlines(), 1)
        for code in re.findall(r"FLW\d{3}", line.partition("//")[2])
    ]


@pytest.mark.parametrize("name", CASES)
def test_case(name):
    text = HEAD + CASES[name]
    actual = [
        (text.count("\n", 0, found.primary.span.start) + 1, found.code) for found in findings(text)
    ]
    assert sorted(actual) == expected(text)


ABC = """
event A key id { id: uuid }
event B key id { id: uuid }
event C key id { id: uuid }
"""


def test_witness_of_a_cycle_is_the_shortest():
    text = (
        HEAD
        + ABC
        + """
        service One { on In | C | B -> A }
        service Two { on A -> B }
        service Three { on B -> C }
    """
    )
    witnesses = [" -> ".join(d.witness) for d in findings(text) if d.code == "FLW301"]
    assert witnesses == [
        "B -> One.on In | C | B -> A -> Two.on A -> B",
        "B -> Three.on B -> C -> One.on In | C | B -> A -> Two.on A -> B",
    ]


def test_witness_of_an_unbounded_cycle_goes_through_what_has_no_bound():
    text = (
        HEAD
        + ABC
        + """
        service One { on In | C -> A }
        service Two { on A -> B?, C? chance 1%  on B -> C* }
    """
    )
    (found,) = [d for d in findings(text) if d.code == "FLW306"]
    ring = "C -> One.on In | C -> A -> Two.on A -> B -> Two.on B -> C"
    assert " -> ".join(found.witness) == ring


def test_a_required_way_that_is_missed_is_shown():
    text = f"""{HEAD}
        event Out key id {{ id: uuid }}
        service A {{ on In -> Out }}
        service B {{ on Out  every 5m as sweep }}
        service C {{ on In }}
        rules {{ require A reaches B via C  require A reaches C }}
    """
    around, nowhere = findings(text)
    assert around.witness == ("A.on In", "Out", "B.on Out")
    assert around.notes == ("`A` reaches it another way",)
    assert nowhere.notes == ("`A` reaches `B`",)


def test_a_cycle_in_an_exempted_knot_is_still_seen():
    text = (
        HEAD
        + ABC
        + """
        service One { on In | B | C -> A }
        service Two { on A -> B? }
        service Three { on A -> C chance 10% }
        rules { allow FLW301 on B because "a dialogue" }
    """
    )
    (found,) = findings(text)
    assert found.code == "FLW301"
    assert "C" in found.subjects


def test_long_lists_of_names_are_cut():
    services = "\n".join(f"service S{i} {{ on In -> Out }}" for i in range(9))
    (found,) = findings(f"{HEAD}exported event Out key id {{ id: uuid }}\n{services}")
    assert "`S0`, `S1`, `S2` and 6 more" in found.message
    assert len(found.related) == 2


def test_generated_systems_are_clean_but_for_their_rings():
    assert findings(generate(60, files=4, seed=3)) == []
    assert {d.code for d in findings(generate(20, seed=1, rings=2))} == {"FLW301"}


def test_many_missing_versions_are_counted():
    (found,) = findings(
        f"{HEAD}external event Old v10000 key id {{ id: uuid }}\nservice A {{ on Old | In }}"
    )
    assert "how v1 and v2 and v3 and 9,996 more become the next" in found.message
    assert found.help is not None
    assert len(found.help) < 200
