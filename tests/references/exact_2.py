"""Answers that closed forms, sums over all cases or quadrature give, to rounding error.

    uv run --no-project --python 3.12 --with numpy==2.5.5 --with scipy==1.18.1 \
        python tests/references/exact_2.py [MODEL ...]
"""

import itertools
import sys

import numpy as np
from common_2 import exact, read, write
from scipy.special import expit, gammaln, logsumexp
from scipy.stats import bernoulli, beta, halfnorm, invgamma, lognorm, multivariate_normal, norm


def spike_and_slab():
    """Sum over all 32 subsets of covariates, each a conjugate regression."""
    table = read("variable_selection")
    y = table.pop("y")
    x = np.column_stack(list(table.values()))
    n, p = x.shape
    shape, scale, slab, inclusion = 3.0, 2.0, 2.0, 0.5

    log_weights, included, effects, coefficients, sigmas, variances = [], [], [], [], [], []
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
        coefficients.append((mean, second))
        effects.append((z * mean, z * second))
        sigmas.append((np.sqrt(b) * np.exp(gammaln(a - 0.5) - gammaln(a)), variance))
        variances.append((variance, b**2 / ((a - 1) * (a - 2))))
    log_evidence = logsumexp(log_weights)
    weights = np.exp(np.array(log_weights) - log_evidence)

    def moments(pairs):
        first, second = (weights @ np.array(part) for part in zip(*pairs, strict=True))
        return first, np.sqrt(second - first**2)

    densities = []
    for z, b, variance in (
        ([1, 1, 0, 0, 0], [1.4, -0.7, 0.3, 2.0, -1.0], 0.9),
        ([1, 1, 1, 0, 1], [1.6, -0.9, 0.2, 0.1, 0.05], 1.2),
        ([0, 1, 0, 1, 0], [0.5, 0.3, -3.0, 1.5, 0.0], 4.0),
    ):
        z, b, sigma = np.array(z), np.array(b), np.sqrt(variance)
        densities.append(
            {
                "position": {"included": z, "beta": b, "variance": variance},
                "log_prior": np.sum(bernoulli.logpmf(z, inclusion))
                + np.sum(norm.logpdf(b, 0, slab * sigma))
                + invgamma.logpdf(variance, shape, scale=scale),
                "log_likelihood": np.sum(norm.logpdf(y, x @ (z * b), sigma)),
            }
        )
    quantities = exact(
        {
            "included": moments(included),
            "effect": moments(effects),
            "beta": moments(coefficients),
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


def stochastic_volatility():
    """Sum over the log variances step by step, and over the three parameters by trapezoids.

    In units of sigma, h is mu + sigma u with u_t ~ N(phi u_(t-1), 1), so that a fixed grid in u
    serves for all parameters, and the chain is a hidden Markov model on its points.
    """
    y = read("stochastic_volatility")["y"]
    steps = len(y)
    u = np.linspace(-45.0, 45.0, 121)  # a spacing of 0.75: an error of exp(-2 pi^2 / 0.75^2)
    mus = np.linspace(-5.0, 5.0, 51)
    logits = np.linspace(-1.0, 13.0, 57)
    log_sigmas = np.linspace(-3.0, 0.75, 31)
    spacing = np.prod([axis[1] - axis[0] for axis in (mus, logits, log_sigmas)])

    def log_prior(mu, phi, sigma):
        return (
            norm.logpdf(mu, 0, 2)
            + beta.logpdf(phi, 20, 1.5)
            + lognorm.logpdf(sigma, 0.5, scale=np.exp(-1.5))
        )

    log_density, moments_u = [], []  # of each pair of phi and sigma, for all mu
    for logit in logits:
        phi = expit(logit)
        transition = norm.pdf(u - phi * u[:, None]) * (u[1] - u[0])
        for log_sigma in log_sigmas:
            sigma = np.exp(log_sigma)
            h = mus[:, None] + sigma * u  # (mu, u)
            seen = np.exp(-0.5 * (np.log(2 * np.pi) + h + y[:, None, None] ** 2 * np.exp(-h)))
            forward, scale = np.empty_like(seen), np.empty((steps, len(mus), 1))
            predicted = np.broadcast_to(norm.pdf(u) * (u[1] - u[0]), h.shape)
            for t in range(steps):
                forward[t] = predicted * seen[t]
                scale[t] = forward[t].sum(1, keepdims=True)
                forward[t] /= scale[t]
                predicted = forward[t] @ transition
            backward = np.ones_like(h)
            first, second = np.empty((2, steps, len(mus)))
            for t in reversed(range(steps)):
                smoothed = forward[t] * backward
                first[t], second[t] = smoothed @ u, smoothed @ u**2
                backward = (backward * seen[t] / scale[t]) @ transition.T
            log_density.append(
                np.log(scale).sum((0, 2))
                + log_prior(mus, phi, sigma)
                + np.log(phi * (1 - phi))
                + log_sigma
            )
            moments_u.append((first, second))
    log_density = np.array(log_density)
    log_evidence = logsumexp(log_density) + np.log(spacing)
    weights = np.exp(log_density - logsumexp(log_density))  # (phi and sigma, mu)

    mean_h, square_h = np.zeros((2, steps))
    all_sigmas = np.tile(np.exp(log_sigmas), len(logits))
    for sigma, weight, (first, second) in zip(all_sigmas, weights, moments_u, strict=True):
        mean_h += (mus + sigma * first) @ weight
        square_h += (mus**2 + 2 * mus * sigma * first + sigma**2 * second) @ weight
    cube = weights.reshape(len(logits), len(log_sigmas), len(mus))
    quantities = {"h": (mean_h, np.sqrt(square_h - mean_h**2))}
    for name, values, others in (
        ("mu", mus, (0, 1)),
        ("phi", expit(logits), (1, 2)),
        ("sigma", np.exp(log_sigmas), (0, 2)),
    ):
        marginal = cube.sum(axis=others)
        assert max(marginal[0], marginal[-1]) < 1e-6, f"the grid cuts {name}"
        mean = marginal @ values
        quantities[name] = mean, np.sqrt(marginal @ (values - mean) ** 2)

    densities = []
    for mu, phi, sigma, h in (
        (0.0, 0.9, 0.3, np.round(mean_h, 3)),
        (-1.0, 0.98, 0.15, np.linspace(-1.0, 0.5, steps)),
        (1.5, 0.6, 0.9, np.round(np.sin(np.arange(steps)), 3)),
    ):
        before = np.append(mu, h[:-1])
        densities.append(
            {
                "position": {"mu": mu, "phi": phi, "sigma": sigma, "h": h},
                "log_prior": log_prior(mu, phi, sigma)
                + np.sum(norm.logpdf(h, mu + phi * (before - mu), sigma)),
                "log_likelihood": np.sum(norm.logpdf(y, 0, np.exp(h / 2))),
            }
        )
    return {
        # as text, since no sampler here estimates the evidence of 103 dimensions well enough yet
        "source": "quadrature: 121 points for each log variance, a grid of 51 x 57 x 31 in mu, "
        f"logit phi and log sigma; the log evidence is {log_evidence:.6f}",
        "quantities": exact(quantities),
        "densities": densities,
    }


MODELS = {
    f.__name__: f for f in (spike_and_slab, gp_regression, autoregression, stochastic_volatility)
}

if __name__ == "__main__":
    for name in sys.argv[1:] or MODELS:
        script = {"model": name, "script": "tests/references/exact_2.py"}
        write({**script, **MODELS[name]()})
