"""Draws from the prior, with which both engines start."""

from collections.abc import Generator
from functools import cache, partial
from typing import Any

import jax
from jax import Array

from bamopipe.inference.devices import on_processors, zeros
from bamopipe.inference.keys import derived, split
from bamopipe.samplers.base import Kernel, State
from bamopipe.target import Position, Target


def draw(kernel: Kernel, num_draws: int, target: Target, key: Array) -> State:
    """Draw from the prior, and evaluate all factors; particles last."""
    return evaluate(kernel, target, positions()(target, _keys(num_draws, target, key)))


def calls(
    kernel: Kernel, num_draws: int, target: Target, key: Array
) -> Generator[partial, None, State]:
    """Give the calls of compiled programs that `draw` makes, and return zeros as what it makes."""
    drawing = partial(positions(), target, _keys(num_draws, target, key))
    yield drawing
    evaluating = partial(evaluate, kernel, target, zeros(drawing))
    yield evaluating
    return zeros(evaluating)


@cache
def positions() -> Any:
    """Return the program that draws.

    On processors it is compiled without optimisation, in half of the time, since it runs once.
    """
    options = {"xla_backend_optimization_level": 0} if on_processors() else None
    return jax.jit(_positions, compiler_options=options)


def _positions(target: Target, keys: dict[str, Array]) -> Position:
    return jax.vmap(target.sample_prior, out_axes=-1)(keys)


def _keys(num_draws: int, target: Target, key: Array) -> dict[str, Array]:
    """Return a key for each draw of each node."""
    nodes = dict.fromkeys(target.program.node_of[name] for name in target.latent)
    return {name: split(derived(key, name), num_draws) for name in nodes}


@partial(jax.jit, static_argnums=0)
def evaluate(kernel: Kernel, target: Target, position: Position) -> State:
    """Return a state: a position, particles last, and all factors there."""
    return kernel.init(target, position)
