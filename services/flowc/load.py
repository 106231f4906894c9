"""Finding the functions of a service in its author's code."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Literal

from flowc.errors import CodeError
from flowc_dsl.plan import HandlerPlan, RetryPlan, ServicePlan
from flowc_dsl.python_names import handler_name

Shape = Literal["plain", "async", "async_generator"]
Takes = Literal["event", "record_batch", "batch"]
_NOT_USERS: Final = (
    str(Path(__file__).parent), str(Path(importlib.__file__).parent), "<frozen importlib",
)  # fmt: skip
SETUP: Final = "setup_store"
_BATCHES: Final[dict[str, Takes]] = {"Batch": "batch", "RecordBatch": "record_batch"}


class NoModuleError(CodeError):
    """A module that is not there."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the user's, and how it wants to be called.

    `name` is for messages: `Orders.on_stock_refused`.
    """

    name: str
    call: Callable[..., Any]
    shape: Shape = "plain"
    takes: Takes = "event"
    context: bool = False


@dataclass(frozen=True, slots=True)
class Handler:
    """The function for one trigger of one declared handler."""

    trigger: str
    function: Function
    declared: HandlerPlan

    @property
    def retry(self) -> RetryPlan:
        return self.declared.retry


def load_handlers(service: ServicePlan) -> list[Handler]:
    """A handler for each trigger of the service's declared handlers, in their order.

    Raises `CodeError` for whatever keeps the service from running.
    """
    return handlers_of(service, service_target(service))


def service_target(service: ServicePlan) -> Any:
    """The module, or the object, whose functions handle its events. Raises `CodeError`."""
    try:
        return load_target(service.target)
    except NoModuleError as error:
        if not service.handlers:
            raise
        raise CodeError(f"{error}; write it, with {_first_lines(service)}") from None


def setup_of(service: ServicePlan, target: Any) -> Callable[..., Any] | None:
    """What makes the tables of its store, if its author has it. Raises `CodeError`."""
    setup = getattr(target, SETUP, None)
    if setup is None:
        return None
    name = f"{service.name}.{SETUP}"
    if inspect.iscoroutinefunction(setup):
        raise CodeError(f"{name} is `async`; it is called before there is a loop, write `def`")
    try:
        inspect.signature(setup).bind(None)
    except TypeError as error:
        raise CodeError(f"{name} takes the store's connection, and nothing else: {error}") from None
    return setup  # type: ignore[no-any-return]


def handlers_of(service: ServicePlan, target: Any) -> list[Handler]:
    """See `load_handlers`."""
    handlers = []
    missing: list[str] = []
    for declared in service.handlers:
        for trigger in declared.triggers:
            wanted = declared.name or handler_name(trigger)
            call = getattr(target, wanted, None)
            if callable(call):
                function = function_of(
                    f"{service.name}.{wanted}", call, given_events(service, trigger)
                )
                handlers.append(Handler(trigger, function, declared))
            else:
                missing.append(_missing(service, target, wanted, trigger))
    if missing:
        raise CodeError("; ".join(missing))
    return handlers


def _first_lines(service: ServicePlan) -> str:
    """How the code of a service that has none yet begins."""
    declared = service.handlers[0]
    name = declared.name or handler_name(declared.triggers[0])
    given = given_events(service, declared.triggers[0])
    events = {None: "event", 0: ""}.get(given, "first, second")
    attribute = service.target.partition(":")[2]
    if attribute:
        own = f"self, {events}" if events else "self"
        return f"`class {attribute}` and its method `{name}({own})`"
    return f"`def {name}({events})`"


def load_target(target: str) -> Any:
    """What `package.module` or `package.module:Class` names: the module, or an object of the class.

    Raises `CodeError`.
    """
    module_name, _, attribute = target.partition(":")
    module = _import(module_name)
    if not attribute:
        return module
    found = find_attribute(module, attribute)
    if not isinstance(found, type):
        raise CodeError(f"{target}: {attribute} in {_file(module)} is no class")
    try:
        return found()
    except Exception as error:
        raise CodeError(f"{target}: {attribute}() raised {user_trace(error)}") from error


def find_attribute(module: Any, name: str) -> Any:
    """The module's `name`. Raises `CodeError`, with what it may have been meant to be."""
    found = getattr(module, name, None)
    if found is None:
        raise CodeError(f"{_file(module)} has no {name}{_near(name, _public(module))}")
    return found


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise NoModuleError(_no_module(name)) from None
        raise CodeError(f"importing {name} raised {user_trace(error)}") from error
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise CodeError(f"importing {name} raised {user_trace(error)}") from error


