"""Answers by long runs of NumPyro's NUTS, for the gallery's models that nothing exact answers.

    uv run --no-project --python 3.12 --with numpyro==0.22.0 --with jax==0.12.0.1 \
        --with jaxlib==0.12.0.1 --with numpy==2.5.5 --with scipy==1.18.1 \
        python tests/references/make_2.py MODEL

A model here is written a second time, in NumPyro, and shares nothing with bamopipe. With
``centred=True`` its sites are the latent variables of bamopipe's model; that form gives the
densities. Sampling uses ``centred=False``, the same model in standard normal variables where that
mixes better.
"""

import os
import sys

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # for small matrices threads cost more than they give

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from common_2 import read, scalars, write
from jax.nn import sigmoid
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin
from numpyro.handlers import seed, substitute, trace
from numpyro.infer import MCMC, NUTS, Predictive

numpyro.enable_x64()

sample, deterministic = numpyro.sample, numpyro.deterministic


def ln_cass(centred):
    table = read("variable_selection")
    y = table.pop("y")
    x = jnp.column_stack(list(table.values()))
    v = sample("v", dist.Normal(0, 10).expand([5]).to_event())
    z = sample("z", dist.Normal(0, 1).expand([5]).to_event())
    tau = sample("tau", dist.HalfNormal(2))
    sigma = sample("sigma", dist.HalfNormal(2))
    inclusion = deterministic("inclusion", sigmoid(v))
    beta = deterministic("beta", tau * inclusion * z)
    sample("y", dist.Normal(x @ beta, sigma), obs=y)


def matern(x, amplitude, lengthscale):
    r = jnp.sqrt(3.0) * jnp.abs(x[:, None] - x) / lengthscale
    return amplitude**2 * ((1 + r) * jnp.exp(-r) + JITTER * jnp.eye(len(x)))


def squared_exponential(x, amplitude, lengthscale):
    d = (x[:, None] - x) / lengthscale
    return amplitude**2 * (jnp.exp(-(d**2) / 2) + JITTER * jnp.eye(len(x)))


# bamopipe adds this much white noise to a Gaussian process, in units of its mean prior variance
JITTER = 2.0**-26


def gaussian(name, mean, scale_tril, centred):
    """Draw a normal vector, or make it of standard normal variables."""
    if centred:
        mean = jnp.broadcast_to(mean, scale_tril.shape[:1])
        return sample(name, dist.MultivariateNormal(mean, scale_tril=scale_tril))
    z = sample(f"{name}_z", dist.Normal(0, 1).expand(scale_tril.shape[:1]).to_event())
    return deterministic(name, mean + scale_tril @ z)


def gp_heteroskedastic(centred):
    x, y = map(jnp.asarray, read("gp_heteroskedastic").values())
    amplitude = sample("amplitude", dist.LogNormal(0, 0.5))
    lengthscale = sample("lengthscale", dist.LogNormal(-1.5, 0.5))
    level = sample("noise_level", dist.Normal(-1, 1))
    noise_amplitude = sample("noise_amplitude", dist.LogNormal(0, 0.5))
    noise_lengthscale = sample("noise_lengthscale", dist.LogNormal(-0.5, 0.5))
    factor = jnp.linalg.cholesky(matern(x, noise_amplitude, noise_lengthscale))
    log_noise = gaussian("log_noise", level, factor, centred)
    noise = deterministic("noise", jnp.exp(log_noise))
    covariance = squared_exponential(x, amplitude, lengthscale) + jnp.diag(noise**2)
    sample("y", dist.MultivariateNormal(0.0, covariance), obs=y)


def gp_classification(centred):
    x, y = map(jnp.asarray, read("gp_classification").values())
    amplitude = sample("amplitude", dist.LogNormal(0.5, 0.5))
    lengthscale = sample("lengthscale", dist.LogNormal(-1.5, 0.5))
    factor = jnp.linalg.cholesky(matern(x, amplitude, lengthscale))
    f = gaussian("f", 0.0, factor, centred)
    deterministic("probability", sigmoid(f))
    sample("y", dist.Bernoulli(logits=f), obs=y)


