"""The seed problem done by a loop in JAX, written by hand for this one model; see work.py.

The yardstick of what a graph, kernels over it and an engine cost. It does what the particles of
bamopipe do, by the same ways: blocks of 1,000 particles on all cores, densities reused, the same
noise. It tells nobody of its progress, tunes nothing, keeps no checkpoint and no genealogy.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from problems import data
from work import Found, answer

from bamopipe.samplers.normal import Shapes, draw_noise

BLOCK = 1000
EFFECTS, ERRORS = (column[:, None] for column in data("eight_schools").values())


def normal(x, loc, scale):
    """Log density."""
    z = (x - loc) / scale
    return -0.5 * z * z - jnp.log(scale) - 0.5 * np.log(2 * np.pi)


def prior_mu(mu):
    """Log density of the mean effect."""
    return normal(mu, 0.0, 10.0)


def prior_tau(tau):
    """Log density of the spread of effects, log-normal."""
    safe = jnp.where(tau > 0, tau, 1.0)
    return jnp.where(tau > 0, normal(jnp.log(safe), 5.0, 1.0) - jnp.log(safe), -jnp.inf)


def of_theta(mu, tau, theta):
    """Log density of the effects."""
    return jnp.sum(normal(theta, mu, tau), axis=0)


def likelihood(theta):
    """Log density of what was seen."""
    return jnp.sum(normal(EFFECTS, theta, ERRORS), axis=0)


@partial(jax.jit, static_argnums=1)
def start(key, size):
    """Draw from the prior."""
    (noise,) = draw_noise(key, [Shapes([(10, size)])], "float64")
    (z,) = noise.normal
    mu, tau = 10.0 * z[0], jnp.exp(5.0 + z[1])
    theta = mu + tau * z[2:]
    return mu, tau, theta, prior_mu(mu), prior_tau(tau), of_theta(mu, tau, theta), likelihood(theta)


@jax.jit
def move(key, num_steps, temperature, state):
    """Make Gibbs sweeps of random walks."""

    shapes = [Shapes([x.shape], x.shape[-1:]) for x in state[:3]]

    def accept(uniform, log_ratio):
        return jax.lax.optimization_barrier(1 - uniform <= jnp.exp(log_ratio))

    def sweep(index, state):
        mu, tau, theta, p_mu, p_tau, p_theta, lik = state
        draws = draw_noise(jax.random.fold_in(key, index), shapes, mu.dtype)
        (noise,), uniform = draws[0]
        new = mu + 6.0 * noise
        n_mu, n_theta = prior_mu(new), of_theta(new, tau, theta)
        yes = accept(uniform, n_mu + n_theta - p_mu - p_theta)
        mu, p_mu = jnp.where(yes, new, mu), jnp.where(yes, n_mu, p_mu)
        p_theta = jnp.where(yes, n_theta, p_theta)
        (noise,), uniform = draws[1]
        new = tau + 6.0 * noise
        n_tau = prior_tau(new)
        n_theta = of_theta(mu, jnp.where(new > 0, new, 1.0), theta)
        yes = accept(uniform, n_tau + n_theta - p_tau - p_theta)
        tau, p_tau = jnp.where(yes, new, tau), jnp.where(yes, n_tau, p_tau)
        p_theta = jnp.where(yes, n_theta, p_theta)
        (noise,), uniform = draws[2]
        new = theta + 5.0 * jnp.eye(8) @ noise
        n_theta, n_lik = of_theta(mu, tau, new), likelihood(new)
        yes = accept(uniform, n_theta - p_theta + temperature * (n_lik - lik))
        theta, p_theta = jnp.where(yes, new, theta), jnp.where(yes, n_theta, p_theta)
        return mu, tau, theta, p_mu, p_tau, p_theta, jnp.where(yes, n_lik, lik)

    return jax.lax.fori_loop(0, num_steps, sweep, state)


@jax.jit
def reweigh(key, temperature, lik):
    """Return the next temperature, the log of the mean weight, and ancestors."""

    def weights(new):
        w = (new - temperature) * lik
        return jnp.exp(w - jnp.max(w)), jnp.max(w)

    def ess(new):
        w, _ = weights(new)
        return jnp.sum(w) ** 2 / jnp.sum(w * w)

    def bisect(_, interval):
        low, high = interval
        middle = (low + high) / 2
        enough = ess(middle) >= 0.5 * lik.size
        return jnp.where(enough, middle, low), jnp.where(enough, high, middle)

    low, _ = jax.lax.fori_loop(0, 60, bisect, (temperature, 1.0))
    new = jnp.where(ess(1.0) >= 0.5 * lik.size, 1.0, low)
    w, largest = weights(new)
    points = (jax.random.uniform(key) + jnp.arange(lik.size)) / lik.size
    ancestors = jnp.searchsorted(jnp.cumsum(w) / jnp.sum(w), points)
    return new, largest + jnp.log(jnp.mean(w)), jnp.minimum(ancestors, lik.size - 1)


def run(key, pool, num_chains, size, num_mutations) -> Found:
    """Run all chains; return log evidences and the number of sweeps."""
    block = min(BLOCK, size)
    sweeps = 0.0
    chains = []
    for chain in range(num_chains):
        own = jax.random.fold_in(key, chain)
        chains.append([own, 0.0, 0.0, jax.device_get(start(own, size))])
    stage = 0
    while any(temperature < 1 for _, temperature, _, _ in chains):
        stage += 1
        items = []
        for chain in chains:
            own, temperature, _, state = chain
            if temperature == 1:
                continue
            stage_key = jax.random.fold_in(own, stage)
            new, increment, ancestors = jax.device_get(reweigh(stage_key, temperature, state[-1]))
            chain[1], chain[2] = float(new), chain[2] + float(increment)
            state = [leaf[..., ancestors] for leaf in state]
            for index in range(0, size, block):
                part = tuple(leaf[..., index : index + block] for leaf in state)
                items.append((chain, jax.random.fold_in(stage_key, index), part))
            sweeps += size * num_mutations

        def work(item):
            chain, key, part = item
            return jax.device_get(move(key, num_mutations, chain[1], part))

        moved = list(pool.map(work, items))
        for chain in chains:
            parts = [part for item, part in zip(items, moved, strict=True) if item[0] is chain]
            if parts:
                chain[3] = tuple(
                    np.concatenate(leaves, axis=-1) for leaves in zip(*parts, strict=True)
                )
    return {"log_evidence": [log_evidence for _, _, log_evidence, _ in chains], "sweeps": sweeps}


def seed_problem(
    num_chains: int, num_particles: int, num_mutations: int, precision: str
) -> Callable[[int], Found]:
    """Make the loop."""
    jax.config.update("jax_enable_x64", precision == "float64")
    pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
    return lambda seed: run(jax.random.key(seed), pool, num_chains, num_particles, num_mutations)


if __name__ == "__main__":
    answer(seed_problem)
