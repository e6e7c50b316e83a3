"""Markov chain Monte Carlo: chains that warm up together and then draw."""

import math
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, get_args

import jax
import numpy as np
from jax import Array
from threadpoolctl import threadpool_limits

from bamopipe.base import Model
from bamopipe.errors import UserError
from bamopipe.inference.devices import Dealer
from bamopipe.inference.keys import as_typed_key, purpose
from bamopipe.inference.progress import ProgressReport
from bamopipe.inference.result import OK, Draws, nan_sentence
from bamopipe.inference.shelf import Shelf
from bamopipe.inference.starts import PRIOR_DRAWS, Start, find
from bamopipe.inference.turn import adapted, take_turn
from bamopipe.samplers.base import LOG_PATH, LOG_SCALE, Kernel, Parameters
from bamopipe.target import Target, compile_target, precision_context

# Draws that one call of the compiled program makes; what is reported and kept in between.
DRAWS_PER_TURN = 100


@dataclass(frozen=True)
class MCMCInference:
    """Markov chain Monte Carlo: chains that start apart, warm up together, and draw.

    During warm-up, kernels without scales take the shape of their steps from the draws of all
    chains, in windows of doubling length, and the size of their steps from the acceptance rate;
    then both are fixed, and the chains are independent.

    Use it when the posterior has one mode and the evidence is not wanted.

    Parameters
    ----------
    model
        The graph.
    mcmc_kernel
        From `gibbs_sampler` or `mcmc_sampler`.
    num_samples
        Draws that each chain keeps.
    num_warmup
        Steps of each chain that are thrown away, while its kernel is tuned.
    num_burn
        Further steps that are thrown away, with a kernel that is fixed.
    num_thin
        Steps to each draw that is kept.
    num_chains
        Independent chains; at least four tell whether they agree.
    start
        Where chains start: "prior", the likeliest of about 100 draws from the prior, each chain its
        own; "jitter", the prior's median in unconstrained space and noise from -1 to 1, as in Stan;
        "pathfinder", a draw from a normal approximation of the posterior, which also gives the
        first shape of steps. The last two need variables that are continuous.
    precision
        "float64" or "float32".

    References
    ----------
    Hoffman and Gelman (2014), JMLR 15, 1593-1623, for windows; Robbins and Monro (1951) for the
    sizes of steps.

    Examples
    --------
    >>> import blackjax, distrax as dx, jax
    >>> from bamopipe.base import Model
    >>> from bamopipe.inference import MCMCInference
    >>> from bamopipe.samplers import mcmc_sampler
    >>> model = Model()
    >>> mu = model.add_node("mu", distribution=dx.Normal(loc=0.0, scale=1.0))
    >>> y = model.add_node(
    ...     "y", distribution=dx.Normal, parents=dict(loc=mu, scale=1.0), observations=1.0
    ... )
    >>> engine = MCMCInference(model, mcmc_sampler(model, blackjax.nuts), num_samples=500)
    >>> result = engine.run(jax.random.key(0))
    >>> result.draws["mu"].shape
    (4, 500)
    """

    model: Model
    mcmc_kernel: Kernel
    num_samples: int = 1000
    num_warmup: int = 1000
    num_burn: int = 0
    num_thin: int = 1
    num_chains: int = 4
    start: Start = "prior"
    precision: str = "float64"

    def __post_init__(self):
        least = dict(num_samples=1, num_warmup=0, num_burn=0, num_thin=1, num_chains=1)
        for name, minimum in least.items():
            value = getattr(self, name)
            whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
            if not whole or value < minimum:
                raise UserError(f"{name} is {value!r}; expected a whole number, at least {minimum}")
        if self.start not in get_args(Start):
            raise UserError(
                f"start is {self.start!r}; expected one of {', '.join(get_args(Start))}"
            )

    @property
    def target(self) -> Target:
        """The compiled model."""
        return compile_target(self.model, self.precision)

    def run(self, key: Array, folder: Path | None = None) -> Draws:
        """Run all chains.

        Parameters
        ----------
        key
            A JAX key; the same key gives the same draws bit for bit, on any number of devices of
            one kind.
        folder
            Where draws and statistics go turn by turn, for runs that are longer than the memory is
            large or than the machine stays up: a run that was stopped goes on where it was, and
            ends with the same bytes. The arrays of the result are maps of its files, so that it has
            to stay as long as they are used. In memory by default.

        Raises
        ------
        UserError
            The kernel does not fit the model, or there is no start where all densities are finite.
        """
        start = time.perf_counter()
        with precision_context(self.precision), threadpool_limits(limits=1, user_api="blas"):
            self.mcmc_kernel.check(self.target)
            return _Run(self, as_typed_key(key), folder).result(start)


