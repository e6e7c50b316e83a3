"""Priors written as text in a config, such as ``Normal(0, 10)``.

The text is read with :mod:`ast` against the list below and never evaluated, so a config stays
data. This module knows names and numbers only; the distributions themselves are built elsewhere,
which lets a plan check its priors without loading JAX.
"""

import ast
import math
import re
from dataclasses import dataclass

import numpy as np

from bamopipe.errors import UserError, nearest

# TFP's name -> the parameters that text may give, in the order of the unnamed ones. Where TFP
# offers two parametrisations (probs or logits), this is the one that people write by hand.
DISTRIBUTIONS: dict[str, tuple[str, ...]] = {
    "Bernoulli": ("probs",),
    "Beta": ("concentration1", "concentration0"),
    "Binomial": ("total_count", "probs"),
    "Cauchy": ("loc", "scale"),
    "Chi2": ("df",),
    "Dirichlet": ("concentration",),
    "Exponential": ("rate",),
    "Gamma": ("concentration", "rate"),
    "Geometric": ("probs",),
    "Gumbel": ("loc", "scale"),
    "HalfCauchy": ("loc", "scale"),
    "HalfNormal": ("scale",),
    "HalfStudentT": ("df", "loc", "scale"),
    "InverseGamma": ("concentration", "scale"),
    "InverseGaussian": ("loc", "concentration"),
    "Kumaraswamy": ("concentration1", "concentration0"),
    "Laplace": ("loc", "scale"),
    "LogLogistic": ("loc", "scale"),
    "LogNormal": ("loc", "scale"),
    "Logistic": ("loc", "scale"),
    "LogitNormal": ("loc", "scale"),
    "MultivariateNormalDiag": ("loc", "scale_diag"),
    "NegativeBinomial": ("total_count", "probs"),
    "Normal": ("loc", "scale"),
    "Pareto": ("concentration", "scale"),
    "Poisson": ("rate",),
    "StudentT": ("df", "loc", "scale"),
    "Triangular": ("low", "high", "peak"),
    "TruncatedCauchy": ("loc", "scale", "low", "high"),
    "TruncatedNormal": ("loc", "scale", "low", "high"),
    "Uniform": ("low", "high"),
    "VonMises": ("loc", "concentration"),
    "Weibull": ("concentration", "scale"),
}

POSITIVE = {
    "scale",
    "scale_diag",
    "rate",
    "df",
    "total_count",
    "concentration",
    "concentration0",
    "concentration1",
}

# Positive in these distributions, not in all.
POSITIVE_HERE = {("InverseGaussian", "loc"), ("Geometric", "probs")}

Value = float | list["Value"]


@dataclass(frozen=True)
class Prior:
    """A prior as it was written: the name of a TFP distribution and its parameters.

    Attributes
    ----------
    name : str
        A key of ``DISTRIBUTIONS``.
    parameters : dict
        Parameter name to a number, or to a (nested) list of numbers for a vector.
    """

    name: str
    parameters: dict[str, Value]

    def __str__(self) -> str:
        """Write the prior in one way, whichever way it was given: ``Normal(0, 10)``."""
        return f"{self.name}({', '.join(_text(v) for v in self.parameters.values())})"


def _text(value: Value) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_text(v) for v in value)}]"
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def is_prior(value: object) -> bool:
    """Tell whether a config value is meant as a prior: text of the form ``Name(...)``."""
    return isinstance(value, str) and re.match(r"\s*[A-Za-z_]\w*\s*\(", value) is not None


def parse(text: str) -> Prior:
    """Read a prior.

    Parameters
    ----------
    text : str
        ``Name(number, ..., parameter=number)``; a list of numbers makes a vector.

    Returns
    -------
    Prior
        The name and the named parameters.

    Raises
    ------
    UserError
        When the text has another form, or the name, a parameter or a value is not allowed.

    Examples
    --------
    >>> parse("Normal(0, scale=10)")
    Prior(name='Normal', parameters={'loc': 0.0, 'scale': 10.0})
    """
    try:
        call = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        call = None  # the last two if it is nested too deeply
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise UserError(f"expected a prior such as 'Normal(0, 10)', got {text!r}")
    name = call.func.id
    if name not in DISTRIBUTIONS:
        raise UserError(f"unknown distribution {name!r} in {text!r}{nearest(name, DISTRIBUTIONS)}")
    allowed = DISTRIBUTIONS[name]
    form = f"{name}({', '.join(allowed)})"
    if len(call.args) > len(allowed):
        raise UserError(f"{text!r} has {len(call.args)} unnamed parameters; expected {form}")
    parameters = {p: _number(a, text) for p, a in zip(allowed, call.args, strict=False)}
    for keyword in call.keywords:
        if keyword.arg not in allowed:
            raise UserError(f"unknown parameter {keyword.arg!r} in {text!r}; expected {form}")
        if keyword.arg in parameters:
            raise UserError(f"parameter {keyword.arg!r} is given twice in {text!r}")
        parameters[keyword.arg] = _number(keyword.value, text)
    missing = [p for p in allowed if p not in parameters]
    if missing:
        raise UserError(f"{text!r} lacks {', '.join(missing)}; expected {form}")
    _check_ranges(name, parameters, text)
    return Prior(name, {p: parameters[p] for p in allowed})


def _number(node: ast.expr, text: str) -> Value:
    """Read a number or a list of numbers out of the syntax tree."""
    try:
        return _floats(ast.literal_eval(node))
    except (ValueError, TypeError, RecursionError, OverflowError):
        given = ast.get_source_segment(text.strip(), node)
        raise UserError(f"expected a number in place of {given!r} in {text!r}") from None


def _floats(value: object) -> Value:
    if isinstance(value, list | tuple) and value:
        return [_floats(v) for v in value]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(value)
    return float(value)


def _check_ranges(distribution: str, parameters: dict[str, Value], text: str) -> None:
    """Refuse what the distribution does not accept, such as a negative scale."""
    for name, value in parameters.items():
        positive = name in POSITIVE or (distribution, name) in POSITIVE_HERE
        if positive and not _all(value, lambda x: x > 0):
            raise UserError(f"{name} must be positive in {text!r}")
        if name == "probs" and not _all(value, lambda x: 0 <= x <= 1):
            raise UserError(f"probs must lie between 0 and 1 in {text!r}")
    if "low" in parameters:
        low, high = parameters["low"], parameters["high"]
        if not all(a < b for a, b in _pairs(low, high)):
            raise UserError(f"low must be below high in {text!r}")
        peak = parameters.get("peak", low)
        if not all(a <= b for a, b in _pairs(low, peak) + _pairs(peak, high)):
            raise UserError(f"peak must lie between low and high in {text!r}")


def _all(value: Value, test) -> bool:
    return all(_all(v, test) for v in value) if isinstance(value, list) else test(value)


def _pairs(first: Value, second: Value) -> list[tuple[float, float]]:
    """Pair numbers as arrays broadcast; if they do not, that is told when they become arrays."""
    try:
        a, b = np.broadcast_arrays(first, second)
    except ValueError:
        return []
    return list(zip(a.flat, b.flat, strict=True))
