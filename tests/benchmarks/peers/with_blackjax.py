"""The problems done with BlackJAX by hand, in JAX alone; see work.py."""

from collections.abc import Callable

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
from blackjax.smc import extend_params, resampling
from densities import density, log_prior
from work import Found, answer

jax.config.update("jax_enable_x64", True)
NUM_STEPS = 10  # of the leapfrog integrator


def evidence(
    problem: str, num_chains: int, num_particles: int, num_mutations: int
) -> Callable[[int], Found]:
    """Make adaptive tempering with Hamiltonian Monte Carlo, scaled by the particles."""
    size, _, log_likelihood = density(problem)
    hmc = blackjax.hmc.build_kernel()

    def temper(carry):
        state, log_evidence, key = carry
        key, own = jax.random.split(key)
        tuned = {
            "step_size": 0.7 * size**-0.25,
            "inverse_mass_matrix": jnp.var(state.particles, axis=0),
            "num_integration_steps": NUM_STEPS,
        }
        smc = blackjax.adaptive_tempered_smc(
            log_prior,
            log_likelihood,
            hmc,
            blackjax.hmc.init,
            extend_params(tuned),
            resampling.systematic,
            target_ess=0.5,
            num_mcmc_steps=num_mutations,
        )
        state, info = smc.step(own, state)
        return state, log_evidence + info.log_likelihood_increment, key

    def is_going(carry):
        return carry[0].tempering_param < 1

    @jax.jit
    @jax.vmap
    def chain(key):
        key, own = jax.random.split(key)
        particles = jax.random.normal(own, (num_particles, size))
        start = blackjax.smc.tempered.init(particles)
        start = start._replace(tempering_param=jnp.asarray(start.tempering_param, float))
        return jax.lax.while_loop(is_going, temper, (start, 0.0, key))[1]

    def run(seed: int) -> Found:
        keys = jax.random.split(jax.random.key(seed), num_chains)
        return {"log_evidence": np.asarray(chain(keys)).tolist()}

    return run


def draws(problem: str, num_samples: int) -> Callable[[int], Found]:
    """Make NUTS with window adaptation, four chains."""
    made = density(problem)

    @jax.jit
    @jax.vmap
    def chain(key):
        start, warm, rest = jax.random.split(key, 3)
        warmup = blackjax.window_adaptation(blackjax.nuts, made.log_density)
        (state, tuned), _ = warmup.run(warm, jax.random.normal(start, (made.size,)), 1000)
        step = blackjax.nuts(made.log_density, **tuned).step

        def one(state, key):
            state, _ = step(key, state)
            return state, made.parameters(state.position)

        return jax.lax.scan(one, state, jax.random.split(rest, num_samples))[1]

    def run(seed: int) -> Found:
        found = chain(jax.random.split(jax.random.key(seed), 4))
        return {"draws": {name: np.asarray(values) for name, values in found.items()}}

    return run


if __name__ == "__main__":
    answer(evidence, draws)
