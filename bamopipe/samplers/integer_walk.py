"""Metropolis steps of one up or down for variables that take whole numbers."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from bamopipe.samplers.base import Block, Info, Parameters, State
from bamopipe.samplers.metropolis import accept_or_reject
from bamopipe.target import Position, Target


@dataclass(frozen=True)
class IntegerWalk:
    """Move one element, chosen at random, by one.

    It needs no settings. Steps out of the support are rejected, so that it flips the bits of
    Bernoulli variables, and walks through counts and categories.
    """

    def check(self, block: Block, target: Target, parameters: Parameters) -> None:
        """Fit every block that `gibbs_sampler` makes for a discrete variable."""

    def tune(
        self, parameters: Parameters, position: Position, target: Target, variables: tuple[str, ...]
    ) -> Parameters:
        """Return the parameters as they are: there are none."""
        return parameters

    def adapt(self, parameters: Parameters, info: Info) -> Parameters:
        """Return the parameters as they are: there are none."""
        return parameters

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
        (name,) = variables
        value = state.position[name]
        flat = value.reshape(-1, value.shape[-1])
        which_key, sign_key, accept_key = jax.random.split(key, 3)
        which = jax.random.randint(which_key, flat.shape[1:], 0, len(flat))
        step = jax.random.rademacher(sign_key, flat.shape[1:], flat.dtype)
        flat = flat + jnp.where(jnp.arange(len(flat))[:, None] == which, step, 0)
        proposal = {name: flat.reshape(value.shape)}
        return accept_or_reject(accept_key, state, proposal, 0.0, temperature, target)
