"""Pass 8: names that are used and declared nowhere (FLW207).

A service's name where an event or a library is expected is FLW103, and another service's store
FLW102: both are the rules' to find.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from flowc_dsl.lower.faults import UnknownName
from flowc_dsl.lower.work import Work
from flowc_dsl.model import Law, Ref, Service

VIA: Final = ("store", "event", "command", "library")


def resolve_names(work: Work) -> None:
    """Reports each name that is not what its place needs."""
    if work.broken:
        return  # what is missing may stand in text that was not understood
    stores = {store.name: s.name for s in work.services.values() for store in s.stores}
    for service in work.services.values():
        work.file = service.span.path
        _service(work, service, stores)
    for law in work.laws:
        _law(work, law, stores)
    subjects = _subjects(work, stores) if work.exemptions else set()
    for exemption in work.exemptions:
        _expect(work, exemption.subject, "name", subjects)
    _expectations(work)


def _law(work: Work, law: Law, stores: Mapping[str, str]) -> None:
    for side in (law.source, law.target):
        if side is not None:
            places = [*work.contexts, *work.services, *work.events]
            _expect(work, side, "context, service or event", places)
    if law.via is not None and law.via.name not in VIA:
        ways = [*work.events, *work.libraries, *stores, *work.services, *work.contexts]
        _expect(work, law.via, "event, service, context, store or library", ways)


def _expectations(work: Work) -> None:
    for expect in work.expects:
        for ref in (*expect.events, *expect.targets):
            _expect(work, ref, "event", work.events)
    names = {expect.name for expect in work.expects}
    for scenario in work.scenarios:
        for load in scenario.loads:
            _expect(work, load.event, "event", work.events)
        for outage in (*scenario.crashes, *scenario.partitions):
            _expect(work, outage.service, "service", work.services)
        for ref in scenario.checks:
            _expect(work, ref, "expectation", names)
    for test in work.tests:
        for stub in test.stubs:
            _expect(work, stub.service, "service", work.services)
        for sample in test.samples():
            _expect(work, sample.event, "event", work.events)


def _service(work: Work, service: Service, stores: Mapping[str, str]) -> None:
    for handler in service.handlers:
        for ref in (*handler.triggers, *handler.unless, *handler.output_refs()):
            if ref.name not in work.services:
                _expect(work, ref, "event", work.events)
    for ref in service.uses:
        if ref.name in work.services or stores.get(ref.name, service.name) != service.name:
            continue
        if ref.name in stores and ref.name not in work.libraries:
            place = next(s.span for s in service.stores if s.name == ref.name)
            fault = UnknownName(ref.span, ref.name, "library", None, "store", place)
            work.report(fault)
        else:
            _expect(work, ref, "library", work.libraries)
    for ref in service.store_refs:
        _expect(work, ref, "store", stores)


def _subjects(work: Work, stores: Mapping[str, str]) -> set[str]:
    """Whatever a finding may be about."""
    fields = {f.name for event in work.events.values() for f in event.fields}
    fields |= {f.name for struct in work.types.values() for f in struct.fields}
    titles = {test.name for test in work.tests}
    system = {work.system.name} if work.system else set()
    return {*work.declared, *stores, *fields, *titles, *system}


def _expect(work: Work, ref: Ref, wanted: str, known: Collection[str]) -> None:
    if not ref.name or ref.name in known:
        return
    declared = work.declared.get(ref.name)
    if declared is not None:
        fault = UnknownName(ref.span, ref.name, wanted, None, declared.kind, declared.span)
    else:
        fault = UnknownName(ref.span, ref.name, wanted, work.nearest(ref.name, known))
    work.report(fault)
