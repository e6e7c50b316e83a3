"""The compiled programs of sequential Monte Carlo: what is done to blocks of particles."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from bamopipe.inference.keys import purpose
from bamopipe.inference.mutation import Mutation, mutate
from bamopipe.inference.paths import Path
from bamopipe.inference.tempering import Goal, Reweighting, resample, reweigh
from bamopipe.inference.waste_free import mutate_and_keep
from bamopipe.samplers.base import Kernel, Parameters, State
from bamopipe.target import Position, Target


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def reweigh_and_tune(
    kernel: Kernel,
    path: Path,
    resampling_fn: Callable,
    counts: tuple[int, int],
    target: Target,
    key: Array,
    state: State,
    parameters: dict[str, Parameters],
    temperature: Array,
    segment: Array,
    goal: Goal,
) -> tuple[State, dict[str, Parameters], Reweighting]:
    """Raise the temperature of a chain, resample, and tune the kernel to how the particles lie.

    `counts` are the numbers of particles and of ancestors.
    """
    num_particles, num_ancestors = counts
    slope = path.slope(target, state, segment)
    new, increment, ess, weights = reweigh(slope, num_particles, temperature, goal)
    everyone, ancestors = resample(resampling_fn, key, weights, num_particles, state)
    tuned = tune(kernel, parameters, everyone.position, *path.at(target, new))
    if num_ancestors != num_particles:
        # Too few to tune by, and a part of the others would be spread less evenly.
        few_key = jax.random.fold_in(key, purpose("ancestors"))
        everyone, ancestors = resample(resampling_fn, few_key, weights, num_ancestors, state)
    return everyone, tuned, Reweighting(new, increment, ess, weights, ancestors)


@partial(jax.jit, static_argnums=0)
def tune(
    kernel: Kernel,
    parameters: dict[str, Parameters],
    position: Position,
    target: Target,
    temperature: Array,
) -> dict[str, Parameters]:
    """Tune a kernel to how the particles lie: for even blocks to the odd ones, and vice versa.

    Steps that are fitted to the very particles that they move do not leave the target as it is.
    With 500 particles of 26 coordinates two moves of `blackjax.hmc` at each of 20 temperatures gave
    a log evidence that was too low by 0.19 ± 0.03, and by 0.08 ± 0.02 when they were fitted to
    others (0.03 ± 0.02 with six moves).

    Returns
    -------
    dict
        One set of parameters if the number of blocks is odd, else two; leaves of shape (set, ...),
        see `parameters_of`.
    """
    num_sets = 2 - len(jax.tree.leaves(position)[0]) % 2

    def of_set(blocks):
        particles_last = {
            name: jnp.moveaxis(leaf, 0, -2).reshape(*leaf.shape[1:-1], -1)
            for name, leaf in blocks.items()
        }
        return kernel.tune(parameters, particles_last, target, temperature)

    others = {
        name: jnp.stack([leaf[index::num_sets] for index in reversed(range(num_sets))])
        for name, leaf in position.items()
    }
    return jax.lax.map(of_set, others)


def parameters_of(tuned: dict[str, Parameters], block: int) -> dict[str, Parameters]:
    """Return the parameters of a block."""
    return jax.tree.map(lambda leaf: leaf[block % len(leaf)], tuned)


@partial(jax.jit, static_argnums=(0, 1))
def choose(resampling_fn: Callable, size: int, key: Array, weights: Array) -> Array:
    """Draw ancestors by their weights."""
    return resampling_fn(key, weights, size)


@partial(jax.jit, static_argnums=(0, 1, 2))
def move(
    kernel: Kernel,
    path: Path,
    num_kept: int | None,
    target: Target,
    key: Array,
    temperature: Array,
    until: tuple[Array, Array | None],
    parameters: dict[str, Parameters],
    state: State,
) -> tuple[State, Mutation]:
    """Move a block of particles at one temperature.

    `num_kept` is how many to return of all that they were on the way; None for what they are in
    the end.
    """
    target, exponent = path.at(target, temperature)
    state = path.enter(kernel, target, state)
    if num_kept is None:
        return mutate(kernel, target, key, exponent, *until, parameters, state)
    return mutate_and_keep(kernel, target, key, exponent, until[0], parameters, state, num_kept)
