"""The data of the problems, for all peers alike. Needs NumPy only."""

from pathlib import Path

import numpy as np

DATA = Path(__file__).parents[3] / "data"


def eight_schools() -> dict[str, np.ndarray]:
    """Return effects and their standard errors (Rubin 1981).

    ``y ~ Normal(theta, sd)``, ``theta ~ Normal(mu, tau)``, ``mu ~ Normal(0, 10)``,
    ``log tau ~ Normal(5, 1)``.
    """
    table = np.genfromtxt(DATA / "eight_schools.csv", delimiter=",", names=True, dtype=None)
    return {"y": table["y"].astype(float), "sd": table["sd"].astype(float)}


def logistic_regression() -> dict[str, np.ndarray]:
    """Return 1,000 answers and 25 covariates, made up.

    ``logit P(y = 1) = intercept + x . slope``, ``intercept ~ Normal(0, 2)``,
    ``slope ~ Normal(0, 1)``.
    """
    random = np.random.Generator(np.random.PCG64(2026))
    x = random.standard_normal((1000, 25))
    logits = -0.5 + x @ (0.5 * random.standard_normal(25))
    return {"x": x, "y": (random.random(1000) < 1 / (1 + np.exp(-logits))).astype(int)}


def gp_regression() -> dict[str, np.ndarray]:
    """Return 200 points of a smooth function with noise, made up.

    ``y ~ Normal(0, K)``, ``K = amplitude^2 exp(-(x - x')^2 / (2 lengthscale^2)) + noise^2 I``,
    ``log amplitude, log lengthscale ~ Normal(0, 1)``, ``log noise ~ Normal(-1, 1)``.
    """
    random = np.random.Generator(np.random.PCG64(2026))
    x = np.sort(random.uniform(0, 10, 200))
    y = np.sin(x) + 0.5 * np.cos(2.3 * x) + 0.3 * random.standard_normal(200)
    return {"x": x, "y": y}
