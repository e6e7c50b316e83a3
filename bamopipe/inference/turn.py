"""The program that one chain runs: some draws, and what is known of them."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from bamopipe.samplers.base import ADAPTED, Info, Kernel, Parameters, State
from bamopipe.target import Target, sum_of


class Turn(NamedTuple):
    """What one chain did in one turn.

    Attributes
    ----------
    state
        Where it is now.
    draws
        Variable -> values, the first dimension being the draw.
    statistics
        What is known of each draw, and of the steps that led to it.
    is_nan
        Factor -> whether it was not a number inside the support.
    adapted
        Update -> what `Update.adapt` changes, the mean of the second half of the turn.
    """

    state: State
    draws: dict[str, Array]
    statistics: dict[str, Any]
    is_nan: dict[str, Array]
    adapted: dict[str, Parameters]


@partial(jax.jit, static_argnums=(0, 1))
def take_turn(
    kernel: Kernel,
    most: int,
    target: Target,
    key: Array,
    num_before: Array,
    num_draws: Array,
    num_thin: Array,
    gain: Array,
    parameters: dict[str, Parameters],
    state: State,
) -> Turn:
    """Make up to `most` draws of one chain, some steps apart; adapt if there is a gain.

    The key is for all turns that follow each other, and `num_before` how many draws they made.
    """
    move = jax.jit(kernel.step)  # traced once

    def step(index, carry):
        state, parameters, before = carry
        step_key = jax.random.fold_in(key, num_before * num_thin + index)
        state, infos = move(step_key, state, jnp.ones(()), parameters, target)
        # Large at first, to get near; then falling, to settle.
        falling = gain / (1 + index / 5) ** 0.75
        return state, kernel.adapt(parameters, infos, falling), _statistics(infos, *before)

    def draw(index, carry):
        state, parameters, rows, is_nan, total = carry
        # Every step in the loop, also the first: written down twice it would be compiled twice.
        state, parameters, (statistics, is_nan) = jax.lax.fori_loop(
            index * num_thin,
            (index + 1) * num_thin,
            step,
            (state, parameters, (nothing, is_nan)),
        )
        rows = jax.tree.map(
            lambda every, one: every.at[index].set(one), rows, _row(target, state, statistics)
        )
        late = index >= num_draws // 2
        total = jax.tree.map(
            lambda sum, one: sum + jnp.where(late, one, 0.0), total, adapted(parameters)
        )
        return state, parameters, rows, is_nan, total

    def first():
        moved, infos = move(key, state, jnp.ones(()), parameters, target)
        statistics, is_nan = _statistics(infos)
        return _row(target, moved, statistics), statistics, is_nan

    row, *others = jax.eval_shape(first)
    rows = jax.tree.map(lambda one: jnp.zeros((most, *one.shape), one.dtype), row)
    nothing, is_nan = jax.tree.map(lambda one: jnp.zeros(one.shape, one.dtype), others)
    total = jax.tree.map(jnp.zeros_like, adapted(parameters))
    state, _, (draws, statistics), is_nan, total = jax.lax.fori_loop(
        0, num_draws, draw, (state, parameters, rows, is_nan, total)
    )
    num_late = num_draws - num_draws // 2
    return Turn(state, draws, statistics, is_nan, jax.tree.map(lambda sum: sum / num_late, total))


def adapted(parameters: dict[str, Parameters]) -> dict[str, Parameters]:
    """Select what `Update.adapt` changes, by update; updates of which nothing changes are out."""
    found = {
        update: {name: value for name, value in own.items() if name in ADAPTED}
        for update, own in parameters.items()
    }
    return {update: own for update, own in found.items() if own}


def _row(target: Target, state: State, statistics: dict) -> tuple[dict, dict]:
    """Return one draw, and what is known of it."""
    log_prior = sum_of(state.log_factors, target.latent)
    lp = log_prior + sum_of(state.log_factors, target.observed)
    known = {"lp": jnp.ravel(lp)[0], "log_prior": jnp.ravel(log_prior)[0], **statistics}
    return {n: v[..., 0] for n, v in state.position.items()}, known


def _statistics(infos: dict[str, Info], *before: dict) -> tuple[dict[str, Any], dict[str, Array]]:
    """Reduce what the updates say of one chain's step to what ArviZ has names for, and to NaN.

    What went wrong in a step that thinning leaves out, from `before`, is not lost.
    """
    found: dict[str, Any] = {
        "acceptance_rate": {name: info.acceptance_rate[0] for name, info in infos.items()}
    }
    reduce: dict[str, Callable] = {
        "diverging": jnp.any,
        "energy": jnp.sum,
        "n_steps": jnp.sum,
        "tree_depth": jnp.max,
    }
    for name, function in reduce.items():
        said = [info.statistics[name][0] for info in infos.values() if name in info.statistics]
        # The energy of a part of the position means little.
        if said and (name != "energy" or len(infos) == 1):
            found[name] = function(jnp.stack(said))
    is_nan = {
        factor: jnp.any(jnp.stack([i.is_nan[factor] for i in infos.values() if factor in i.is_nan]))
        for factor in sorted({f for info in infos.values() for f in info.is_nan})
    }
    if before:
        statistics, broken = before
        is_nan = {factor: flag | broken[factor] for factor, flag in is_nan.items()}
        if "diverging" in found:
            found["diverging"] |= statistics["diverging"]
    return found, is_nan
