"""The step of sequential Monte Carlo between two moves: next temperature, weights, resampling."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from bamopipe.samplers.base import State

BISECTIONS = 60


class Reweighting(NamedTuple):
    """What a reweighting found.

    Attributes
    ----------
    temperature
        The next one; the same as before if no step keeps the target ESS.
    log_evidence_increment
        Log of the mean weight.
    ess
        Effective sample size of the weights, in particles.
    weights
        Of all particles, with the sum 1.
    ancestors
        Index of the particle that each new one is a copy of.
    """

    temperature: Any
    log_evidence_increment: Any
    ess: Any
    weights: Any
    ancestors: Any


class Goal(NamedTuple):
    """How far one reweighting may go.

    Attributes
    ----------
    limit
        The highest temperature that it may reach.
    target_ess
        Effective sample size that it keeps on the way, as a fraction of the particles; 0 goes to
        the limit in any case.
    """

    limit: Any
    target_ess: Any


def reweigh(
    log_likelihood: Array, num_particles: int, temperature: Array, goal: Goal
) -> tuple[Array, Array, Array, Array]:
    """Raise the temperature of one chain as far as its weights allow.

    The next temperature is the largest at which the effective sample size of the incremental
    weights, ``(sum w)^2 / sum w^2``, is still `target_ess` of the particles with a positive
    likelihood (Jasra et al. 2011; Zhou et al. 2016).

    Parameters
    ----------
    log_likelihood
        Of particles in blocks, shape (block, particle): by what a step of the temperature is
        multiplied to be a step of the log density.
    num_particles
        How many of the particles count; the rest fill up the last block.
    temperature
        The current one.
    goal
        How far to go.

    Returns
    -------
    tuple of Array
        The next temperature, the log of the mean weight, the effective sample size, and all weights
        with the sum 1, shape (num_particles,).
    """
    if log_likelihood.size > num_particles:
        index = jnp.arange(log_likelihood.size).reshape(log_likelihood.shape)
        log_likelihood = jnp.where(index < num_particles, log_likelihood, -jnp.inf)

    def total(x):
        # Over fixed blocks first: the same order of summation whatever the device does.
        return jnp.sum(jnp.sum(x, axis=-1))

    def log_weights(t):
        return jnp.where(log_likelihood == -jnp.inf, -jnp.inf, (t - temperature) * log_likelihood)

    def weigh(t):
        w = log_weights(t)
        largest = jnp.max(w)
        w = jnp.exp(w - largest)
        return w, largest, total(w) ** 2 / total(w * w)

    def bisect(index, carry):
        low, high, wanted, *_ = carry
        # First where they are, which tells how many are possible. Then the limit: if it will do,
        # there is nothing between the two any more. And last once more what was found: weights that
        # are written down twice would be compiled twice.
        middle = jnp.where(index == 1, high, (low + high) / 2)
        middle = jnp.where((index == 0) | (index == 2 + BISECTIONS), low, middle)
        weighed = weigh(middle)
        ess = weighed[-1]
        wanted = jnp.where(index == 0, goal.target_ess * ess, wanted)
        enough = ess >= wanted
        return jnp.where(enough, middle, low), jnp.where(enough, high, middle), wanted, *weighed

    zero = jnp.zeros_like(temperature)
    nothing = zero, jnp.zeros_like(log_likelihood), zero, zero
    new_temperature, _, _, weights, largest, ess = jax.lax.fori_loop(
        0, 3 + BISECTIONS, bisect, (temperature, goal.limit, *nothing)
    )
    increment = largest + jnp.log(total(weights) / num_particles)
    weights = jnp.ravel(weights / total(weights))[:num_particles]
    return new_temperature, increment, ess, weights


def resample(
    resampling_fn: Callable, key: Array, weights: Array, num_ancestors: int, state: State
) -> tuple[State, Array]:
    """Draw ancestors by their weights, and copy them.

    Parameters
    ----------
    resampling_fn
        ``(key, weights, num_samples) -> ancestors``, from `blackjax.smc.resampling`.
    key
        For the draws.
    weights
        Of the particles, in order; those beyond only fill up the last block.
    num_ancestors
        How many to draw.
    state
        Particles in blocks, leaves of shape (block, ..., particle).

    Returns
    -------
    tuple of State and Array
        The copies, in as many blocks as before, and the ancestors' indices. Copies beyond the last
        ancestor repeat the first ones, to fill their block.
    """
    ancestors = resampling_fn(key, weights, num_ancestors)
    num_blocks, block_size = next(iter(state.log_factors.values())).shape
    in_block = -(-num_ancestors // num_blocks)
    filled = jnp.resize(ancestors, (num_blocks * in_block,))

    def take(leaf):
        flat = jnp.moveaxis(leaf, 0, -2).reshape(*leaf.shape[1:-1], num_blocks * block_size)
        chosen = flat[..., filled].reshape(*leaf.shape[1:-1], num_blocks, in_block)
        return jnp.moveaxis(chosen, -2, 0)

    return jax.tree.map(take, state), ancestors
