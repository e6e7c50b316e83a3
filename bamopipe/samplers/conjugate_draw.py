"""Draws from full conditionals that are Gamma, inverse Gamma, Beta or Dirichlet distributions."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
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
    log_factors,
)
from bamopipe.target import Family, Target, conjugate_family, conjugate_parameters


@dataclass(frozen=True)
class ConjugateDraw(Keyed, Untuned):
    """Draw a variable anew, given all others, where its full conditional is of a known family.

    An element stays where it is if its parameters belong to no distribution, as a sum of squares of
    0 can make them, or if the draw is so small that it is rounded to the edge of the support.

    Attributes
    ----------
    family
        From `conjugate_family`.

    References
    ----------
    Gelman et al. (2013), Bayesian Data Analysis, 3rd edition, chapter 2 and section 3.4.
    """

    family: Family

    def __str__(self) -> str:
        return f"draw from its full conditional, which is {self.family}"

    def check(self, block: Block, target: Target, parameters: Parameters) -> None:
        """Raise UserError if the full conditional is of another family."""
        if conjugate_family(target, block.name) != self.family:
            raise UserError(
                f"kernel of {block.name!r}: its full conditional is not {self.family} in model "
                f"{target.program.model.name!r}; make the kernel from the same model"
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
        """Draw the variable of each particle."""
        (name,) = variables
        found = jax.vmap(
            lambda p: conjugate_parameters(target, p, name, temperature, self.family),
            in_axes=-1,
            out_axes=-1,
        )(state.position)
        proper = jnp.ones(found[0].shape, bool)
        for parameter in found:
            proper = proper & (parameter > 0) & (parameter < jnp.inf)
        value = self._draw(key, *(jnp.where(proper, parameter, 1.0) for parameter in found))
        low, high = (0.0, jnp.inf) if self.family.name == "Gamma" else (0.0, 1.0)
        possible = proper & (value > low) & (value < high)
        if self.family.name == "Dirichlet":
            possible = jnp.all(possible, axis=-2, keepdims=True)
        value = jnp.where(possible, value, state.position[name])
        position = {**state.position, name: value}
        fresh = log_factors(target, position, target.touching(variables))
        rate = jnp.mean(possible, axis=tuple(range(possible.ndim - 1)), dtype=value.dtype)
        return State(position, {**state.log_factors, **fresh}), Info(rate, any_nan(fresh), {})

    def _draw(self, key: Array, *parameters: Array) -> Array:
        """Draw by way of logarithms of Gamma variables, which are never rounded to 0."""
        if self.family.name == "Gamma":
            concentration, rate = parameters
            log_power = jax.random.loggamma(key, concentration) - jnp.log(rate)
            return jnp.exp(log_power / self.family.power)
        if self.family.name == "Beta":
            keys = jax.random.split(key)
            logs = [jax.random.loggamma(k, p) for k, p in zip(keys, parameters, strict=True)]
            return jax.nn.sigmoid(logs[0] - logs[1])
        return jax.nn.softmax(jax.random.loggamma(key, parameters[0]), axis=-2)
