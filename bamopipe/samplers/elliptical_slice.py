"""Elliptical slice sampling of variables whose prior is Gaussian."""

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
from bamopipe.target import Target, is_gaussian, tempered

# The bracket shrinks by half on average; this often, only rounding keeps a particle where it is.
MOST_SHRINKS = 100


@dataclass(frozen=True)
class EllipticalSlice(Keyed, Untuned):
    """Move along an ellipse through a draw from the prior, to where the likelihood allows.

    For Gaussian processes, normal vectors and autoregressive series: variables that are jointly
    Gaussian given the parents that they have elsewhere, at whose current values the ellipse is
    taken. All that depends on the variables but themselves counts as the likelihood; of it, only
    observed variables are tempered. It needs no settings, and gradients neither.

    Equal in law to `blackjax.elliptical_slice`, but with the prior of the model, whose mean and
    covariance may be others for each particle, and one evaluation for a whole block of particles.

    References
    ----------
    Murray, Adams and MacKay (2010), AISTATS, figure 2.
    """

    def __str__(self) -> str:
        return "elliptical slice, as its prior is Gaussian"

    def check(self, block: Block, target: Target, parameters: Parameters) -> None:
        """Raise UserError unless the prior of the variables is Gaussian."""
        advice = "leave its kernel out, or use blackjax.nuts"
        for name in block.variables:
            if name in target.program.discrete:
                raise UserError(
                    f"elliptical_slice cannot move variable {name!r}, which takes whole numbers; "
                    "leave its kernel out, which gives it one for whole numbers"
                )
            if not is_gaussian(target, (name,)) or not target.has_mean(name):
                raise UserError(
                    f"elliptical_slice cannot move variable {name!r}, whose prior given its "
                    f"parents is not known to be Gaussian; {advice}"
                )
        if not is_gaussian(target, block.variables):
            raise UserError(
                f"elliptical_slice cannot move {block.name!r} together, whose joint prior is not "
                "known to be Gaussian; move one after the other, or use blackjax.nuts"
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
        """Shrink the brackets of all particles until each has found a place."""
        names = target.touching(variables)
        likelihood = tuple(name for name in names if name not in variables)
        draw_key, height_key, angle_key, shrink_key = jax.random.split(key, 4)
        num_particles = state.position[variables[0]].shape[-1]

        def prior(key, position):
            others = {n: v for n, v in position.items() if n not in variables}
            drawn = target.sample_prior(key, others)
            return {n: drawn[n] for n in variables}, target.prior_mean(variables, others)

        drawn, mean = jax.vmap(prior, in_axes=(0, -1), out_axes=-1)(
            jax.random.split(draw_key, num_particles), state.position
        )
        old = {n: state.position[n] for n in variables}

        def at(angle):
            return {
                n: mean[n]
                + (old[n] - mean[n]) * jnp.cos(angle)
                + (drawn[n] - mean[n]) * jnp.sin(angle)
                for n in variables
            }

        def log_likelihood(position):
            factors = log_factors(target, {**state.position, **position}, likelihood)
            return tempered(target, factors, temperature) + jnp.zeros(num_particles, dtype)

        dtype = old[variables[0]].dtype
        # `uniform` may be 0 but is never 1: the height is finite, and not above the start.
        height = jnp.log1p(-jax.random.uniform(height_key, (num_particles,), dtype))
        threshold = log_likelihood(old) + height if likelihood else jnp.zeros(num_particles, dtype)
        angle = 2 * jnp.pi * jax.random.uniform(angle_key, (num_particles,), dtype)

        def is_above(angle):
            return log_likelihood(at(angle)) > threshold if likelihood else angle == angle

        def shrink(carry):
            count, angle, low, high, _ = carry
            low, high = jnp.where(angle < 0, angle, low), jnp.where(angle < 0, high, angle)
            done = carry[-1]
            uniform = jax.random.uniform(jax.random.fold_in(shrink_key, count), angle.shape, dtype)
            angle = jnp.where(done, angle, low + uniform * (high - low))
            return count + 1, angle, low, high, done | is_above(angle)

        carry = (jnp.array(0), angle, angle - 2 * jnp.pi, angle, is_above(angle))
        _, angle, _, _, moved = jax.lax.while_loop(
            lambda carry: (carry[0] < MOST_SHRINKS) & ~jnp.all(carry[-1]), shrink, carry
        )
        new = at(angle)
        position = {n: jnp.where(moved, new[n], old[n]) for n in variables}
        position = {**state.position, **position}
        fresh = log_factors(target, position, names)
        return State(position, {**state.log_factors, **fresh}), Info(
            moved.astype(dtype), any_nan(fresh), {}
        )
