"""`flow.toml`: what a program needs to run and is no part of the language.

[sources.NAME]
python = "module:function"   # a generator of events
args = { month = 1 }         # its keyword arguments
emits = ["FlightScheduled"]  # what it may emit: external events

[levels]                     # of the findings of `flowc check`
FLW201 = "error"             # or "warning", "info", "off"

[thresholds]                 # from where on it speaks of matters of taste
hub_types = 16               # more types through one service are a hub (FLW307)
exchange_types = 5           # more types between two services are one job (FLW604)
god_event_fields = 6         # an event with fewer fields is no god event (FLW605)
utilisation = 0.8            # of a service's processes, on average (FLW508)
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flowc_dsl.codes import UnknownCodeError, is_fixed, whole_code
from flowc_dsl.diagnostics.diagnostic import Level
from flowc_dsl.thresholds import DEFAULTS, NAMES, ThresholdError, Thresholds, threshold
from flowc_engine import limits

if TYPE_CHECKING:
    from flowc_dsl.plan import Plan

FILE_NAME: Final = "flow.toml"
EMIT_SOURCE: Final = "emit"  # what `flowc emit` publishes as
_TABLES: Final = ("sources", "levels", "thresholds")
_LEVELS: Final = {**{str(level): level for level in Level}, "off": None}
_SOURCE_KEYS: Final = ("python", "args", "emits")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class ConfigError(Exception):
    """A `flow.toml` that can't be used. `line` counts from 1, or is None where it is unknown."""

    def __init__(self, path: Path, line: int | None, message: str) -> None:
        place = f"{path}:{line}" if line else str(path)
        super().__init__(f"{place}: {message}")
        self.path, self.line, self.message = path, line, message


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """A generator of events: `target` is `module:function`."""

    name: str
    target: str
    args: dict[str, Any] = field(default_factory=dict)
    emits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Config:
    """`path` is None where there is no `flow.toml`. In `levels`, by code, None is off."""

    path: Path | None = None
    sources: tuple[SourceConfig, ...] = ()
    text: str = ""
    levels: dict[str, Level | None] = field(default_factory=dict)
    thresholds: Thresholds = DEFAULTS

    def check_against(self, plan: Plan) -> None:
        """Raises `ConfigError` where a source emits what the plan does not let it."""
        for source in self.sources:
            for event in source.emits:
                why = _why_not(plan, event)
                if why is not None:
                    assert self.path is not None
                    line = _line_of(self.text, source.name, "emits")
                    raise ConfigError(self.path, line, f"source {source.name!r}: {why}")


