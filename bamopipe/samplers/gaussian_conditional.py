"""Draws from a full conditional that is Gaussian."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import solve_triangular

from bamopipe.errors import UserError
from bamopipe.samplers.base import Block, Info, Parameters, State, Untuned, any_nan, log_factors
from bamopipe.samplers.normal import Noise, Shapes
from bamopipe.target import Target, is_quadratic, tempered_log_density


@dataclass(frozen=True)
class GaussianConditional(Untuned):
    """Draw a variable anew, given all others, where the log density is quadratic in it.

    The mean and the covariance follow from the first two derivatives at the current value. Where
    elements are independent given all other variables, their covariances are taken one by one.

    Attributes
    ----------
    axes
        Along which the elements are independent, from `independent_axes`.

    References
    ----------
    Geman and Geman (1984), IEEE PAMI 6, 721-741; Rue and Held (2005), Gaussian Markov Random
    Fields, section 2.3.
    """

    axes: tuple[int, ...]

    def __str__(self) -> str:
        return "draw from its full conditional, which is Gaussian"

    def check(self, block: Block, target: Target, parameters: Parameters) -> None:
        """Raise UserError if the full conditional is not Gaussian."""
        if not is_quadratic(target, block.name):
            raise UserError(
                f"kernel of {block.name!r}: its full conditional is not Gaussian in model "
                f"{target.program.model.name!r}; make the kernel from the same model"
            )

    def noise_shapes(
        self, state: State, parameters: Parameters, variables: tuple[str, ...]
    ) -> Shapes:
        """Tell the shapes of the random numbers that a move takes."""
        (name,) = variables
        return Shapes([state.position[name].shape])

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
        """Draw the variable of each particle."""
        (name,) = variables
        value = state.position[name]
        (noise,) = random.normal

        def draw(position, noise):
            def gradient(value):
                return jax.grad(
                    lambda v: tempered_log_density(target, {**position, name: v}, name, temperature)
                )(value)

            own = position[name]
            rest = math.prod(n for axis, n in enumerate(own.shape) if axis not in self.axes)
            num_elements = own.size // rest

            def curvature(basis):
                """Differentiate all elements along one of their own coordinates."""
                direction = self._whole(jnp.broadcast_to(basis, (num_elements, rest)), own.shape)
                slope, bend = jax.jvp(gradient, (own,), (direction,))
                return self._by_element(slope), -self._by_element(bend)

            slopes, precision = jax.vmap(curvature, out_axes=(None, 2))(
                jnp.eye(rest, dtype=own.dtype)
            )
            steps = jax.vmap(_draw)(slopes, precision, self._by_element(noise))
            moved = own + self._whole(steps, own.shape)
            # Numbers overflow far out in the prior.
            possible = jnp.all(jnp.isfinite(moved))
            return jnp.where(possible, moved, own), possible

        value, possible = jax.vmap(draw, in_axes=-1, out_axes=-1)(state.position, noise)
        position = {**state.position, name: value}
        fresh = log_factors(target, position, target.touching(variables))
        info = Info(possible.astype(value.dtype), any_nan(fresh), {})
        return State(position, {**state.log_factors, **fresh}), info

    def _by_element(self, array: Array) -> Array:
        """Return shape (element, coordinate)."""
        array = jnp.moveaxis(array, self.axes, range(len(self.axes)))
        return array.reshape(math.prod(array.shape[: len(self.axes)]), -1)

    def _whole(self, rows: Array, shape: tuple[int, ...]) -> Array:
        """Undo `_by_element`."""
        first = [shape[axis] for axis in self.axes]
        rest = [size for axis, size in enumerate(shape) if axis not in self.axes]
        return jnp.moveaxis(rows.reshape([*first, *rest]), range(len(first)), self.axes)


def _draw(slope: Array, precision: Array, noise: Array) -> Array:
    """Return the way from where the slope was taken to a draw."""
    if slope.size == 1:  # of matrices, even of one number, many are slow
        root = jnp.sqrt(precision[0])
        return (slope / root + noise) / root
    root = jnp.linalg.cholesky(precision)
    half = solve_triangular(root, slope, lower=True)
    return solve_triangular(root, half + noise, lower=True, trans=1)
