"""Where chains start, and what gives the first shape of their steps."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from blackjax.vi import pathfinder
from jax import Array

from bamopipe.errors import UserError
from bamopipe.inference.devices import Dealer
from bamopipe.inference.keys import derived
from bamopipe.inference.prior_draws import draw
from bamopipe.samplers import Kernel
from bamopipe.samplers.base import State
from bamopipe.samplers.coordinates import from_coordinates, to_coordinates
from bamopipe.target import Position, Target

Start = Literal["prior", "jitter", "pathfinder"]

# Draws from the prior that give the first shape of steps, points among which each chain starts,
# and draws that each chain takes from its approximation.
PRIOR_DRAWS = 1000
TRIES = 100
PATHFINDER_DRAWS = 250


class Starts(NamedTuple):
    """Where to start.

    Attributes
    ----------
    prior
        Draws from the prior; like all positions here, particles last.
    states
        One a chain, of one particle.
    shape
        Draws that the first shape of steps is taken from.
    """

    prior: dict[str, np.ndarray]
    states: list[State]
    shape: dict[str, np.ndarray]


def find(
    kind: Start, kernel: Kernel, target: Target, dealer: Dealer, key: Array, num_chains: int
) -> Starts:
    """Find a start for each chain, where all densities are finite.

    Parameters
    ----------
    kind
        "prior": the likeliest of about 100 draws from the prior. "jitter": the prior's median in
        unconstrained space, and noise from -1 to 1 in every coordinate, as Stan has it around 0.
        "pathfinder": a draw from a normal distribution near the posterior, which quasi-Newton
        optimisation finds on its way from the prior's draw to a mode; the draws of all chains also
        give the first shape of steps (Zhang et al. 2022, JMLR 23, algorithm 3).
    kernel, target
        Of the run.
    dealer
        Deals over the chains.
    key
        Of the run.
    num_chains
        How many.

    Raises
    ------
    UserError
        A variable takes whole numbers and `kind` needs others, or nothing that was tried is
        possible.
    """
    if kind != "prior":
        _check_continuous(kind, target)
    drawn = jax.device_get(draw(*drawing(kernel, target, key, num_chains)))
    prior = {name: values[..., :PRIOR_DRAWS] for name, values in drawn.position.items()}
    if kind == "jitter":
        tried = _try(kernel, "jitter", dealer, key, [prior] * num_chains)
        return Starts(prior, [_first(target, *item) for item in enumerate(tried)], prior)
    likeliest = [_likeliest(target, drawn, chain, num_chains) for chain in range(num_chains)]
    if kind == "prior":
        return Starts(prior, likeliest, prior)
    tried = _try(kernel, "pathfinder", dealer, key, [state.position for state in likeliest])
    states = [_first(target, *item) for item in enumerate(tried)]
    possible = [_take(state, np.resize(_possible(state), PATHFINDER_DRAWS)) for state in tried]
    positions = [state.position for state in possible]
    shape = {n: np.concatenate([p[n] for p in positions], axis=-1) for n in prior}
    return Starts(prior, states, shape)


def drawing(kernel: Kernel, target: Target, key: Array, num_chains: int) -> tuple:
    """Return what `prior_draws.draw` is to be called with."""
    num_draws = max(PRIOR_DRAWS, TRIES * num_chains)
    return kernel, num_draws, target, derived(key, "prior")


def _check_continuous(kind: Start, target: Target) -> None:
    for name in target.latent:
        if name in target.program.discrete:
            raise UserError(
                f"start={kind!r} moves through unconstrained space, but variable {name!r} takes "
                "whole numbers only; use start='prior'"
            )


def _likeliest(target: Target, drawn: State, chain: int, num_chains: int) -> State:
    """Choose among the draws from the prior that belong to a chain."""
    num_draws = len(next(iter(drawn.log_factors.values())))
    log_likelihood = sum((drawn.log_factors[n] for n in target.observed), start=np.zeros(num_draws))
    possible = _possible(drawn)
    own = possible[possible % num_chains == chain]
    if not len(own):
        raise UserError(
            f"the observations are impossible at each of {num_draws // num_chains} draws from the "
            f"prior where chain {chain} could start; see `Target.explain`, or try SMCInference"
        )
    return _take(drawn, own[[np.argmax(log_likelihood[own])]])


def _try(kernel: Kernel, kind: str, dealer: Dealer, key: Array, positions: list) -> list[State]:
    """Run a program for each chain, which returns a state of many particles."""
    keys = jax.random.split(derived(key, kind), len(positions))
    program: Callable = {"jitter": _jitter, "pathfinder": _pathfinder}[kind]
    items = zip(keys, positions, strict=True)
    return jax.device_get(dealer.map(partial(program, kernel), items))


def _first(target: Target, chain: int, state: State) -> State:
    """Choose the first point that is possible."""
    possible = _possible(state)
    if not len(possible):
        bad = {name: np.sum(~np.isfinite(f)) for name, f in state.log_factors.items()}
        worst = max(bad, key=lambda name: bad[name])
        raise UserError(
            f"chain {chain} finds no start: at {bad[worst]} of {len(state.log_factors[worst])} "
            f"points the log density of node {target.program.node_of[worst]!r} is not finite; see "
            "`Target.explain`, or use start='prior'"
        )
    return _take(state, possible[:1])


def _possible(state: State) -> np.ndarray:
    """Return the indices of particles whose densities are all finite."""
    return np.flatnonzero(np.all([np.isfinite(f) for f in state.log_factors.values()], axis=0))


def _take(state: State, indices: np.ndarray) -> State:
    return jax.tree.map(lambda leaf: leaf[..., indices], state)


@partial(jax.jit, static_argnums=0)
def _jitter(kernel: Kernel, target: Target, key: Array, prior: Position) -> State:
    """Return points around the median of the prior."""
    x = jax.vmap(lambda p: to_coordinates(target, p, target.latent), in_axes=-1, out_axes=-1)(prior)
    middle = jnp.nanmedian(jnp.where(jnp.isfinite(x), x, jnp.nan), axis=1, keepdims=True)
    noise = jax.random.uniform(key, (len(x), TRIES), x.dtype, -1.0, 1.0)
    return _state(kernel, target, middle + noise)


@partial(jax.jit, static_argnums=0)
def _pathfinder(kernel: Kernel, target: Target, key: Array, position: Position) -> State:
    """Return draws from the best normal approximation on the way from one particle to a mode."""
    position = {name: values[..., 0] for name, values in position.items()}

    def log_density(x):
        moved, log_det = from_coordinates(target, x, {}, target.latent)
        value = sum(target.log_factors(moved).values()) + log_det
        return jnp.where(jnp.isnan(value), -jnp.inf, value)

    path_key, draw_key = jax.random.split(key)
    start: Any = to_coordinates(target, position, target.latent)
    best, _ = pathfinder.approximate(path_key, log_density, start)
    draws, _ = pathfinder.sample(draw_key, best, PATHFINDER_DRAWS)
    return _state(kernel, target, draws.T)


def _state(kernel: Kernel, target: Target, x: Array) -> State:
    """Return the state of many particles at coordinates, particles last."""
    to_position = jax.vmap(
        lambda x: from_coordinates(target, x, {}, target.latent)[0], in_axes=-1, out_axes=-1
    )
    return kernel.init(target, to_position(x))
