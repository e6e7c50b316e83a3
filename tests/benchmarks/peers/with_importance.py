"""References for evidences, by importance sampling around the mode; see work.py.

For posteriors with one mode that are nearly normal, in the coordinates of densities.py.
"""

from collections.abc import Callable

import jax
import numpy as np
from densities import density
from scipy.optimize import minimize
from scipy.stats import multivariate_t
from work import Found, answer

jax.config.update("jax_enable_x64", True)
DEGREES, WIDER, NUM_DRAWS, AT_ONCE = 10, 1.3, 10_000, 1000


def evidence(problem: str) -> Callable[[int], Found]:
    """Make draws from a Student distribution with the mode and curvature of the posterior."""
    made = density(problem)
    together = jax.jit(jax.vmap(made.log_density))
    slope = jax.jit(jax.grad(made.log_density))

    def run(seed: int) -> Found:
        found = minimize(
            lambda z: -float(together(z[None])[0]), np.zeros(made.size), jac=lambda z: -slope(z)
        )
        covariance = np.linalg.inv(-jax.hessian(made.log_density)(found.x))
        proposal = multivariate_t(found.x, WIDER * covariance, DEGREES, seed=seed)
        draws = proposal.rvs(NUM_DRAWS)
        values = [together(part) for part in draws.reshape(-1, AT_ONCE, made.size)]
        log_weights = np.concatenate(values) - proposal.logpdf(draws)
        weights = np.exp(log_weights - log_weights.max())
        return {
            "log_evidence": log_weights.max() + np.log(weights.mean()),
            "error": weights.std() / weights.mean() / NUM_DRAWS**0.5,
        }

    return run


if __name__ == "__main__":
    answer(evidence)
