"""The problems done by PyMC, in an environment of its own; see work.py."""

import logging
import os
import warnings
from collections.abc import Callable

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from problems import JITTER, KEPT, NUM_SUBJECTS, data
from work import Found, answer

logging.getLogger("pymc").setLevel(logging.ERROR)
warnings.simplefilter("ignore")
CORES = len(os.sched_getaffinity(0))


def eight_schools(effect, error):
    """Non-centred."""
    mu = pm.Normal("mu", 0, 10)
    tau = pm.LogNormal("tau", 5, 1)
    theta = pm.Deterministic("theta", mu + tau * pm.Normal("noise", 0, 1, shape=8))
    pm.Normal("y", theta, error, observed=effect)


def growth_mixture(score, time):
    """Summed over the lines."""
    eta = pm.Normal("eta", 0, 2, shape=(4, 2))
    sigma = pm.LogNormal("sigma", 0, 1, shape=4)
    logits = pm.Normal("logits", 0, 1, shape=3)
    weight = pm.Deterministic("weight", pm.math.softmax(pt.concatenate([[0.0], logits])))
    line = eta[:, :1] + eta[:, 1:] * time
    each = pm.logp(pm.Normal.dist(line, sigma[:, None]), score[:, None]).sum(axis=-1)
    pm.Potential("y", pt.logsumexp(pt.log(weight) + each, axis=-1).sum())


def expectancy_valence(choice, win, loss):
    """Non-centred."""
    mu = pm.Normal("mu", 0, 1, shape=3)
    sigma = pm.Uniform("sigma", 0, 1.5, shape=3)
    z = pm.Deterministic("z", mu + sigma * pm.Normal("noise", 0, 1, shape=(NUM_SUBJECTS, 3)))
    unit = (1 + pt.erf(z / np.sqrt(2))) / 2
    w, a, c = unit[:, 0], unit[:, 1], 4 * unit[:, 2] - 2
    utility = (1 - w) * win + w * loss
    chosen = np.eye(4)[choice]

    def learn(chosen, utility, expected, a):
        return expected + a[:, None] * chosen * (utility[:, None] - expected)

    expected = pytensor.scan(
        learn,
        sequences=[pt.as_tensor(chosen[:-1]), utility[:-1]],
        outputs_info=[pt.zeros((NUM_SUBJECTS, 4))],
        non_sequences=[a],
        return_updates=False,
    )
    expected = pt.concatenate([pt.zeros((1, NUM_SUBJECTS, 4)), expected])
    cards = np.maximum(np.arange(len(choice)), 1)
    logits = pt.exp(np.log(cards / 10)[:, None] * c)[..., None] * expected
    pm.Categorical("y", logit_p=logits, observed=choice)


def logistic(x, y):
    """As it stands."""
    intercept = pm.Normal("intercept", 0, 2)
    slope = pm.Normal("slope", 0, 1, shape=25)
    pm.Bernoulli("y", logit_p=intercept + x @ slope, observed=y)


def gp(x, y):
    """With the function integrated out."""
    amplitude = pm.LogNormal("amplitude", 0, 1)
    lengthscale = pm.LogNormal("lengthscale", 0, 1)
    noise = pm.LogNormal("noise", -1, 1)
    covariance = amplitude**2 * pm.gp.cov.ExpQuad(1, lengthscale)
    process = pm.gp.Marginal(cov_func=covariance)
    sd = pt.sqrt(noise**2 + amplitude**2 * JITTER)
    process.marginal_likelihood("y", X=x[:, None], y=y, sigma=sd, jitter=0.0)


def evidence(problem: str, **settings) -> Callable[[int], Found]:
    """Make `pymc.sample_smc` as it is by default."""
    model = _model(problem)

    def run(seed: int) -> Found:
        with model:
            tree = pm.sample_smc(
                chains=4, cores=CORES, random_seed=seed, progressbar=False, **settings
            )
        values = tree["sample_stats"]["log_marginal_likelihood"].values
        return {"log_evidence": [_last(chain) for chain in values]}

    return run


def draws(problem: str, num_samples: int) -> Callable[[int], Found]:
    """Make `pymc.sample` as it is by default, four chains."""
    model = _model(problem)

    def run(seed: int) -> Found:
        with model:
            tree = pm.sample(
                draws=num_samples, chains=4, cores=CORES, random_seed=seed, progressbar=False
            )
        return {"draws": {name: tree["posterior"][name].values for name in KEPT[problem]}}

    return run


def _model(problem: str) -> pm.Model:
    with pm.Model() as model:
        globals()[problem](**data(problem))
    return model


def _last(chain) -> float:
    """Return the estimate of a chain, of which each stage has one."""
    flat = np.concatenate([np.atleast_1d(part).astype(float) for part in np.atleast_1d(chain)])
    return float(flat[np.isfinite(flat)][-1])


if __name__ == "__main__":
    answer(evidence, draws)
