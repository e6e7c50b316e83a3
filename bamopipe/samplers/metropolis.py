"""The acceptance of a proposal for a whole block of particles."""

import jax
import jax.numpy as jnp
from jax import Array

from bamopipe.samplers.base import Info, State, any_nan, log_factors
from bamopipe.target import Position, Target, tempered


def accept_or_reject(
    uniform: Array,
    state: State,
    proposal: Position,
    log_correction: Array | float,
    temperature: Array,
    target: Target,
) -> tuple[State, Info]:
    """Accept a proposal or stay, each particle by itself (Metropolis et al. 1953).

    Parameters
    ----------
    uniform
        Random numbers from [0, 1) for the decisions, shape (particle,).
    state
        Particles last.
    proposal
        New values of some variables. Only factors that these touch are evaluated.
    log_correction
        Log ratio of the densities of proposing the way back and the way here, shape (particle,).
    temperature
        Exponent of the likelihood.
    target
        The compiled model.
    """
    names = target.touching(proposal)
    known = {name: state.log_factors[name] for name in names}
    fresh = log_factors(target, {**state.position, **proposal}, names)
    log_ratio = tempered(target, fresh, temperature) - tempered(target, known, temperature)
    log_ratio = log_ratio + log_correction
    accept = decide(uniform, log_ratio)

    def select(new, old):
        return jnp.where(accept, new, old)

    old = {name: state.position[name] for name in proposal}
    moved = State(
        {**state.position, **jax.tree.map(select, proposal, old)},
        {**state.log_factors, **jax.tree.map(select, fresh, known)},
    )
    return moved, Info(accept.astype(log_ratio.dtype), any_nan(fresh), {})


def where_possible(
    state: State, proposal: Position, back: Array, log_correction: Array
) -> tuple[Position, Array]:
    """Have particles stay where a proposal of free coordinates has left all numbers.

    Far out, numbers overflow, where densities may be no numbers though the model is right. At the
    very edge of the support, where rounding may lead, there is no way back.

    Parameters
    ----------
    state
        Particles last.
    proposal
        New values of some variables.
    back
        The free coordinates of these, shape (coordinate, particle).
    log_correction
        As of `accept_or_reject`.
    """
    values = [v.reshape(-1, v.shape[-1]) for v in proposal.values()]
    finite = jnp.isfinite(jnp.concatenate([*values, back, log_correction[None]]))
    possible = jnp.all(finite, axis=0)
    proposal = {n: jnp.where(possible, v, state.position[n]) for n, v in proposal.items()}
    return proposal, jnp.where(possible, log_correction, -jnp.inf)


def decide(uniform: Array, log_ratio: Array) -> Array:
    """Say yes with the probability that a log ratio is of, or always where it is positive.

    No to -inf and to what is not a number.
    """
    # The uniform number itself is sometimes 0, which would accept anything; 1 minus it never is.
    # Put together by itself, or XLA decides once more for every array that is chosen from.
    return jax.lax.optimization_barrier(1 - uniform <= jnp.exp(log_ratio))
