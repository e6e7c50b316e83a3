"""Any BlackJAX algorithm as an update of a block of particles."""

import inspect
import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bamopipe.errors import UserError
from bamopipe.samplers import chees
from bamopipe.samplers.base import (
    ADAPTED,
    FINAL_RATE,
    LOG_PATH,
    LOG_SCALE,
    RATE,
    Block,
    Info,
    Keyed,
    Parameters,
    State,
    Update,
    any_nan,
    check_has_room,
    check_is_continuous,
    dtype_of,
    log_factors,
)
from bamopipe.samplers.blackjax_tunings import (
    NOT_OFFERED,
    OF_OWN_PROPOSALS,
    SCALES,
    TUNE_THEMSELVES,
    TUNINGS,
)
from bamopipe.samplers.coordinates import (
    coordinate_shapes,
    fit,
    from_coordinates,
    spread,
    standardise,
    to_coordinates,
)
from bamopipe.samplers.elliptical_slice import EllipticalSlice
from bamopipe.samplers.independent_proposals import IndependentProposals
from bamopipe.samplers.random_walk import RandomWalk
from bamopipe.samplers.tuned_random_walk import TunedRandomWalk
from bamopipe.target import Position, Target, tempered

# What BlackJAX reports of a move -> ArviZ's name for it.
STATISTICS = {
    "energy": "energy",
    "energy_change": "energy_error",
    "is_divergent": "diverging",
    "num_integration_steps": "n_steps",
    "num_trajectory_expansions": "tree_depth",
}
# For the key of a path's length, far from the numbers of particles.
PATH = zlib.crc32(b"path")
DIAGONAL = "is_mass_matrix_diagonal"
"""Setting of all kernels that tune themselves, by the name of BlackJAX's window adaptation."""
TARGET_RATE = "target_acceptance_rate"
"""Setting of those that tune their steps by the acceptance rate, by its name there too."""


