"""Just enough English to tell what has happened from what is to be done."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_WORDS: Final = r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+"

# Past participles that don't end in -ed, and forms of the past that events are named by.
_IRREGULAR_TEXT: Final = """
    arisen awoken beaten become been begun bent bet bid bitten blown born borne bought bound broken
    brought built burnt burst cast caught chosen come cost crept cut dealt done drawn driven
    dug eaten fallen fed felt fetched flown forbidden forecast forgiven forgotten forsaken fought
    found frozen gone got gotten given ground grown held heard hidden hit hung hurt kept knelt known
    laid lain learnt led left lent let lit lost made meant met mistaken offset overdrawn overridden
    overrun overtaken paid proven put quit ran rebuilt read redone reset resent resold rung risen
    rewritten said sat sawn seen sent set sewn shaken shed shone shot shown shrunk shut slept slid
    sold sought spent spilt split spoken sprung spread spun stolen stood struck stuck sung sunk
    swept sworn swum swung taken taught thrown told torn undone understood unsent upheld upset went
    withdrawn withheld woken won worn wound written began rose fell broke
    """
_IRREGULAR: Final = frozenset(_IRREGULAR_TEXT.split())
_NOT_PAST_TEXT: Final = """
    bed bleed breed creed deed embed exceed feed greed heed indeed infrared kindred need newsfeed
    proceed red reed sacred seed shed shred sled speed succeed weed wed hundred
    """
_NOT_PAST: Final = frozenset(_NOT_PAST_TEXT.split())
_NOUN_ENDINGS: Final = ("ation", "ition", "ction", "sion", "ment", "ness", "ity", "ance", "ence")
# Verbs that have the ending of a noun, or of something going on.
_VERBS_TEXT: Final = """
    action advance audition augment bring caution cement compliment comment complement condition
    commence document enhance experience fence finance function implement influence instrument
    license mention ping position provision question ration reference requisition ring section
    sequence silence sing sling sling station string supplement swing transition version wing glance
    dance sanction balance
    """
NAMES_KEPT_MAX: Final = 65_536  # of an editor's session, that are not looked at again
_VERBS: Final = frozenset(_VERBS_TEXT.split())


def words(name: str) -> list[str]:
    """`HTTPOrderPlaced_v2` as `http`, `order`, `placed`, `v`, `2`."""
    return [word.lower() for word in re.findall(_WORDS, name)]


def is_past(word: str) -> bool:
    """Whether a word can say what has happened."""
    return word in _IRREGULAR or (len(word) > 3 and word.endswith("ed") and word not in _NOT_PAST)


@lru_cache(NAMES_KEPT_MAX)
def tells_past(name: str) -> bool:
    """Whether a name says what has happened: `OrderPlaced`, `PaymentTakenByCard`."""
    return any(is_past(word) for word in words(name))


def is_no_order(name: str) -> bool:
    """Whether a name is surely no imperative: `OrderPlaced`, `Reservation`, `PlacingOrder`."""
    found = words(name)
    if not found or found[0] in _VERBS:
        return False
    first, last = found[0], found[-1]
    done = len(found) > 1 and is_past(last) and not is_past(first)
    ing = len(first) > 5 and first.endswith("ing")
    past = first.endswith("ed") and is_past(first)
    return done or ing or past or first.endswith(_NOUN_ENDINGS)
