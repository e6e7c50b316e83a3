"""NumPyro: NUTS, four chains side by side, and a hierarchy written in its non-centred form."""

import jax
import numpyro
import numpyro.distributions as dist
import problems
from numpyro.infer import MCMC, NUTS
from numpyro.infer.reparam import LocScaleReparam
from protocol import main

numpyro.set_host_device_count(4)
numpyro.enable_x64()


@numpyro.handlers.reparam(config={"theta": LocScaleReparam(0)})
def eight_schools(y, sd):
    mu = numpyro.sample("mu", dist.Normal(0, 10))
    tau = numpyro.sample("tau", dist.LogNormal(5, 1))
    with numpyro.plate("school", 8):
        theta = numpyro.sample("theta", dist.Normal(mu, tau))
        numpyro.sample("y", dist.Normal(theta, sd), obs=y)


def logistic_regression(x, y):
    intercept = numpyro.sample("intercept", dist.Normal(0, 2))
    slope = numpyro.sample("slope", dist.Normal(0, 1).expand([25]).to_event(1))
    numpyro.sample("y", dist.Bernoulli(logits=intercept + x @ slope), obs=y)


def gp_regression(x, y):
    amplitude = numpyro.sample("amplitude", dist.LogNormal(0, 1))
    lengthscale = numpyro.sample("lengthscale", dist.LogNormal(0, 1))
    noise = numpyro.sample("noise", dist.LogNormal(-1, 1))
    square = ((x[:, None] - x) / lengthscale) ** 2
    covariance = amplitude**2 * jax.numpy.exp(-square / 2) + noise**2 * jax.numpy.eye(len(x))
    numpyro.sample("y", dist.MultivariateNormal(0, covariance), obs=y)


def nuts(model, data, names):
    # One object for all runs, since it keeps what it has compiled.
    sampler = MCMC(NUTS(model), num_warmup=1000, num_samples=1000, num_chains=4, progress_bar=False)

    def job(seed: int) -> dict:
        sampler.run(jax.random.key(seed), **data)
        draws = jax.device_get(sampler.get_samples(group_by_chain=True))
        return {"draws": {name: draws[name] for name in names}}

    return job


main(
    {
        "eight_schools/draws": nuts(
            eight_schools, problems.eight_schools(), ("mu", "tau", "theta")
        ),
        "logistic_regression/draws": nuts(
            logistic_regression, problems.logistic_regression(), ("intercept", "slope")
        ),
        "gp_regression/draws": nuts(
            gp_regression, problems.gp_regression(), ("amplitude", "lengthscale", "noise")
        ),
    }
)