class Phase(NamedTuple):
    """Turns that have something in common.

    Attributes
    ----------
    name
        For people; empty for the draws that are kept.
    num_draws
        How many.
    num_thin
        Steps to each.
    gain
        Of the first steps of each turn in tuning the size of steps.
    tunes
        Whether the shape of steps is taken from the draws in the end.
    """

    name: str
    num_draws: int
    num_thin: int = 1
    gain: float = 0.0
    tunes: bool = False


class _Run:
    """The state of one call of `MCMCInference.run`; arrays live on the host between turns."""

    def __init__(self, engine: MCMCInference, key: Array, folder: Path | None):
        self.engine = engine
        self.dtype = np.dtype(engine.precision)
        self.key = jax.random.fold_in(key, purpose("mcmc"))
        self.folder = folder
        self.parameters = jax.tree.map(
            lambda leaf: np.asarray(leaf, self.dtype), engine.mcmc_kernel.parameters
        )
        self.dealer = Dealer((engine.target,), engine.precision)
        self.turn = partial(take_turn, engine.mcmc_kernel, DRAWS_PER_TURN)
        self.phases = [
            *(
                Phase("warm-up", size, gain=1.0, tunes=not is_last)
                for size, is_last in _windows(engine.num_warmup)
            ),
            Phase("burn", engine.num_burn),
            Phase("", engine.num_samples, engine.num_thin),
        ]
        self.phase, self.num_done, self.num_turns = 0, 0, 0
        self.is_nan = np.zeros((engine.num_chains, len(self.factors)), bool)
        self.kept = Shelf(engine.num_samples, folder)

    def result(self, start: float) -> Draws:
        """Run; `start` is when the clock of compilation began."""
        engine = self.engine
        with ProgressReport(f"MCMC of {engine.model.name}") as self.progress:
            starts = find(
                engine.start,
                engine.mcmc_kernel,
                engine.target,
                self.dealer,
                self.key,
                engine.num_chains,
            )
            self.states = starts.states
            self._tune(starts.shape)
            self.dealer.warm(self.turn, self._item(0, Phase("", 0)))
            compiled = time.perf_counter()
            with self._checkpoint() as self.checkpoint:
                self._go_on(self.checkpoint.load())
                self.checkpoint.write()
            sampled = time.perf_counter()
        draws, statistics = self.kept.read()
        adapted_to = adapted(self.parameters)
        return Draws(
            draws=draws,
            statistics=statistics,
            prior={
                name: np.broadcast_to(
                    np.moveaxis(values, -1, 0), (engine.num_chains, PRIOR_DRAWS, *values.shape[:-1])
                )
                for name, values in starts.prior.items()
            },
            scale={n: math.exp(p[LOG_SCALE]) for n, p in adapted_to.items()},
            path_length={n: math.exp(p[LOG_PATH]) for n, p in adapted_to.items() if LOG_PATH in p},
            status=tuple(
                nan_sentence(broken, "at a draw or proposal") if broken else OK
                for chain in range(engine.num_chains)
                for broken in [sorted(n for n, flags in self.is_nan.items() if flags[chain])]
            ),
            timings={"compile": compiled - start, "sample": sampled - compiled},
            folder=self.folder,
        )

    def _checkpoint(self) -> Checkpoint:
        """Return where the state goes after each turn; nowhere if there is no folder."""
        engine, target = self.engine, self.engine.target
        settings = {
            f.name: getattr(engine, f.name)
            for f in fields(engine)
            if f.name not in ("model", "mcmc_kernel")
        }
        kernel = engine.mcmc_kernel.blocks, engine.mcmc_kernel.parameters
        numbers = target.data, target.missing, target.closures
        path = self.folder and self.folder / "checkpoint.npz"
        return Checkpoint(
            path, fingerprint(settings, kernel, target.program.text, numbers, self.key), self._flush
        )

    def _go_on(self, saved: dict[str, np.ndarray] | None) -> None:
        """Go through all phases, or through what is left of them."""
        if saved is not None:
            self.phase, self.num_done, self.num_turns = saved["counts"].tolist()
            self.is_nan = saved["is_nan"]
            leaves, structure = jax.tree.flatten((self.states, self.parameters))
            leaves = [saved[f"leaf_{number}"] for number in range(len(leaves))]
            self.states, self.parameters = jax.tree.unflatten(structure, leaves)
        self._reserve(self.kept, keep=saved is not None)
        for phase in self.phases[self.phase :]:
            shelf = self.kept
            if phase.tunes:
                window = self.folder and self.folder / f"window-{self.phase}"
                shelf = Shelf(phase.num_draws, window)
                self._reserve(shelf, keep=self.num_done > 0)
            while self.num_done < phase.num_draws:
                self._take_turn(phase, shelf)
                leaves = jax.tree.leaves((self.states, self.parameters))
                self.shelf = shelf
                self.checkpoint.offer(
                    {
                        "counts": np.array([self.phase, self.num_done, self.num_turns]),
                        "is_nan": self.is_nan,
                        **{f"leaf_{number}": leaf for number, leaf in enumerate(leaves)},
                    }
                )
            if phase.tunes:
                draws, _ = shelf.read()
                self._tune(
                    {n: np.moveaxis(v.reshape(-1, *v.shape[2:]), 0, -1) for n, v in draws.items()}
                )
            self.phase, self.num_done = self.phase + 1, 0

    def _take_turn(self, phase: Phase, shelf: Shelf) -> None:
        """Let all chains make some draws."""
        chains = range(self.engine.num_chains)
        size = min(DRAWS_PER_TURN, phase.num_draws - self.num_done)
        found = self.dealer.map(self.turn, [self._item(c, phase, size) for c in chains])
        self.states = [turn.state for turn in found]
        rows = jax.tree.map(
            lambda *leaves: np.stack(leaves)[:, :size],
            *[(turn.draws, turn.statistics) for turn in found],
        )
        if phase.tunes or not phase.name:
            shelf.put(self.num_done, rows)
        if not phase.name:
            for name in found[0].is_nan:
                flags = np.stack([turn.is_nan[name] for turn in found])
                self.is_nan[name] = self.is_nan.get(name, False) | flags
        if phase.gain:
            self._average([turn.adapted for turn in found])
        self.num_done += size
        self.num_turns += 1
        self._tell(phase, rows[1]["acceptance_rate"])

    def _tell(self, phase: Phase, rates: dict[str, np.ndarray]) -> None:
        done, total = (
            sum(phase.num_draws * phase.num_thin for phase in phases)
            for phases in (self.phases[: self.phase], self.phases)
        )
        done += self.num_done * phase.num_thin
        self.progress.update(
            done / total,
            f"{phase.name + ', ' if phase.name else ''}step {done:,} of {total:,}, acceptance "
            + ", ".join(f"{name} {rate.mean():.2f}" for name, rate in rates.items()),
        )

    def _item(self, chain: int, phase: Phase, num_draws: int = 0) -> tuple:
        return (
            jax.random.fold_in(self.key, chain),
            np.int64(self.num_turns),
            np.int64(num_draws),
            np.int64(phase.num_thin),
            self.dtype.type(phase.gain),
            self.parameters,
            self.states[chain],
        )

    def _tune(self, position: dict[str, np.ndarray]) -> None:
        """Take the shape of steps from draws, particles last."""
        self.parameters = jax.device_get(
            _tune(self.engine.mcmc_kernel, self.parameters, position, self.engine.target)
        )

    def _average(self, adapted_to: list[dict[str, Parameters]]) -> None:
        """Start the next turn with what those of all chains ended with."""
        mean = jax.tree.map(lambda *values: self.dtype.type(np.mean(values)), *adapted_to)
        for update, own in mean.items():
            self.parameters[update] = {**self.parameters[update], **own}


@partial(jax.jit, static_argnums=0)
def _tune(kernel: Kernel, parameters, position, target: Target):
    return kernel.tune(parameters, position, target)


def _windows(num_warmup: int) -> list[tuple[int, bool]]:
    """Divide the warm-up into windows of doubling length; the last tenth is one of its own.

    >>> _windows(1000)
    [(100, False), (200, False), (600, False), (100, True)]
    """
    last = num_warmup // 10
    left, size, sizes = num_warmup - last, DRAWS_PER_TURN, list[int]()
    while left > 0:
        size = size if left >= 3 * size else left
        sizes.append(size)
        left, size = left - size, 2 * size
    return [(size, False) for size in sizes] + [(last, True)] * (last > 0)
