"""Any BlackJAX algorithm as an update of a block of particles."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.linalg import solve_triangular

from bamopipe.errors import UserError
from bamopipe.samplers.base import (
    LOG_SCALE,
    Block,
    Info,
    Parameters,
    State,
    Update,
    any_nan,
    check_has_room,
    check_is_continuous,
    log_factors,
)
from bamopipe.samplers.coordinates import from_coordinates, shape_of, to_coordinates
from bamopipe.samplers.random_walk import RandomWalk
from bamopipe.samplers.tuned_random_walk import TunedRandomWalk
from bamopipe.target import Position, Target, tempered


class Tuning(NamedTuple):
    """How to set an algorithm in coordinates where the target looks like a standard normal.

    Attributes
    ----------
    acceptance_rate
        The mean that its step size is adapted to.
    step_size
        The first step size, and its power of the number of coordinates.
    num_integration_steps
        If its paths have a fixed number of steps.
    longest_path
        The length of the first paths, which is kept unless they have to be shorter. Longer ones
        turn back: after half a period they end where they started but for the sign.
    """

    acceptance_rate: float
    step_size: tuple[float, float]
    num_integration_steps: int | None = None
    longest_path: float | None = None


# Acceptance rates: Hoffman and Gelman (2014) for NUTS, Beskos et al. (2013) for Hamiltonian Monte
# Carlo, Roberts and Rosenthal (1998) for MALA, Livingstone and Zanella (2022) for Barker's.
TUNINGS: dict[Callable, Tuning] = {
    blackjax.nuts.differentiable: Tuning(0.8, (1.0, -1 / 4)),
    blackjax.hmc.differentiable: Tuning(0.7, (1.0, 0.0), 4, longest_path=np.pi / 2),
    blackjax.multinomial_hmc.differentiable: Tuning(0.8, (1.0, -1 / 4), 8),
    blackjax.dynamic_hmc.differentiable: Tuning(0.7, (1.0, -1 / 4)),
    blackjax.mala.differentiable: Tuning(0.574, (1.4, -1 / 3)),
    blackjax.barker.differentiable: Tuning(0.4, (1.5, -1 / 6)),
}
# Settings that say how far to step, in which direction; with any of them nothing is tuned.
SCALES = {"inverse_mass_matrix", "mass_matrix", "momentum_inverse_scale", "sigma", "step_size"}
# These step where their person's own proposals lead; all others of BlackJAX in unconstrained space.
OF_OWN_PROPOSALS = {
    factory.differentiable
    for factory in (
        blackjax.additive_step_random_walk,
        blackjax.elliptical_slice,
        blackjax.irmh,
        blackjax.rmh,
    )
}


@dataclass(frozen=True)
class BlackJAXUpdate:
    """One step of a BlackJAX algorithm for each particle.

    The algorithm is initialised at every step, since other variables and the temperature have moved
    in between.

    Attributes
    ----------
    factory
        Called as ``factory(logdensity_fn, **parameters)``; returns a `blackjax.SamplingAlgorithm`.
    static
        Parameters that shape the program: whole numbers, flags and functions.
    space
        Where it steps: in the variables' "own" space, as proposals of one's own need it;
        "unconstrained", with the scales that were given; or "tuned", in coordinates where the
        particles look like standard normals, with a step size that follows the acceptance rate.
    """

    factory: Callable
    static: tuple[tuple[str, object], ...] = ()
    space: Literal["own", "unconstrained", "tuned"] = "own"

    def check(self, block: Block, target: Target, parameters: Parameters) -> None:
        """Raise UserError unless the factory takes these parameters and fits the variables."""
        if self.space == "own":
            check_has_room(target, block)
        else:
            check_is_continuous(target, block)
        if self.space == "unconstrained":
            for name in block.variables:
                target.check_constrains(name)
        try:
            self.factory(lambda position: 0.0, **self._settings(parameters))
        except TypeError as error:
            raise UserError(
                f"the kernel of {block.name!r} does not take its settings: {error}"
            ) from None

    def tune(
        self, parameters: Parameters, position: Position, target: Target, variables: tuple[str, ...]
    ) -> Parameters:
        """Take the shape of the steps from the particles, unless scales were given."""
        if self.space != "tuned":
            return parameters
        return {**parameters, "shape": shape_of(target, position, variables)}

    def adapt(self, parameters: Parameters, info: Info) -> Parameters:
        """Take longer steps if many were accepted, shorter ones if few."""
        if self.space != "tuned":
            return parameters
        tuning = TUNINGS[self.factory]
        log_scale = parameters[LOG_SCALE] + info.acceptance_rate - tuning.acceptance_rate
        if tuning.longest_path is not None:
            log_scale = jnp.minimum(log_scale, 0.0)
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
        """Step every particle with a key of its own."""
        names = target.touching(variables)

        def step(key, position):
            own = {name: position[name] for name in variables}
            others = {name: v for name, v in position.items() if name not in own}
            start, place = self._coordinates(target, own, others, parameters)

            def logdensity(x):
                moved, log_det = place(x)
                factors = target.log_factors({**others, **moved}, names)
                value = tempered(target, factors, temperature) + log_det
                return jnp.where(jnp.isnan(value), -jnp.inf, value)

            algorithm = self.factory(logdensity, **self._settings(parameters))
            init_key, step_key = jax.random.split(key)
            end, info = algorithm.step(step_key, algorithm.init(start, init_key))
            acceptance = getattr(info, "acceptance_rate", jnp.nan)
            if self.space == "tuned":  # paths that leave all numbers have no rate
                acceptance = jnp.nan_to_num(acceptance)
            moved, _ = place(end.position)
            # What did not move keeps its values to the last digit; and so does what has coordinates
            # that are not finite, at the very edge of its support.
            same = jax.tree.map(lambda a, b: jnp.all(a == b), start, end.position)
            finite = jax.tree.map(lambda v: jnp.all(jnp.isfinite(v)), moved)
            stays = jnp.all(jnp.stack(jax.tree.leaves(same)))
            stays = stays | ~jnp.all(jnp.stack(jax.tree.leaves(finite)))
            return {n: jnp.where(stays, own[n], v) for n, v in moved.items()}, acceptance

        num_particles = state.position[variables[0]].shape[-1]
        keys = jax.random.split(key, num_particles)
        moved, acceptance = jax.vmap(step, in_axes=(0, -1), out_axes=-1)(keys, state.position)
        position = {**state.position, **moved}
        fresh = log_factors(target, position, names)
        dtype = next(iter(fresh.values())).dtype
        info = Info(jnp.mean(acceptance, dtype=dtype), any_nan(fresh))
        return State(position, {**state.log_factors, **fresh}), info

    def _coordinates(self, target: Target, own: Position, others: Position, parameters: Parameters):
        """Return where to start, and a function from coordinates to values and a log Jacobian."""
        variables = tuple(own)
        if self.space == "tuned":
            shape = parameters["shape"]
            x = to_coordinates(target, {**others, **own}, variables)
            return solve_triangular(shape, x, lower=True), lambda x: from_coordinates(
                target, shape @ x, {**others, **own}, variables
            )
        # BlackJAX sees a bare array where there is one variable, so that matrices fit it as they do
        # in BlackJAX's own examples.
        alone = variables[0] if len(variables) == 1 else None
        free = self.space == "unconstrained"
        start = target.unconstrain(own, others) if free else own

        def place(x):
            x = {alone: x} if alone else x
            return target.constrain(x, others) if free else (x, jnp.zeros(()))

        return (start[alone] if alone else start), place

    def _settings(self, parameters: Parameters) -> dict[str, Any]:
        """Return what the factory is called with."""
        if self.space != "tuned":
            return {**parameters, **dict(self.static)}
        size = len(parameters["shape"]) if "shape" in parameters else 1
        tuning, settings = TUNINGS[self.factory], dict(self.static)
        factor, power = tuning.step_size
        step_size = factor * size**power * jnp.exp(parameters[LOG_SCALE])
        if tuning.num_integration_steps is not None:
            settings.setdefault("num_integration_steps", tuning.num_integration_steps)
        if tuning.longest_path is not None:
            step_size = step_size * tuning.longest_path / settings["num_integration_steps"]
        if self.factory is not blackjax.mala.differentiable:
            settings["inverse_mass_matrix"] = jnp.ones(size)
        given = {n: v for n, v in parameters.items() if n not in (LOG_SCALE, "shape")}
        return {**given, **settings, "step_size": step_size}


def make_update(factory: Callable, settings: Mapping | None) -> tuple[Update, Parameters]:
    """Return the update that stands for a BlackJAX factory, and its traced parameters."""
    settings = {name: _as_array(value) for name, value in (settings or {}).items()}
    if factory is blackjax.normal_random_walk:
        return (RandomWalk(), settings) if settings else (TunedRandomWalk(), {LOG_SCALE: 0.0})
    if not callable(factory):
        raise UserError(
            f"the step function {factory!r} is not callable; expected a BlackJAX algorithm such as "
            "blackjax.nuts"
        )
    space: Literal["own", "unconstrained", "tuned"] = "own"
    if isinstance(factory, blackjax.GenerateSamplingAPI):
        factory = factory.differentiable  # the function behind it, which can be hashed
        if factory not in OF_OWN_PROPOSALS:
            space = (
                "tuned" if factory in TUNINGS and not SCALES & set(settings) else "unconstrained"
            )
    static = {k: v for k, v in settings.items() if isinstance(v, bool | int | str) or callable(v)}
    traced = {k: v for k, v in settings.items() if k not in static}
    if space == "tuned":
        traced[LOG_SCALE] = 0.0
    return BlackJAXUpdate(factory, tuple(sorted(static.items())), space), traced


def _as_array(value):
    """Read lists, which a config has where Python would have arrays."""
    if isinstance(value, Mapping):
        return {name: _as_array(entry) for name, entry in value.items()}
    return np.asarray(value) if isinstance(value, list | tuple) else value
