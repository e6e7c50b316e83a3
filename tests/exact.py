"""Exact answers, by quadrature or in closed form."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

EFFECTS = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])
ERRORS = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])


@dataclass(frozen=True)
class Moments:
    """Posterior means and standard deviations by variable, and the log evidence."""

    log_evidence: float
    mean: dict[str, np.ndarray]
    sd: dict[str, np.ndarray]


def eight_schools(
    temperature: float = 1.0, effects=EFFECTS, errors=ERRORS, log_tau_prior=(5.0, 1.0)
) -> Moments:
    """Integrate the eight-schools model with the likelihood raised to a power.

    mu ~ N(0, 10), log tau ~ N(*log_tau_prior), theta_j ~ N(mu, tau), y_j ~ N(theta_j, s_j). Given
    tau all is Gaussian; what is left is one dimension, log tau, done on a fine grid. A Gaussian
    likelihood to a power T is a Gaussian with variance s^2 / T times a constant.
    """
    log_tau = np.linspace(-8, 12, 40_001)
    tau = np.exp(log_tau)[:, None]
    s = errors / np.sqrt(temperature)
    constant = np.sum(
        temperature * norm.logpdf(0.0, 0.0, errors) - norm.logpdf(0.0, 0.0, s), dtype=float
    )
    # Given tau: y_j ~ N(mu, tau^2 + s_j^2), mu ~ N(0, 10).
    precision = 1 / (tau**2 + s**2)
    mu_variance = 1 / (1 / 100 + precision.sum(1))
    mu_mean = mu_variance * (precision * effects).sum(1)
    # log p(y | tau) = log N(y; mu*) + log N(mu*; prior) - log N(mu*; posterior), at mu* = mu_mean
    log_likelihood = (
        norm.logpdf(effects, mu_mean[:, None], np.sqrt(tau**2 + s**2)).sum(1)
        + norm.logpdf(mu_mean, 0, 10)
        - norm.logpdf(mu_mean, mu_mean, np.sqrt(mu_variance))
    )
    log_weight = log_likelihood + norm.logpdf(log_tau, *log_tau_prior)
    step = log_tau[1] - log_tau[0]
    largest = log_weight.max()
    weight = np.exp(log_weight - largest)
    log_evidence = largest + np.log(weight.sum() * step) + constant
    weight /= weight.sum()

    def mixture(mean, variance):
        total = weight @ mean
        return total, np.sqrt(weight @ (variance + mean**2) - total**2)

    # theta_j | mu, tau, y is Gaussian with a share `pull` of the data.
    pull = tau**2 / (tau**2 + s**2)
    theta_mean = pull * effects + (1 - pull) * mu_mean[:, None]
    theta_variance = pull * s**2 + (1 - pull) ** 2 * mu_variance[:, None]
    theta = mixture(theta_mean, theta_variance)
    mu = mixture(mu_mean, mu_variance)
    tau_moments = mixture(tau[:, 0], np.zeros(len(tau)))
    pooled = theta[0].mean()
    pooled_sd = np.sqrt(np.mean(theta[1] ** 2 + theta[0] ** 2) - pooled**2)
    mean = {"mu": mu[0], "tau": tau_moments[0], "theta": theta[0], "pooled": pooled}
    sd = {"mu": mu[1], "tau": tau_moments[1], "theta": theta[1], "pooled": pooled_sd}
    return Moments(float(log_evidence), mean, sd)


def gaussian_mean(
    y: np.ndarray, prior_sd: float, sd: float, temperature: float = 1.0
) -> tuple[float, float, float]:
    """Log evidence, posterior mean and sd of mu ~ N(0, prior_sd), y_i ~ N(mu, sd)."""
    precision = 1 / prior_sd**2 + temperature * len(y) / sd**2
    mean = temperature * y.sum() / sd**2 / precision
    log_evidence = (
        temperature * norm.logpdf(y, mean, sd).sum()
        + norm.logpdf(mean, 0, prior_sd)
        - norm.logpdf(mean, mean, precision**-0.5)
    )
    return float(log_evidence), float(mean), float(precision**-0.5)
