"""Gaussian random-walk Metropolis of all elements of a variable at once, each by itself."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from bamopipe.errors import UserError
from bamopipe.samplers.base import (
    LOG_SCALE,
    Block,
    Info,
    Parameters,
    State,
    any_nan,
    check_is_continuous,
)
from bamopipe.samplers.coordinates import coordinate_shapes, moments, spread
from bamopipe.samplers.metropolis import decide
from bamopipe.samplers.normal import Noise, Shapes
from bamopipe.target import Position, Target, element_log_factors, independent_axes, tempered


@dataclass(frozen=True)
class ElementwiseWalk:
    """A Gaussian random walk that accepts or rejects each element of a variable by itself.

    For variables whose elements are independent given all others, such as the effects of the
    schools in eight schools. The share of accepted steps does not fall with the number of elements
    then, so that the steps are as long as those of one element alone. It needs no settings.

    Attributes
    ----------
    axes
        Along which the elements are independent, from `independent_axes`.
    """

    axes: tuple[int, ...]

    @property
    def tunes(self) -> bool:
        """Whether `tune` adds anything."""
        return True

    def __str__(self) -> str:
        return "random walk that tunes itself, by element: they are independent given the rest"

    def check(self, block: Block, target: Target, parameters: Parameters) -> None:
        """Raise UserError if the variable is discrete, or its elements depend on each other."""
        check_is_continuous(target, block, "normal_random_walk")
        if not set(self.axes) <= set(independent_axes(target, block.name)):
            raise UserError(
                f"kernel of {block.name!r}: the elements of this variable are not independent in "
                f"model {target.program.model.name!r}; make the kernel from the same model"
            )

    def tune(
        self,
        parameters: Parameters,
        position: Position,
        temperature: Array | None,
        target: Target,
        variables: tuple[str, ...],
    ) -> Parameters:
        """Take the shape of each element's steps from the particles."""
        (name,) = variables
        x = jax.vmap(lambda p: self._coordinates(target, p, name), in_axes=-1, out_axes=-1)(
            position
        )
        _, shape = jax.vmap(moments)(x)
        return {**parameters, "shape": 2.38 / x.shape[1] ** 0.5 * shape}

    def adapt(self, parameters: Parameters, info: Info, gain: Array | float) -> Parameters:
        """Take longer steps if many were accepted, shorter ones if few."""
        # From the best rate for one coordinate, 0.44, to that for many.
        wanted = 0.234 + 0.206 / parameters["shape"].shape[-1]
        off_by = jnp.mean(info.acceptance_rate) - wanted
        return {**parameters, LOG_SCALE: parameters[LOG_SCALE] + gain * off_by}

    def noise_shapes(
        self, state: State, parameters: Parameters, variables: tuple[str, ...]
    ) -> Shapes:
        """Tell the shapes of the random numbers that a move takes."""
        (name,) = variables
        num_elements, num_coordinates = parameters["shape"].shape[:2]
        num_particles = state.position[name].shape[-1]
        shape = (num_elements, num_coordinates, num_particles)
        return Shapes([shape], (num_elements, num_particles))

    def __call__(
        self,
        random: Noise,
        /,
        state: State,
        temperature: Array,
        parameters: Parameters,
        target: Target,
        variables: tuple[str, ...],
    ) -> tuple[State, Info]:
        """Propose and accept or reject, each element of each particle by itself."""
        (name,) = variables
        scale = jnp.exp(parameters[LOG_SCALE])

        def propose(position, noise):
            """Return the log ratios of one particle's elements, and what they would become."""
            x = self._coordinates(target, position, name)
            _, log_det = self._values(target, x, position, name)
            step = jax.vmap(spread)(parameters["shape"], noise)
            value, new_log_det = self._values(target, x + scale * step, position, name)
            # Far out, numbers overflow; at the very edge of the support there is no way back.
            back = self._coordinates(target, {**position, name: value}, name)
            rows = [self._by_element(value), back, new_log_det[:, None]]
            finite = jnp.isfinite(jnp.concatenate(rows, axis=1))
            possible = jnp.all(finite, axis=1)
            value = self._choose(possible, value, position[name])
            known = self._factors(target, position, name)
            fresh = self._factors(target, {**position, name: value}, name)
            log_ratio = tempered(target, fresh, temperature) - tempered(target, known, temperature)
            log_ratio = log_ratio + new_log_det - log_det
            return jnp.where(possible, log_ratio, -jnp.inf), value, known, fresh

        (noise,) = random.normal
        log_ratio, value, known, fresh = jax.vmap(propose, in_axes=-1, out_axes=-1)(
            state.position, noise
        )
        accept = decide(random.uniform, log_ratio)
        value = jax.vmap(self._choose, in_axes=-1, out_axes=-1)(accept, value, state.position[name])
        factors = {n: jnp.sum(jnp.where(accept, fresh[n], known[n]), axis=0) for n in fresh}
        info = Info(jnp.mean(accept, axis=0, dtype=log_ratio.dtype), any_nan(fresh), {})
        return State({**state.position, name: value}, {**state.log_factors, **factors}), info

    def _by_element(self, array: Array) -> Array:
        """Give an array with the variable's leading axes the shape (element, rest)."""
        array = jnp.moveaxis(array, self.axes, range(len(self.axes)))
        return array.reshape(math.prod(array.shape[: len(self.axes)]), -1)

    def _choose(self, choice: Array, new: Array, old: Array) -> Array:
        """Take the elements of one array where there is a choice for it, of the other elsewhere."""
        shape = [size if axis in self.axes else 1 for axis, size in enumerate(old.shape)]
        return jnp.where(choice.reshape(shape), new, old)

    def _coordinates(self, target: Target, position: Position, name: str) -> Array:
        """Return free coordinates, shape (element, coordinate)."""
        value = position[name]
        if target.program.free_shapes[name] is not None:
            others = {n: v for n, v in position.items() if n != name}
            value = target.unconstrain({name: value}, others)[name]
        return self._by_element(value)

    def _values(
        self, target: Target, x: Array, position: Position, name: str
    ) -> tuple[Array, Array]:
        """Return the variable at these coordinates, and each element's log determinant."""
        (shape,) = coordinate_shapes(target, (name,))
        rest = [size for axis, size in enumerate(shape) if axis not in self.axes]
        free = x.reshape([*(shape[axis] for axis in self.axes), *rest])
        free = jnp.moveaxis(free, range(len(self.axes)), self.axes)
        if target.program.free_shapes[name] is None:
            return free, jnp.zeros(len(x), x.dtype)
        others = {n: v for n, v in position.items() if n != name}
        value, log_det = target.constrain_draws(name, free, others)
        return value, jnp.sum(self._by_element(log_det), axis=1)

    def _factors(self, target: Target, position: Position, name: str) -> dict[str, Array]:
        """Return the log densities by element, as vectors."""
        factors = element_log_factors(target, position, name, self.axes)
        return {n: factor.reshape(-1) for n, factor in factors.items()}