def load_config(root: Path) -> Config:
    """The `flow.toml` of the folder `root`, or an empty one. Raises `ConfigError`."""
    path = root / FILE_NAME
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Config()
    except OSError as error:
        raise ConfigError(path, None, error.strerror or str(error)) from None
    if len(data) > limits.CONFIG_BYTES_MAX:
        raise ConfigError(path, None, f"over {limits.CONFIG_BYTES_MAX} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(path, line, "not UTF-8") from None
    return parse_config(text, path)


def parse_config(text: str, path: Path) -> Config:
    """The configuration that `text` is. Raises `ConfigError`; `path` is for its message."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r" \(at line (\d+), column \d+\)$", str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        message = str(error)[: found.start()] if found else str(error)
        raise ConfigError(path, line, message[:1].lower() + message[1:]) from None
    except RecursionError:
        raise ConfigError(path, None, "nested too deeply") from None
    _known(tables, _TABLES, path, text, None)
    sources = tables.get("sources", {})
    if not isinstance(sources, dict):
        raise ConfigError(path, _line_of(text, None, "sources"), "`sources` is no table")
    declared = tuple(_source(n, v, path, text) for n, v in sources.items())
    levels = _levels(tables.get("levels", {}), path, text)
    thresholds = _thresholds(tables.get("thresholds", {}), path, text)
    return Config(path, declared, text, levels, thresholds)


def _levels(table: object, path: Path, text: str) -> dict[str, Level | None]:
    if not isinstance(table, dict):
        raise ConfigError(path, _line_of(text, None, "levels"), "`levels` is no table")
    found: dict[str, Level | None] = {}
    for written, value in table.items():
        line = _line_of(text, None, written, "levels")
        try:
            code = whole_code(written)
        except UnknownCodeError as error:
            raise ConfigError(path, line, str(error)) from None
        if not isinstance(value, str) or value not in _LEVELS:
            known = ", ".join(f'"{name}"' for name in _LEVELS)
            raise ConfigError(path, line, f"the level of {code} is one of {known}, not {value!r}")
        if is_fixed(code) and value != Level.ERROR:
            why = "what is wrong with text, names or exemptions is always reported"
            raise ConfigError(path, line, f'{code} can only be raised to "error": {why}')
        found[code] = _LEVELS[value]
    return found


def _thresholds(table: object, path: Path, text: str) -> Thresholds:
    if not isinstance(table, dict):
        raise ConfigError(path, _line_of(text, None, "thresholds"), "`thresholds` is no table")
    found: dict[str, Any] = {}
    for name, value in table.items():
        line = _line_of(text, None, name, "thresholds")
        if name not in NAMES:
            hint = did_you_mean(name, NAMES)
            raise ConfigError(path, line, f"unknown threshold `{name}`{hint}")
        try:
            found[name] = threshold(name, value)
        except ThresholdError as error:
            raise ConfigError(path, line, str(error)) from None
    return Thresholds(**found)


def _source(name: str, value: object, path: Path, text: str) -> SourceConfig:
    def bad(message: str, key: str = "") -> ConfigError:
        return ConfigError(path, _line_of(text, name, key), f"source {name!r}: {message}")

    if not _NAME.fullmatch(name):
        raise bad("a name is letters, digits and `_`")
    if name == EMIT_SOURCE:
        raise bad("this name is taken by `flowc emit`")
    if not isinstance(value, dict):
        raise bad("a source is a table, with `python`")
    _known(value, _SOURCE_KEYS, path, text, name)
    target = value.get("python")
    if target is None:
        raise bad('`python = "module:function"` is missing')
    if not isinstance(target, str) or not _TARGET.fullmatch(target):
        raise bad(f'`python` is "module:function", not {target!r}', "python")
    args, emits = value.get("args", {}), value.get("emits", [])
    if not isinstance(args, dict):
        raise bad("`args` is a table of keyword arguments", "args")
    if not isinstance(emits, list) or not all(isinstance(e, str) for e in emits):
        raise bad("`emits` is a list of names of events", "emits")
    return SourceConfig(name, target, args, tuple(emits))


def _known(
    table: Iterable[str], keys: tuple[str, ...], path: Path, text: str, source: str | None
) -> None:
    for key in table:
        if key not in keys:
            where = f"source {source!r}: " if source else ""
            line = _line_of(text, source, key)
            raise ConfigError(path, line, f"{where}unknown key `{key}`{did_you_mean(key, keys)}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean X?`, or which names there are, or nothing when there are many."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    if near:
        return f"; did you mean `{near[0]}`?"
    if 0 < len(names) <= limits.NAMES_LISTED_MAX:
        return "; known: " + ", ".join(f"`{n}`" for n in names)
    return ""


def _why_not(plan: Plan, event: str) -> str | None:
    names = [e.name for e in plan.events if e.external]
    if event in names:
        return None
    if any(e.name == event for e in plan.events):
        return f"{event} is not declared `external`, so no source may emit it"
    return f"there is no event {event}{did_you_mean(event, names)}"


def _line_of(text: str, source: str | None, key: str, inside: str | None = None) -> int | None:
    """The line where a key of a source (or of the table `inside`) is written, as far as plain text
    search can tell."""
    header = re.compile(r"^\s*\[+\s*([^\]]+?)\s*\]+")
    wanted = f"sources.{source}" if source else inside
    here, fallback = False, None
    for number, line in enumerate(text.splitlines(), 1):
        table = header.match(line)
        if table:
            name = re.sub(r"[\s\"']", "", table[1])
            here = name == wanted
            if here:
                fallback = fallback or number
            if not wanted and name.split(".")[0] == key:
                return number
        elif key and (here or not wanted) and re.match(rf"\s*[\"']?{re.escape(key)}\b", line):
            return number
    return fallback
