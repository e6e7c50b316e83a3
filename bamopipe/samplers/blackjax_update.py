"""Any BlackJAX algorithm as an update of a block of particles."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import blackjax
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
    Update,
    any_nan,
    log_factors,
)
from bamopipe.samplers.random_walk import RandomWalk
from bamopipe.target import Target, tempered


@dataclass(frozen=True)
class BlackJAXUpdate:
    """One step of a BlackJAX algorithm for each particle, in the variables' constrained space.

    The algorithm is initialised at every step, since other variables and the temperature have moved
    in between.

    Attributes
    ----------
    factory
        Called as ``factory(logdensity_fn, **parameters)``; returns a `blackjax.SamplingAlgorithm`.
    static
        Parameters that shape the program: whole numbers, flags and functions.
    """

    factory: Callable
    static: tuple[tuple[str, object], ...] = ()

    def check(self, block: Block, target: Target, parameters: Parameters) -> None:
        """Raise UserError unless the factory takes these parameters."""
        try:
            self.factory(lambda position: 0.0, **parameters, **dict(self.static))
        except TypeError as error:
            raise UserError(
                f"the kernel of {block.name!r} does not take its settings: {error}"
            ) from None

    def __call__(
        self,
        key: Array,
        state: State,
        temperature: Array,
        parameters: Parameters,
        target: Target,
        variables: tuple[str, ...],
    ) -> tuple[State, Info]:
        """Step every particle with a key of its own."""
        names = target.touching(variables)
        # BlackJAX sees a bare array where there is one variable, so that matrices fit it as they do
        # in BlackJAX's own examples.
        alone = variables[0] if len(variables) == 1 else None

        def step(key, position):
            block = {name: position[name] for name in variables}

            def logdensity(x):
                moved = {**position, **({alone: x} if alone else x)}
                value = tempered(target, target.log_factors(moved, names), temperature)
                return jnp.where(jnp.isnan(value), -jnp.inf, value)

            algorithm = self.factory(logdensity, **parameters, **dict(self.static))
            init_key, step_key = jax.random.split(key)
            start = algorithm.init(block[alone] if alone else block, init_key)
            end, info = algorithm.step(step_key, start)
            acceptance = getattr(info, "acceptance_rate", jnp.nan)
            return ({alone: end.position} if alone else end.position), acceptance

        num_particles = state.position[variables[0]].shape[-1]
        keys = jax.random.split(key, num_particles)
        moved, acceptance = jax.vmap(step, in_axes=(0, -1), out_axes=-1)(keys, state.position)
        position = {**state.position, **moved}
        fresh = log_factors(target, position, names)
        dtype = next(iter(fresh.values())).dtype
        info = Info(jnp.mean(acceptance, dtype=dtype), any_nan(fresh))
        return State(position, {**state.log_factors, **fresh}), info


def make_update(factory: Callable, settings: Mapping | None) -> tuple[Update, Parameters]:
    """Return the update that stands for a BlackJAX factory, and its traced parameters."""
    settings = {name: _as_array(value) for name, value in (settings or {}).items()}
    if factory is blackjax.normal_random_walk:
        return RandomWalk(), settings
    if not callable(factory):
        raise UserError(
            f"the step function {factory!r} is not callable; expected a BlackJAX algorithm such as "
            "blackjax.nuts"
        )
    if isinstance(factory, blackjax.GenerateSamplingAPI):
        factory = factory.differentiable  # the function behind it, which can be hashed
    static = {k: v for k, v in settings.items() if isinstance(v, bool | int | str) or callable(v)}
    traced = {k: v for k, v in settings.items() if k not in static}
    return BlackJAXUpdate(factory, tuple(sorted(static.items()))), traced


def _as_array(value):
    """Read lists, which a config has where Python would have arrays."""
    if isinstance(value, Mapping):
        return {name: _as_array(entry) for name, entry in value.items()}
    return np.asarray(value) if isinstance(value, list | tuple) else value
