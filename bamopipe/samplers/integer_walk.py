"""Metropolis steps of one up or down for variables that take whole numbers."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from bamopipe.errors import UserError
from bamopipe.samplers.base import Block, Info, Keyed, Parameters, State, Untuned
from bamopipe.samplers.metropolis import accept_or_reject
from bamopipe.target import Target

# Of the variable, to find out whether steps of one fit it.
NUM_DRAWS = 200


@dataclass(frozen=True)
class IntegerWalk(Keyed, Untuned):
    """Move one element, chosen at random, by one.

    It needs no settings. Steps out of the support are rejected, so that it flips the bits of
    Bernoulli variables, and walks through counts and categories.
    """

    def __str__(self) -> str:
        return "one up or down, as it takes whole numbers"

    def check(self, block: Block, target: Target, parameters: Parameters) -> None:
        """Raise UserError unless steps of one lead from draws of the variable to their middle.

        They do not where elements depend on each other, as those of a multinomial do, or where
        the possible values have gaps.
        """
        (name,) = block.variables
        if not _leads_inwards(name, target):
            raise UserError(
                f"variable {name!r} cannot be moved by one at a time, which leads out of its "
                "support; marginalise it, or give it a kernel with proposals of your own, such as "
                "blackjax.rmh"
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
        """Propose and accept or reject, each particle by itself."""
        (name,) = variables
        value = state.position[name]
        flat = value.reshape(-1, value.shape[-1])
        which_key, sign_key, uniform_key = jax.random.split(key, 3)
        which = jax.random.randint(which_key, flat.shape[1:], 0, len(flat))
        step = jax.random.rademacher(sign_key, flat.shape[1:])
        flat = _moved(flat, jnp.arange(len(flat))[:, None] == which, step)
        proposal = {name: flat.reshape(value.shape)}
        uniform = jax.random.uniform(uniform_key, flat.shape[1:])
        return accept_or_reject(uniform, state, proposal, 0.0, temperature, target)


@partial(jax.jit, static_argnums=0)
def _leads_inwards(name: str, target: Target) -> Array:
    """Tell whether steps of one stay within the support, from draws towards their middle."""
    keys = jax.random.split(jax.random.key(0), 1 + NUM_DRAWS)
    position = target.sample_prior(keys[0])
    others = {n: value for n, value in position.items() if n != name}

    def is_possible(which_key, value, middle):
        flat = jnp.ravel(value)
        chosen = jnp.arange(len(flat)) == jax.random.randint(which_key, (), 0, len(flat))
        step = jnp.sign(jnp.ravel(middle) - flat.astype(float))
        moved = jnp.reshape(_moved(flat, chosen, step), value.shape)
        factor = target.log_factors({**others, name: moved}, (name,))[name]
        return (factor > -jnp.inf) | jnp.all(jnp.where(chosen, step, 0) == 0)

    draws = jax.vmap(lambda key: target.sample_prior(key, others)[name])(keys[1:])
    middle = jnp.round(jnp.mean(draws.astype(float), axis=0))
    return jnp.all(jax.vmap(is_possible, in_axes=(0, 0, None))(keys[1:], draws, middle))


def _moved(values: Array, chosen: Array, step: Array) -> Array:
    """Add a step to the chosen values; what is true or false becomes the other."""
    if values.dtype == bool:
        return values ^ chosen
    return values + jnp.where(chosen, step, 0).astype(values.dtype)
