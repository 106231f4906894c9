"""The way of personal data (spec 3.18, 3.39): what carries it, what does not, the path shown."""

import pytest

from support.programs import findings

HEAD = "system Shop\nexternal event In key id retain 30d { id: uuid  mail: string @pii  n: int }\n"

WAYS = {
    "one name and type": (
        """exported event Out key id { id: uuid  mail: string }
        service A { on In -> Out }""",
        ["In.mail", "A.on In", "Out.mail"],
    ),
    "through the memory of a service": (
        """external event Asked key id { id: uuid }
        exported event Out key id { id: uuid  mail: string }
        service A { on In  on Asked -> Out }""",
        ["In.mail", "A.on In", "A.on Asked", "Out.mail"],
    ),
    "under another name that says so": (
        """event Held key id retain 1d { id: uuid  buyer: string @pii }
        exported event Out key id retain 1d { id: uuid  buyer: string }
        service A { on In -> Held }
        service B { on Held -> Out }""",
        ["In.mail", "A.on In", "Held.buyer", "B.on Held", "Out.buyer"],
    ),
    "out of a type that holds it": (
        """type Person { phone: string @pii  size: int }
        external event Met key id { id: uuid  who: Person }
        exported event Out key id { id: uuid  phone: string  size: int }
        service A { on Met -> Out  on In }""",
        ["Met.who", "A.on Met", "Out.phone"],
    ),
    "past one that reads something else": (
        """exported event Out key id { id: uuid  mail: string }
        service A { on In -> Out  reads n }""",
        None,
    ),
    "a service that remembers nothing": (
        """external event Asked key id { id: uuid }
        exported event Out key id { id: uuid  mail: string }
        service A { stateless  on In  on Asked -> Out }""",
        None,
    ),
    "a memory is not asked for what the trigger has": (
        """external event Asked key id { id: uuid  mail: string }
        exported event Out key id { id: uuid  mail: string }
        service A { on In  on Asked -> Out }""",
        None,
    ),
    "another type of that name": (
        """exported event Out key id { id: uuid  mail: int }
        service A { on In -> Out }""",
        None,
    ),
}


@pytest.mark.parametrize("name", WAYS)
def test_the_way_out(name):
    text, path = WAYS[name]
    found = [list(d.witness) for d in findings(HEAD + text) if d.code == "FLW701"]
    assert found == ([path] if path else [])


def test_a_renamed_copy_that_is_kept_longer():
    text = """
        event Held key id retain 90d { id: uuid  buyer: string @pii }
        service A { on In -> Held }
        service B { on Held }
    """
    (found,) = findings(HEAD + text)
    assert found.code == "FLW702"
    assert found.witness == ("In.mail", "A.on In", "Held.buyer")
