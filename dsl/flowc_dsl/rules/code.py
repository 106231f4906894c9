"""1xx in the services' Python source: one service's code in another's, and code that is shared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING

from flowc_dsl.diagnostics.diagnostic import Diagnostic, Label, Level
from flowc_dsl.graph import FlowGraph
from flowc_dsl.model import Library, Service, System
from flowc_dsl.record import Record
from flowc_dsl.rules.registry import Finding, Report, declare, rule
from flowc_dsl.rules.wording import quoted
from flowc_dsl.source import Span

if TYPE_CHECKING:  # most systems that are checked have no code beside them
    from flowc_dsl.pysource.facts import Code
    from flowc_dsl.pysource.reach import Hop


def code_span(service: Service) -> Span:
    """Where a service says what it runs."""
    return service.run.span if service.run is not None else service.span


CODE_NOT_JUDGED = declare(
    "FLW092", "code-not-judged", Level.INFO, "a service's Python file is there and can't be judged"
)


class ImportsService(Record):
    service: Service
    others: tuple[Service, ...]  # more than one where they run one file
    path: str
    hops: tuple[Hop, ...]

    def report(self) -> Report:
        name, names = self.service.name, [other.name for other in self.others]
        first, last = self.hops[0], self.hops[-1]
        by_way = (Label(first.edge.span, f"`{name}` gets there by this import"),)
        return Report(
            f"service `{name}` imports the code of {quoted(names)}, `{self.path}`",
            last.edge.span,
            f"the code of {quoted(names)}",
            (
                Label(code_span(self.others[0]), f"what `{names[0]}` runs"),
                *(by_way if len(self.hops) > 1 else ()),
            ),
            help="let an event carry what one has to know of the other, or move what both need "
            "into a module of its own and declare that as a `library`",
            subjects=(name, *names),
            witness=(*map(str, self.hops), self.path),
        )


@rule("FLW108", "imports-service", Level.ERROR, "service code imports another service's code")
def imports_service(graph: FlowGraph) -> Iterator[Finding]:
    code = graph.code
    if code is None:
        return
    from flowc_dsl.pysource.reach import imported, reach, way  # noqa: PLC0415  # lazy: as above

    services, owners = graph.system.services, _owners(code)
    for name, entry in code.entries.items():
        ends = owners.__contains__
        reached = reach(code, entry, ends)
        for path, hop in imported(code, reached, ends).items():
            others = tuple(services[other] for other in owners.get(path, ()) if other != name)
            if path != entry and others:
                hops = (*way(reached, hop.path), hop)
                yield ImportsService(services[name], others, path, hops)


def _owners(code: Code) -> dict[str, tuple[str, ...]]:
    """The services that run each entry."""
    owners: dict[str, tuple[str, ...]] = {}
    for name, path in code.entries.items():
        owners[path] = (*owners.get(path, ()), name)
    return owners


class SharedCode(Record):
    path: str
    services: tuple[Service, ...]
    hops: tuple[Hop, ...]  # one a service
    name: str  # that a library could have
    beside_entry: bool  # a package that also holds what a service runs

    def report(self) -> Report:
        names = [service.name for service in self.services]
        if self.beside_entry:
            help_ = f"move what they share out of `{self.path}` into a module of its own, and "
            help_ += "declare that as a `library`"
        else:
            help_ = f'declare `library {self.name} "{_library_path(self.path)}"`, and say '
            help_ += f"`uses {self.name}` in {quoted(names)}"
        first = Label(self.hops[0].edge.span, f"imported here, for `{names[0]}`")
        return Report(
            f"`{self.path}` is shared by {quoted(names)} without a `library`",
            self.hops[1].edge.span,
            f"imported here, for `{names[1]}`",
            (
                *((first,) if first.span != self.hops[1].edge.span else ()),
                Label(code_span(self.services[1]), f"what `{names[1]}` runs"),
            ),
            help=help_,
            subjects=tuple(names),
            witness=(str(self.hops[0]), self.path, str(self.hops[1])),
        )


class UnusedLibrary(Record):
    service: Service
    library: Library
    path: str
    hops: tuple[Hop, ...]

    def report(self) -> Report:
        name, library = self.service.name, self.library.name
        return Report(
            f"service `{name}` imports library `{library}` without `uses {library}`",
            self.hops[-1].edge.span,
            f"`{self.path}` is in library `{library}`",
            (
                Label(self.service.span, f"does not say `uses {library}`"),
                Label(self.library.span, "declared here"),
            ),
            help=f"say `uses {library}` in `{name}`",
            subjects=(name, library),
            witness=(*map(str, self.hops), self.path),
        )


@rule("FLW110", "shared-code", Level.WARNING, "code is shared without a library")
def shared_code(graph: FlowGraph) -> Iterator[Finding]:
    if graph.code is None:
        return
    entries = frozenset(graph.code.entries.values())
    ends = cache(lambda path: path in entries or library_of(graph.system, path) is not None)
    ways = {name: _uses(graph.code, name, entries, ends) for name in graph.code.entries}
    yield from _unused_libraries(graph.system, graph.code, ways)
    yield from _shared(graph.system, graph.code, ways)


Ways = Mapping[str, Mapping[str, tuple["Hop", ...]]]
"""By service, then by file: the imports that lead to it."""


def _uses(
    code: Code, service: str, entries: frozenset[str], ends: Callable[[str], bool]
) -> dict[str, tuple[Hop, ...]]:
    """What a service imports, up to libraries and the code of others."""
    from flowc_dsl.pysource.reach import imported, reach, way  # noqa: PLC0415  # lazy: as above

    reached = reach(code, code.entries[service], ends)
    found = imported(code, reached, ends)
    return {
        path: (*way(reached, hop.path), hop) for path, hop in found.items() if path not in entries
    }


def library_of(system: System, path: str) -> Library | None:
    """The library that a file belongs to; of several the innermost."""
    parts = _parts(path)
    found = [lib for lib in system.libraries.values() if _holds(_parts(lib.path), parts)]
    return max(found, key=lambda lib: len(_parts(lib.path)), default=None)


def _parts(path: str) -> tuple[str, ...]:
    return tuple(part for part in path.removesuffix(".py").split("/") if part not in {"", "."})


def _holds(library: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    return parts[: len(library)] == library


def _unused_libraries(system: System, code: Code, ways: Ways) -> Iterator[Finding]:
    for name, found in ways.items():
        service = system.services[name]
        said = {ref.name for ref in service.uses}
        for path, hops in found.items():
            library = library_of(system, path)
            if library is None or library.name in said or not _is_code(code, path):
                continue
            said.add(library.name)  # once a service
            yield UnusedLibrary(service, library, path, hops)


def _shared(system: System, code: Code, ways: Ways) -> Iterator[Finding]:
    users: dict[str, dict[str, str]] = {}  # by file: a service for each entry
    for name, found in ways.items():
        for path in found:
            users.setdefault(path, {}).setdefault(code.entries[name], name)
    shared = {
        path: tuple(names.values())
        for path, names in users.items()
        if len(names) > 1 and _is_code(code, path) and library_of(system, path) is None
    }
    folders = {entry.rpartition("/")[0] for entry in code.entries.values()}
    for path, names in shared.items():
        hops = tuple(ways[name][path][-1] for name in names)
        if all(hop.path in shared for hop in hops):
            continue  # what imports it is shared, and is told
        yield SharedCode(
            path,
            tuple(system.services[name] for name in names),
            hops,
            _library_name(path, system),
            path.rpartition("/")[0] in folders and path.endswith("__init__.py"),
        )


def _is_code(code: Code, path: str) -> bool:
    return path in code.modules and not (code.modules[path].generated or code.modules[path].bare)


def _library_path(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__")


def _library_name(path: str, system: System) -> str:
    name = _library_path(path).rpartition("/")[2].strip("_") or "shared"
    taken = {*system.services, *system.events, *system.libraries, *system.types, *system.enums}
    return f"{name}_lib" if name in taken else name


class NotRead(Record):
    path: str
    reason: str

    def report(self) -> Report:
        return Report(
            f"Python file `{self.path}` is not judged: {self.reason}",
            Span(self.path, 0, 0),
            subjects=(self.path,),
        )


def code_not_judged(graph: FlowGraph) -> Iterator[Diagnostic]:
    """The Python files that are there and can't be judged."""
    for path, reason in graph.code.unread.items() if graph.code is not None else ():
        yield CODE_NOT_JUDGED.diagnostic(NotRead(path, reason))