@dataclass(frozen=True)
class BlackJAXUpdate(Keyed):
    """One step of a BlackJAX algorithm for each particle.

    The algorithm is initialised at every step, since other variables and the temperature have moved
    in between; a momentum, if it has one, is drawn anew.

    A log density that is not a number at a proposal counts as impossible, as it does in BlackJAX;
    at a particle it is reported.

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
    is_diagonal
        Whether these coordinates leave correlations out of account; see `location_and_shape`.
    acceptance_rate
        The mean that a step size is adapted to; by default the parameter `RATE`.
    """

    factory: Callable
    static: tuple[tuple[str, object], ...] = ()
    space: Literal["own", "unconstrained", "tuned"] = "own"
    is_diagonal: bool | None = None
    acceptance_rate: float | None = None

    @property
    def tunes(self) -> bool:
        """Whether `tune` adds anything."""
        return self.space == "tuned"

    def __str__(self) -> str:
        how = "that tunes itself" if self.space == "tuned" else "as it was set"
        if self.factory is blackjax.mclmc.differentiable:
            how += ", unadjusted: it rejects nothing, and its draws are slightly off"
        return f"{_name(self.factory)} {how}"

    def check(self, block: Block, target: Target, parameters: Parameters) -> None:
        """Raise UserError unless the factory takes these parameters and fits the variables."""
        if self.space == "own":
            check_has_room(target, block)
        else:
            check_is_continuous(target, block, _name(self.factory))
        if self.space == "unconstrained":
            for name in block.variables:
                target.check_constrains(name)
        if self.space == "tuned":
            self._check_dimension(block, target)
        settings = {n: v for n, v in parameters.items() if n not in (*ADAPTED, RATE, FINAL_RATE)}
        settings |= dict(self.static)
        if settings or self.space != "tuned":
            self._check_settings(block, target, parameters, settings)

    def _check_dimension(self, block: Block, target: Target) -> None:
        size = sum(math.prod(shape) for shape in coordinate_shapes(target, block.variables))
        least = TUNINGS[self.factory].least_dimension
        if size < least:
            raise UserError(
                f"{_name(self.factory)} of {block.name!r} needs at least {least} coordinates, and "
                f"{', '.join(map(repr, block.variables))} has {size}; use blackjax.nuts"
            )

    def _check_settings(
        self, block: Block, target: Target, parameters: Parameters, settings: Parameters
    ) -> None:
        """Trace a step, to find settings of wrong names, shapes and types."""
        known = list(inspect.signature(self.factory).parameters.values())[1:]
        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        needed = [p.name for p in known if p.kind in named and p.default is p.empty]
        missing = [name for name in needed if name not in settings]
        if self.space != "tuned" and missing and {*settings} <= {p.name for p in known}:
            advice = ""
            if self.factory in TUNE_THEMSELVES:
                given = ", ".join(sorted(SCALES & {*settings}))
                advice = f"; or leave out {given}, and it tunes itself"
            raise UserError(
                f"{_name(self.factory)} of {block.name!r} needs settings for "
                f"{', '.join(missing)}{advice}"
            )

        def step(key, parameters):
            keys = jax.random.split(key, 2)
            position = jax.vmap(target.sample_prior, out_axes=-1)(keys)
            state = State(position, log_factors(target, position))
            one = jnp.ones(())
            tuned = self.tune(parameters, position, one, target, block.variables)
            return self(key, state, one, tuned, target, block.variables)

        for name, value in settings.items():
            numbers = [
                leaf for leaf in jax.tree.leaves(value) if isinstance(leaf, float | np.ndarray)
            ]
            if not all(np.all(np.isfinite(leaf)) for leaf in numbers):
                raise UserError(
                    f"{_name(self.factory)} of {block.name!r} has a {name} that is not finite"
                )
        try:
            jax.eval_shape(step, jax.random.key(0), jax.tree.map(jnp.asarray, parameters))
        except (AttributeError, IndexError, TypeError, ValueError, UserError) as error:
            given = ", ".join(f"{name}={value!r}" for name, value in sorted(settings.items()))
            reason = (str(error) or type(error).__name__).splitlines()[0]
            tunes = "without any it" if self.factory in TUNE_THEMSELVES else "blackjax.nuts"
            raise UserError(
                f"{_name(self.factory)} of {block.name!r} does not take its settings ({given}): "
                f"{reason}; {tunes} tunes itself"
            ) from None

    def tune(
        self,
        parameters: Parameters,
        position: Position,
        temperature: Array | None,
        target: Target,
        variables: tuple[str, ...],
    ) -> Parameters:
        """Take the shape of the steps from the particles, unless scales were given."""
        if self.space != "tuned":
            return parameters
        found = parameters | fit(target, position, temperature, variables, self.is_diagonal)
        if LOG_PATH not in parameters:
            return found
        return found | chees.first(len(found["shape"]), found["shape"].dtype)

    def adapt(self, parameters: Parameters, info: Info, gain: Array | float) -> Parameters:
        """Take longer steps if many were accepted, shorter ones if few."""
        if LOG_SCALE not in parameters:
            return parameters
        tuning = TUNINGS[self.factory]
        if tuning.energy_variance is not None:
            wanted = tuning.energy_variance * len(parameters["shape"])
            # The variance grows with the sixth power of the step.
            ratio = jnp.mean(info.statistics["energy_error"] ** 2) / wanted
            off_by = -jnp.clip(jnp.log(ratio), -3.0, 3.0) / 6
        else:
            rate = self.acceptance_rate or parameters[RATE]
            off_by = jnp.mean(info.acceptance_rate) - rate
        log_scale = parameters[LOG_SCALE] + gain * off_by
        if tuning.longest_path is not None:
            log_scale = jnp.minimum(log_scale, 0.0)
        parameters = {**parameters, LOG_SCALE: log_scale}
        if LOG_PATH not in parameters:
            return parameters
        assert tuning.path is not None
        size = len(parameters["shape"])
        most = chees.MOST_STEPS * self._step_size(parameters) / tuning.path.unit(size)
        return chees.adapt(parameters, info.path, gain, most)

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
        settings = self._settings(key, parameters)
        num_steps = TUNINGS[self.factory].num_steps if self.factory in TUNINGS else 1

        def step(init_key, step_key, position):
            own = {name: position[name] for name in variables}
            others = {name: v for name, v in position.items() if name not in own}
            start, place = self._coordinates(target, own, others, parameters)

            @jax.jit  # traced once for all places where an algorithm calls it
            def logdensity(x):
                moved, log_det = place(x)
                factors = target.log_factors({**others, **moved}, names)
                value = tempered(target, factors, temperature) + log_det
                return jnp.where(jnp.isnan(value), -jnp.inf, value)

            algorithm = self.factory(logdensity, **settings)
            end, info = _steps(algorithm, step_key, algorithm.init(start, init_key), num_steps)
            moved, _ = place(end.position)
            # What did not move keeps its values to the last digit; and so does what would come to
            # the very edge of its support, where coordinates are not finite, by rounding.
            back, _ = self._coordinates(target, moved, others, parameters)
            same = jax.tree.map(lambda a, b: jnp.all(a == b), start, end.position)
            finite = jax.tree.map(lambda v: jnp.all(jnp.isfinite(v)), (moved, back))
            stays = jnp.all(jnp.stack(jax.tree.leaves(same)))
            stays = stays | ~jnp.all(jnp.stack(jax.tree.leaves(finite)))
            # Slices have no rate, and neither have paths that leave all numbers.
            acceptance = getattr(info, "acceptance_rate", jnp.nan)
            acceptance = jnp.where(jnp.isnan(acceptance), ~stays, acceptance)
            statistics = {
                name: jnp.asarray(getattr(info, field))
                for field, name in STATISTICS.items()
                if hasattr(info, field)
            }
            moved = {n: jnp.where(stays, own[n], v) for n, v in moved.items()}
            path = self._path(start, info, settings) if LOG_PATH in parameters else None
            return moved, acceptance, statistics, path

        num_particles = state.position[variables[0]].shape[-1]
        # All keys at once: every use of a key is a loop of its own to compile.
        init_keys, step_keys = jax.random.split(key, (2, num_particles))
        together = jax.vmap(step, in_axes=(0, 0, -1), out_axes=-1)
        move = _alone(step) if num_particles == 1 else together
        moved, acceptance, statistics, path = move(init_keys, step_keys, state.position)
        position = {**state.position, **moved}
        fresh = log_factors(target, position, names)
        dtype = dtype_of(fresh)
        info = Info(acceptance.astype(dtype), any_nan(fresh), statistics, path)
        return State(position, {**state.log_factors, **fresh}), info

    def _coordinates(self, target: Target, own: Position, others: Position, parameters: Parameters):
        """Return where to start, and a function from coordinates to values and a log Jacobian."""
        variables = tuple(own)
        if self.space == "tuned":
            middle, shape, as_noise = (parameters[n] for n in ("middle", "shape", "as_noise"))
            x = to_coordinates(target, {**others, **own}, variables, as_noise)
            return standardise(shape, x - middle), lambda x: from_coordinates(
                target, middle + spread(shape, x), {**others, **own}, variables, as_noise
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

    def _settings(self, key: Array, parameters: Parameters) -> dict[str, Any]:
        """Return what the factory is called with; a path has the same length for all particles."""
        if self.space != "tuned":
            return {**parameters, **dict(self.static)}
        size, tuning = len(parameters["shape"]), TUNINGS[self.factory]
        settings = {**tuning.settings(size), **dict(self.static)}
        if LOG_SCALE in parameters:
            settings["step_size"] = self._step_size(parameters)
        if LOG_PATH in parameters:
            # Together the particles of a block take as long as the longest path among them.
            part = jax.random.uniform(
                jax.random.fold_in(key, PATH), dtype=parameters["shape"].dtype
            )
            assert tuning.path is not None
            length = part * jnp.exp(parameters[LOG_PATH]) * tuning.path.unit(size)
            num_steps = jnp.ceil(length / settings["step_size"])
            settings["integration_steps_fn"] = lambda _, num_steps: num_steps
            settings["integration_steps_params"] = (
                jnp.clip(num_steps, 1, chees.MOST_STEPS).astype(int),
            )
        ours = (*ADAPTED, RATE, FINAL_RATE, "middle", "shape", "as_noise", chees.SPREAD)
        return {**settings, **{n: v for n, v in parameters.items() if n not in ours}}

    def _step_size(self, parameters: Parameters) -> Array:
        size, tuning = len(parameters["shape"]), TUNINGS[self.factory]
        factor, power = tuning.step_size
        step_size = factor * size**power * jnp.exp(parameters[LOG_SCALE])
        if tuning.longest_path is None:
            return step_size
        settings = {**tuning.settings(size), **dict(self.static)}
        return step_size * tuning.longest_path / settings["num_integration_steps"]

    def _path(self, start: Array, info, settings: dict[str, Any]) -> chees.Terms:
        """Return what a proposal tells of the length of paths."""
        path, size = TUNINGS[self.factory].path, len(start)
        assert path is not None
        (num_steps,) = settings["integration_steps_params"]
        length = num_steps * settings["step_size"] / path.unit(size)
        end, momentum = info.proposal.position, info.proposal.momentum
        return chees.terms(start, end, path.velocity(momentum, size), length, info.acceptance_rate)


def _steps(algorithm: blackjax.SamplingAlgorithm, key: Array, state, num_steps: int):
    """Step some times; the error of the energy is the root mean square of all steps'."""
    if num_steps == 1:
        return algorithm.step(key, state)
    end, infos = jax.lax.scan(
        lambda state, key: algorithm.step(key, state), state, jax.random.split(key, num_steps)
    )
    last = jax.tree.map(lambda leaf: leaf[-1], infos)
    return end, last._replace(energy_change=jnp.sqrt(jnp.mean(infos.energy_change**2)))


def _alone(step: Callable) -> Callable:
    """Return what `jax.vmap` makes of a step, for one particle: a program of half the size."""

    def move(init_keys, step_keys, position):
        position = {name: values[..., 0] for name, values in position.items()}
        moved = step(init_keys[0], step_keys[0], position)
        return jax.tree.map(lambda leaf: jnp.expand_dims(leaf, -1), moved)

    return move


def make_update(factory: Callable, settings: Mapping | None) -> tuple[Update, Parameters]:
    """Return the update that stands for a BlackJAX factory, and its traced parameters."""
    if not isinstance(settings, Mapping | None):
        raise UserError(f"the settings of a kernel are {settings!r}; expected a dict by name")
    settings = {name: _as_array(value) for name, value in (settings or {}).items()}
    is_diagonal = settings.pop(DIAGONAL, None)
    if not isinstance(is_diagonal, bool | None):
        raise UserError(f"{DIAGONAL} is {is_diagonal!r}; expected true or false")
    rate = settings.pop(TARGET_RATE, None)
    if rate is not None:
        _check_rate(rate, factory, settings)
    if factory is blackjax.normal_random_walk and not settings:
        return TunedRandomWalk(is_diagonal), {LOG_SCALE: 0.0}
    if factory is blackjax.irmh and not settings:
        return IndependentProposals(is_diagonal), {}
    if factory is blackjax.normal_random_walk:
        _check_tunes_itself(is_diagonal, "normal_random_walk", settings)
        return RandomWalk(), settings
    if factory is blackjax.elliptical_slice:
        if settings:
            raise UserError(
                f"elliptical_slice takes no settings here, got {', '.join(settings)}: the mean and "
                "the covariance are those of the variable's prior; leave them out"
            )
        return EllipticalSlice(), {}
    if not callable(factory):
        raise UserError(
            f"the step function {factory!r} is not callable; expected a BlackJAX algorithm such as "
            "blackjax.nuts"
        )
    for name, reason in NOT_OFFERED.items():
        if factory is getattr(blackjax, name):
            raise UserError(f"blackjax.{name} is not offered: {reason}")
    space: Literal["own", "unconstrained", "tuned"] = "own"
    if isinstance(factory, blackjax.GenerateSamplingAPI):
        factory = factory.differentiable  # the function behind it, which can be hashed
        if factory in TUNINGS and not SCALES & set(settings):
            space = "tuned"
        elif factory not in OF_OWN_PROPOSALS:
            space = "unconstrained"
            takes = inspect.signature(factory).parameters
            for name, value in TUNINGS[factory].settings(1).items() if factory in TUNINGS else ():
                if name not in SCALES and name in takes:
                    settings.setdefault(name, value)
    if space != "tuned":
        _check_tunes_itself(is_diagonal, _name(factory), settings)
    static = {
        k: v
        for k, v in settings.items()
        if isinstance(v, bool | int | np.integer | str) or callable(v)
    }
    traced = {k: v for k, v in settings.items() if k not in static}
    if space == "tuned" and TUNINGS[factory].adapts:
        traced[LOG_SCALE] = 0.0
        by_default = TUNINGS[factory].acceptance_rate
        if rate is None and by_default is not None:
            traced[RATE] = by_default
            traced[FINAL_RATE] = TUNINGS[factory].final_acceptance_rate or by_default
        own_path = {"integration_steps_fn", "integration_steps_params"} & {*settings}
        if TUNINGS[factory].path is not None and not own_path:
            traced[LOG_PATH] = math.log(chees.FIRST_PATH)
    fixed = tuple(sorted(static.items()))
    return BlackJAXUpdate(factory, fixed, space, is_diagonal, rate), traced


def _check_rate(rate: object, factory: Callable, settings: Mapping) -> None:
    """Refuse a wrong acceptance rate, or one for a kernel that tunes nothing by it."""
    if not (isinstance(rate, float) and 0 < rate < 1):
        raise UserError(
            f"{TARGET_RATE} is {rate!r}; expected a number between 0 and 1, such as 0.9"
        )
    tuning = TUNINGS.get(getattr(factory, "differentiable", factory))
    given = ", ".join(sorted(SCALES & set(settings)))
    if given or tuning is None or tuning.acceptance_rate is None:
        has = f"has {given}" if given else "tunes none by it"
        raise UserError(
            f"{TARGET_RATE} says how a step size is tuned, but the kernel {has}; leave it out"
        )


def _check_tunes_itself(is_diagonal: bool | None, name: str, settings: Mapping) -> None:
    """Refuse to say how a kernel tunes itself that does not."""
    if is_diagonal is not None:
        given = f"has {', '.join(sorted(settings))}" if settings else "takes no shape"
        raise UserError(
            f"{DIAGONAL} says how blackjax.{name} tunes itself, but it {given}; leave one out"
        )


def _name(factory: Callable) -> str:
    """Return BlackJAX's name of an algorithm."""
    if factory.__name__ == "as_top_level_api":  # as BlackJAX calls those of its modules
        return factory.__module__.rpartition(".")[2]
    return factory.__name__


def _as_array(value):
    """Read lists, which a config has where Python would have arrays."""
    if isinstance(value, Mapping):
        return {name: _as_array(entry) for name, entry in value.items()}
    return np.asarray(value) if isinstance(value, list | tuple) else value
