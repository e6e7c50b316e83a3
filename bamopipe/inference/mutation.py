"""The moves of a block of particles at one temperature."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from bamopipe.samplers.base import LOG_SCALE, Info, Kernel, Parameters, State
from bamopipe.samplers.coordinates import fences, to_coordinates
from bamopipe.target import Target, sum_of


class Mutation(NamedTuple):
    """What the moves of a block of particles were like.

    Attributes
    ----------
    acceptance_rate
        Update -> mean over particles and steps.
    is_nan
        Factor -> whether it was not a number inside the support.
    log_scale
        Update that tunes itself -> its `LOG_SCALE` in the end.
    num_mutations
        Steps of the kernel.
    """

    acceptance_rate: dict[str, Array]
    is_nan: dict[str, Array]
    log_scale: dict[str, Array]
    num_mutations: Array


def mutate(
    kernel: Kernel,
    target: Target,
    key: Array,
    temperature: Array,
    most: Array,
    low: Array | None,
    parameters: dict[str, Parameters],
    state: State,
) -> tuple[State, Mutation]:
    """Step the kernel a number of times, or until the particles have forgotten where they started.

    Where that is asked, their correlation with the start is measured after 1, 2, 4, ... steps; once
    it is low, as many steps again are made.

    Parameters
    ----------
    kernel, target, key, temperature
        Of the steps.
    most
        How many steps at most.
    low
        The highest correlation with its start that any coordinate may have half-way. For `most`
        steps in any case -inf or, for a program that does not measure at all, None.
    parameters
        From `Kernel.tune`.
    state
        Particles last.
    """

    def measure(state):
        start = _features(target, state)
        bounds = fences(start)
        return _standardised(start, bounds), bounds

    if low is not None:
        # Quantiles take as long as some steps do.
        measures = low > -jnp.inf
        unmeasured = jax.tree.map(
            lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(measure, state)
        )
        start, bounds = jax.lax.cond(measures, measure, lambda state: unmeasured, state)

    def is_low(state):
        now = _standardised(_features(target, state), bounds)
        return ~(jnp.max(jnp.abs(jnp.mean(start * now, axis=1))) > low)

    def step(carry):
        count, goal, state, parameters, total = carry
        state, infos = kernel.step(
            jax.random.fold_in(key, count), state, temperature, parameters, target
        )
        count = count + 1
        if low is not None:
            is_due = measures & (goal == most) & (jnp.bitwise_count(count) == 1)
            is_done = jax.lax.cond(is_due, is_low, lambda state: jnp.array(False), state)
            goal = jnp.where(is_done, jnp.minimum(2 * count, most), goal)
        total = total + reports(kernel, target, infos)
        return count, goal, state, kernel.adapt(parameters, infos), total

    # A goal of 0, with which the engine compiles, makes no step.
    count, _, state, parameters, total = jax.lax.while_loop(
        lambda carry: carry[0] < carry[1],
        step,
        (jnp.zeros_like(most), most, state, parameters, no_reports(kernel, target)),
    )
    return state, mutation(kernel, target, total, parameters, count)


def no_reports(kernel: Kernel, target: Target) -> Array:
    """Return what steps add their `reports` to."""
    return jnp.zeros(len(kernel.blocks) + len(target.latent) + len(target.observed))


def reports(kernel: Kernel, target: Target, infos: dict[str, Info]) -> Array:
    """Return the means over particles of what a step reports: of acceptance, then of NaN.

    All in one array, since every mean takes as long to compile as it does.
    """
    rows = [infos[block.name].acceptance_rate for block in kernel.blocks]
    for name in (*target.latent, *target.observed):
        flags = [info.is_nan[name] for info in infos.values() if name in info.is_nan]
        rows.append(functools.reduce(jnp.logical_or, flags, jnp.zeros(rows[0].shape, bool)))
    return jnp.mean(jnp.stack(rows), axis=1)


def mutation(
    kernel: Kernel,
    target: Target,
    total: Array,
    parameters: dict[str, Parameters],
    num_mutations: Array,
) -> Mutation:
    """Put together what moves were like, from the sum of their `reports`."""
    names = (*target.latent, *target.observed)
    rates, nans = jnp.split(total, [len(kernel.blocks)])
    return Mutation(
        {b.name: rate for b, rate in zip(kernel.blocks, rates / num_mutations, strict=True)},
        {name: count > 0 for name, count in zip(names, nans, strict=True)},
        {name: p[LOG_SCALE] for name, p in parameters.items() if LOG_SCALE in p},
        num_mutations,
    )


def low_correlation(target: Target, num_particles: int) -> float:
    """Return a correlation with their start that particles have when half of it is forgotten.

    That is 0.2, so that it is less than 0.1 after as many steps again; or more where chance alone
    gives the highest of all correlations of so few independent particles more than that.
    """
    sizes = [math.prod(target.program.shapes[name]) for name in target.latent]
    by_chance = math.sqrt(2 * math.log(2 * (1 + sum(sizes))) / num_particles)
    return min(max(0.2, 2 * by_chance), 0.5)


def _features(target: Target, state: State) -> Array:
    """Return what is to be forgotten: all free coordinates, and the log likelihood."""
    coordinates = jax.vmap(
        lambda p: to_coordinates(target, p, target.latent), in_axes=-1, out_axes=-1
    )(state.position)
    log_likelihood = sum_of(state.log_factors, target.observed)
    log_likelihood = jnp.broadcast_to(log_likelihood, (1, coordinates.shape[-1]))
    features = jnp.concatenate([jnp.asarray(coordinates, float), log_likelihood])
    # A value at the very edge of its support has coordinates that are not finite.
    return jnp.nan_to_num(features)


def _standardised(x: Array, bounds: tuple[Array, Array]) -> Array:
    """Draw stray values in; return rows of mean 0 and variance 1, or 0 if all values agree."""
    x = jnp.clip(x, *bounds)
    x = x - jnp.mean(x, axis=1, keepdims=True)
    scale = jnp.sqrt(jnp.mean(x * x, axis=1, keepdims=True))
    return jnp.where(scale > 0, x / scale, 0.0)
