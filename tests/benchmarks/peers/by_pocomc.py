"""pocoMC: preconditioned Monte Carlo with its defaults and vectorised densities in NumPy."""

from functools import partial

import numpy as np
import pocomc
import problems
from protocol import main
from scipy import stats


def eight_schools():
    """Return the non-centred form, which has independent priors."""
    data = problems.eight_schools()
    priors = [stats.norm(0, 10), stats.norm(5, 1), *[stats.norm(0, 1)] * 8]

    def log_likelihood(x):
        theta = x[:, :1] + np.exp(x[:, 1:2]) * x[:, 2:]
        return stats.norm.logpdf(data["y"], theta, data["sd"]).sum(1)

    return priors, log_likelihood


def logistic_regression():
    data = problems.logistic_regression()
    priors = [stats.norm(0, 2), *[stats.norm(0, 1)] * 25]

    def log_likelihood(x):
        logits = x[:, :1] + x[:, 1:] @ data["x"].T
        return (data["y"] * logits - np.logaddexp(0, logits)).sum(1)

    return priors, log_likelihood


def evidence(make, seed: int) -> dict:
    priors, log_likelihood = make()
    sampler = pocomc.Sampler(
        prior=pocomc.Prior(priors), likelihood=log_likelihood, vectorize=True, random_state=seed
    )
    sampler.run(progress=False)
    return {"log_evidences": [float(sampler.evidence()[0])]}


main(
    {
        "eight_schools/evidence": partial(evidence, eight_schools),
        "logistic_regression/evidence": partial(evidence, logistic_regression),
    }
)
