"""Gaussian random-walk Metropolis whose steps have the particles' own shape."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from bamopipe.samplers.base import (
    LOG_SCALE,
    Block,
    Info,
    Parameters,
    State,
    check_is_continuous,
)
from bamopipe.samplers.coordinates import (
    from_coordinates,
    location_and_shape,
    spread,
    to_coordinates,
)
from bamopipe.samplers.metropolis import accept_or_reject
from bamopipe.target import Position, Target


@dataclass(frozen=True)
class TunedRandomWalk:
    """A Gaussian random walk in unconstrained space that needs no settings.

    The covariance of a step is that of the particles, times ``2.38^2 / d`` for ``d`` coordinates
    (Gelman, Roberts and Gilks 1996), times a factor that follows the acceptance rate.

    Attributes
    ----------
    is_diagonal
        Whether a step leaves correlations out of account; see `location_and_shape`.
    """

    is_diagonal: bool | None = None

    def __str__(self) -> str:
        return "random walk that tunes itself"

    def check(self, block: Block, target: Target, parameters: Parameters) -> None:
        """Raise UserError if a variable is discrete."""
        check_is_continuous(target, block, "normal_random_walk")

    def tune(
        self, parameters: Parameters, position: Position, target: Target, variables: tuple[str, ...]
    ) -> Parameters:
        """Take the shape of the steps from the particles."""
        _, shape = location_and_shape(target, position, variables, self.is_diagonal)
        return {**parameters, "shape": 2.38 / len(shape) ** 0.5 * shape}

    def adapt(self, parameters: Parameters, info: Info, gain: Array | float) -> Parameters:
        """Take longer steps if many were accepted, shorter ones if few."""
        # From the best rate for one coordinate, 0.44, to that for many.
        wanted = 0.234 + 0.206 / len(parameters["shape"])
        off_by = jnp.mean(info.acceptance_rate) - wanted
        log_scale = parameters[LOG_SCALE] + gain * off_by
        return {**parameters, LOG_SCALE: log_scale}

    def __call__(
        self,
        key: Array,
        state: State,
        temperature: Array,
        parameters: Parameters,
        target: Target,
        variables: tuple[str, ...],
    ) -> tuple[State, Info]:
        """Propose and accept or reject, each particle by itself."""
        noise_key, accept_key = jax.random.split(key)

        def coordinates(position):
            x = to_coordinates(target, position, variables)
            return x, from_coordinates(target, x, position, variables)[1]

        to_all = jax.vmap(coordinates, in_axes=-1, out_axes=-1)
        x, log_det = to_all(state.position)
        noise = jax.random.normal(noise_key, x.shape, x.dtype)
        moved = x + jnp.exp(parameters[LOG_SCALE]) * spread(parameters["shape"], noise)
        proposal = jax.vmap(
            lambda x, position: from_coordinates(target, x, position, variables)[0],
            in_axes=-1,
            out_axes=-1,
        )(moved, state.position)
        # Far out, numbers overflow, where densities may be no numbers though the model is right.
        # At the very edge of the support, where rounding may lead, there is no way back.
        values = [v.reshape(-1, v.shape[-1]) for v in proposal.values()]
        back, new_log_det = to_all({**state.position, **proposal})
        finite = jnp.isfinite(jnp.concatenate([*values, back, new_log_det[None]]))
        possible = jnp.all(finite, axis=0)
        proposal = {n: jnp.where(possible, v, state.position[n]) for n, v in proposal.items()}
        correction = jnp.where(possible, new_log_det - log_det, -jnp.inf)
        return accept_or_reject(accept_key, state, proposal, correction, temperature, target)
