"""Particles of all temperatures so far, weighted for the next one."""

import jax
import numpy as np
from numpy.typing import NDArray

from bamopipe.samplers.base import State

BISECTIONS = 60
# Of all particles, as a target of their effective sample size.
MOST = 0.9


class Pool:
    """All particles of a chain since the prior, which estimate together what comes next.

    The particles of temperatures ``t_0 = 0, ..., t_{s-1}``, of which the evidences ``Z`` are known,
    are draws from the mixture of these tempered posteriors. At temperature ``t`` particle ``i``
    with log likelihood ``l_i`` has the weight ``exp(t l_i) / mean_s(exp(t_s l_i) / Z_s)``, and the
    mean of the weights is the evidence (Karamanis and Seljak 2024, arXiv:2407.20722, equations 12
    to 16). Nothing that was computed is thrown away; the price is the memory.

    Examples
    --------
    >>> import numpy as np
    >>> from bamopipe.inference.persistent import Pool
    >>> from bamopipe.samplers.base import State
    >>> pool, draws = Pool(), State({"mu": np.zeros((1, 2))}, {"mu": np.zeros((1, 2))})
    >>> pool.add(draws, np.array([-1.0, -2.0]), temperature=0.0, log_evidence=0.0)
    >>> temperature, log_evidence, ess, weights = pool.reweigh(0.0, limit=1.0, target_ess=0.0)
    >>> float(temperature), bool(np.isclose(log_evidence, np.log(np.exp([-1, -2]).mean())))
    (1.0, True)
    """

    def __init__(self) -> None:
        self.states: list[State] = []
        self.log_likelihoods: list[NDArray] = []
        self.temperatures: list[float] = []
        self.log_evidences: list[float] = []

    def add(
        self, state: State, log_likelihood: NDArray, temperature: float, log_evidence: float
    ) -> None:
        """Take in the particles of one temperature.

        Parameters
        ----------
        state
            In blocks, leaves of shape (block, ..., particle).
        log_likelihood
            Of each particle, shape (particle,).
        temperature
            To which they were moved.
        log_evidence
            Of this temperature.
        """
        self.states.append(state)
        self.log_likelihoods.append(log_likelihood)
        self.temperatures.append(temperature)
        self.log_evidences.append(log_evidence)

    def reweigh(
        self, temperature: float, limit: float, target_ess: float
    ) -> tuple[float, float, float, NDArray]:
        """Raise the temperature as far as the weights of all particles allow.

        Parameters
        ----------
        temperature
            The current one.
        limit
            The highest that may be reached.
        target_ess
            Effective sample size to keep, as a multiple of the particles of one temperature. What
            exceeds 1 is out of reach until there are enough particles. 0 goes to the limit in any
            case.

        Returns
        -------
        tuple
            The next temperature, its log evidence, the effective sample size, and the weights of
            all particles with the sum 1, in the order in which they came.
        """
        values = np.concatenate(self.log_likelihoods)
        possible = values > -np.inf
        wanted_ess = min(target_ess * len(self.log_likelihoods[0]), MOST * possible.sum())
        mixture = np.full(values.shape, -np.inf)
        for past, log_evidence in zip(self.temperatures, self.log_evidences, strict=True):
            at_past = np.where(possible, past * np.where(possible, values, 0.0), -np.inf)
            at_past = at_past if past > 0 else np.zeros_like(values)
            mixture = np.logaddexp(mixture, at_past - log_evidence)
        mixture -= np.log(len(self.temperatures))

        def log_weights(t):
            return np.where(possible, t * np.where(possible, values, 0.0) - mixture, -np.inf)

        def ess(t):
            w = log_weights(t)
            w = np.exp(w - w.max())
            return w.sum() ** 2 / (w * w).sum()

        low, high = temperature, limit
        if ess(limit) >= wanted_ess:
            low = limit
        else:
            for _ in range(BISECTIONS):
                middle = (low + high) / 2
                low, high = (middle, high) if ess(middle) >= wanted_ess else (low, middle)
        w = log_weights(low)
        largest = w.max()
        weights = np.exp(w - largest)
        return low, float(largest + np.log(weights.mean())), ess(low), weights / weights.sum()

    def take(self, indices: NDArray) -> State:
        """Copy particles, in blocks as they came in.

        Parameters
        ----------
        indices
            Which of all particles, for each of a new temperature. Copies beyond the last one repeat
            the first ones, to fill their block.
        """
        num_blocks, block_size = next(iter(self.states[0].log_factors.values())).shape
        filled = np.resize(indices, num_blocks * block_size)
        generation, index = np.divmod(filled, len(self.log_likelihoods[0]))
        chosen = generation, *np.divmod(index, block_size)

        def take(*leaves):
            rows = np.moveaxis(np.stack(leaves), -1, 2)[chosen]
            rows = rows.reshape(num_blocks, block_size, *rows.shape[1:])
            return np.moveaxis(rows, 1, -1)

        return jax.tree.map(take, *self.states)
