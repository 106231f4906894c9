"""9xx: exemptions and laws that no longer say anything, and what is checked and not run yet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Literal

from flowc_dsl.codes import is_fixed
from flowc_dsl.diagnostics.diagnostic import Diagnostic, Label, Level
from flowc_dsl.model import Exemption, Law, Ref, System
from flowc_dsl.record import Record
from flowc_dsl.rules.laws import empty_names, strictest_limits
from flowc_dsl.rules.registry import (
    NOT_JUDGED,
    UNKNOWN_NAME,
    Report,
    checked_rules,
    declare,
    declared_rules,
)
from flowc_dsl.rules.wording import nearest, quoted
from flowc_dsl.source import Span

WEAK_EXEMPTION = declare(
    "FLW901", "weak-exemption", Level.WARNING, "an exemption has no reason, or has expired"
)
MATCHES_NOTHING = declare(
    "FLW902", "matches-nothing", Level.WARNING, "an exemption or a law matches nothing"
)


class Weak(Record):
    exemption: Exemption
    fault: Literal["no reason", "expired"]
    back: int  # findings that it no longer exempts

    def report(self) -> Report:
        found = self.exemption
        name = f"exemption of `{found.code.name}` on `{found.subject.name}`"
        if self.fault == "expired":
            message, label = f"{name} expired after {found.until}", f"expired after {found.until}"
            help_ = "mend the finding, or set a later date if the reason still holds"
        else:
            message, label = f"{name} has no reason", "needs a reason"
            help_ = 'say why it is right: `because "…"`'
        return Report(
            message,
            found.span,
            label,
            notes=("what it exempted is reported again",) if self.back else (),
            help=help_ if self.back else "remove it: it matches nothing either",
            subjects=(found.subject.name,),
        )


class UselessExemption(Record):
    exemption: Exemption
    possible: bool

    def report(self) -> Report:
        code, subject = self.exemption.code.name, self.exemption.subject.name
        if self.possible:
            message = f"exemption of `{code}` on `{subject}` matches nothing"
            help_ = f"remove it: `{subject}` has no such finding"
        else:
            message = f"exemption of `{code}` on `{subject}` has no effect"
            help_ = f"remove it: `{code}` can't be exempted"
        return Report(message, self.exemption.span, "no effect", help=help_, subjects=(subject,))


class UnknownCode(Record):
    ref: Ref
    candidate: str | None

    def report(self) -> Report:
        hint = f"did you mean `{self.candidate}`? " if self.candidate else ""
        return Report(
            f"unknown rule `{self.ref.name}`",
            self.ref.span,
            "no rule has this code",
            help=f"{hint}`flowc explain` lists all codes",
            subjects=(self.ref.name,),
        )


class EmptyLaw(Record):
    law: Law
    ref: Ref
    why: str

    def report(self) -> Report:
        return Report(
            f"`{self.law.kind}` names `{self.ref.name}`, which {self.why}",
            self.ref.span,
            self.why,
            help="remove the law, or name a service, context or event that it can hold for",
            subjects=(self.ref.name,),
        )


class IdleLimit(Record):
    law: Law
    stricter: Law

    def report(self) -> Report:
        measure, bound = self.law.measure, self.stricter.bound
        equal = bound == self.law.bound
        why = "is said twice" if equal else f"says nothing more than `limit {measure} {bound}`"
        return Report(
            f"`limit {measure} {self.law.bound}` {why}",
            self.law.span,
            "no effect",
            (Label(self.stricter.span, "the one that counts"),),
            help="remove one of them",
            subjects=(str(measure),),
        )


def apply_exemptions(
    system: System, findings: Iterable[Diagnostic], today: date, *, with_log: bool = False
) -> list[Diagnostic]:
    """The findings that stay, and what is to be said about the exemptions themselves.

    `with_log`: a log was read, so an exemption of what only a log can tell may be useless too.
    """
    kept = list(findings)
    needing = {code: rule.needs for code, rule in declared_rules().items() if rule.needs != "text"}
    rules = {checked.rule.code for checked in checked_rules()} | needing.keys()
    for exemption in system.exemptions:
        code, subject = exemption.code.name, exemption.subject.name
        judged = code not in needing or (needing[code] == "log" and with_log)
        if not judged:
            continue
        if code not in rules or is_fixed(code):
            kept.append(_unusable(exemption))
            continue
        matched = [d for d in kept if d.code == code and subject in d.subjects]
        fault = _fault(exemption, today)
        if fault is not None:
            kept.append(WEAK_EXEMPTION.diagnostic(Weak(exemption, fault, len(matched))))
        elif matched:
            kept = [d for d in kept if d not in matched]
        else:
            kept.append(MATCHES_NOTHING.diagnostic(UselessExemption(exemption, possible=True)))
    return kept


def _unusable(exemption: Exemption) -> Diagnostic:
    code = exemption.code.name
    if code in declared_rules() or code.startswith("FLW0"):
        return MATCHES_NOTHING.diagnostic(UselessExemption(exemption, possible=False))
    codes = list(declared_rules())
    swapped = [known for known in codes if sorted(known) == sorted(code)]  # a common slip
    family = [known for known in codes if known[:4] == code[:4]]
    candidate = nearest(code, swapped) or nearest(code, family) or nearest(code, codes)
    return UNKNOWN_NAME.diagnostic(UnknownCode(exemption.code, candidate))


def _fault(exemption: Exemption, today: date) -> Literal["no reason", "expired"] | None:
    if not exemption.reason.strip():
        return "no reason"
    if exemption.until is not None and date.fromisoformat(exemption.until) < today:
        return "expired"
    return None


def empty_laws(system: System) -> Iterator[Diagnostic]:
    """Laws over names that hold no handler, kept whatever is written; limits that never count."""
    for law, ref, why in empty_names(system):
        yield MATCHES_NOTHING.diagnostic(EmptyLaw(law, ref, why))
    counting = strictest_limits(system)
    for law in system.laws:
        stricter = counting.get(law.measure or "", law)
        if stricter is not law:
            yield MATCHES_NOTHING.diagnostic(IdleLimit(law, stricter))


class NotJudged(Record):
    construct: str
    names: tuple[str, ...]
    first: Span

    def report(self) -> Report:
        plural = "s" if len(self.names) > 1 else ""
        return Report(
            f"{len(self.names)} `{self.construct}`{plural} checked, and run by no command yet: "
            f"{quoted(self.names)}",
            self.first,
            subjects=self.names,
        )


def not_judged(system: System) -> Iterator[Diagnostic]:
    """One line for each kind of construct of which something is still to come."""
    found: dict[str, list[tuple[str, Span]]] = {}
    for scenario in system.scenarios:
        found.setdefault("scenario", []).append((scenario.name, scenario.span))
    for test in system.tests:
        found.setdefault("test", []).append((test.name, test.span))
    for construct, places in found.items():
        names = tuple(name for name, _ in places)
        yield NOT_JUDGED.diagnostic(NotJudged(construct, names, places[0][1]))
