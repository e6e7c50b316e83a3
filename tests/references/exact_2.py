"""Answers that closed forms, sums over all cases or quadrature give, to rounding error.

    uv run --no-project --python 3.12 --with numpy==2.5.5 --with scipy==1.18.1 \
        python tests/references/exact_2.py [MODEL ...]
"""

import itertools
import sys

import numpy as np
from common_2 import exact, read, write
from scipy.special import gammaln, logsumexp
from scipy.stats import bernoulli, halfnorm, invgamma, lognorm, multivariate_normal, norm


def spike_and_slab():
    """Sum over all 32 subsets of covariates, each a conjugate regression."""
    table = read("variable_selection")
    y = table.pop("y")
    x = np.column_stack(list(table.values()))
    n, p = x.shape
    shape, scale, slab, inclusion = 3.0, 2.0, 2.0, 0.5

    log_weights, included, effects, betas, sigmas, variances = [], [], [], [], [], []
    for subset in itertools.product([0, 1], repeat=p):
        z = np.array(subset)
        # beta given sigma^2 is N(mean, sigma^2 / precision); what is left out keeps its prior
        design = x * z
        precision = design.T @ design + np.eye(p) / slab**2
        covariance = np.linalg.inv(precision)
        mean = covariance @ design.T @ y
        a = shape + n / 2
        b = scale + (y @ y - mean @ precision @ mean) / 2
        log_weights.append(
            np.sum(bernoulli.logpmf(z, inclusion))
            - n / 2 * np.log(2 * np.pi)
            - p * np.log(slab)
            - np.linalg.slogdet(precision)[1] / 2
            + shape * np.log(scale)
            - a * np.log(b)
            + gammaln(a)
            - gammaln(shape)
        )
        variance = b / (a - 1)
        second = mean**2 + variance * np.diag(covariance)
        included.append((z, z))
        betas.append((mean, second))
        effects.append((z * mean, z * second))
        sigmas.append((np.sqrt(b) * np.exp(gammaln(a - 0.5) - gammaln(a)), variance))
        variances.append((variance, b**2 / ((a - 1) * (a - 2))))
    log_evidence = logsumexp(log_weights)
    weights = np.exp(np.array(log_weights) - log_evidence)

    def moments(pairs):
        first, second = (weights @ np.array(part) for part in zip(*pairs, strict=True))
        return first, np.sqrt(second - first**2)

    densities = []
    for z, beta, variance in (
        ([1, 1, 0, 0, 0], [1.4, -0.7, 0.3, 2.0, -1.0], 0.9),
        ([1, 1, 1, 0, 1], [1.6, -0.9, 0.2, 0.1, 0.05], 1.2),
        ([0, 1, 0, 1, 0], [0.5, 0.3, -3.0, 1.5, 0.0], 4.0),
    ):
        z, beta, sigma = np.array(z), np.array(beta), np.sqrt(variance)
        densities.append(
            {
                "position": {"included": z, "beta": beta, "variance": variance},
                "log_prior": np.sum(bernoulli.logpmf(z, inclusion))
                + np.sum(norm.logpdf(beta, 0, slab * sigma))
                + invgamma.logpdf(variance, shape, scale=scale),
                "log_likelihood": np.sum(norm.logpdf(y, x @ (z * beta), sigma)),
            }
        )
    quantities = exact(
        {
            "included": moments(included),
            "effect": moments(effects),
            "beta": moments(betas),
            "sigma": moments(sigmas),
            "variance": moments(variances),
        }
    )
    return {
        "source": "closed form: a sum over all 32 subsets, each a conjugate regression",
        "log_evidence": {"value": log_evidence, "error": 0.0},
        # of an indicator that is nearly always the same no sampler can estimate its own error
        "quantities": {
            key: q
            for key, q in quantities.items()
            if not key.startswith("included") or 0.01 < q["mean"] < 0.99
        },
        "densities": densities,
    }


