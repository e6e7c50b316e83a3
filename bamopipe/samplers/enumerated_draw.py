"""Draws from full conditionals of discrete variables, by trying every value."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bamopipe.errors import UserError
from bamopipe.samplers.base import (
    Block,
    Info,
    Keyed,
    Parameters,
    State,
    Untuned,
    any_nan,
    dtype_of,
    log_factors,
)
from bamopipe.target import (
    Target,
    element_log_factors,
    independent_axes,
    possible_values,
    tempered,
)


@dataclass(frozen=True)
class EnumeratedDraw(Keyed, Untuned):
    """Draw the elements of a discrete variable anew, each given all else.

    The density is evaluated at every value that an element can take. Elements that are independent
    given all other variables are drawn at once, others one after the other.

    Attributes
    ----------
    values
        The values, as nested tuples.
    axes
        Along which the elements are independent, from `independent_axes`.

    References
    ----------
    Geman and Geman (1984), IEEE PAMI 6, 721-741.
    """

    values: tuple[Any, ...]
    axes: tuple[int, ...]

    def __str__(self) -> str:
        text = f"draw from its full conditional, over {len(self.values)} values"
        return f"{text}, by element: they are independent given the rest" if self.axes else text

    def check(self, block: Block, target: Target, parameters: Parameters) -> None:
        """Raise UserError if the variable has other values, or its elements are dependent."""
        values = possible_values(target, block.name)
        independent = independent_axes(target, block.name)
        if values is None or nested(values) != self.values or not {*self.axes} <= {*independent}:
            raise UserError(
                f"kernel of {block.name!r}: this variable has other values, or depends on others, "
                f"in model {target.program.model.name!r}; make the kernel from the same model"
            )

    def __call__(
        self,
        key: Array,
        state: State,
        temperature: Array,
        parameters: Parameters,
        target: Target,
        variables: tuple[str, ...],
    ) -> tuple[State, Info]:
        """Draw all elements of each particle."""
        (name,) = variables
        old = state.position[name]
        values = jnp.asarray(self.values, old.dtype)
        rows = self._rows(old)
        names = target.touching(variables)

        def log_density(value, row, rows):
            """Return the log density of each element of a row, if it had a value."""
            tried = self._whole(rows.at[:, row].set(value[..., None]), old.shape)
            factors = jax.vmap(
                lambda p: element_log_factors(target, p, name, self.axes), in_axes=-1, out_axes=-1
            )({**state.position, name: tried})
            total = tempered(target, factors, temperature).reshape(len(rows), -1)
            return jnp.where(jnp.isnan(total), -jnp.inf, total), any_nan(factors)

        def draw(row, carry):
            rows, is_nan = carry
            logits, is_nan_here = jax.lax.map(lambda v: log_density(v, row, rows), values)
            noise = jax.random.gumbel(jax.random.fold_in(key, row), logits.shape, logits.dtype)
            drawn = jnp.moveaxis(values[jnp.argmax(logits + noise, axis=0)], 1, -1)
            possible = jnp.any(logits > -jnp.inf, axis=0)
            possible = possible.reshape(len(rows), *[1] * (values.ndim - 1), -1)
            rows = rows.at[:, row].set(jnp.where(possible, drawn, rows[:, row]))
            return rows, {n: flag | jnp.any(is_nan_here[n], 0) for n, flag in is_nan.items()}

        nothing = {n: jnp.zeros(old.shape[-1], bool) for n in names}
        rows, is_nan = jax.lax.fori_loop(0, rows.shape[1], draw, (rows, nothing))
        position = {**state.position, name: self._whole(rows, old.shape)}
        fresh = log_factors(target, position, names)
        rate = jnp.ones(old.shape[-1], dtype_of(fresh))
        return State(position, {**state.log_factors, **fresh}), Info(rate, is_nan, {})

    def _leading(self, shape: tuple[int, ...]) -> tuple[list[int], list[int]]:
        """Return the sizes of the axes of independent elements, and of the others."""
        sizes = shape[: len(shape) - 1 - (np.ndim(self.values) - 1)]
        rest = [size for axis, size in enumerate(sizes) if axis not in self.axes]
        return [sizes[axis] for axis in self.axes], rest

    def _rows(self, array: Array) -> Array:
        """Return shape (independent element, row, ..., particle)."""
        first, rest = self._leading(array.shape)
        array = jnp.moveaxis(array, self.axes, range(len(self.axes)))
        return array.reshape(math.prod(first), math.prod(rest), *array.shape[len(first + rest) :])

    def _whole(self, rows: Array, shape: tuple[int, ...]) -> Array:
        """Undo `_rows`."""
        first, rest = self._leading(shape)
        rows = rows.reshape(*first, *rest, *rows.shape[2:])
        return jnp.moveaxis(rows, range(len(first)), self.axes)


def nested(values: np.ndarray) -> tuple:
    """Return an array as nested tuples, which can be compared and hashed."""
    return tuple(nested(value) if np.ndim(value) else value.item() for value in values)
