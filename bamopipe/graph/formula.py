"""The text of a node's distribution, such as ``Normal(loc=mu, scale=10)``."""

import functools
from collections.abc import Iterable, Mapping
from inspect import signature
from typing import Any

import numpy as np

MOST_NUMBERS = 3
"""The longest vector that is written out."""

UNTOLD = ("validate_args", "allow_nan_stats", "dtype", "name", "event_ndims")
"""How those parameters begin that say nothing about a density."""


def formula(node: Any, literals: Mapping[str, str]) -> str:
    """Write what a node is drawn from, or computed by, as a call.

    Parameters
    ----------
    node : bamopipe.node.Node
        Of any kind but a constant.
    literals : dict
        Text to write in place of the name of a constant.

    Returns
    -------
    str
        Such as ``Normal(loc=mu, scale=10)``, ``Poisson(f(X, beta))`` or ``Exp(Normal(loc=5))``.
    """
    arguments = {a: literals.get(parent, parent) for a, parent in node.parents.items()}
    options = {a: _value(option) for a, option in node.options.items()}
    if node.link_fn is not None:
        # A function without a name is not to be taken for the variable f.
        name = function_name(node.link_fn, "g" if "f" in node.parents.values() else "f")
        link = _call(name, arguments, short=True)
        if node.distribution is None:
            return link
        text = f"{function_name(node.distribution)}({', '.join([link, *_named(options)])})"
    elif node.parents or node.options or not _is(node.distribution, "Distribution"):
        text = _call(function_name(node.distribution), arguments | options)
    else:
        text = _value(node.distribution)
    return text if node.bijector is None else _transform(node.bijector, text)


def function_name(function: Any, anonymous: str = "f") -> str:
    """Name a function or class; a lambda gets the name `anonymous`."""
    if isinstance(function, functools.partial):
        return function_name(function.func, anonymous)
    name = getattr(function, "__name__", type(function).__name__)
    return anonymous if name == "<lambda>" else name


def number(value: Any) -> str:
    """Write a number or a short vector; of a larger array, its shape.

    Examples
    --------
    >>> number(10.0), number([0.5, 1 / 3]), number(np.zeros((8, 2)))
    ('10', '[0.5, 0.3333]', 'array[8, 2]')
    """
    array = np.asarray(value)
    if array.ndim == 0:
        plain = array.item()
        whole = isinstance(plain, int | float) and float(plain).is_integer() and abs(plain) < 1e6
        return str(int(plain)) if whole else f"{plain:.4g}"
    if array.ndim == 1 and array.size <= MOST_NUMBERS:
        return f"[{', '.join(number(entry) for entry in array)}]"
    return f"array[{', '.join(map(str, array.shape))}]"


def _named(arguments: Mapping[str, str]) -> list[str]:
    return [
        text if argument in ("distribution", "bijector") else f"{argument}={text}"
        for argument, text in arguments.items()
    ]


def _call(name: str, arguments: Mapping[str, str], short: bool = False) -> str:
    """Write a call; when `short`, an argument of its parent's name is written once."""
    texts = _named(arguments)
    if short:
        texts = [t if t != f"{a}={a}" else a for a, t in zip(arguments, texts, strict=True)]
    return f"{name}({', '.join(texts)})"


def _is(value: Any, kind: str) -> bool:
    # By name, since both libraries have these classes and neither may be imported here.
    return any(base.__name__ == kind for base in type(value).__mro__)


def _value(value: Any) -> str:
    """Write the value of a parameter: a number, a distribution, a bijector, or several."""
    value = _unwrap(value)
    if _is(value, "Bijector"):
        return _bijector(value)
    if _is(value, "Distribution"):
        parameters = _parameters(value)
        if "bijector" in parameters and "distribution" in parameters:
            return _transform(parameters["bijector"], _value(parameters["distribution"]))
        return _call(_family(value).__name__, _texts(parameters))
    if isinstance(value, list | tuple) and any(_is(entry, "Distribution") for entry in value):
        return f"[{', '.join(_value(entry) for entry in value)}]"
    if value is None or isinstance(value, bool):
        return repr(value)
    is_number = np.asarray(value).dtype.kind in "biuf"
    return number(value) if is_number else function_name(value)


def _unwrap(thing: Any) -> Any:
    """Return TFP's bijector where distrax wrapped one."""
    return vars(thing)["_tfp_bijector"] if type(thing).__name__ == "BijectorFromTFP" else thing


def _family(distribution: Any) -> type:
    """Return the class of a distribution; TFP's where distrax wrapped it, which is by heritage."""
    classes = [c for c in type(distribution).__mro__ if c.__name__ != "DistributionFromTFP"]
    wrapped = len(classes) < len(type(distribution).__mro__)
    return next(c for c in classes if not wrapped or "tensorflow_prob" in c.__module__)


def _texts(parameters: Mapping[str, Any]) -> dict[str, str]:
    return {name: _value(value) for name, value in parameters.items()}


def _parameters(thing: Any) -> dict[str, Any]:
    """Return the parameters that a distribution or bijector was made with."""
    given = getattr(thing, "parameters", None)  # TFP keeps them; distrax does not
    if not isinstance(given, Mapping) or not given:
        private = vars(thing)
        given = {
            name: private[f"_{name}"] if f"_{name}" in private else getattr(thing, name, None)
            for name in signature(_family(thing)).parameters
        }
    return {
        name: value
        for name, value in given.items()
        # distrax keeps `log_scale` where `scale` was given
        if not name.startswith(UNTOLD)
        and not (name.startswith("log_") and given.get(name.removeprefix("log_")) is not None)
        and _tells_something(value)
    }


def _tells_something(value: Any) -> bool:
    is_function = callable(value) and not _is(value, "Bijector")
    return value is not None and not isinstance(value, bool | str) and not is_function


def _bijector(bijector: Any) -> str:
    if _is(bijector, "Lambda"):
        return function_name(vars(bijector)["_forward"])
    parameters = _texts(_parameters(bijector))
    name = type(bijector).__name__
    return _call(name, parameters) if parameters else name


def _transform(bijector: Any, inner: str) -> str:
    """Write a bijector around what it transforms, the last one outermost."""
    bijector = _unwrap(bijector)
    if _is(bijector, "Chain"):
        parts: Iterable[Any] = _parameters(bijector)["bijectors"]
        return functools.reduce(lambda text, part: _transform(part, text), [*parts][::-1], inner)
    return f"{_bijector(bijector)}({inner})"
