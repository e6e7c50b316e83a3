"""The update of a variable of which nobody says how it should move."""

import math

import blackjax
import jax
import jax.numpy as jnp

from bamopipe.samplers.base import LOG_SCALE, Parameters, Update
from bamopipe.samplers.blackjax_update import make_update
from bamopipe.samplers.conjugate_draw import ConjugateDraw
from bamopipe.samplers.elementwise_walk import ElementwiseWalk
from bamopipe.samplers.enumerated_draw import EnumeratedDraw, nested
from bamopipe.samplers.gaussian_conditional import GaussianConditional
from bamopipe.samplers.integer_walk import IntegerWalk
from bamopipe.samplers.tuned_random_walk import TunedRandomWalk
from bamopipe.target import (
    Target,
    conjugate_family,
    independent_axes,
    is_quadratic,
    possible_values,
    precision_context,
    tempered_log_density,
)

# Coordinates of a Gaussian that is drawn from: its covariance costs their cube for each particle.
LARGEST_GAUSSIAN = 100
# Coordinates of a random walk, whose steps become as much shorter as there are more of them.
LARGEST_WALK = 10
# Evaluations of the density that a draw of all elements of a discrete variable may take.
LARGEST_SWEEP = 200


def default_update(target: Target, name: str) -> tuple[Update, Parameters]:
    """Choose an update that needs no settings, and its parameters.

    A draw from the full conditional, if that is known and affordable; else a random walk, or paths
    of Hamiltonian Monte Carlo where many coordinates depend on each other.
    """
    if name in target.program.discrete:
        return _of_whole_numbers(target, name), {}
    axes = independent_axes(target, name)
    shape = target.program.shapes[name]
    size = math.prod(n for axis, n in enumerate(shape) if axis not in axes)
    if size <= LARGEST_GAUSSIAN and is_quadratic(target, name):
        return GaussianConditional(axes), {}
    family = conjugate_family(target, name)
    if family is not None:
        return ConjugateDraw(family), {}
    if size > LARGEST_WALK and _has_gradient(target, name):
        return make_update(blackjax.hmc, None)
    return (ElementwiseWalk(axes) if axes else TunedRandomWalk()), {LOG_SCALE: 0.0}


def _has_gradient(target: Target, name: str) -> bool:
    """Tell whether the log density can be differentiated, and the variable moved freely."""
    if target.program.free_shapes[name] is None:
        return False

    def gradient(value, position):
        def log_density(value):
            return tempered_log_density(target, {**position, name: value}, name, jnp.ones(()))

        return jax.grad(log_density)(value)

    with precision_context(target.program.precision):
        try:
            jax.eval_shape(gradient, target.example[name], target.example)
        except (TypeError, ValueError, NotImplementedError):  # a callback, or a loop of its own
            return False
    return True


def _of_whole_numbers(target: Target, name: str) -> Update:
    """Try all values of a discrete variable if they are few, and step by one otherwise."""
    values = possible_values(target, name)
    if values is None:
        return IntegerWalk()
    shape = target.program.shapes[name]
    elements = shape[: len(shape) - (values.ndim - 1)]
    axes = tuple(axis for axis in independent_axes(target, name) if axis < len(elements))
    rows = math.prod(size for axis, size in enumerate(elements) if axis not in axes)
    affordable = rows * len(values) <= LARGEST_SWEEP
    return EnumeratedDraw(nested(values), axes) if affordable else IntegerWalk()
