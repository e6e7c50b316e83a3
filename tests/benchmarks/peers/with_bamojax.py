"""The problems done by bamojax, in an environment of its own; see work.py."""

from collections.abc import Callable

import blackjax
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from bamojax.base import Model
from bamojax.inference import SMCInference
from bamojax.samplers import gibbs_sampler
from densities import covariance, preferences
from jax.scipy.special import ndtr
from problems import NUM_SUBJECTS, data
from work import Found, answer


def seed_problem(precision: str, **settings) -> Callable[[int], Found]:
    """Make eight schools as in bamojax's own example."""
    engine = _engine("eight_schools", precision, **settings)

    def run(seed: int) -> Found:
        result = jax.block_until_ready(engine.run(jax.random.PRNGKey(seed)))
        temperatures = jnp.sum(jnp.atleast_1d(result["n_iter"]) + 1)  # and the final move
        sweeps = float(temperatures) * settings["num_particles"] * settings["num_mutations"]
        return {"log_evidence": jnp.atleast_1d(result["lml"]).tolist(), "sweeps": sweeps}

    return run


def evidence(problem: str, **settings) -> Callable[[int], Found]:
    """Make sequential Monte Carlo with Gibbs random walks of about the posterior's scale."""
    engine = _engine(problem, "float64", **settings)

    def run(seed: int) -> Found:
        result = jax.block_until_ready(engine.run(jax.random.PRNGKey(seed)))
        return {"log_evidence": jnp.atleast_1d(result["lml"]).tolist()}

    return run


def _engine(problem: str, precision: str, **settings) -> SMCInference:
    jax.config.update("jax_enable_x64", precision == "float64")
    model = Model(problem)
    table = {name: jnp.asarray(values) for name, values in data(problem).items()}
    scales = globals()[f"_{problem}"](model, **table)
    kernel = gibbs_sampler(
        model,
        step_fns=dict.fromkeys(scales, blackjax.normal_random_walk),
        step_fn_params={name: dict(sigma=scale) for name, scale in scales.items()},
    )
    return SMCInference(model=model, mcmc_kernel=kernel, **settings)


def _eight_schools(model, effect, error):
    mu = model.add_node("mu", distribution=dist.Normal(0.0, 10.0))
    tau = model.add_node("tau", distribution=dist.LogNormal(5.0, 1.0))
    theta = model.add_node(
        "theta", distribution=dist.Normal, parents=dict(loc=mu, scale=tau), shape=(8,)
    )
    parents = dict(loc=theta, scale=error)
    model.add_node("y", distribution=dist.Normal, parents=parents, observations=effect)
    return {"mu": 6.0, "tau": 6.0, "theta": 5.0 * jnp.eye(8)}


def _growth_mixture(model, score, time):
    eta = model.add_node("eta", distribution=dist.Normal(0.0, 2.0), shape=(4, 2))
    sigma = model.add_node("sigma", distribution=dist.LogNormal(0.0, 1.0), shape=(4,))
    logits = model.add_node("logits", distribution=dist.Normal(0.0, 1.0), shape=(3,))

    def link(eta, sigma, logits):
        weight = jax.nn.softmax(jnp.append(0.0, logits))
        lines = dist.Normal(eta[:, :1] + eta[:, 1:] * time, sigma[:, None]).to_event(1)
        return {"mixing_distribution": dist.Categorical(weight), "component_distribution": lines}

    parents = dict(eta=eta, sigma=sigma, logits=logits)
    model.add_node(
        "y",
        distribution=dist.MixtureSameFamily,
        parents=parents,
        link_fn=link,
        observations=score,
    )
    return {"eta": 0.1 * jnp.eye(8), "sigma": 0.1 * jnp.eye(4), "logits": 0.3 * jnp.eye(3)}


def _expectancy_valence(model, choice, win, loss):
    mu = model.add_node("mu", distribution=dist.Normal(0.0, 1.0), shape=(3,))
    sigma = model.add_node("sigma", distribution=dist.Uniform(0.0, 1.5), shape=(3,))
    # Its shape is how many draws of what the parents are the location and scale of.
    z = model.add_node(
        "z", distribution=dist.Normal, parents=dict(loc=mu, scale=sigma), shape=(NUM_SUBJECTS,)
    )
    model.add_node(
        "y",
        distribution=dist.Categorical,
        parents=dict(z=z),
        link_fn=lambda z: {"logits": preferences(ndtr(z), choice, win, loss)},
        observations=choice,
    )
    return {"mu": 0.3 * jnp.eye(3), "sigma": 0.3 * jnp.eye(3), "z": 0.2 * jnp.eye(30)}


def _logistic(model, x, y):
    intercept = model.add_node("intercept", distribution=dist.Normal(0.0, 2.0))
    slope = model.add_node("slope", distribution=dist.Normal(0.0, 1.0), shape=(25,))
    model.add_node(
        "y",
        distribution=dist.Bernoulli,
        parents=dict(intercept=intercept, slope=slope),
        link_fn=lambda intercept, slope: {"logits": intercept + x @ slope},
        observations=y,
    )
    return {"intercept": 0.1, "slope": 0.04 * jnp.eye(25)}


def _gp(model, x, y):
    amplitude = model.add_node("amplitude", distribution=dist.LogNormal(0.0, 1.0))
    lengthscale = model.add_node("lengthscale", distribution=dist.LogNormal(0.0, 1.0))
    noise = model.add_node("noise", distribution=dist.LogNormal(-1.0, 1.0))

    def link(amplitude, lengthscale, noise):
        return {"loc": 0.0, "covariance_matrix": covariance(x, amplitude, lengthscale, noise)}

    model.add_node(
        "y",
        distribution=dist.MultivariateNormal,
        parents=dict(amplitude=amplitude, lengthscale=lengthscale, noise=noise),
        link_fn=link,
        observations=y,
    )
    return {"amplitude": 0.5, "lengthscale": 0.3, "noise": 0.03}


if __name__ == "__main__":
    answer(seed_problem, evidence)
