"""The problems done by NumPyro's NUTS, in an environment of its own; see work.py."""

import os
from collections.abc import Callable

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
from densities import covariance, preferences
from jax.scipy.special import ndtr
from numpyro.infer import MCMC, NUTS
from problems import KEPT, NUM_SUBJECTS, data
from work import Found, answer

numpyro.enable_x64()
sample, deterministic = numpyro.sample, numpyro.deterministic


def eight_schools(effect, error):
    """Non-centred."""
    mu = sample("mu", dist.Normal(0, 10))
    tau = sample("tau", dist.LogNormal(5, 1))
    z = sample("z", dist.Normal(0, 1).expand([8]).to_event(1))
    theta = deterministic("theta", mu + tau * z)
    sample("y", dist.Normal(theta, error), obs=effect)


def growth_mixture(score, time):
    """Summed over the lines."""
    eta = sample("eta", dist.Normal(0, 2).expand([4, 2]).to_event(2))
    sigma = sample("sigma", dist.LogNormal(0, 1).expand([4]).to_event(1))
    logits = sample("logits", dist.Normal(0, 1).expand([3]).to_event(1))
    weight = deterministic("weight", jax.nn.softmax(jax.numpy.append(0.0, logits)))
    lines = dist.Normal(eta[:, :1] + eta[:, 1:] * time, sigma[:, None]).to_event(1)
    sample("y", dist.MixtureSameFamily(dist.Categorical(weight), lines), obs=score)


def expectancy_valence(choice, win, loss):
    """Non-centred."""
    mu = sample("mu", dist.Normal(0, 1).expand([3]).to_event(1))
    sigma = sample("sigma", dist.Uniform(0, 1.5).expand([3]).to_event(1))
    noise = sample("noise", dist.Normal(0, 1).expand([NUM_SUBJECTS, 3]).to_event(2))
    z = deterministic("z", mu + sigma * noise)
    sample("y", dist.Categorical(logits=preferences(ndtr(z), choice, win, loss)), obs=choice)


def logistic(x, y):
    """As it stands."""
    intercept = sample("intercept", dist.Normal(0, 2))
    slope = sample("slope", dist.Normal(0, 1).expand([25]).to_event(1))
    sample("y", dist.Bernoulli(logits=intercept + x @ slope), obs=y)


def gp(x, y):
    """With the function integrated out."""
    amplitude = sample("amplitude", dist.LogNormal(0, 1))
    lengthscale = sample("lengthscale", dist.LogNormal(0, 1))
    noise = sample("noise", dist.LogNormal(-1, 1))
    sample("y", dist.MultivariateNormal(0, covariance(x, amplitude, lengthscale, noise)), obs=y)


def draws(problem: str, num_samples: int) -> Callable[[int], Found]:
    """Make NUTS as it is by default, four chains at once."""
    mcmc = MCMC(
        NUTS(globals()[problem]),
        num_warmup=1000,
        num_samples=num_samples,
        num_chains=4,
        progress_bar=False,
    )
    table = {name: jax.numpy.asarray(values) for name, values in data(problem).items()}

    def run(seed: int) -> Found:
        mcmc.run(jax.random.key(seed), **table)
        found = mcmc.get_samples(group_by_chain=True)
        return {"draws": {name: np.asarray(found[name]) for name in KEPT[problem]}}

    return run


if __name__ == "__main__":
    answer(draws)
