"""How long the paths of a Hamiltonian kernel should be: the ChEES criterion, for its price.

The criterion is the mean squared change of the squared distance to the middle. By itself it favours
long paths, and hardly tells them apart: with four chains their length went anywhere. So it is
divided by the length of the path, which is what a move costs (`chees_rate_criterion` in TFP).
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from bamopipe.samplers.base import LOG_PATH, Parameters

# Steps of the integrator in the longest path.
MOST_STEPS = 1000
# The first of all longest paths, a quarter of a period, which is the best in a standard normal if
# steps are short.
FIRST_PATH = math.pi / 2
# How much of a step's gain goes into the length of paths: little, since one move tells little (the
# log of the criterion has a slope of 1 at first, a move's own is off by 3 near the maximum).
RATE = 0.05
LARGEST_SLOPE = 5.0
# How much of it goes into the scale of the criterion.
SPREAD_RATE = 0.5
SPREAD = "path_spread"


class Terms(NamedTuple):
    """What one move tells of the criterion.

    Attributes
    ----------
    change
        A fourth of the squared change in the squared distance to the middle, times the
        probability of acceptance: its mean is the criterion.
    slope
        Its derivative by the log of the length of the path.
    """

    change: Array
    slope: Array


def terms(start: Array, end: Array, velocity: Array, length: Array, acceptance: Array) -> Terms:
    """Return the terms of one proposal, in coordinates whose mean is about 0.

    Parameters
    ----------
    start, end
        Of the path.
    velocity
        At its end.
    length
        Of the path, as a phase.
    acceptance
        Probability that it is accepted.

    References
    ----------
    Hoffman, Radul and Sountsov (2021), AISTATS, PMLR 130, equations 6 and 10.
    """
    change = end @ end - start @ start
    found = Terms(acceptance * change**2 / 4, acceptance * change * length * jnp.dot(end, velocity))
    usable = jnp.isfinite(found.change) & jnp.isfinite(found.slope)
    return Terms(*(jnp.where(usable, term, 0.0) for term in found))


def first(size: int, dtype) -> Parameters:
    """Return the scale of the criterion before any move: that of a standard normal."""
    return {SPREAD: jnp.asarray(0.6 * size, dtype)}


def adapt(parameters: Parameters, found: Terms, gain: Array | float, most: Array) -> Parameters:
    """Go uphill on the log of criterion / length, by the log of the length of the longest path.

    Parameters
    ----------
    parameters
        With `LOG_PATH`, and what `first` returns.
    found
        The terms of every particle.
    gain
        Of this step.
    most
        The longest path that there may be, as a phase.
    """
    spread = parameters[SPREAD] + SPREAD_RATE * gain * (jnp.mean(found.change) - parameters[SPREAD])
    slope = jnp.mean(found.slope) / jnp.where(spread > 0, spread, 1.0) - 1
    log_path = parameters[LOG_PATH] + RATE * gain * jnp.clip(slope, -LARGEST_SLOPE, LARGEST_SLOPE)
    return {**parameters, SPREAD: spread, LOG_PATH: jnp.minimum(log_path, jnp.log(most))}
