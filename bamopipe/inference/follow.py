"""What follows from draws: deterministic variables, predictions, densities of observations."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from bamopipe.inference.keys import derived
from bamopipe.inference.shelf import Shelf
from bamopipe.target import Position, Target

# What is computed on the way does not fill the memory, nor do the results.
DRAWS_AT_ONCE = 100


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


def follow(
    target: Target, key: Array, draws: Mapping[str, np.ndarray], folder: Path | None = None
) -> Consequences:
    """Compute what follows from each draw, within the precision of the target.

    Parameters
    ----------
    target
        The compiled model.
    key
        For the predictions.
    draws
        Latent variable -> array of shape (chain, draw, ...).
    folder
        Where the results go if they are larger than the memory; see `Shelf`.
    """
    return over_draws(consequences, target, key, draws, folder)


def over_draws(
    function: Callable,
    targets: Any,
    key: Array,
    draws: Mapping[str, np.ndarray],
    folder: Path | None = None,
) -> Any:
    """Map ``function(targets, key, position)`` over draws; results have shape (chain, draw, ...).

    `targets` is one target or several, in any tree.
    """
    num_chains, num_draws = next(iter(draws.values())).shape[:2]
    shelf = Shelf(num_draws, folder)
    for begin in range(0, num_draws, DRAWS_AT_ONCE):
        size = min(DRAWS_AT_ONCE, num_draws - begin)
        # The last draws are filled up, so that one program serves any number of them.
        chosen = np.minimum(np.arange(begin, begin + DRAWS_AT_ONCE), num_draws - 1)
        parts = [
            jax.device_get(
                _some(
                    function,
                    targets,
                    derived(key, "chain", chain),
                    chosen,
                    {name: values[chain, chosen] for name, values in draws.items()},
                )
            )
            for chain in range(num_chains)
        ]
        shelf.put(begin, jax.tree.map(lambda *leaves, n=size: np.stack(leaves)[:, :n], *parts))
    return shelf.read()


def consequences(target: Target, key: Array, position: Position) -> Consequences:
    """Compute what follows from one draw."""
    return Consequences(
        target.deterministics(position),
        target.predict(key, position),
        target.pointwise_log_likelihood(position),
    )


@partial(jax.jit, static_argnums=0)
def _some(function: Callable, targets: Any, key: Array, numbers: Array, positions: Position):
    """Map over the draws of these numbers, each with a key of its own."""
    keys = jax.vmap(lambda number: jax.random.fold_in(key, number))(numbers)
    return jax.vmap(lambda *item: function(targets, *item))(keys, positions)
