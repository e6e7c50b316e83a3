"""bamopipe itself."""

from functools import cache, partial

import blackjax
import distrax as dx
import jax
import numpy as np
import problems
from protocol import main
from tensorflow_probability.substrates.jax import bijectors as tfb
from tensorflow_probability.substrates.jax import distributions as tfd
from tinygp import kernels

from bamopipe.base import Model
from bamopipe.distributions.gaussian_process import GaussianProcess
from bamopipe.inference import MCMCInference, SMCInference
from bamopipe.samplers import gibbs_sampler, mcmc_sampler


@cache
def eight_schools() -> Model:
    data = problems.eight_schools()
    model = Model("eight schools")
    mu = model.add_node("mu", distribution=dx.Normal(loc=0, scale=10))
    prior = dx.Transformed(dx.Normal(loc=5, scale=1), tfb.Exp())
    tau = model.add_node("tau", distribution=prior)
    parents = dict(loc=mu, scale=tau)
    theta = model.add_node("theta", distribution=dx.Normal, parents=parents, shape=8)
    parents = dict(loc=theta, scale=data["sd"])
    model.add_node("y", distribution=dx.Normal, parents=parents, observations=data["y"])
    return model


@cache
def logistic_regression() -> Model:
    data = problems.logistic_regression()
    model = Model("logistic regression")
    intercept = model.add_node("intercept", distribution=dx.Normal(0.0, 2.0))
    slope = model.add_node("slope", distribution=dx.Normal(0.0, 1.0), shape=25)
    model.add_node(
        "y",
        distribution=tfd.Bernoulli,
        parents=dict(x=data["x"], intercept=intercept, slope=slope),
        link_fn=lambda x, intercept, slope: dict(logits=intercept + x @ slope),
        observations=data["y"],
    )
    return model


@cache
def gp_regression() -> Model:
    data = problems.gp_regression()
    model = Model("GP regression")
    for name, mean in dict(amplitude=0.0, lengthscale=0.0, noise=-1.0).items():
        model.add_node(name, distribution=tfd.LogNormal(mean, 1.0))
    parents = dict(x=data["x"], amplitude="amplitude", lengthscale="lengthscale")
    model.add_node(
        "y",
        distribution=GaussianProcess,
        parents=dict(kernel=covariance, noise_scale="noise", **parents),
        observations=data["y"],
    )
    return model


def covariance(amplitude, lengthscale):
    return amplitude**2 * kernels.ExpSquared(lengthscale)


def seed_problem(num_particles: int, precision: str, seed: int) -> dict:
    """Run the program that the package was designed around, with its own settings."""
    model, walk = eight_schools(), blackjax.normal_random_walk
    sigma = dict(mu=6.0, tau=6.0, theta=5.0 * np.eye(8))
    kernel = gibbs_sampler(
        model, dict.fromkeys(sigma, walk), {name: dict(sigma=s) for name, s in sigma.items()}
    )
    settings = dict(num_mutations=100, num_chains=4, precision=precision)
    found = SMCInference(model, kernel, num_particles, **settings).run(jax.random.key(seed))
    sweeps = sum(len(stages) for stages in found.stages) * num_particles * 100
    return {"log_evidences": found.log_evidence_chains.tolist(), "sweeps": sweeps}


def smc(make_model, make_kernel, seed: int) -> dict:
    model = make_model()
    engine = SMCInference(model, make_kernel(model), num_particles=1000, num_chains=4)
    return {"log_evidences": engine.run(jax.random.key(seed)).log_evidence_chains.tolist()}


def mcmc(make_model, make_kernel, seed: int) -> dict:
    model = make_model()
    engine = MCMCInference(model, make_kernel(model), num_samples=1000, num_chains=4)
    return {"draws": engine.run(jax.random.key(seed)).draws}


def everywhere(algorithm):
    return lambda model: mcmc_sampler(model, algorithm)


main(
    {
        **{
            f"seed_problem/{count}{suffix}": partial(seed_problem, count, precision)
            for count in (1000, 10_000, 100_000, 1_000_000)
            for suffix, precision in (("", "float64"), ("/float32", "float32"))
        },
        "eight_schools/evidence": partial(smc, eight_schools, gibbs_sampler),
        "eight_schools/draws": partial(mcmc, eight_schools, gibbs_sampler),
        "logistic_regression/evidence": partial(smc, logistic_regression, everywhere(blackjax.hmc)),
        "logistic_regression/draws": partial(mcmc, logistic_regression, everywhere(blackjax.nuts)),
        "gp_regression/evidence": partial(
            smc, gp_regression, everywhere(blackjax.normal_random_walk)
        ),
        "gp_regression/draws": partial(mcmc, gp_regression, everywhere(blackjax.nuts)),
    }
)