class OrderStatistics(dist.Distribution):
    """Three sorted draws from a normal distribution."""

    support = dist.constraints.ordered_vector

    def __init__(self, loc, scale):
        self.base = dist.Normal(loc, scale)
        super().__init__(event_shape=(3,))

    def log_prob(self, value):
        return jnp.log(6.0) + jnp.sum(self.base.log_prob(value))

    def sample(self, key, sample_shape=()):
        return jnp.sort(self.base.sample(key, (*sample_shape, 3)))


def hidden_markov(centred):
    y = read("hidden_markov")["y"]
    transition = sample("transition", dist.Dirichlet(jnp.ones((3, 3))).to_event(1))
    mean = sample("mean", OrderStatistics(0.0, 3.0))
    sigma = sample("sigma", dist.HalfNormal(2))
    emission = dist.Normal(mean, sigma).log_prob(y[:, None])  # (time, state)

    def forward(log_alpha, row):
        log_alpha = jax.nn.logsumexp(log_alpha[:, None] + jnp.log(transition), axis=0) + row
        return log_alpha, None

    log_alpha, _ = jax.lax.scan(forward, emission[0] - jnp.log(3.0), emission[1:])
    sample("y", dist.Delta(0.0, log_density=jax.nn.logsumexp(log_alpha)), obs=0.0)


def bayesian_neural_network(centred):
    x1, x2, y = map(jnp.asarray, read("bayesian_neural_network").values())
    shapes = {"w1": (2, 5), "b1": (5,), "w2": (5, 5), "b2": (5,), "w3": (5,), "b3": ()}
    w = {
        name: sample(name, dist.Normal(0, 1).expand(shape).to_event(len(shape)))
        for name, shape in shapes.items()
    }
    h1 = jnp.tanh(jnp.column_stack([x1, x2]) @ w["w1"] + w["b1"])
    h2 = jnp.tanh(h1 @ w["w2"] + w["b2"])
    logit = h2 @ w["w3"] + w["b3"]
    deterministic("probability", sigmoid(logit))
    likelihood = dist.Bernoulli(logits=logit)
    deterministic("log_likelihood", jnp.sum(likelihood.log_prob(y)))
    sample("y", likelihood, obs=y)


def lotka_volterra(centred):
    year, hare, lynx = map(jnp.asarray, read("lotka_volterra").values())
    rate = dist.TruncatedNormal(1, 0.5, low=0, high=10)
    effect = dist.TruncatedNormal(0.05, 0.05, low=0, high=1)
    alpha, beta = sample("alpha", rate), sample("beta", effect)
    gamma, delta = sample("gamma", rate), sample("delta", effect)
    sigma = sample("sigma", dist.LogNormal(-1, 1).expand([2]).to_event())
    initial = sample("initial", dist.LogNormal(2.302585, 1).expand([2]).to_event())

    def slope(logs):
        hare, lynx = jnp.exp(logs)
        return jnp.stack([alpha - beta * lynx, delta * hare - gamma])

    # Runge and Kutta's classical method; the densities take a finer step than the sampling
    substeps = 400 if centred else 20
    size = 1.0 / substeps

    def substep(_, logs):
        k1 = slope(logs)
        k2 = slope(logs + size / 2 * k1)
        k3 = slope(logs + size / 2 * k2)
        k4 = slope(logs + size * k3)
        return logs + size / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

    def one_year(logs, _):
        logs = jax.lax.fori_loop(0, substeps, substep, logs)
        return logs, logs

    start = jnp.log(initial)
    _, later = jax.lax.scan(one_year, start, None, length=len(year) - 1)
    logs = jnp.concatenate([start[None], later])
    deterministic("population", jnp.exp(logs))
    sample("y", dist.LogNormal(logs, sigma).to_event(), obs=jnp.column_stack([hare, lynx]))