def gp_regression():
    """Trapezoids in the logarithms of the three hyperparameters."""
    table = read("gp_regression")
    x, y = table["x"], table["y"]
    jitter = 2.0**-26  # bamopipe adds this much white noise, in units of the mean prior variance

    def log_prior(amplitude, lengthscale, noise):
        return (
            lognorm.logpdf(amplitude, 1.0)
            + lognorm.logpdf(lengthscale, 1.0)
            + lognorm.logpdf(noise, 1.0, scale=np.exp(-1.0))
        )

    def correlation(lengthscale):
        return np.exp(-0.5 * ((x[:, None] - x) / lengthscale) ** 2) + jitter * np.eye(len(x))

    axes = {
        "amplitude": np.linspace(np.log(0.05), np.log(200.0), 241),
        "lengthscale": np.linspace(np.log(0.05), np.log(10.0), 321),
        "noise": np.linspace(np.log(0.1), np.log(1.0), 161),
    }
    steps = [axis[1] - axis[0] for axis in axes.values()]
    amplitude, noise = (np.exp(axes[name])[:, None] for name in ("amplitude", "noise"))
    log_density = np.empty([len(axis) for axis in axes.values()])
    for j, lengthscale in enumerate(np.exp(axes["lengthscale"])):
        values, vectors = np.linalg.eigh(correlation(lengthscale))
        variances = amplitude[:, None] ** 2 * values + noise**2  # (amplitude, noise, n)
        log_density[:, j] = (
            -0.5 * np.sum((vectors.T @ y) ** 2 / variances + np.log(2 * np.pi * variances), -1)
            + log_prior(amplitude, lengthscale, noise.T)
            + np.log(amplitude * lengthscale * noise.T)
        )
    log_evidence = logsumexp(log_density) + np.sum(np.log(steps))
    weights = np.exp(log_density - logsumexp(log_density))

    moments = {}
    for i, (name, axis) in enumerate(axes.items()):
        marginal = weights.sum(axis=tuple({0, 1, 2} - {i}))
        assert max(marginal[0], marginal[-1]) < 1e-9, f"the grid cuts {name}: {marginal[[0, -1]]}"
        mean = marginal @ np.exp(axis)
        moments[name] = mean, np.sqrt(marginal @ (np.exp(axis) - mean) ** 2)
    densities = [
        {
            "position": {"amplitude": a, "lengthscale": ell, "noise": s},
            "log_prior": log_prior(a, ell, s),
            "log_likelihood": multivariate_normal.logpdf(
                y, cov=a**2 * correlation(ell) + s**2 * np.eye(len(x))
            ),
        }
        for a, ell, s in ((1.0, 1.0, 0.3), (0.6, 0.5, 0.35), (2.5, 2.0, 0.8))
    ]
    return {
        "source": "quadrature: trapezoids on a grid of 241 x 321 x 161 in the logarithms",
        "log_evidence": {"value": log_evidence, "error": 0.0},
        "quantities": exact(moments),
        "densities": densities,
    }


def autoregression():
    """Integrate over the noise what is, given the noise, a conjugate regression on the past."""
    series = read("autoregression")["y"]
    order = 3
    y = series[order:]
    lags = [series[order - lag : -lag] for lag in range(1, order + 1)]
    x = np.column_stack([*lags, np.ones(len(y))])
    prior_sd = np.array([*[0.5] * order, 5.0])  # of the coefficients and the intercept

    log_sigma = np.linspace(np.log(0.2), np.log(5.0), 4001)
    log_weights, means, seconds = [], [], []
    for sigma in np.exp(log_sigma):
        covariance = np.linalg.inv(x.T @ x / sigma**2 + np.diag(prior_sd**-2.0))
        mean = covariance @ x.T @ y / sigma**2
        log_weights.append(
            np.sum(norm.logpdf(y, 0, sigma))
            + mean @ np.linalg.solve(covariance, mean) / 2
            + np.linalg.slogdet(covariance)[1] / 2
            - np.sum(np.log(prior_sd))
            + halfnorm.logpdf(sigma, scale=2.0)
            + np.log(sigma)
        )
        means.append(mean)
        seconds.append(mean**2 + np.diag(covariance))
    log_weights = np.array(log_weights)
    weights = np.exp(log_weights - logsumexp(log_weights))
    assert max(weights[0], weights[-1]) < 1e-15
    mean = weights @ np.array(means)
    sd = np.sqrt(weights @ np.array(seconds) - mean**2)
    sigma_mean = weights @ np.exp(log_sigma)
    sigma_sd = np.sqrt(weights @ (np.exp(log_sigma) - sigma_mean) ** 2)

    densities = [
        {
            "position": {"coefficients": phi, "intercept": c, "sigma": sigma},
            "log_prior": np.sum(norm.logpdf(phi, 0, 0.5))
            + norm.logpdf(c, 0, 5)
            + halfnorm.logpdf(sigma, scale=2.0),
            "log_likelihood": np.sum(norm.logpdf(y, x @ np.array([*phi, c]), sigma)),
        }
        for phi, c, sigma in (
            ([0.6, 0.2, -0.4], 1.2, 0.8),
            ([0.5, 0.1, -0.2], 1.0, 1.1),
            ([1.2, -0.7, 0.3], -2.0, 2.5),
        )
    ]
    return {
        "source": "quadrature over sigma, at each of which the posterior is normal",
        "log_evidence": {
            "value": logsumexp(log_weights) + np.log(log_sigma[1] - log_sigma[0]),
            "error": 0.0,
        },
        "quantities": exact(
            {
                "coefficients": (mean[:order], sd[:order]),
                "intercept": (mean[order], sd[order]),
                "sigma": (sigma_mean, sigma_sd),
            }
        ),
        "densities": densities,
    }


MODELS = {f.__name__: f for f in (spike_and_slab, gp_regression, autoregression)}

if __name__ == "__main__":
    for name in sys.argv[1:] or MODELS:
        script = {"model": name, "script": "tests/references/exact_2.py"}
        write({**script, **MODELS[name]()})
