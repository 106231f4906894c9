"""Pass 6: `rules`: laws and exemptions."""

from __future__ import annotations

from typing import Final

from flowc_dsl import limits
from flowc_dsl.lower.clauses import option
from flowc_dsl.lower.literals import iso_date, whole
from flowc_dsl.lower.work import Work, ref
from flowc_dsl.model import Exemption, Law
from flowc_dsl.source import Span
from flowc_dsl.syntax import tree as t

MEASURES: Final = ("fan_out", "depth", "exchange")


def lower_laws(work: Work) -> None:
    """All laws and exemptions."""
    for tree in work.each_tree():
        for item in tree.items:
            for law in item.laws if isinstance(item, t.Rules) else ():
                _law(work, tree, law)


def _law(work: Work, tree: t.Tree, law: t.Node) -> None:
    match law:
        case t.Reach():
            via = ref(tree, law.via) if law.via else None
            source, target = ref(tree, law.source), ref(tree, law.target)
            span = Span(tree.source.path, law.source.start, law.target.end)
            work.laws.append(Law(law.kind, span, source, target, via))
        case t.Limit():
            measure = option(work, tree, law.measure, "limit", MEASURES)
            bound = whole(work, tree, law.bound, "limit", 0, limits.LAW_BOUND_MAX)
            if law.measure.text == measure:  # else it would be another limit than was meant
                work.laws.append(Law("limit", tree.span(law), measure=measure, bound=bound))
        case t.Allow() if law.code.text and law.subject.text:
            work.exemptions.append(
                Exemption(
                    ref(tree, law.code),
                    ref(tree, law.subject),
                    law.because.value if law.because else "",
                    Span(tree.source.path, law.code.start, law.subject.end),
                    iso_date(work, tree, law.until) if law.until else None,
                )
            )
