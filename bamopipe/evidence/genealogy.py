"""The error of one run's evidence, from how its particles descend from each other."""

import numpy as np
from numpy.typing import NDArray


class Genealogy:
    """Who descends from which particle of the first stage; what the evidence's error comes from.

    The estimate of an evidence by sequential Monte Carlo is precise where the final weight is
    spread over the descendants of many first particles, and imprecise where few of them have it
    all. With the total weight ``S_k`` of the descendants of particle ``k``, the relative variance
    of the evidence is about ``sum_k (S_k - 1 / N)^2`` (Chan and Lai 2013, Annals of Statistics 41,
    2877-2904, equation 2.16; Lee and Whiteley 2018, Biometrika 105, 609-625).

    Only one run is needed. It says nothing of parts of the posterior that no particle has seen.

    Examples
    --------
    >>> import numpy as np
    >>> from bamopipe.evidence.genealogy import Genealogy
    >>> family = Genealogy(4)
    >>> family.descend(weights=np.array([0.5, 0.5, 0.0, 0.0]), ancestors=np.array([0, 0, 1, 1]))
    >>> family.relative_variance
    0.25
    """

    def __init__(self, num_particles: int):
        self._size = num_particles
        self.families = np.arange(num_particles)
        self.relative_variance = 0.0

    def descend(self, weights: NDArray, ancestors: NDArray, keep: bool = False) -> None:
        """Take in one stage.

        Parameters
        ----------
        weights
            Of the particles before they were resampled, with the sum 1.
        ancestors
            The index of each new particle's ancestor.
        keep
            Whether the particles from before stay among those that have weights and descendants.
        """
        shares = np.bincount(self.families, weights, minlength=self._size)
        self.relative_variance = float(np.sum((shares - 1 / self._size) ** 2))
        descendants = self.families[ancestors]
        self.families = np.concatenate([self.families, descendants]) if keep else descendants
