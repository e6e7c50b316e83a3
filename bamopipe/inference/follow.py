"""What follows from draws: deterministic variables, predictions, densities of observations."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

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

    deterministics: dict[str, Any]
    predictions: dict[str, Any]
    log_likelihood: dict[str, Any]


def follow(target: Target, key: Array, draws: Mapping[str, np.ndarray]) -> Consequences:
    """Compute what follows from each draw, within the precision of the target.

    Parameters
    ----------
    target
        The compiled model.
    key
        For the predictions.
    draws
        Latent variable -> array of shape (chain, draw, ...).
    """
    return over_draws(consequences, target, key, draws)


def over_draws(function: Callable, targets: Any, key: Array, draws: Mapping[str, np.ndarray]):
    """Map ``function(targets, key, position)`` over draws; results have shape (chain, draw, ...).

    `targets` is one target or several, in any tree.
    """
    chains = [
        jax.device_get(
            _over_chain(
                function,
                targets,
                jax.random.fold_in(key, chain),
                {name: values[chain] for name, values in draws.items()},
            )
        )
        for chain in range(len(next(iter(draws.values()))))
    ]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *chains)


def consequences(target: Target, key: Array, position: Position) -> Consequences:
    """Compute what follows from one draw."""
    return Consequences(
        target.deterministics(position),
        target.predict(key, position),
        target.pointwise_log_likelihood(position),
    )


@partial(jax.jit, static_argnums=0)
def _over_chain(function: Callable, targets: Any, key: Array, positions: Position):
    keys = jax.random.split(key, next(iter(positions.values())).shape[0])
    # In batches, so that what is computed on the way does not fill the memory.
    return jax.lax.map(
        lambda item: function(targets, *item), (keys, positions), batch_size=DRAWS_AT_ONCE
    )
