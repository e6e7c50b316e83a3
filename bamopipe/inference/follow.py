"""What follows from draws: deterministic variables, predictions, densities of observations."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np
from jax import Array

from bamopipe.target import Position, Target

DRAWS_AT_ONCE = 1000


class Consequences(NamedTuple):
    """What follows from draws, by variable; arrays of shape (chain, draw, ...).

    Attributes
    ----------
    deterministics
        Values of the deterministic variables.
    predictions
        New values of the observed variables.
    log_likelihood
        Log density of each observation.
    """

    deterministics: dict[str, np.ndarray]
    predictions: dict[str, np.ndarray]
    log_likelihood: dict[str, np.ndarray]


def follow(target: Target, key: Array, draws: Mapping[str, np.ndarray]) -> Consequences:
    """Compute what follows from each draw.

    Parameters
    ----------
    target
        The compiled model.
    key
        For the predictions.
    draws
        Latent variable -> array of shape (chain, draw, ...).
    """
    draws = {name: draws[name] for name in target.latent}
    num_chains = len(next(iter(draws.values())))
    chains = [
        jax.device_get(
            _follow_chain(
                target, jax.random.fold_in(key, chain), {n: d[chain] for n, d in draws.items()}
            )
        )
        for chain in range(num_chains)
    ]
    return Consequences(
        *(
            {name: np.stack([chain[name] for chain in part]) for name in part[0]}
            for part in zip(*chains, strict=True)
        )
    )


@jax.jit
def _follow_chain(target: Target, key: Array, positions: Position) -> Consequences:
    keys = jax.random.split(key, next(iter(positions.values())).shape[0])

    def one(item):
        key, position = item
        return Consequences(
            target.deterministics(position),
            target.predict(key, position),
            target.pointwise_log_likelihood(position),
        )

    # In batches, so that what is computed on the way does not fill the memory.
    return jax.lax.map(one, (keys, positions), batch_size=DRAWS_AT_ONCE)
