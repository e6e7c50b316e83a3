"""The problems in JAX by hand, of unknowns that are standard normal a priori (see problems.py)."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp, ndtr
from jax.scipy.stats import norm
from problems import JITTER, NUM_SUBJECTS, data


class Density(NamedTuple):
    """Of `size` unknowns z: what they stand for, and the log likelihood of that."""

    size: int
    parameters: Callable
    log_likelihood: Callable

    def log_density(self, z):
        """Return the log density of z and the data."""
        return log_prior(z) + self.log_likelihood(z)


def log_prior(z):
    """Return the log density of independent standard normals."""
    return jnp.sum(norm.logpdf(z))


def density(name: str) -> Density:
    """Make a problem's density."""
    table = {key: jnp.asarray(value) for key, value in data(name).items()}
    size, parameters, log_likelihood = globals()[f"_{name}"](**table)
    return Density(size, parameters, lambda z: log_likelihood(**parameters(z)))


def _eight_schools(effect, error):
    def parameters(z):
        mu, tau = 10 * z[0], jnp.exp(5 + z[1])
        return {"mu": mu, "tau": tau, "theta": mu + tau * z[2:]}

    def log_likelihood(mu, tau, theta):
        return jnp.sum(norm.logpdf(effect, theta, error))

    return 10, parameters, log_likelihood


def _growth_mixture(score, time):
    def parameters(z):
        eta, sigma = 2 * z[:8].reshape(4, 2), jnp.exp(z[8:12])
        return {"eta": eta, "sigma": sigma, "weight": jax.nn.softmax(jnp.append(0.0, z[12:]))}

    def log_likelihood(eta, sigma, weight):
        line = eta[:, :1] + eta[:, 1:] * time
        each = jnp.sum(norm.logpdf(score[:, None], line, sigma[:, None]), axis=-1)
        return jnp.sum(logsumexp(jnp.log(weight) + each, axis=-1))

    return 15, parameters, log_likelihood


def _expectancy_valence(choice, win, loss):
    def parameters(z):
        mu, sigma = z[:3], 1.5 * ndtr(z[3:6])
        return {"mu": mu, "sigma": sigma, "z": mu + sigma * z[6:].reshape(NUM_SUBJECTS, 3)}

    def log_likelihood(mu, sigma, z):
        return jnp.sum(choices(ndtr(z), choice, win, loss))

    return 6 + 3 * NUM_SUBJECTS, parameters, log_likelihood


def choices(unit, choice, win, loss):
    """Return the log probability of each choice; see bamopipe.models.expectancy_valence."""
    logits = preferences(unit, choice, win, loss)
    log_probs = jax.nn.log_softmax(logits)
    return jnp.take_along_axis(log_probs, choice[..., None], axis=-1)


def preferences(unit, choice, win, loss):
    """Return the log odds of the decks, of shape (trial, subject, deck)."""
    w, a, c = unit[:, 0], unit[:, 1], 4 * unit[:, 2] - 2

    def learn(expected, trial):
        deck, utility = trial
        change = a[:, None] * jax.nn.one_hot(deck, 4) * (utility[:, None] - expected)
        return expected + change, expected

    utility = (1 - w) * win + w * loss
    _, expected = jax.lax.scan(learn, jnp.zeros((len(w), 4)), (choice, utility))
    cards = jnp.maximum(jnp.arange(len(choice)), 1)
    return jnp.exp(jnp.log(cards / 10)[:, None] * c)[..., None] * expected


def _logistic(x, y):
    def parameters(z):
        return {"intercept": 2 * z[0], "slope": z[1:]}

    def log_likelihood(intercept, slope):
        logits = intercept + x @ slope
        return jnp.sum(y * logits - jax.nn.softplus(logits))

    return 26, parameters, log_likelihood


def _gp(x, y):
    def parameters(z):
        return {
            "amplitude": jnp.exp(z[0]),
            "lengthscale": jnp.exp(z[1]),
            "noise": jnp.exp(z[2] - 1),
        }

    def log_likelihood(amplitude, lengthscale, noise):
        factor = jnp.linalg.cholesky(covariance(x, amplitude, lengthscale, noise))
        white = jax.scipy.linalg.solve_triangular(factor, y, lower=True)
        return jnp.sum(norm.logpdf(white)) - jnp.sum(jnp.log(jnp.diag(factor)))

    return 3, parameters, log_likelihood


def covariance(x, amplitude, lengthscale, noise):
    """Return the covariance of noisy points."""
    smooth = jnp.exp(-(((x[:, None] - x) / lengthscale) ** 2) / 2)
    eye = jnp.eye(len(x))
    return amplitude**2 * (smooth + JITTER * eye) + noise**2 * eye
