"""The step of sequential Monte Carlo between two moves: next temperature, weights, resampling."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from bamopipe.samplers.base import State
from bamopipe.target import Target, sum_of

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

    temperature: Array
    log_evidence_increment: Array
    ess: Array
    weights: Array
    ancestors: Array


def reweigh_and_resample(
    target: Target,
    resampling_fn: Callable,
    num_particles: int,
    key: Array,
    state: State,
    temperature: Array,
    target_ess: Array,
) -> tuple[State, Reweighting]:
    """Raise the temperature of one chain as far as its weights allow, and resample.

    The next temperature is the largest at which the effective sample size of the incremental
    weights, ``(sum w)^2 / sum w^2``, is still `target_ess` of the particles with a positive
    likelihood (Jasra et al. 2011; Zhou et al. 2016).

    Parameters
    ----------
    target
        The compiled model.
    resampling_fn
        ``(key, weights, num_samples) -> ancestors``, from `blackjax.smc.resampling`.
    num_particles
        How many of the particles count; the rest fill up the last block.
    key
        For the resampling.
    state
        Particles in blocks, leaves of shape (block, ..., particle), with equal weights.
    temperature
        The current one.
    target_ess
        A fraction, 0 to 1.
    """
    log_likelihood = sum_of(state.log_factors, target.observed)
    num_blocks, block_size = next(iter(state.log_factors.values())).shape
    log_likelihood = jnp.broadcast_to(log_likelihood, (num_blocks, block_size))
    index = jnp.arange(num_blocks * block_size).reshape(num_blocks, block_size)
    log_likelihood = jnp.where(index < num_particles, log_likelihood, -jnp.inf)

    def total(x):
        # Over fixed blocks first: the same order of summation whatever the device does.
        return jnp.sum(jnp.sum(x, axis=-1))

    def log_weights(t):
        return jnp.where(log_likelihood == -jnp.inf, -jnp.inf, (t - temperature) * log_likelihood)

    def ess(t):
        w = log_weights(t)
        w = jnp.exp(w - jnp.max(w))
        return total(w) ** 2 / total(w * w)

    wanted = target_ess * total((log_likelihood > -jnp.inf).astype(log_likelihood.dtype))

    def bisect(_, interval):
        low, high = interval
        middle = (low + high) / 2
        enough = ess(middle) >= wanted
        return jnp.where(enough, middle, low), jnp.where(enough, high, middle)

    one = jnp.ones_like(temperature)
    low, _ = jax.lax.fori_loop(0, BISECTIONS, bisect, (temperature, one))
    new_temperature = jnp.where(ess(one) >= wanted, one, low)

    w = log_weights(new_temperature)
    largest = jnp.max(w)
    weights = jnp.exp(w - largest)
    increment = largest + jnp.log(total(weights) / num_particles)

    weights = jnp.ravel(weights / total(weights))
    ancestors = resampling_fn(key, weights, num_particles)
    # Particles beyond the last one only fill their block.
    filled = jnp.resize(ancestors, (num_blocks * block_size,))

    def take(leaf):
        flat = jnp.moveaxis(leaf, 0, -2).reshape(*leaf.shape[1:-1], num_blocks * block_size)
        chosen = flat[..., filled].reshape(*leaf.shape[1:-1], num_blocks, block_size)
        return jnp.moveaxis(chosen, -2, 0)

    found = Reweighting(
        new_temperature, increment, ess(new_temperature), weights[:num_particles], ancestors
    )
    return jax.tree.map(take, state), found
