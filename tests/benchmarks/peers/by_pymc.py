"""PyMC: NUTS with a hierarchy in its non-centred form, and `sample_smc`, at their defaults."""

from functools import cache, partial

import numpy as np
import problems
import pymc as pm
from protocol import main


@cache
def eight_schools() -> pm.Model:
    data = problems.eight_schools()
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 10)
        tau = pm.LogNormal("tau", 5, 1)
        noise = pm.Normal("noise", 0, 1, shape=8)
        theta = pm.Deterministic("theta", mu + tau * noise)
        pm.Normal("y", theta, data["sd"], observed=data["y"])
    return model


@cache
def logistic_regression() -> pm.Model:
    data = problems.logistic_regression()
    with pm.Model() as model:
        intercept = pm.Normal("intercept", 0, 2)
        slope = pm.Normal("slope", 0, 1, shape=25)
        logits = intercept + pm.math.dot(data["x"], slope)
        pm.Bernoulli("y", logit_p=logits, observed=data["y"])
    return model


@cache
def gp_regression() -> pm.Model:
    data = problems.gp_regression()
    with pm.Model() as model:
        amplitude = pm.LogNormal("amplitude", 0, 1)
        lengthscale = pm.LogNormal("lengthscale", 0, 1)
        noise = pm.LogNormal("noise", -1, 1)
        process = pm.gp.Marginal(cov_func=amplitude**2 * pm.gp.cov.ExpQuad(1, lengthscale))
        process.marginal_likelihood("y", data["x"][:, None], data["y"], noise)
    return model


def nuts(make_model, names, seed: int) -> dict:
    with make_model():
        found = pm.sample(draws=1000, tune=1000, chains=4, random_seed=seed, progressbar=False)
    return {"draws": {name: found.posterior[name].values for name in names}}


def smc(make_model, seed: int) -> dict:
    with make_model():
        found = pm.sample_smc(chains=4, random_seed=seed, progressbar=False)
    # One number a temperature and chain; the last one of each chain counts.
    rows = np.atleast_1d(found.sample_stats["log_marginal_likelihood"].values)
    last = [float(np.asarray(row, float)[np.isfinite(np.asarray(row, float))][-1]) for row in rows]
    return {"log_evidences": last}


if __name__ == "__main__":  # its chains are processes, which import this file
    main(
        {
            "eight_schools/draws": partial(nuts, eight_schools, ("mu", "tau", "theta")),
            "eight_schools/evidence": partial(smc, eight_schools),
            "logistic_regression/draws": partial(nuts, logistic_regression, ("intercept", "slope")),
            "logistic_regression/evidence": partial(smc, logistic_regression),
            "gp_regression/draws": partial(
                nuts, gp_regression, ("amplitude", "lengthscale", "noise")
            ),
            "gp_regression/evidence": partial(smc, gp_regression),
        }
    )
