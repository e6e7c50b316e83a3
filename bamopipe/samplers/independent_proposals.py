"""Metropolis-Hastings with proposals that do not depend on where a particle is."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from bamopipe.samplers.base import Block, Info, Parameters, State, check_is_continuous
from bamopipe.samplers.coordinates import (
    fit,
    from_coordinates,
    spread,
    standardise,
    to_coordinates,
)
from bamopipe.samplers.metropolis import accept_or_reject, where_possible
from bamopipe.samplers.normal import Noise, Shapes
from bamopipe.target import Position, Target

DEGREES, SCALE = 5, 1.2


@dataclass(frozen=True)
class IndependentProposals:
    """Proposals from a Student distribution around the particles, in unconstrained space.

    It has the particles' mean and shape, 5 degrees of freedom, and is 1.2 times as wide. Use it
    where the posterior is nearly normal, of few variables, and its density expensive: a move takes
    one evaluation and no gradient, and if it is accepted the particle has forgotten where it was.

    Attributes
    ----------
    is_diagonal
        Whether proposals leave correlations out of account; see `location_and_shape`.

    References
    ----------
    Hastings (1970), Biometrika 57, 97-109.
    """

    is_diagonal: bool | None = None

    @property
    def tunes(self) -> bool:
        """Whether `tune` adds anything."""
        return True

    def __str__(self) -> str:
        return "irmh that tunes itself"

    def check(self, block: Block, target: Target, parameters: Parameters) -> None:
        """Raise UserError if a variable is discrete."""
        check_is_continuous(target, block, "irmh")

    def tune(
        self,
        parameters: Parameters,
        position: Position,
        temperature: Array | None,
        target: Target,
        variables: tuple[str, ...],
    ) -> Parameters:
        """Take the proposals' middle and shape from the particles."""
        return parameters | fit(target, position, temperature, variables, self.is_diagonal)

    def adapt(self, parameters: Parameters, info: Info, gain: Array | float) -> Parameters:
        """Return the parameters as they are."""
        return parameters

    def noise_shapes(
        self, state: State, parameters: Parameters, variables: tuple[str, ...]
    ) -> Shapes:
        """Tell the shapes of the random numbers that a move takes."""
        num_particles = state.position[variables[0]].shape[-1]
        count = len(parameters["middle"])
        return Shapes([(count, num_particles), (DEGREES, num_particles)], (num_particles,))

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
        middle, shape, as_noise = (parameters[n] for n in ("middle", "shape", "as_noise"))

        def coordinates(position):
            x = to_coordinates(target, position, variables, as_noise)
            return x, from_coordinates(target, x, position, variables, as_noise)[1]

        def at(x, position):
            return from_coordinates(target, x, position, variables, as_noise)[0]

        def log_density(z):
            square = jnp.sum((z / SCALE) ** 2, axis=0)
            return -(DEGREES + len(middle)) / 2 * jnp.log1p(square / DEGREES)

        to_all = jax.vmap(coordinates, in_axes=-1, out_axes=-1)
        x, log_det = to_all(state.position)
        z = standardise(shape, x - middle[:, None])
        noise, for_chi2 = random.normal
        chi2 = jnp.sum(for_chi2**2, axis=0)
        new_z = SCALE * noise * jnp.sqrt(DEGREES / chi2)
        proposal = jax.vmap(at, in_axes=-1, out_axes=-1)(
            middle[:, None] + spread(shape, new_z), state.position
        )
        back, new_log_det = to_all({**state.position, **proposal})
        correction = new_log_det - log_det + log_density(z) - log_density(new_z)
        proposal, correction = where_possible(state, proposal, back, correction)
        return accept_or_reject(random.uniform, state, proposal, correction, temperature, target)
