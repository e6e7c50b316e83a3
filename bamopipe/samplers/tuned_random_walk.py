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
from bamopipe.samplers.metropolis import accept_or_reject, where_possible
from bamopipe.samplers.normal import Noise, Shapes
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
    carried
        Those of the block's variables that do not walk, but are carried along: when their parents
        move, they take the values that the same noise makes of the new parents. So the spread of a
        hierarchy moves freely although its members would hold it fast, as in a non-centred
        parametrisation.

    References
    ----------
    Papaspiliopoulos, Roberts and Sköld (2007), Statistical Science 22, 59-73; in turn with moves
    at given values, as by default in `gibbs_sampler`: Yu and Meng (2011), JCGS 20, 531-570.
    """

    is_diagonal: bool | None = None
    carried: tuple[str, ...] = ()

    @property
    def tunes(self) -> bool:
        """Whether `tune` adds anything."""
        return True

    def __str__(self) -> str:
        along = f", and carries {', '.join(self.carried)} along" if self.carried else ""
        return f"random walk that tunes itself{along}"

    def check(self, block: Block, target: Target, parameters: Parameters) -> None:
        """Raise UserError if a variable is discrete."""
        check_is_continuous(target, block, "normal_random_walk")

    def tune(
        self,
        parameters: Parameters,
        position: Position,
        temperature: Array | None,
        target: Target,
        variables: tuple[str, ...],
    ) -> Parameters:
        """Take the shape of the steps from the particles."""
        walking = self._walking(variables)
        _, shape = location_and_shape(target, position, walking, self.is_diagonal)
        return {**parameters, "shape": 2.38 / len(shape) ** 0.5 * shape}

    def adapt(self, parameters: Parameters, info: Info, gain: Array | float) -> Parameters:
        """Take longer steps if many were accepted, shorter ones if few."""
        # From the best rate for one coordinate, 0.44, to that for many.
        wanted = 0.234 + 0.206 / len(parameters["shape"])
        off_by = jnp.mean(info.acceptance_rate) - wanted
        log_scale = parameters[LOG_SCALE] + gain * off_by
        return {**parameters, LOG_SCALE: log_scale}

    def noise_shapes(
        self, state: State, parameters: Parameters, variables: tuple[str, ...]
    ) -> Shapes:
        """Tell the shapes of the random numbers that a move takes."""
        num_particles = state.position[variables[0]].shape[-1]
        return Shapes([(len(parameters["shape"]), num_particles)], (num_particles,))

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
        """Propose and accept or reject, each particle by itself."""
        walking = self._walking(variables)

        def coordinates(position):
            x = to_coordinates(target, position, walking)
            return x, from_coordinates(target, x, position, walking)[1]

        def at(x, position):
            moved = from_coordinates(target, x, position, walking)[0]
            if not self.carried:
                return moved, jnp.zeros(())
            carried, log_det = target.carry(self.carried, position, {**position, **moved})
            return {**moved, **carried}, log_det

        to_all = jax.vmap(coordinates, in_axes=-1, out_axes=-1)
        x, log_det = to_all(state.position)
        (noise,) = random.normal
        moved = x + jnp.exp(parameters[LOG_SCALE]) * spread(parameters["shape"], noise)
        proposal, carried_log_det = jax.vmap(at, in_axes=-1, out_axes=-1)(moved, state.position)
        back, new_log_det = to_all({**state.position, **proposal})
        correction = new_log_det - log_det + carried_log_det
        proposal, correction = where_possible(state, proposal, back, correction)
        return accept_or_reject(random.uniform, state, proposal, correction, temperature, target)

    def _walking(self, variables: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in variables if name not in self.carried)
