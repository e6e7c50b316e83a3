"""Answers by NumPyro's NUTS, for the models of the gallery's first half that nothing exact answers.

    uv run --no-project --python 3.12 --with numpyro==0.22.0 --with jax==0.12.0.1 \
        --with jaxlib==0.12.0.1 --with numpy==2.5.5 --with scipy==1.18.1 \
        python tests/references/make_1.py MODEL

The models are written a second time and share nothing with bamopipe; as in `make_2`, that with
``centred=True`` has the latent variables of bamopipe's model.

The lines of the growth mixture can be exchanged, so its posterior has 24 modes, and NUTS stays in
one. Here it explores them one at a time, and importance sampling from Student distributions that
fit what it found gives each its weight, and the evidence.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from common_2 import read, scalars, write
from jax.scipy.special import ndtr
from make_2 import densities, summarise  # which sets up JAX for both
from numpyro.infer import MCMC, NUTS, init_to_value
from numpyro.infer.util import log_density
from scipy.special import logsumexp
from scipy.stats import multivariate_t

sample, deterministic = numpyro.sample, numpyro.deterministic
SCRIPT = "tests/references/make_1.py"


def expectancy_valence_hierarchical(centred):
    trials = {
        n: jnp.asarray(v.reshape(30, 100).T) for n, v in read("expectancy_valence/all").items()
    }
    deck = trials["choice"].astype(int) - 1
    mu = sample("mu", dist.Normal(0, 1).expand([3]).to_event())
    sigma = sample("sigma", dist.Uniform(0, 1.5).expand([3]).to_event())
    if centred:
        z = sample("z", dist.Normal(mu, sigma).expand([30, 3]).to_event())
    else:
        z = deterministic("z", mu + sigma * sample("e", dist.Normal().expand([30, 3]).to_event()))
    w = deterministic("w", ndtr(z[:, 0]))
    a = deterministic("a", ndtr(z[:, 1]))
    c = deterministic("c", 4 * ndtr(z[:, 2]) - 2)

    def card(state, trial):
        expected, number = state  # of each subject's decks; of the cards so far
        deck, win, loss = trial
        sensitivity = jnp.where(number == 0, 0.0, (jnp.maximum(number, 1.0) / 10) ** c)
        log_odds = sensitivity[:, None] * expected
        own = deck[:, None] == jnp.arange(4)
        log_prob = jnp.sum(jnp.where(own, log_odds, 0.0), 1) - jax.nn.logsumexp(log_odds, axis=1)
        worth = win - w * (win - loss)
        kept = (1 - a)[:, None] * expected + (a * worth)[:, None]
        return (jnp.where(own, kept, expected), number + 1), log_prob

    start = (jnp.zeros((30, 4)), 0.0)
    _, log_prob = jax.lax.scan(card, start, (deck, trials["win"], trials["loss"]))
    sample("y", dist.Delta(0.0, log_density=jnp.sum(log_prob)), obs=0.0)


def growth_mixture(centred):
    score = read("growth_mixture")["score"].reshape(60, 6)
    eta = sample("eta", dist.Normal(0, 2).expand([4, 2]).to_event())
    sigma = sample("sigma", dist.LogNormal(0, 1).expand([4]).to_event())
    logits = sample("logits", dist.Normal(0, 1).expand([3]).to_event())
    weight = jax.nn.softmax(jnp.concatenate([jnp.zeros(1), logits]))
    line = eta @ jnp.stack([jnp.ones(6), jnp.linspace(0, 1, 6)])
    # the log density of each student's series on each line
    residual = (score[:, None] - line) / sigma[:, None]
    log_prob = -jnp.sum(residual**2, -1) / 2 - 6 * jnp.log(sigma * jnp.sqrt(2 * jnp.pi))
    likelihood = jax.nn.logsumexp(log_prob + jnp.log(weight), axis=1)
    sample("y", dist.Delta(0.0, log_density=jnp.sum(likelihood)), obs=0.0)


def run_nuts(model, centred, num_samples, num_warmup=2000, target_accept_prob=0.9, **settings):
    """Draws of four chains, and how many diverged."""
    kernel = NUTS(model, target_accept_prob=target_accept_prob, **settings)
    mcmc = MCMC(
        kernel,
        num_warmup=num_warmup,
        num_samples=num_samples,
        num_chains=4,
        chain_method="parallel",
        progress_bar=False,
    )
    mcmc.run(jax.random.key(20), centred=centred, extra_fields=("diverging", "num_steps"))
    fields = mcmc.get_extra_fields()
    print(f"leapfrog steps {fields['num_steps'].mean():.0f}", flush=True)
    draws = {n: np.asarray(v) for n, v in mcmc.get_samples(group_by_chain=True).items()}
    return draws, int(fields["diverging"].sum())


def make_expectancy_valence_hierarchical(num_samples=12_000):
    """One long run."""
    model = expectancy_valence_hierarchical
    draws, divergences = run_nuts(model, False, num_samples)
    quantities, worst = summarise({n: draws[n] for n in ("mu", "sigma", "w", "a", "c")})
    return {
        "source": f"NumPyro {numpyro.__version__} NUTS, 4 chains x {num_samples} draws, smallest "
        f"ESS {worst['ess']:.0f}, largest R-hat {worst['r_hat']:.4f}, {divergences} divergences",
        "quantities": quantities,
        "densities": densities(model, draws),
    }


# The lines of the simulation, in ascending order of their intercepts: intercept and rise, noise,
# and number of students
LINES = np.array([[1.2, 0.1], [2.2, 0.9], [2.7, -0.9], [3.1, 0.4]])
NOISE = np.array([0.2, 0.25, 0.3, 0.15])
SHARES = np.array([0.1, 0.4, 0.2, 0.3])


def make_growth_mixture(num_draws=400_000):
    """Every line in turn is the first, whose weight the others are relative to.

    The other three can be exchanged without a change, so it is enough to let them ascend.
    """
    model = growth_mixture

    def to_position(x):  # 15 numbers without bounds
        return {"eta": x[:8].reshape(4, 2), "sigma": jnp.exp(x[8:12]), "logits": x[12:]}

    @jax.jit
    @jax.vmap
    def log_joint(x):
        joint, sites = log_density(model, (True,), {}, to_position(x))
        return joint + jnp.sum(x[8:12]), sites["y"]["fn"].log_prob(0.0)

    proposals, shares = [], []
    for first in range(4):
        order = [first, *(line for line in range(4) if line != first)]
        logits = np.log(SHARES[order][1:] / SHARES[first])
        start = {"eta": LINES[order], "sigma": NOISE[order], "logits": logits}
        draws, _ = run_nuts(model, True, 2000, 1000, init_strategy=init_to_value(values=start))
        flat = np.concatenate(
            [draws["eta"].reshape(8000, 8), np.log(draws["sigma"]).reshape(8000, 4),
             draws["logits"].reshape(8000, 3)], axis=1
        )  # fmt: skip
        proposals.append(multivariate_t(flat.mean(0), np.cov(flat.T), df=8))
        # the weight of a mode, roughly: its height and width
        height = np.mean(np.sort(np.asarray(log_joint(flat)[0]))[-100:])
        shares.append(height + np.linalg.slogdet(np.cov(flat.T))[1] / 2)
    shares = np.exp(shares - logsumexp(shares))

    rng = np.random.default_rng(20)
    numbers = rng.multinomial(num_draws, shares)
    x = np.concatenate(
        [p.rvs(size=n, random_state=rng) for p, n in zip(proposals, numbers, strict=True)]
    )
    log_proposal = logsumexp([p.logpdf(x) for p in proposals], axis=0, b=shares[:, None])
    joint, log_likelihood = map(np.asarray, log_joint(x))
    eta = x[:, :8].reshape(-1, 4, 2)
    ascending = np.all(np.diff(eta[:, 1:, 0]) > 0, axis=1)
    log_weights = np.where(ascending, joint - log_proposal, -np.inf)
    log_evidence = logsumexp(log_weights) - np.log(num_draws) + np.log(6)
    weights = np.exp(log_weights - logsumexp(log_weights))
    ess = 1 / np.sum(weights**2)
    print(f"modes {shares}, ESS {ess:.0f} of {num_draws}, kept {ascending.mean():.4f}")

    # all lines by their intercepts
    order = np.argsort(eta[:, :, 0], axis=1)
    log_weight = np.concatenate([np.zeros((len(x), 1)), x[:, 12:]], axis=1)
    log_weight -= logsumexp(log_weight, axis=1, keepdims=True)
    values = {
        "eta": np.take_along_axis(eta, order[:, :, None], axis=1),
        "sigma": np.take_along_axis(np.exp(x[:, 8:12]), order, axis=1),
        "weight": np.take_along_axis(np.exp(log_weight), order, axis=1),
        "log_likelihood": log_likelihood,
    }
    quantities = {}
    for name, value in values.items():
        mean = np.tensordot(weights, value, 1)
        squares = (value - mean) ** 2
        sd = np.sqrt(np.tensordot(weights, squares, 1))
        parts = {
            "mean": mean,
            "mean_error": np.sqrt(np.tensordot(weights**2, squares, 1)),
            "sd": sd,
            "sd_error": np.sqrt(np.tensordot(weights**2, (squares - sd**2) ** 2, 1)) / (2 * sd),
        }
        named = {part: scalars(name, moment) for part, moment in parts.items()}
        quantities |= {key: {part: named[part][key] for part in parts} for key in named["mean"]}
    return {
        "source": f"importance sampling, {num_draws} draws from Student distributions fitted to "
        f"the modes that NumPyro {numpyro.__version__} NUTS explored, ESS {ess:.0f}; lines in "
        "ascending order of their intercepts",
        "log_evidence": {"value": log_evidence, "error": np.sqrt(1 / ess - 1 / num_draws)},
        "quantities": quantities,
        "densities": densities(model, draws),
    }


MODELS = {
    "expectancy_valence_hierarchical": make_expectancy_valence_hierarchical,
    "growth_mixture": make_growth_mixture,
}

if __name__ == "__main__":
    name = sys.argv[1]
    write({"model": name, "script": SCRIPT, **MODELS[name]()})
