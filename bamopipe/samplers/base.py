"""What a kernel is: a sweep of updates over blocks of variables, for a block of particles.

Particles are the last axis of every array, so that one key and one vectorised evaluation serve the
whole block.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bamopipe.errors import UserError, nearest
from bamopipe.samplers.normal import Shapes, draw_noise
from bamopipe.target import Position, Target

Parameters = dict[str, Any]

LOG_SCALE = "log_scale"
"""The parameter that `Update.adapt` changes; updates with settings of their own lack it."""
LOG_PATH = "log_path"
"""Another one, of updates whose paths are tuned: log of the longest, as a phase (`Tuning`)."""
RATE = "acceptance_rate"
"""Parameter of an update: the mean acceptance rate that `adapt` aims at."""
FINAL_RATE = "final_acceptance_rate"
"""Another one, of Markov chains whose steps have found their shape."""
ADAPTED = (LOG_SCALE, LOG_PATH)


class State(NamedTuple):
    """What a kernel needs next.

    The factors are cached untempered: a tempered sum would go stale when the temperature or another
    variable moves.

    Attributes
    ----------
    position
        Variable -> values of shape (..., particle).
    log_factors
        Random variable -> log density of shape (particle,).
    """

    position: Position
    log_factors: dict[str, Array]


class Info(NamedTuple):
    """What an update reports.

    Attributes
    ----------
    acceptance_rate
        Of each particle, shape (particle,).
    is_nan
        Factor -> whether it was not a number inside the support at each particle or its proposal,
        shape (particle,).
    statistics
        What else is known of each particle's move, by ArviZ's names: "diverging", "energy",
        "n_steps", "tree_depth".
    path
        What the length of paths is tuned by, from `chees.terms`, of each particle; None for
        updates without `LOG_PATH`.
    """

    acceptance_rate: Array
    is_nan: dict[str, Array]
    statistics: dict[str, Array]
    path: Any = None


class Update(Protocol):
    """One MCMC move of some variables given all others; frozen and hashable.

    Parameters that its person left out are for the engine to tune, through `tune` and `adapt`. As
    text it says what it does, and why it fits the variables if nobody named it.
    """

    @property
    def tunes(self) -> bool:
        """Whether `tune` adds anything."""
        ...

    def check(self, block: "Block", target: Target, parameters: Parameters) -> None:
        """Raise UserError if the parameters or variables do not fit this update."""
        ...

    def noise_shapes(
        self, state: State, parameters: Parameters, variables: tuple[str, ...]
    ) -> Shapes | None:
        """Tell the shapes of the random numbers that a move takes; None if it takes a key."""
        ...

    def __call__(
        self,
        random: Any,
        /,
        state: State,
        temperature: Array,
        parameters: Parameters,
        target: Target,
        variables: tuple[str, ...],
    ) -> tuple[State, Info]:
        """Move the variables of all particles once, leaving the tempered target invariant.

        `random` is what `noise_shapes` asks for: a `Noise`, or a key.
        """
        ...

    def tune(
        self,
        parameters: Parameters,
        position: Position,
        temperature: Array | None,
        target: Target,
        variables: tuple[str, ...],
    ) -> Parameters:
        """Return all parameters: those that follow from how the particles lie are added.

        They are of the target at `temperature`, if it is given.
        """
        ...

    def adapt(self, parameters: Parameters, info: Info, gain: Array | float) -> Parameters:
        """Return the parameters for the next step, given how this one went, changed by a gain."""
        ...


class Keyed:
    """An update that draws what it needs by itself."""

    def noise_shapes(
        self, state: State, parameters: Parameters, variables: tuple[str, ...]
    ) -> None:
        """Ask for a key."""
        return


class Untuned:
    """An update whose parameters, if it has any, are a person's."""

    @property
    def tunes(self) -> bool:
        """Whether `tune` adds anything: it does not."""
        return False

    def tune(
        self,
        parameters: Parameters,
        position: Position,
        temperature: Array | None,
        target: Target,
        variables: tuple[str, ...],
    ) -> Parameters:
        """Return the parameters as they are."""
        return parameters

    def adapt(self, parameters: Parameters, info: Info, gain: Array | float) -> Parameters:
        """Return the parameters as they are."""
        return parameters


