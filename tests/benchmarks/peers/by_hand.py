"""The Gibbs sweeps of the seed problem, written by hand in JAX: how fast ours could be.

All particles of a chain are one array; log densities are kept from step to step. The temperatures
are those of a usual run, and weights and resampling are left out: only the sweeps are compared.
"""

from functools import partial

import jax
import jax.numpy as jnp
import problems
from protocol import main

jax.config.update("jax_enable_x64", True)
TEMPERATURES = (0.004, 0.015, 0.06, 0.2, 0.6, 1.0)
CHAINS, MUTATIONS = 4, 100

data = problems.eight_schools()
Y, SD = data["y"][:, None], data["sd"][:, None]
SCALE = 5 * jnp.eye(8)


def log_mu(mu):
    return -0.5 * (mu / 10) ** 2


def log_tau(tau):
    log = jnp.log(tau)
    return jnp.where(tau > 0, -0.5 * (log - 5) ** 2 - log, -jnp.inf)


def log_theta(mu, tau, theta):
    standard = (theta - mu) / tau
    return jnp.where(tau > 0, -0.5 * jnp.sum(standard**2, 0) - 8 * jnp.log(tau), -jnp.inf)


def log_y(theta):
    return -0.5 * jnp.sum(((Y - theta) / SD) ** 2, 0)


def sweep(temperature, key, state):
    mu, tau, theta, of_mu, of_tau, of_theta, of_y = state
    keys = jax.random.split(key, 6)

    def accept(key, log_ratio):
        return jnp.log1p(-jax.random.uniform(key, mu.shape)) < log_ratio

    new = mu + 6 * jax.random.normal(keys[0], mu.shape)
    new_mu, new_theta = log_mu(new), log_theta(new, tau, theta)
    yes = accept(keys[1], new_mu + new_theta - of_mu - of_theta)
    mu, of_mu, of_theta = choose(yes, (new, new_mu, new_theta), (mu, of_mu, of_theta))

    new = tau + 6 * jax.random.normal(keys[2], tau.shape)
    new_tau, new_theta = log_tau(new), log_theta(mu, new, theta)
    yes = accept(keys[3], new_tau + new_theta - of_tau - of_theta)
    tau, of_tau, of_theta = choose(yes, (new, new_tau, new_theta), (tau, of_tau, of_theta))

    new = theta + SCALE @ jax.random.normal(keys[4], theta.shape)
    new_theta, new_y = log_theta(mu, tau, new), log_y(new)
    yes = accept(keys[5], new_theta - of_theta + temperature * (new_y - of_y))
    theta, of_theta, of_y = choose(yes, (new, new_theta, new_y), (theta, of_theta, of_y))
    return mu, tau, theta, of_mu, of_tau, of_theta, of_y


def choose(yes, new, old):
    return [jnp.where(yes, n, o) for n, o in zip(new, old, strict=True)]


@jax.jit
def move(temperature, key, state):
    def step(index, state):
        return tuple(sweep(temperature, jax.random.fold_in(key, index), state))

    return jax.lax.fori_loop(0, MUTATIONS, step, state)


@partial(jax.jit, static_argnums=0)
def prior(num_particles, key):
    keys = jax.random.split(key, 3)
    mu = 10 * jax.random.normal(keys[0], (num_particles,))
    tau = jnp.exp(5 + jax.random.normal(keys[1], (num_particles,)))
    theta = mu + tau * jax.random.normal(keys[2], (8, num_particles))
    return mu, tau, theta, log_mu(mu), log_tau(tau), log_theta(mu, tau, theta), log_y(theta)


def seed_problem(num_particles: int, seed: int) -> dict:
    key = jax.random.key(seed)
    states = [prior(num_particles, jax.random.fold_in(key, chain)) for chain in range(CHAINS)]
    for stage, temperature in enumerate(TEMPERATURES):
        stage_key = jax.random.fold_in(key, 1000 + stage)
        states = [
            move(temperature, jax.random.fold_in(stage_key, chain), state)
            for chain, state in enumerate(states)
        ]
    jax.block_until_ready(states)
    return {"sweeps": len(TEMPERATURES) * CHAINS * num_particles * MUTATIONS}


main(
    {
        "seed_problem/1000": partial(seed_problem, 1000),
        "seed_problem/10000": partial(seed_problem, 10_000),
    }
)
