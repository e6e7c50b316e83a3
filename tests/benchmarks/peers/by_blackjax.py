"""BlackJAX, put together by hand: NUTS after window adaptation, and tempered SMC with HMC."""

from functools import partial

import blackjax
import jax
import jax.numpy as jnp
import problems
from blackjax.smc import extend_params
from blackjax.smc.resampling import systematic
from jax.flatten_util import ravel_pytree
from jax.scipy.stats import norm
from protocol import main

jax.config.update("jax_enable_x64", True)
CHAINS = 4


class EightSchools:
    """The non-centred form, in unconstrained space."""

    data = problems.eight_schools()

    @staticmethod
    def prior(key):
        keys = jax.random.split(key, 3)
        return {
            "mu": 10 * jax.random.normal(keys[0]),
            "log_tau": 5 + jax.random.normal(keys[1]),
            "noise": jax.random.normal(keys[2], (8,)),
        }

    @staticmethod
    def log_prior(x):
        total = norm.logpdf(x["mu"], 0, 10) + norm.logpdf(x["log_tau"], 5, 1)
        return total + norm.logpdf(x["noise"]).sum()

    @classmethod
    def log_likelihood(cls, x):
        return norm.logpdf(cls.data["y"], cls.variables(x)["theta"], cls.data["sd"]).sum()

    @staticmethod
    def variables(x):
        tau = jnp.exp(x["log_tau"])
        noise = x["noise"]
        return {"mu": x["mu"], "tau": tau, "theta": x["mu"][..., None] + tau[..., None] * noise}


class LogisticRegression:
    data = problems.logistic_regression()

    @staticmethod
    def prior(key):
        keys = jax.random.split(key)
        return {
            "intercept": 2 * jax.random.normal(keys[0]),
            "slope": jax.random.normal(keys[1], (25,)),
        }

    @staticmethod
    def log_prior(x):
        return norm.logpdf(x["intercept"], 0, 2) + norm.logpdf(x["slope"]).sum()

    @classmethod
    def log_likelihood(cls, x):
        logits = x["intercept"] + cls.data["x"] @ x["slope"]
        return jnp.sum(cls.data["y"] * logits - jnp.logaddexp(0, logits))

    @staticmethod
    def variables(x):
        return x


@partial(jax.jit, static_argnums=0)
def chain(problem, key):
    """Warm NUTS up and draw."""

    def log_density(x):
        return problem.log_prior(x) + problem.log_likelihood(x)

    start_key, warmup_key, draw_key = jax.random.split(key, 3)
    warmup = blackjax.window_adaptation(blackjax.nuts, log_density)
    (state, parameters), _ = warmup.run(warmup_key, problem.prior(start_key), num_steps=1000)
    nuts = blackjax.nuts(log_density, **parameters)

    def step(state, key):
        state, _ = nuts.step(key, state)
        return state, state.position

    return jax.lax.scan(step, state, jax.random.split(draw_key, 1000))[1]


def draws(problem, seed: int) -> dict:
    keys = jax.random.split(jax.random.key(seed), CHAINS)
    found = [chain(problem, key) for key in keys]  # each call runs while the next one is made
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *found)
    return {"draws": jax.device_get(problem.variables(stacked))}


@partial(jax.jit, static_argnums=0)
def run_smc(problem, key):
    """Temper 1,000 particles, moved ten times at each temperature by HMC with their own scales."""
    prior_key, key = jax.random.split(key)
    particles = jax.vmap(problem.prior)(jax.random.split(prior_key, 1000))
    state = blackjax.smc.tempered.init(particles)
    kernel = partial(blackjax.hmc.build_kernel(), num_integration_steps=5)

    def step(carry):
        state, key, total = carry
        key, step_key = jax.random.split(key)
        flat = jax.vmap(lambda x: ravel_pytree(x)[0])(state.particles)
        settings = {"step_size": jnp.array(0.4), "inverse_mass_matrix": flat.var(0)}
        smc = blackjax.adaptive_tempered_smc(
            problem.log_prior,
            problem.log_likelihood,
            kernel,
            blackjax.hmc.init,
            extend_params(settings),
            systematic,
            0.5,
            num_mcmc_steps=10,
        )
        state, info = smc.step(step_key, state)
        return state, key, total + info.log_likelihood_increment

    start = (state, key, jnp.zeros(()))
    return jax.lax.while_loop(lambda carry: carry[0].tempering_param < 1, step, start)[2]


def evidence(problem, seed: int) -> dict:
    keys = jax.random.split(jax.random.key(seed), CHAINS)
    return {"log_evidences": [float(x) for x in [run_smc(problem, key) for key in keys]]}


main(
    {
        f"{name}/{what.__name__}": partial(what, problem)
        for name, problem in {
            "eight_schools": EightSchools,
            "logistic_regression": LogisticRegression,
        }.items()
        for what in (draws, evidence)
    }
)
