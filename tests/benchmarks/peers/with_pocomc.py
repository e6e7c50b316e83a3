"""The problems done by pocoMC, in an environment of its own; see work.py."""

from collections.abc import Callable

import jax
import numpy as np
import pocomc
from densities import density
from scipy.stats import norm
from work import Found, answer

jax.config.update("jax_enable_x64", True)


def evidence(problem: str, **settings) -> Callable[[int], Found]:
    """Make preconditioned Monte Carlo as it is by default, of a compiled likelihood."""
    size, _, log_likelihood = density(problem)
    vectorised = jax.jit(jax.vmap(log_likelihood))

    def likelihood(z):
        # Of a power of two, or each number of points would be compiled by itself.
        padded = np.zeros((1 << (len(z) - 1).bit_length(), size))
        padded[: len(z)] = z
        return np.asarray(vectorised(padded))[: len(z)]

    def run(seed: int) -> Found:
        prior = pocomc.Prior(size * [norm(0, 1)])
        sampler = pocomc.Sampler(
            prior, likelihood, vectorize=True, random_state=seed, pytorch_threads=2, **settings
        )
        sampler.run(progress=False)
        return {"log_evidence": [float(sampler.evidence()[0])]}

    return run


if __name__ == "__main__":
    answer(evidence)
