"""The codes of findings: which there are, what a prefix means, which may be turned down."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

_CODE = re.compile(r"FLW\d{3}")
_PREFIX = re.compile(r"FLW\d{0,3}")


class UnknownCodeError(ValueError):
    """A code or prefix that no finding has. The message names what was probably meant."""


@cache
def known_codes() -> frozenset[str]:
    """All codes, those of text and files included."""
    from importlib.resources import files  # noqa: PLC0415  # lazy: few checks name codes

    from flowc_dsl.rules.registry import declared_rules  # noqa: PLC0415  # as above

    entries = (files("flowc_dsl") / "rules" / "docs").iterdir()
    documented = {entry.name.removesuffix(".md") for entry in entries}
    return frozenset({c for c in documented if _CODE.fullmatch(c)} | declared_rules().keys())


def is_fixed(code: str) -> bool:
    """Whether a code can't be exempted, turned down or put into a baseline.

    Those are the faults of text, names and files, which leave the rules nothing to judge, and the
    faults of exemptions themselves.
    """
    return code.startswith(("FLW0", "FLW9")) or code == "FLW207"


def whole_code(written: str) -> str:
    """The code that is written, in its one spelling. Raises `UnknownCodeError`."""
    code = _spelt(written)
    if code in known_codes():
        return code
    raise UnknownCodeError(f"unknown code `{written}`{_hint(code)}")


def prefixes(written: Iterable[str]) -> tuple[str, ...]:
    """Codes and prefixes of codes (`FLW2`, `2`) in their one spelling. Raises `UnknownCodeError`.

    Each item may hold several, with commas between.
    """
    found = []
    for part in (part.strip() for item in written for part in item.split(",")):
        if not part:
            continue
        prefix = _spelt(part)
        if not (_PREFIX.fullmatch(prefix) and any(c.startswith(prefix) for c in known_codes())):
            raise UnknownCodeError(f"no code begins with `{part}`{_hint(prefix)}")
        found.append(prefix)
    return tuple(dict.fromkeys(found))


def _spelt(written: str) -> str:
    code = written.strip().upper()
    return f"FLW{code}" if re.fullmatch(r"\d{1,3}", code) else code


def _hint(code: str) -> str:
    from difflib import get_close_matches  # noqa: PLC0415  # lazy: needed for faults alone

    codes = sorted(known_codes())
    family = [known for known in codes if known[:4] == code[:4]]
    near = (
        [known for known in family if sorted(known) == sorted(code)]  # a common slip
        or get_close_matches(code, family, n=1)
        or get_close_matches(code, codes, n=1)
    )
    return f"; did you mean `{near[0]}`?" if near else "; `flowc explain` lists all codes"