class Block(NamedTuple):
    """Variables that one update moves together, under a name for settings and statistics.

    Whenever it is its turn it moves as often as `repeats` says.
    """

    name: str
    variables: tuple[str, ...]
    update: Update
    repeats: int = 1

    def noise_shapes(self, state: State, parameters: Parameters) -> Shapes | None:
        """Tell the shapes of the random numbers that `move` takes; None if it takes a key."""
        if self.repeats > 1:
            return None
        return self.update.noise_shapes(state, parameters, self.variables)

    def move(
        self,
        random: Any,
        state: State,
        temperature: Array,
        parameters: Parameters,
        target: Target,
    ) -> tuple[State, Info]:
        """Move, and add up what all moves reported."""

        def once(random, state):
            return self.update(random, state, temperature, parameters, target, self.variables)

        if self.repeats == 1:
            return once(random, state)

        shapes = self.update.noise_shapes(state, parameters, self.variables)

        def fresh(index):
            return _draw(jax.random.fold_in(random, index), [shapes], state)[0]

        def again(index, carry):
            state, total = carry
            state, info = once(fresh(index), state)
            return state, _added(total, info)

        _, info = jax.eval_shape(lambda state: once(fresh(0), state), state)
        nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), info)
        return jax.lax.fori_loop(0, self.repeats, again, (state, nothing))


def _draw(key: Array, shapes: Sequence[Shapes | None], state: State) -> list[Any]:
    """Return the random numbers of several moves, or a key for those that take one.

    All at once: every use of a key is a loop of its own to compile.
    """
    asked = [one for one in shapes if one is not None]
    count = len(shapes) - len(asked) + bool(asked)
    keys = iter(jax.random.split(key, count) if count > 1 else [key])
    noise = iter(draw_noise(next(keys), asked, dtype_of(state.log_factors)) if asked else ())
    return [next(keys if one is None else noise) for one in shapes]


# How to add up what several moves in a row report.
_ADDITION = {"diverging": jnp.logical_or, "n_steps": jnp.add, "tree_depth": jnp.maximum}


def _added(total: Info, info: Info) -> Info:
    statistics = {
        name: _ADDITION[name](total.statistics[name], value) if name in _ADDITION else value
        for name, value in info.statistics.items()
    }
    is_nan = {name: total.is_nan[name] | flag for name, flag in info.is_nan.items()}
    return Info(total.acceptance_rate + info.acceptance_rate, is_nan, statistics)


