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
    try:
        target = load_target(service.target)
    except NoModuleError as error:
        raise CodeError(f"{error}; write it, with {_first_lines(service)}") from None
    handlers = []
    missing: list[str] = []
    for declared in service.handlers:
        for trigger in declared.triggers:
            wanted = declared.name or handler_name(trigger)
            call = getattr(target, wanted, None)
            if callable(call):
                function = function_of(f"{service.name}.{wanted}", call)
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
    attribute = service.target.partition(":")[2]
    if attribute:
        return f"`class {attribute}` and its method `{name}(self, event)`"
    return f"`def {name}(event)`"


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
    if taken is not None and first != name and (Path(where) / first).is_dir():
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
        f"service {service.name} handles {trigger}, but {service.target} has no function "
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


def function_of(name: str, call: Callable[..., Any]) -> Function:
    """How the function wants to be called. Raises `CodeError` for one that is no handler."""
    try:
        parameters = list(inspect.signature(call).parameters.values())
    except (TypeError, ValueError) as error:
        raise CodeError(f"{name} can't be called: {error}") from error
    positional = [p for p in parameters if p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD}]
    required = [p for p in positional if p.default is p.empty]
    keywords = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    if not positional or len(required) > 2 or keywords:
        raise CodeError(
            f"{name} takes ({', '.join(map(str, parameters))}); a handler takes the event, or the "
            "event and a context"
        )
    shape: Shape = "plain"
    if inspect.iscoroutinefunction(call):
        shape = "async"
    elif inspect.isasyncgenfunction(call):
        shape = "async_generator"
    return Function(name, call, shape, _takes(positional[0]), context=len(positional) > 1)


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
