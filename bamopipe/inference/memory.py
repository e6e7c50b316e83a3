"""Whether a run fits in memory: told before it starts, not by the system's end of it."""

import contextlib
import math
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import psutil
from jax import Array
from jax.extend.core import jaxprs_in_params

from bamopipe.errors import UserError
from bamopipe.inference.devices import num_workers, on_processors
from bamopipe.inference.follow import consequences
from bamopipe.samplers.base import Kernel
from bamopipe.target import Position, Target, precision_context

# Arrays of the size of all log densities that are alive at once when particles are moved.
COPIES_IN_MOVES = 4
# Particles as they were, resampled, and moved.
COPIES_OF_PARTICLES = 3
# Results, and their copies in the tree that is written.
COPIES_OF_RESULTS = 2

LIMITS = Path("/sys/fs/cgroup")


def check_fits(parts: Mapping[str, float], advice: str) -> None:
    """Raise UserError if these numbers of bytes, by what they are for, are more than are free.

    Parameters
    ----------
    parts
        What is needed.
    advice
        What to do about it.

    Examples
    --------
    >>> from bamopipe.inference.memory import check_fits
    >>> check_fits({"particles": 8e6}, "use fewer particles")
    """
    needed, free = sum(parts.values()), available()
    if needed > free:
        listed = ", ".join(f"{size / 1e9:.1f} GB for {what}" for what, size in parts.items())
        raise UserError(
            f"this run needs about {needed / 1e9:.1f} GB of memory ({listed}), but "
            f"{free / 1e9:.1f} GB are free; {advice}"
        )


@contextlib.contextmanager
def exhaustion_told(advice: str) -> Iterator[None]:
    """Raise UserError in place of JAX's error if the memory of a device does not suffice."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        found = re.search("RESOURCE_EXHAUSTED.*", str(error))
        if found is None:
            raise
        platform = jax.local_devices()[0].platform
        raise UserError(
            f"the memory of this {platform} device does not suffice; {advice} ({found[0]})"
        ) from None


def available() -> float:
    """Return how many bytes this process can have: of the machine, and of its share of it."""
    free = float(psutil.virtual_memory().available)
    try:  # a container's or a job's own limit, in Linux's second version of control groups
        most = (LIMITS / "memory.max").read_text().strip()
        used = int((LIMITS / "memory.current").read_text())
    except (OSError, ValueError):
        return free
    return free if most == "max" else min(free, float(int(most) - used))


def of_particles(target: Target, count: int) -> float:
    """Return the bytes of particles while they are reweighted and moved."""
    return count * COPIES_OF_PARTICLES * _bytes(_factors, target)


def of_moves(target: Target, block_size: int) -> float:
    """Return the bytes that log densities take while every core moves a block of particles."""
    return num_workers() * block_size * COPIES_IN_MOVES * _bytes(_pointwise, target)


def of_largest_array(kernel: Kernel, target: Target) -> float:
    """Return the bytes that each particle adds to the largest array of a kernel's step.

    That decides how much a GPU does at once. On processors it decides nothing and is 0.
    """
    if on_processors():
        return 0.0

    # So many that arrays that do not grow with them do not matter.
    many = 10**6
    with precision_context(target.program.precision):
        prior = {
            name: jax.ShapeDtypeStruct((*jnp.shape(x), many), jnp.result_type(x))
            for name, x in target.example.items()
        }
        traced = _step.trace(kernel, jax.random.key(0), prior, kernel.parameters, target)
    return max(_size(var.aval) for var in _variables(traced.jaxpr.jaxpr)) / many


@partial(jax.jit, static_argnums=0)
def _step(kernel: Kernel, key: Array, prior: Position, parameters, target: Target):
    tuned = kernel.tune(parameters, prior, target)
    return kernel.step(key, kernel.init(target, prior), jnp.ones(()), tuned, target)


def _variables(jaxpr: Any) -> Iterator[Any]:
    """Go through what a program computes, loops and calls included."""
    for equation in jaxpr.eqns:
        yield from equation.outvars
        for inner in jaxprs_in_params(equation.params):
            yield from _variables(inner)


def of_results(target: Target, count: int) -> float:
    """Return the bytes of draws and all that follows from them, predictions included."""
    each = _bytes(_factors, target) + _bytes(_consequences, target, jax.random.key(0))
    return count * COPIES_OF_RESULTS * each


@jax.jit  # so that a second run traces nothing
def _factors(target: Target, position: Position):
    return position, target.log_factors(position)


@jax.jit
def _pointwise(target: Target, position: Position):
    names = (*target.latent, *target.observed)
    values = target.values(position, names)
    return position, {name: target.pointwise(name, values) for name in names}


_consequences = jax.jit(consequences)


def _bytes(function, target: Target, *arguments) -> float:
    """Return the size of a function's results for one position."""
    with precision_context(target.program.precision):
        found = jax.eval_shape(function, target, *arguments, target.example)
    return sum(map(_size, jax.tree.leaves(found)), start=0.0)


def _size(array: Any) -> float:
    return float(math.prod(array.shape) * array.dtype.itemsize)