def _no_module(name: str) -> str:
    """It may well be there, in a folder whose name another module has taken."""
    where = sys.path[0] if sys.path else "the path"
    first = name.partition(".")[0]
    taken = sys.modules.get(first)
    folder = Path(where) / first
    own = str(folder) in getattr(taken, "__path__", ())
    if taken is not None and not own and first != name and folder.is_dir():
        return (
            f"there is no module {name}: {first} is {_file(taken)}, not the folder in {where}; "
            "give the folder another name"
        )
    return f"there is no module {name} in {where}"


def load_module(name: str) -> Any:
    """Import the user's module. Raises `CodeError`."""
    return _import(name)


def _missing(service: ServicePlan, target: Any, wanted: str, trigger: str) -> str:
    near = _near(wanted, _public(target))
    return (
        f"service {service.name} handles {_waited_for(service, trigger)}, but {service.target} "
        f"has no function "
        f"{wanted}{near} ({_file(target)})"
    )


def _public(target: Any) -> list[str]:
    return [n for n in dir(target) if not n.startswith("_") and callable(getattr(target, n, None))]


def _near(wanted: str, names: list[str]) -> str:
    near = get_close_matches(wanted, names, n=2)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _file(target: Any) -> str:
    module = target if inspect.ismodule(target) else sys.modules.get(type(target).__module__)
    return getattr(module, "__file__", None) or str(module)


def given_events(service: ServicePlan, trigger: str) -> int | None:
    """How many events a handler of `trigger` is given; None for one, perhaps as a batch."""
    if any(timer.event == trigger for timer in service.timers):
        return 0
    return next((len(join.of) for join in service.joins if join.event == trigger), None)


def _waited_for(service: ServicePlan, trigger: str) -> str:
    """What a handler is called for, in words."""
    for deadline in service.deadlines:
        if deadline.event == trigger:
            return f"a deadline of {deadline.of}"
    for join in service.joins:
        if join.event == trigger:
            return " & ".join(join.of)
    for timer in service.timers:
        if timer.event == trigger:
            return f"a timer of {timer.every_ms / 1000:g} s"
    return trigger


def function_of(name: str, call: Callable[..., Any], given: int | None = None) -> Function:
    """How the function wants to be called. Raises `CodeError` for one that is no handler.

    `given`: a handler of a join is given so many events, one of a timer none; either is called with
    a tuple of them.
    """
    try:
        parameters = list(inspect.signature(call).parameters.values())
    except (TypeError, ValueError) as error:
        raise CodeError(f"{name} can't be called: {error}") from error
    positional = [p for p in parameters if p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD}]
    required = [p for p in positional if p.default is p.empty]
    keywords = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    events = 1 if given is None else given
    if len(positional) < events or len(required) > events + 1 or keywords:
        taken = {0: "nothing, or", 1: "the event, or the event and"}
        wanted = taken.get(events, f"the {events} events, or the {events} events and")
        raise CodeError(
            f"{name} takes ({', '.join(map(str, parameters))}); "
            f"a handler{'' if given is None else ' like this'} takes {wanted} a context"
        )
    shape: Shape = "plain"
    if inspect.iscoroutinefunction(call):
        shape = "async"
    elif inspect.isasyncgenfunction(call):
        shape = "async_generator"
    context = len(positional) > events
    if given is not None:
        return Function(name, _spread(call, context=context), shape, context=context)
    return Function(name, call, shape, _takes(positional[0]), context=context)


def _spread(call: Callable[..., Any], *, context: bool) -> Callable[..., Any]:
    if context:
        return lambda events, ctx: call(*events, ctx)
    return lambda events: call(*events)


def _takes(parameter: inspect.Parameter) -> Takes:
    annotation = parameter.annotation
    if annotation is parameter.empty:
        return "record_batch" if parameter.name == "batch" else "event"
    name = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    found = _BATCHES.get(name.rpartition(".")[2])
    return found or ("record_batch" if parameter.name == "batch" else "event")


def user_trace(error: BaseException) -> str:
    """The error and where it came from, without the frames of flowc and of the import system."""
    trace = traceback.TracebackException.from_exception(error)
    kept = [frame for frame in trace.stack if not frame.filename.startswith(_NOT_USERS)]
    trace.stack = traceback.StackSummary.from_list(kept)
    trace.__cause__ = trace.__context__ = None
    *stack, last = trace.format()
    return "\n".join([last.rstrip(), *(line.rstrip() for line in stack)])
