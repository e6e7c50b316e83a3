"""The error of one run's evidence, from how much the Markov chains within it differ."""

import numpy as np
from numpy.typing import NDArray


class Clusters:
    """Which particles come from one Markov chain of waste-free sequential Monte Carlo.

    With long chains the estimates of different stages are independent, and so are the chains of a
    stage. The relative variance of the evidence is then the sum over stages of that of the mean
    weight, which follows from how much the mean weights of ``M`` chains differ: with the chain's
    share ``S_m`` of the total weight it is ``M / (M - 1) sum_m (S_m - 1 / M)^2`` (Dau and Chopin
    2022, JRSS B 84, 114-148, section 4). Before the first stage every particle is its own chain.

    Examples
    --------
    >>> import numpy as np
    >>> from bamopipe.evidence.clusters import Clusters
    >>> clusters = Clusters(4)
    >>> clusters.descend(weights=np.array([0.5, 0.5, 0.0, 0.0]), clusters=np.array([0, 1, 0, 1]))
    >>> clusters.descend(weights=np.full(4, 0.25), clusters=np.array([0, 1, 0, 1]))
    >>> round(clusters.relative_variance, 4)
    0.3333
    """

    def __init__(self, num_particles: int):
        self.families = np.arange(num_particles)
        self.relative_variance = 0.0

    def descend(self, weights: NDArray, clusters: NDArray) -> None:
        """Take in one stage.

        Parameters
        ----------
        weights
            Of the particles before they were resampled, with the sum 1.
        clusters
            The number of the Markov chain that each new particle comes from.
        """
        shares = np.bincount(self.families, weights)
        size = len(shares)
        self.relative_variance += float(np.sum((shares - 1 / size) ** 2)) * size / (size - 1)
        self.families = clusters