# Model -> variables of which moments are kept, draws of each chain, and options of NUTS.
RUNS = {
    ln_cass: (
        ["inclusion", "beta", "tau", "sigma", "v"],
        60_000,
        {"target_accept_prob": 0.95},
    ),
    gp_heteroskedastic: (
        [
            "amplitude",
            "lengthscale",
            "noise_level",
            "noise_amplitude",
            "noise_lengthscale",
            "log_noise",
        ],
        4000,
        {},
    ),
    gp_classification: (["amplitude", "lengthscale", "f", "probability"], 10_000, {}),
    hidden_markov: (["transition", "mean", "sigma"], 6000, {}),
    bayesian_neural_network: (["probability", "log_likelihood"], 10_000, {}),
    lotka_volterra: (
        ["alpha", "beta", "gamma", "delta", "sigma", "initial", "population"],
        6000,
        {"dense_mass": True},
    ),
}
RTOL = {lotka_volterra: 1e-5}  # what bamopipe's solver is told to reach
NUM_CHAINS, NUM_WARMUP = 4, 1000


def densities(model, draws):
    """Evaluate log prior and log likelihood, without Jacobians, at two draws and from the prior."""
    prior = Predictive(model, num_samples=1)(jax.random.key(1), centred=True)
    sites = trace(seed(model, 0)).get_trace(centred=True)
    latent = [n for n, s in sites.items() if s["type"] == "sample" and not s["is_observed"]]
    positions = [{n: draws[n][i, -1] for n in latent} for i in (0, 1)]
    positions.append({n: prior[n][0] for n in latent})
    records = []
    for position in positions:
        fixed = substitute(seed(model, 0), data=position)
        sites = trace(fixed).get_trace(centred=True)
        log_prob = {
            n: jnp.sum(s["fn"].log_prob(s["value"]))
            for n, s in sites.items()
            if s["type"] == "sample"
        }
        records.append(
            {
                "position": position,
                "log_prior": sum(log_prob[n] for n in latent),
                "log_likelihood": log_prob["y"],
            }
        )
    return records


def summarise(draws):
    """Mean and sd of each scalar with their Monte Carlo errors, and the worst ESS and R-hat."""
    quantities, worst = {}, {"ess": np.inf, "r_hat": 0.0}
    for name, values in draws.items():  # (chain, draw, *shape)
        mean, sd = values.mean((0, 1)), values.std((0, 1), ddof=1)
        squares = (values - mean) ** 2
        ess, ess_squares = effective_sample_size(values), effective_sample_size(squares)
        parts = {
            "mean": mean,
            "mean_error": sd / np.sqrt(ess),
            "sd": sd,
            "sd_error": squares.std((0, 1)) / np.sqrt(ess_squares) / (2 * sd),
        }
        named = {part: scalars(name, value) for part, value in parts.items()}
        quantities |= {key: {part: named[part][key] for part in parts} for key in named["mean"]}
        worst["ess"] = min(worst["ess"], np.min(ess), np.min(ess_squares))
        worst["r_hat"] = max(worst["r_hat"], np.max(split_gelman_rubin(values)))
    return quantities, worst


def main(model):
    """Run a model and write its answer."""
    names, num_samples, options = RUNS[model]
    mcmc = MCMC(
        NUTS(model, **options),
        num_warmup=NUM_WARMUP,
        num_samples=num_samples,
        num_chains=NUM_CHAINS,
        chain_method="parallel",
        progress_bar=False,
    )
    mcmc.run(jax.random.key(20), centred=False, extra_fields=("diverging", "num_steps"))
    draws = {n: np.asarray(v) for n, v in mcmc.get_samples(group_by_chain=True).items()}
    quantities, worst = summarise({n: draws[n] for n in names})
    divergences = int(mcmc.get_extra_fields()["diverging"].sum())
    steps = float(mcmc.get_extra_fields()["num_steps"].mean())
    print(model.__name__, worst, f"divergences {divergences}, leapfrog steps {steps:.0f}")
    record = {
        "model": model.__name__,
        "source": f"NumPyro {numpyro.__version__} NUTS, {NUM_CHAINS} chains x "
        f"{num_samples} draws, smallest ESS {worst['ess']:.0f}, largest R-hat "
        f"{worst['r_hat']:.4f}, {divergences} divergences",
        "script": "tests/references/make_2.py",
        "quantities": quantities,
        "densities": densities(model, draws),
    }
    if model in RTOL:
        record["rtol"] = RTOL[model]
    write(record)


if __name__ == "__main__":
    main(next(model for model in RUNS if model.__name__ == sys.argv[1]))
