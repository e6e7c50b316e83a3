"""Moves of which no intermediate particle is thrown away."""

import jax
import jax.numpy as jnp
from jax import Array

from bamopipe.inference.mutation import Mutation, mutation, no_reports, reports
from bamopipe.samplers.base import Kernel, Parameters, State
from bamopipe.target import Target


def mutate_and_keep(
    kernel: Kernel,
    target: Target,
    key: Array,
    temperature: Array,
    num_steps: Array,
    parameters: dict[str, Parameters],
    ancestors: State,
    block_size: int,
) -> tuple[State, Mutation]:
    """Step the kernel from a few particles on; return them and all that they were on the way.

    The states of a Markov chain that starts in its stationary distribution all have that
    distribution. With ``P - 1`` steps, one ``P``-th of the particles is resampled, and the chains
    that start there are the new particles (Dau and Chopin 2022, JRSS B 84, 114-148, algorithm 2).

    Parameters
    ----------
    kernel, target, key, temperature
        Of the steps.
    num_steps
        ``P - 1``, or 0, with which the engine compiles.
    parameters
        From `Kernel.tune`.
    ancestors
        Particles last: ``block_size / P`` of them, rounded up.
    block_size
        How many particles to return.
    """
    count = next(iter(ancestors.log_factors.values())).shape[-1]
    most = -(-block_size // count)

    def keep(kept, state, index):
        return jax.tree.map(
            lambda rows, now: jax.lax.dynamic_update_index_in_dim(rows, now, index, -2), kept, state
        )

    def step(index, carry):
        state, parameters, total, kept = carry
        state, infos = kernel.step(
            jax.random.fold_in(key, index), state, temperature, parameters, target
        )
        total = total + reports(kernel, target, infos)
        return state, kernel.adapt(parameters, infos), total, keep(kept, state, index)

    nothing = jax.tree.map(
        lambda leaf: jnp.zeros((*leaf.shape[:-1], most, count), leaf.dtype), ancestors
    )
    _, parameters, total, kept = jax.lax.fori_loop(
        1,
        1 + num_steps,
        step,
        (ancestors, parameters, no_reports(kernel, target), keep(nothing, ancestors, 0)),
    )
    state = jax.tree.map(
        lambda rows: rows.reshape(*rows.shape[:-2], most * count)[..., :block_size], kept
    )
    return state, mutation(kernel, target, total, parameters, num_steps)
