"""The moves of a block of particles at one temperature."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from bamopipe.samplers.base import LOG_SCALE, Kernel, Parameters, State
from bamopipe.target import Position, Target


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
    start = _standardised(state.position)

    def goes_on(carry):
        count, state, *_ = carry
        return (count < most) & (_highest_correlation(start, state.position) > forgotten)

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


def _standardised(position: Position) -> Array:
    """Return all coordinates with mean 0 and variance 1, or 0 if it is the same everywhere."""
    flat = [jnp.asarray(v, float).reshape(-1, v.shape[-1]) for v in position.values()]
    x = jnp.concatenate(flat)
    x = x - jnp.mean(x, axis=1, keepdims=True)
    scale = jnp.sqrt(jnp.mean(x * x, axis=1, keepdims=True))
    return jnp.where(scale > 0, x / scale, 0.0)


def _highest_correlation(start: Array, position: Position) -> Array:
    return jnp.max(jnp.mean(start * _standardised(position), axis=1))
