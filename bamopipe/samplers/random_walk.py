"""Gaussian random-walk Metropolis for a whole block of particles."""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bamopipe.errors import UserError
from bamopipe.samplers.base import (
    Block,
    Info,
    Parameters,
    State,
    Untuned,
    check_has_room,
    check_is_continuous,
    check_names,
)
from bamopipe.samplers.metropolis import accept_or_reject
from bamopipe.samplers.normal import Noise, Shapes
from bamopipe.target import Position, Target


@dataclass(frozen=True)
class RandomWalk(Untuned):
    """Propose a Gaussian step and accept or reject it (Metropolis et al. 1953).

    Equal in law to `blackjax.normal_random_walk`, but with one key for a block of particles and one
    evaluation of each factor that the variables touch.

    Its one parameter is ``sigma``, the scale of the step (BlackJAX's meaning, a standard deviation
    rather than a covariance): a number; a vector with one entry a coordinate; a square matrix that
    standard normal noise is multiplied with; or a dict from variable to its number or array.
    Coordinates are those of `jax.flatten_util.ravel_pytree`: variables in alphabetical order.
    """

    def __str__(self) -> str:
        return "random walk with steps of the size that was given"

    def check(self, block: Block, target: Target, parameters: Parameters) -> None:
        """Raise UserError unless there is one fitting `sigma`."""
        where = f"random walk of {block.name!r}:"
        check_names(f"{where} parameter", parameters, ("sigma",))
        check_is_continuous(target, block, "normal_random_walk")
        check_has_room(target, block)
        shapes = {name: target.program.shapes[name] for name in block.variables}
        sigma = parameters["sigma"]
        for leaf in jax.tree.leaves(sigma, is_leaf=lambda entry: entry is None):
            if not np.issubdtype(np.asarray(leaf).dtype, np.number):
                raise UserError(
                    f"{where} 'sigma' is {leaf!r}; expected a number or an array, or leave it out, "
                    "and the kernel tunes itself"
                )
        if isinstance(sigma, Mapping):
            check_names(f"{where} 'sigma' of variable", sigma, shapes)
            for name, shape in shapes.items():
                if name not in sigma:
                    raise UserError(f"{where} 'sigma' has no entry for variable {name!r}")
                if np.shape(sigma[name]) not in ((), shape):
                    raise UserError(
                        f"{where} 'sigma' of {name!r} has shape {np.shape(sigma[name])}; "
                        f"expected a number or shape {shape}"
                    )
        else:
            size = sum(int(np.prod(shape)) for shape in shapes.values())
            if np.shape(sigma) not in ((), (size,), (size, size)):
                raise UserError(
                    f"{where} 'sigma' has shape {np.shape(sigma)}; expected a number, shape "
                    f"({size},) or shape ({size}, {size})"
                )
        if not all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(sigma)):
            raise UserError(f"{where} 'sigma' has entries that are not finite")

    def noise_shapes(
        self, state: State, parameters: Parameters, variables: tuple[str, ...]
    ) -> Shapes:
        """Tell the shapes of the random numbers that a move takes."""
        shapes = [state.position[name].shape for name in sorted(variables)]
        return Shapes(shapes, shapes[0][-1:])

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
        names = sorted(variables)
        steps = _scaled(dict(zip(names, random.normal, strict=True)), parameters["sigma"])
        proposal = {name: state.position[name] + steps[name] for name in names}
        return accept_or_reject(random.uniform, state, proposal, 0.0, temperature, target)


def _scaled(noise: Position, sigma) -> Position:
    """Scale the noise of variables, in the order of their names, to steps."""
    if isinstance(sigma, Mapping):
        return {name: jnp.asarray(sigma[name])[..., None] * z for name, z in noise.items()}
    if jnp.ndim(sigma) == 0:
        return {name: sigma * z for name, z in noise.items()}
    flat = [z.reshape(-1, z.shape[-1]) for z in noise.values()]
    rows = jnp.concatenate(flat) if len(flat) > 1 else flat[0]
    rows = sigma @ rows if sigma.ndim == 2 else sigma[:, None] * rows
    ends = np.cumsum([z.shape[0] for z in flat])[:-1]
    return {
        name: part.reshape(z.shape)
        for (name, z), part in zip(noise.items(), jnp.split(rows, ends), strict=True)
    }
