"""Which values the parameters of a family may have."""

import functools
import inspect
from collections.abc import Mapping
from typing import Any

import distrax as dx
import numpy as np
from tensorflow_probability.substrates import jax as tfp

tfb, tfd = tfp.bijectors, tfp.distributions

RANGES = {tfb.Softplus: (0.0, np.inf), tfb.Sigmoid: (0.0, 1.0)}
"""Bijector by which TFP makes a possible value of a real number -> least and largest."""


def impossible(family: Any, arguments: Mapping[str, np.ndarray]) -> str | None:
    """Find an argument that no distribution of a family can have, such as a negative scale.

    TFP says of most parameters by which bijector real numbers become possible values. distrax does
    not, but calls its families and their parameters as TFP does.

    Parameters
    ----------
    family
        A class of either library; nothing is known of others.
    arguments
        Values by name.

    Returns
    -------
    str or None
        The name of the first one outside its range.

    Examples
    --------
    >>> import distrax as dx
    >>> from bamopipe.distributions import parameters
    >>> parameters.impossible(dx.Normal, {"loc": -1.0, "scale": -1.0})
    'scale'
    """
    if not inspect.isclass(family):
        return None
    if issubclass(family, dx.Distribution):
        family = getattr(tfd, family.__name__, None)
    if not (inspect.isclass(family) and issubclass(family, tfd.Distribution)):
        return None
    known: Any = family
    for name, value in arguments.items():
        low, high = _range(known, name)
        if np.any(value < low) or np.any(value > high):
            return name
    return None


@functools.cache
def _range(family: Any, name: str) -> tuple[float, float]:
    """Return bounds of a parameter."""
    try:
        bijector = family.parameter_properties()[name].default_constraining_bijector_fn()
    except (LookupError, NotImplementedError, TypeError):
        bijector = None  # no such parameter, or none with a range: TFP raises, or has no function
    return RANGES.get(type(bijector), (-np.inf, np.inf))