@dataclass(frozen=True)
class Kernel:
    """A sweep over blocks of variables; made by `gibbs_sampler` and `mcmc_sampler`.

    The blocks are static; the parameters (step sizes, scales) are passed to `step` as arrays, so
    that other values need no new compilation. Kernels with equal blocks compare equal.

    Attributes
    ----------
    blocks
        What moves.
    parameters
        Block name -> parameters of its update.
    order
        Names of blocks in the order in which they move, some perhaps more than once; in the order
        of `blocks` if it is empty.
    """

    blocks: tuple[Block, ...]
    parameters: dict[str, Parameters] = field(compare=False)
    order: tuple[str, ...] = ()

    def init(self, target: Target, position: Position) -> State:
        """Evaluate all factors at the particles (last axis) of a position."""
        return State(position, log_factors(target, position))

    def step(
        self,
        key: Array,
        state: State,
        temperature: Array,
        parameters: dict[str, Parameters],
        target: Target,
    ) -> tuple[State, dict[str, Info]]:
        """Make one sweep: update every block, in order.

        Parameters
        ----------
        key
            One key for the whole block of particles.
        state
            Positions and untempered factors, particles last.
        temperature
            Exponent of the likelihood, 0 to 1.
        parameters
            Like `self.parameters`.
        target
            The compiled model.

        Returns
        -------
        tuple of State and dict
            The new state, and one Info a block, with the mean acceptance rate of its moves.
        """
        blocks = {block.name: block for block in self.blocks}
        order = self.order or tuple(blocks)
        totals: dict[str, Info] = {}
        shapes = [blocks[name].noise_shapes(state, parameters[name]) for name in order]
        for name, random in zip(order, _draw(key, shapes, state), strict=True):
            state, info = blocks[name].move(random, state, temperature, parameters[name], target)
            totals[name] = _added(totals[name], info) if name in totals else info
        infos = {}
        for name, block in blocks.items():
            count = block.repeats * order.count(name)
            rate = totals[name].acceptance_rate
            infos[name] = totals[name]._replace(acceptance_rate=rate / count)
        return state, infos

    def tune(
        self,
        parameters: dict[str, Parameters],
        position: Position,
        target: Target,
        temperature: Array | None = None,
    ) -> dict[str, Parameters]:
        """Complete the parameters from how all particles (last axis) of a chain lie.

        Given the temperature that they are of, coordinates are chosen for kernels with gradients.
        """
        return {
            block.name: block.update.tune(
                parameters[block.name], position, temperature, target, block.variables
            )
            for block in self.blocks
        }

    @property
    def tunes(self) -> bool:
        """Whether `tune` adds anything to the parameters."""
        return any(block.update.tunes for block in self.blocks)

    def adapt(
        self, parameters: dict[str, Parameters], infos: Mapping[str, Info], gain: Array | float = 1
    ) -> dict[str, Parameters]:
        """Adapt the sizes of steps to how the last ones went.

        A gain of 1 suits a thousand particles, whose rates are precise; a single one needs a gain
        that falls.
        """
        return {
            block.name: block.update.adapt(parameters[block.name], infos[block.name], gain)
            for block in self.blocks
        }

    def steps(self) -> dict[str, Literal["given", "tuned", "fixed"]]:
        """Tell for each block who sets the size of its steps: a person, the engine, or nobody."""
        kinds: dict[str, Literal["given", "tuned", "fixed"]] = {}
        for block in self.blocks:
            parameters = self.parameters[block.name]
            kinds[block.name] = (
                "tuned" if LOG_SCALE in parameters else "given" if parameters else "fixed"
            )
        return kinds

    def describe(self) -> None:
        """Print what moves each variable, and why.

        Examples
        --------
        >>> import distrax as dx
        >>> from bamopipe.base import Model
        >>> from bamopipe.samplers import gibbs_sampler
        >>> model = Model()
        >>> mu = model.add_node("mu", distribution=dx.Normal(0.0, 1.0))
        >>> theta = model.add_node("theta", distribution=dx.Gamma(2.0, 1.0), shape=(8,))
        >>> count = model.add_node("count", distribution=dx.Bernoulli(probs=0.5))
        >>> gibbs_sampler(model).describe()
        Updates
        <BLANKLINE>
            mu         draw from its full conditional, which is Gaussian
            theta      draw from its full conditional, which is Gamma
            count      draw from its full conditional, over 2 values
            mu, theta  random walk that tunes itself
        """
        names = [", ".join(block.variables) for block in self.blocks]
        width = max(map(len, names))
        print("Updates\n")
        for name, block in zip(names, self.blocks, strict=True):
            times = f", {block.repeats} times in a row" if block.repeats > 1 else ""
            print(f"    {name:{width}}  {block.update}{times}")
        if self.order:
            print(f"\nin the order {'; '.join(self.order)}")

    def check(self, target: Target) -> None:
        """Raise UserError unless the blocks move every latent variable with fitting parameters."""
        moved = {variable for block in self.blocks for variable in block.variables}
        missing = [v for v in target.latent if v not in moved]
        if missing or moved - set(target.latent):
            raise UserError(
                f"the kernel moves {', '.join(sorted(moved))}, but the latent variables of model "
                f"{target.program.model.name!r} are {', '.join(target.latent)}; "
                "make the kernel from the same model"
            )
        for block in self.blocks:
            block.update.check(block, target, self.parameters[block.name])


def check_has_room(target: Target, block: Block) -> None:
    """Refuse variables on a surface, which no step in their own space stays on."""
    for name in block.variables:
        shape, free_shape = target.program.shapes[name], target.program.free_shapes[name]
        if free_shape is not None and free_shape != shape:
            raise UserError(
                f"kernel of {block.name!r}: the values of variable {name!r}, of shape {shape}, lie "
                "on a surface (a simplex, say, or symmetric matrices) with "
                f"{int(np.prod(free_shape))} free numbers, which a step in their own space always "
                "leaves; leave out the settings, and the kernel moves in free numbers and tunes "
                "itself"
            )


def check_is_continuous(target: Target, block: Block, kernel: str) -> None:
    """Refuse variables that take whole numbers only."""
    for name in block.variables:
        if name in target.program.discrete:
            raise UserError(
                f"{kernel} cannot move variable {name!r}, which takes whole numbers only; leave "
                "its kernel out, which gives it one for whole numbers, give it blackjax.rmh with "
                "proposals of your own, or marginalise it"
            )


def log_factors(target: Target, position: Position, names: tuple[str, ...] | None = None) -> dict:
    """Evaluate factors of many particles at once, particles last."""
    return jax.vmap(lambda p: target.log_factors(p, names), in_axes=-1, out_axes=-1)(position)


def dtype_of(factors: Mapping[str, Array]) -> Any:
    """Return the type of all factors, and of all real numbers."""
    return next(iter(factors.values())).dtype


def any_nan(factors: Mapping[str, Array]) -> dict[str, Array]:
    """Tell for each factor at which particles it, or any part of it, is not a number."""
    return {name: jnp.any(jnp.isnan(f), tuple(range(f.ndim - 1))) for name, f in factors.items()}


def check_names(what: str, given, known) -> None:
    """Raise UserError if a name is not among the known ones."""
    for name in given:
        if name not in known:
            raise UserError(f"{what} {name!r} is not known{nearest(name, known)}")
