"""The values that a discrete distribution can take, where they are few.

Samplers that try every value of a variable ask for them.
"""

from collections.abc import Callable
from functools import singledispatch
from typing import Any, NamedTuple

import distrax as dx
import jax.numpy as jnp
import numpy as np
from jax import Array
from tensorflow_probability.substrates.jax import distributions as tfd

from bamopipe.distributions import regions
from bamopipe.distributions.families import FAMILIES
from bamopipe.distributions.support import root


class Outcomes(NamedTuple):
    """The values that an element can take; some of them may have no mass.

    Attributes
    ----------
    values
        Maps `parameter` to the values, shape (outcome,), or (outcome, category) of one-hot vectors.
    parameter
        The parameter of the distribution that the values depend on; 0 if they depend on none.
    """

    values: Callable[[np.ndarray], np.ndarray]
    parameter: Array | float = 0.0


@singledispatch
def outcomes(distribution) -> Outcomes | None:
    """Return the values that an element of a distribution's values can take.

    None if they are not known or not finite in number.

    Parameters
    ----------
    distribution
        A distrax or TFP distribution.

    Examples
    --------
    >>> from tensorflow_probability.substrates.jax import distributions as tfd
    >>> from bamopipe.distributions.outcomes import outcomes
    >>> found = outcomes(tfd.Binomial(3.0, probs=0.5))
    >>> found.values(found.parameter).tolist()
    [0, 1, 2, 3]
    >>> outcomes(tfd.Poisson(1.0)) is None
    True
    """
    return None


def _up_to(last: int) -> Outcomes:
    return Outcomes(lambda _: np.arange(last + 1))


def _up_to_total(d) -> Outcomes:
    return Outcomes(lambda total: np.arange(int(np.max(total)) + 1), jnp.asarray(d.total_count))


BY_REGION: dict[Callable, Callable[[Any], Outcomes]] = {
    regions.binary: lambda d: _up_to(1),
    regions.categories: lambda d: _up_to(
        (d.logits if d.logits is not None else d.probs).shape[-1] - 1
    ),
    regions.categories_between_cutpoints: lambda d: _up_to(d.cutpoints.shape[-1]),
    regions.counts_up_to_total: _up_to_total,
    regions.one_hot: lambda d: Outcomes(lambda _: np.eye(d.event_shape[-1])),
    regions.outcomes: lambda d: Outcomes(np.asarray, jnp.asarray(d.outcomes)),
}
for _region, _outcomes in BY_REGION.items():
    for _class in FAMILIES[_region]:
        outcomes.register(_class)(_outcomes)


@outcomes.register(dx.Independent)
@outcomes.register(root(tfd.Independent))
@outcomes.register(root(tfd.Sample))
@outcomes.register(root(tfd.BatchBroadcast))
def _(d) -> Outcomes | None:
    return outcomes(d.distribution)
