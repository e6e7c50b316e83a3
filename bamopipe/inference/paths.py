"""Ways from the prior to the posterior: what the temperature, from 0 to 1, is the temperature of.

Along each, the log density is linear in the temperature between the ends of its segments.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bamopipe.errors import UserError
from bamopipe.samplers.base import Kernel, State
from bamopipe.target import Target, sum_of


class Path(Protocol):
    """A way from the prior to the posterior; frozen and hashable."""

    def check(self, target: Target) -> None:
        """Raise UserError if the model has no such path."""
        ...

    def segment(self, temperature: np.floating) -> tuple[int, np.floating]:
        """Return the number of the segment that goes on at a temperature, and where it ends."""
        ...

    def slope(self, target: Target, state: State, segment: Array) -> Array:
        """Return by how much the log density grows with the temperature, (block, particle)."""
        ...

    def at(self, target: Target, temperature: Array) -> tuple[Target, Array]:
        """Return the target at a temperature, and the temperature that it has for kernels."""
        ...

    def enter(self, kernel: Kernel, target: Target, state: State) -> State:
        """Return the state of a block of particles at the target that `at` gives."""
        ...


@dataclass(frozen=True)
class LikelihoodTempering:
    """The whole likelihood, to the power of the temperature."""

    def check(self, target: Target) -> None:
        """Accept any model."""

    def segment(self, temperature: np.floating) -> tuple[int, np.floating]:
        """Return the only one."""
        return 0, temperature.dtype.type(1)

    def slope(self, target: Target, state: State, segment: Array) -> Array:
        """Return the log likelihood."""
        shape = next(iter(state.log_factors.values())).shape
        return jnp.broadcast_to(sum_of(state.log_factors, target.observed), shape)

    def at(self, target: Target, temperature: Array) -> tuple[Target, Array]:
        """Return both as they are."""
        return target, temperature

    def enter(self, kernel: Kernel, target: Target, state: State) -> State:
        """Return it as it is."""
        return state


@dataclass(frozen=True)
class DataTempering:
    """One part of the observations after the other, each to a power that rises from 0 to 1.

    At temperature ``k / num_parts`` the target is the posterior given the first ``k`` parts of all
    observed variables, cut along their first dimension (Chopin 2002, Biometrika 89, 539-552). The
    evidence so far is then that of these observations, and its steps are predictive densities.

    Attributes
    ----------
    num_parts
        In how many parts the observations come.
    """

    num_parts: int

    def check(self, target: Target) -> None:
        """Raise UserError unless some observed variable has that many independent observations."""
        lengths = {name: (shape or (1,))[0] for name, shape in _shapes(target).items()}
        if max(lengths.values(), default=0) < self.num_parts:
            found = ", ".join(f"{length:,} of {name!r}" for name, length in lengths.items())
            raise UserError(
                f"data_blocks is {self.num_parts}, but the observations have fewer parts whose log "
                f"densities are known by themselves ({found or 'there are none'}); take fewer "
                "blocks, or 1 for tempering of the whole likelihood"
            )

    def segment(self, temperature: np.floating) -> tuple[int, np.floating]:
        """Return the part that is coming in, and the temperature at which it is in whole."""
        ends = np.linspace(0, 1, self.num_parts + 1, dtype=temperature.dtype)[1:]
        part = int(np.searchsorted(ends, temperature, side="right"))
        return part, ends[part]

    def slope(self, target: Target, state: State, segment: Array) -> Array:
        """Return the log likelihood of the part that is coming in, times the number of parts."""
        weighted = self._weighted(target, lambda parts: (parts == segment).astype(float))
        return self.num_parts * jax.lax.map(
            lambda position: jax.vmap(weighted.log_likelihood, in_axes=-1)(position),
            state.position,
        )

    def at(self, target: Target, temperature: Array) -> tuple[Target, Array]:
        """Return the target of the observations so far, for kernels of temperature 1."""
        so_far = self._weighted(
            target, lambda parts: jnp.clip(temperature * self.num_parts - parts, 0.0, 1.0)
        )
        return so_far, jnp.ones_like(temperature)

    def enter(self, kernel: Kernel, target: Target, state: State) -> State:
        """Return the state with the factors of the observations so far."""
        return kernel.init(target, state.position)

    def _weighted(self, target: Target, weight) -> Target:
        weights = {}
        for name, shape in _shapes(target).items():
            length = (shape or (1,))[0]
            parts = jnp.arange(length) * self.num_parts // max(length, self.num_parts)
            weights[name] = jnp.broadcast_to(
                jnp.reshape(weight(parts), (length, *[1] * (len(shape) - 1))), shape or (1,)
            ).reshape(shape)
        return replace(target, weights=weights)


def _shapes(target: Target) -> dict[str, tuple[int, ...]]:
    """Return the shape of each observed variable's log densities."""

    def pointwise(target, position):
        values = target.values(position, target.observed)
        return {name: target.pointwise(name, values) for name in target.observed}

    found = jax.eval_shape(pointwise, target, target.example)
    return {name: array.shape for name, array in found.items()}
