"""Whether a run fits in memory: told before it starts, not by the system's end of it."""

import math
from collections.abc import Mapping
from pathlib import Path

import jax
import psutil

from bamopipe.errors import UserError
from bamopipe.inference.devices import num_workers
from bamopipe.inference.follow import consequences
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
    return float(
        sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(found))
    )
