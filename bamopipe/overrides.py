"""Overrides in Hydra's grammar: read them, spread those with several values, apply them."""

import dataclasses
import re
from collections.abc import Iterable
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, Transformer, ValueType
from hydra.errors import HydraException

from bamopipe.errors import UserError, nearest

GROUPS = ("model", "data", "sampler", "inference", "plots")


def parse(texts: Iterable[str], where: str) -> list[Override]:
    """Read overrides, each of another key.

    Parameters
    ----------
    texts : iterable of str
        Such as ``inference.num_particles=100,1000``.
    where : str
        Where they stand, for messages.

    Raises
    ------
    UserError
        When the grammar fails, or for what has no meaning here: deletions, packages, another
        experiment, a key given twice.
    """
    loader = GlobalHydra.instance().config_loader() if GlobalHydra.instance().hydra else None
    parser = OverridesParser.create(config_loader=loader)
    overrides: dict[str, Override] = {}
    for text in texts:
        if not text.isprintable():
            raise UserError(f"{text!r} in {where}: text has no line breaks or control characters")
        try:
            (override,) = parser.parse_overrides([text])
        except Exception as error:  # Hydra's grammar fails in many ways, all for one reason
            raise UserError(f"cannot read {text!r} in {where}: {_reason(error, text)}") from None
        key = override.key_or_group
        if not key or override.is_delete() or override.package is not None:
            raise UserError(f"{text!r} in {where}: expected key=value")
        if key == "experiment":
            raise UserError(f"{text!r} in {where}: the experiment is named once, as the first word")
        if key in overrides:
            raise UserError(f"{key} is given twice in {where}")
        overrides[key] = override
    return list(overrides.values())


def values(override: Override) -> list[Override]:
    """Spread an override that has several values into one for each."""
    if not override.is_sweep_override():
        return [override]
    key, swept = override.key_or_group, override._value
    if not override.is_discrete_sweep():
        raise UserError(f"{key} is swept over an interval; use range(...) or choice(...)")
    if getattr(swept, "shuffle", False):
        raise UserError(f"{key} is swept in random order, which would change with each start")
    if isinstance(swept, Glob) and key not in GROUPS:
        raise UserError(f"{key} cannot be swept by glob(): it chooses files of {', '.join(GROUPS)}")
    try:
        each = list(override.sweep_iterator(transformer=Transformer.identity))
    except HydraException:  # such as range(3, 3)
        each = []
    if not each:
        what = f"no file in conf/{key} matches" if isinstance(swept, Glob) else "no values"
        raise UserError(f"{str(override.input_line).lstrip('+')}: {what}")
    if any(isinstance(value, Glob) for value in each):
        raise UserError(f"{key}: glob() stands alone; put patterns into one, as in glob([a*,b*])")
    return [dataclasses.replace(override, value_type=ValueType.ELEMENT, _value=v) for v in each]


def is_group(override: Override) -> bool:
    """Tell whether an override chooses a file of a config group."""
    return override.key_or_group in GROUPS and not isinstance(override.value(), dict)


def root(override: Override) -> str:
    """Return the first part of the key."""
    return override.key_or_group.split(".")[0]


def apply(content: dict[str, Any], overrides: Iterable[Override], where: str) -> None:
    """Set values in place; a mapping replaces what was there."""
    for override in overrides:
        *path, last = override.key_or_group.split(".")
        new = override.is_add() or override.is_force_add()
        node: Any = content
        for part in path:
            node = _child(node, part, override.key_or_group, where)
        if not new:
            _child(node, last, override.key_or_group, where)
        if isinstance(node, list):
            node[int(last)] = override.value()
        elif isinstance(node, dict):
            node[last] = override.value()
        else:
            raise UserError(f"cannot set {override.key_or_group}: {path[-1]} has no parts")


def _child(node: Any, part: str, key: str, where: str) -> Any:
    """Go one step down; a misspelt key would otherwise be added without a word."""
    known: dict[str, Any] = {}
    if isinstance(node, dict):
        known = {str(name): value for name, value in node.items()}
    elif isinstance(node, list):
        known = {str(i): value for i, value in enumerate(node)}
    if part not in known:
        hint = nearest(part, known) if known else f"; to add it, write +{key}=..."
        raise UserError(f"unknown setting {key} in {where}{hint}")
    return known[part]


def _reason(error: Exception, text: str) -> str:
    unknown = re.search(r"Unknown function '(\w+)'", str(error))
    if unknown:
        return f"quote text that has brackets, as in key='{unknown.group(1)}(...)'"
    if text.count("=") > 1:
        return "quote text that has = in it, as in arms.a=['sampler=random_walk']"
    if "=" in text.lstrip("=") and re.fullmatch(r"[\w.@/+~]+", text.partition("=")[0]):
        return (
            "expected a value, or several as in a,b or range(1, 5) or choice(a, b) or glob(a*); "
            "text with other signs needs quotes"
        )
    return f"expected key=value ({str(error).splitlines()[0]})"
