"""Moves of which no intermediate particle is thrown away."""

import jax
import jax.numpy as jnp
from jax import Array

from bamopipe.inference.mutation import Mutation
from bamopipe.samplers.base import LOG_SCALE, Kernel, Parameters, State
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
        state, parameters, accepted, is_nan, kept = carry
        state, infos = kernel.step(
            jax.random.fold_in(key, index), state, temperature, parameters, target
        )
        accepted = {n: accepted[n] + jnp.mean(info.acceptance_rate) for n, info in infos.items()}
        for info in infos.values():
            is_nan = {n: flag | info.is_nan.get(n, False) for n, flag in is_nan.items()}
        return state, kernel.adapt(parameters, infos), accepted, is_nan, keep(kept, state, index)

    nothing = jax.tree.map(
        lambda leaf: jnp.zeros((*leaf.shape[:-1], most, count), leaf.dtype), ancestors
    )
    _, parameters, accepted, is_nan, kept = jax.lax.fori_loop(
        1,
        1 + num_steps,
        step,
        (
            ancestors,
            parameters,
            {block.name: jnp.zeros_like(temperature) for block in kernel.blocks},
            {name: jnp.array(False) for name in ancestors.log_factors},
            keep(nothing, ancestors, 0),
        ),
    )
    state = jax.tree.map(
        lambda rows: rows.reshape(*rows.shape[:-2], most * count)[..., :block_size], kept
    )
    report = Mutation(
        {name: total / num_steps for name, total in accepted.items()},
        is_nan,
        {name: p[LOG_SCALE] for name, p in parameters.items() if LOG_SCALE in p},
        num_steps,
    )
    return state, report
