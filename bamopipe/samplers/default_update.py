"""The update of a variable of which nobody says how it should move."""

import math
from collections.abc import Sequence

import blackjax
import jax
import jax.numpy as jnp

from bamopipe.samplers.base import LOG_SCALE, Parameters, Update
from bamopipe.samplers.blackjax_update import make_update
from bamopipe.samplers.conjugate_draw import ConjugateDraw
from bamopipe.samplers.elementwise_walk import ElementwiseWalk
from bamopipe.samplers.elliptical_slice import EllipticalSlice
from bamopipe.samplers.enumerated_draw import EnumeratedDraw, nested
from bamopipe.samplers.gaussian_conditional import GaussianConditional
from bamopipe.samplers.integer_walk import IntegerWalk
from bamopipe.samplers.tuned_random_walk import TunedRandomWalk
from bamopipe.target import (
    Target,
    conjugate_family,
    independent_axes,
    is_gaussian,
    is_quadratic,
    possible_values,
    precision_context,
    tempered_log_density,
)
from bamopipe.target.lift import Lifted

# Coordinates of a Gaussian that is drawn from: its covariance costs their cube for each particle.
LARGEST_GAUSSIAN = 100
# Coordinates of a random walk, whose steps become as much shorter as there are more of them.
LARGEST_WALK = 10
# Evaluations of the density that a draw of all elements of a discrete variable may take.
LARGEST_SWEEP = 200


def default_update(target: Target, name: str) -> tuple[Update, Parameters]:
    """Choose an update that needs no settings, and its parameters.

    A draw from the full conditional, if that is known and affordable; else a random walk, or where
    many coordinates depend on each other an elliptical slice (Gaussian processes) or paths of
    Hamiltonian Monte Carlo.
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
    if size > LARGEST_WALK and _is_dense_gaussian(target, name):
        return EllipticalSlice(), {}
    if size > LARGEST_WALK and _has_gradient(target, name):
        return make_update(blackjax.hmc, None)
    return (ElementwiseWalk(axes) if axes else TunedRandomWalk()), {LOG_SCALE: 0.0}


def joint_update(
    target: Target, names: Sequence[str]
) -> tuple[tuple[str, ...], Update, Parameters] | None:
    """Choose an update of several variables at once, beside their own, if one may be of use.

    Variables with few coordinates walk together, whose own updates are slow where they hang on each
    other. Those beneath them that are noise, which they shift and scale, are carried along.

    Parameters
    ----------
    target
        The compiled model.
    names
        Of the variables to choose among.

    Returns
    -------
    tuple or None
        The variables, the update and its parameters.
    """
    walking: list[str] = []
    carried: list[str] = []
    below: set[str] = set()  # what is carried, and all variables with a parent among these
    for name in target.latent:
        parents = target.program.upstream[name].intersection(target.latent) - {name}
        is_free = name in names and name not in target.program.discrete
        if is_free and target.has_noise(name) and parents & {*walking, *carried}:
            carried.append(name)
            below.add(name)
        elif parents & below:
            below.add(name)
        elif is_free and math.prod(target.program.shapes[name]) <= LARGEST_WALK:
            walking.append(name)
    if not carried and len(walking) < 2:
        return None
    moved = tuple(name for name in target.latent if name in {*walking, *carried})
    return moved, TunedRandomWalk(carried=tuple(carried)), {LOG_SCALE: 0.0}


def _is_dense_gaussian(target: Target, name: str) -> bool:
    """Tell whether the prior is Gaussian with a covariance that it factorises.

    Each gradient along a path would do so again; an elliptical slice draws from it once.
    """
    density = target.program.functions.get(("log_prob", name))
    factorises = isinstance(density, Lifted) and "cholesky" in density.text
    return factorises and is_gaussian(target, (name,)) and target.has_mean(name)


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
