"""Draws from the prior, with which both engines start."""

from collections.abc import Generator
from functools import cache, partial
from typing import Any

import jax
from jax import Array

from bamopipe.inference.devices import on_processors, zeros
from bamopipe.samplers.base import Kernel, State
from bamopipe.target import Position, Target


def draw(kernel: Kernel, num_draws: int, target: Target, key: Array) -> State:
    """Draw from the prior, and evaluate all factors; particles last."""
    return evaluate(kernel, target, positions()(num_draws, target, key))


def calls(
    kernel: Kernel, num_draws: int, target: Target, key: Array
) -> Generator[partial, None, State]:
    """Give the calls of compiled programs that `draw` makes, and return zeros as what it makes."""
    drawing = partial(positions(), num_draws, target, key)
    yield drawing
    evaluating = partial(evaluate, kernel, target, zeros(drawing))
    yield evaluating
    return zeros(evaluating)


@cache
def positions() -> Any:
    """Return the program that draws.

    On processors it is compiled without optimisation, in half of the time: with a key for each draw
    and variable it has more to compile than all else that is done once.
    """
    options = {"xla_backend_optimization_level": 0} if on_processors() else None
    return jax.jit(_positions, static_argnums=0, compiler_options=options)


def _positions(num_draws: int, target: Target, key: Array) -> Position:
    keys = jax.random.split(key, num_draws)
    return jax.vmap(target.sample_prior, out_axes=-1)(keys)


@partial(jax.jit, static_argnums=0)
def evaluate(kernel: Kernel, target: Target, position: Position) -> State:
    """Return a state: a position, particles last, and all factors there."""
    return kernel.init(target, position)
