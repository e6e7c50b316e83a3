"""The moves of a block of particles at one temperature."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from bamopipe.samplers.base import LOG_SCALE, Kernel, Parameters, State
from bamopipe.samplers.coordinates import fences
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
    forgotten: Array,
    parameters: dict[str, Parameters],
    state: State,
) -> tuple[State, Mutation]:
    """Step the kernel until the particles have forgotten where they started.

    Parameters
    ----------
    kernel, target, key, temperature
        Of the steps.
    most
        How many steps at most.
    forgotten
        The highest correlation with its start that a coordinate may have in the end; -inf for
        `most` steps in any case.
    parameters
        From `Kernel.tune`.
    state
        Particles last.
    """
    start = _features(target, state)
    bounds = fences(start)
    start = _standardised(start, bounds)

    def goes_on(carry):
        count, state, *_ = carry
        now = _standardised(_features(target, state), bounds)
        correlation = jnp.max(jnp.abs(jnp.mean(start * now, axis=1)))
        return (count == 0) | ((count < most) & (correlation > forgotten))

    def step(carry):
        count, state, parameters, accepted, is_nan = carry
        state, infos = kernel.step(
            jax.random.fold_in(key, count), state, temperature, parameters, target
        )
        accepted = {name: accepted[name] + info.acceptance_rate for name, info in infos.items()}
        for info in infos.values():
            is_nan = {
                n: flag | info.is_nan[n] if n in info.is_nan else flag for n, flag in is_nan.items()
            }
        return count + 1, state, kernel.adapt(parameters, infos), accepted, is_nan

    accepted = {block.name: jnp.zeros_like(temperature) for block in kernel.blocks}
    is_nan = {name: jnp.array(False) for name in state.log_factors}
    count, state, parameters, accepted, is_nan = jax.lax.while_loop(
        goes_on, step, (jnp.zeros_like(most), state, parameters, accepted, is_nan)
    )
    report = Mutation(
        {name: total / count for name, total in accepted.items()},
        is_nan,
        {name: p[LOG_SCALE] for name, p in parameters.items() if LOG_SCALE in p},
        count,
    )
    return state, report


def forgotten_below(target: Target, num_particles: int) -> float:
    """Return the correlation with their start at which that many particles have forgotten it.

    That is 0.1, or more where chance alone gives the highest of all correlations of independent
    particles more than that.
    """
    sizes = [math.prod(target.program.shapes[name]) for name in target.latent]
    by_chance = math.sqrt(2 * math.log(2 * (1 + sum(sizes))) / num_particles)
    return min(max(0.1, by_chance), 0.3)


def _features(target: Target, state: State) -> Array:
    """Return what is to be forgotten: all coordinates, and the log likelihood."""
    flat = [jnp.asarray(v, float).reshape(-1, v.shape[-1]) for v in state.position.values()]
    log_likelihood = sum_of(state.log_factors, target.observed)
    return jnp.concatenate([*flat, jnp.broadcast_to(log_likelihood, (1, flat[0].shape[-1]))])


def _standardised(x: Array, bounds: tuple[Array, Array]) -> Array:
    """Draw stray values in; return rows of mean 0 and variance 1, or 0 if all values agree."""
    x = jnp.clip(x, *bounds)
    x = x - jnp.mean(x, axis=1, keepdims=True)
    scale = jnp.sqrt(jnp.mean(x * x, axis=1, keepdims=True))
    return jnp.where(scale > 0, x / scale, 0.0)
