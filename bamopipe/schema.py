"""Dataclasses as the schema of a config: types, ranges, and messages that people can act on."""

import dataclasses
import functools
import math
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from bamopipe.errors import UserError, nearest


@dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`; `open` leaves both ends out."""

    low: float
    high: float = math.inf
    open: bool = False

    def __call__(self, value: Any, key: str) -> Any:
        """Return the value, or refuse it."""
        if self.low < value < self.high or (not self.open and value in (self.low, self.high)):
            return value
        if self.high == math.inf:
            wanted = f"more than {self.low:g}" if self.open else f"at least {self.low:g}"
        else:
            wanted = f"between {self.low:g} and {self.high:g}"
        raise UserError(f"{key} must be {wanted}, got {value}")


MOST_DEEP, MOST_PARTS = 50, 1_000_000


def bounded(value: Any, key: str) -> Any:
    """Return what was read from a file, or refuse it if it is nested deeply or very large.

    A few lines of YAML can name a part again and again, and so stand for more than fits in memory.
    """
    layer, count = [value], 0
    for _ in range(MOST_DEEP):
        parts: list[Any] = []
        for node in layer:
            if isinstance(node, dict | list):
                parts += node.values() if isinstance(node, dict) else node
            count += 1
            if count + len(parts) > MOST_PARTS:
                raise UserError(f"{key} has more than {MOST_PARTS} parts; that is no config")
        if not parts:
            return value
        layer = parts
    raise UserError(f"{key} is nested more than {MOST_DEEP} deep; that is no config")


def check(schema: Any, value: Any, key: str = "") -> dict[str, Any]:
    """Hold a config, or a part of it, against a dataclass of this module.

    Parameters
    ----------
    schema : type
        A dataclass.
    value : object
        What was composed: plain dicts, lists, text and numbers.
    key : str
        Where it stands in the config, for messages.

    Returns
    -------
    dict
        The same settings in normal form, in the order of the dataclass. A setting whose default is
        None may be left out or be "auto", and then is not there.

    Raises
    ------
    UserError
        For a key that is unknown or missing, a wrong type, or a value out of range.
    """
    if not isinstance(value, dict):
        raise UserError(f"{key} must be a mapping, got {value!r}")
    prefix = f"{key}." if key else ""
    types = _hints(schema)
    for name in value:
        if name not in types:
            raise UserError(f"unknown setting {prefix}{name}{nearest(str(name), types)}")
    optional = _optional(schema)
    for name, hint in types.items():
        if (name not in value and name not in optional) or value.get(name) == "???":
            raise UserError(f"{prefix}{name} is missing; expected {_describe(hint)}")
    return {
        name: read(hint, value[name], f"{prefix}{name}")
        for name, hint in types.items()
        if name in value and not (name in optional and value[name] == "auto")
    }


@functools.cache
def _optional(schema: Any) -> frozenset[str]:
    """Names of the settings that a config may leave out."""
    return frozenset(f.name for f in dataclasses.fields(schema) if f.default is None)


@functools.cache
def _hints(schema: Any) -> dict[str, Any]:
    """Return the types of settings, without the None of those that may be left out."""
    hints = typing.get_type_hints(schema, include_extras=True)
    optional = _optional(schema)
    return {n: typing.get_args(h)[0] if n in optional else h for n, h in hints.items()}


@functools.cache
def _parts(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    return typing.get_origin(hint), typing.get_args(hint)


def choice(
    table: dict[str, type], by: str, value: Any, key: str, also: tuple[str, ...] = ()
) -> Any:
    """Check settings whose dataclass is named by one of them."""
    if not isinstance(value, dict):
        raise UserError(f"{key} must be a mapping, got {value!r}")
    known = (*table, *also)
    if by not in value:
        raise UserError(f"{key}.{by} is missing; expected one of {', '.join(sorted(known))}")
    if not isinstance(value[by], str) or value[by] not in table:
        raise UserError(f"unknown {key}.{by} {value[by]!r}{nearest(str(value[by]), known)}")
    return check(table[value[by]], value, key)


def read(hint: Any, value: Any, key: str) -> Any:
    """Check one value against one annotation."""
    origin, arguments = _parts(hint)
    if origin is Annotated:
        test: Callable[[Any, str], Any] = arguments[1]
        return test(read(arguments[0], value, key), key)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return check(hint, value, key)
    if origin is Literal and isinstance(value, str) and value in arguments:
        return value
    if origin is list and isinstance(value, list):
        return [read(arguments[0], v, f"{key}[{i}]") for i, v in enumerate(value)]
    if origin is dict and isinstance(value, dict):
        return {name: read(arguments[1], v, f"{key}.{name}") for name, v in value.items()}
    if hint is str and isinstance(value, str):
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int and number and math.isfinite(value) and value == int(value):
        return int(value)
    if hint is float and number and math.isfinite(value):
        return float(value)
    raise UserError(f"{key} must be {_describe(hint)}, got {value!r}")


def _describe(hint: Any) -> str:
    """Say in words what an annotation allows."""
    origin, arguments = _parts(hint)
    if origin is Annotated:
        return _describe(arguments[0])
    if origin is Literal:
        return " or ".join(repr(a) for a in arguments)
    if origin is list:
        return f"a list; each item {_describe(arguments[0])}"
    words = {int: "a whole number", float: "a number", str: "text", Any: "a value"}
    return words.get(hint, "a mapping")
