"""One run of Markov chain Monte Carlo, from its start to its draws."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np
from jax import Array

from bamopipe.garbage import uncollected
from bamopipe.inference import prior_draws
from bamopipe.inference.checkpoint import Checkpoint
from bamopipe.inference.devices import Dealer, zeros
from bamopipe.inference.keys import derived
from bamopipe.inference.memory import of_largest_array
from bamopipe.inference.progress import ProgressReport
from bamopipe.inference.result import OK, Draws, nan_sentence
from bamopipe.inference.shelf import Shelf
from bamopipe.inference.starts import PRIOR_DRAWS, TRIES, drawing, find
from bamopipe.inference.turn import adapted, take_turn
from bamopipe.samplers.base import FINAL_RATE, LOG_PATH, LOG_SCALE, RATE, Kernel, Parameters
from bamopipe.target import Target, precision_context

if TYPE_CHECKING:
    from bamopipe.inference.mcmc import MCMCInference

logger = logging.getLogger("bamopipe")

# Draws of warm-up after which the chains agree on the size of steps.
DRAWS_PER_TURN = 100
# All others come in turns of about so many seconds, after which it is reported and kept what they
# are; at most so many draws, and no more than fit in so many bytes.
SECONDS_PER_TURN = 0.2
MOST_DRAWS = 1000
MOST_BYTES = 2**24


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


class Run:
    """The state of one call of `MCMCInference.run`; arrays live on the host between turns."""

    def __init__(self, engine: "MCMCInference", key: Array, folder: Path | None):
        self.engine = engine
        self.dtype = np.dtype(engine.precision)
        self.key = derived(key, "mcmc")
        self.folder = folder
        parameters = jax.tree.map(
            lambda leaf: np.asarray(leaf, self.dtype), engine.mcmc_kernel.parameters
        )
        self.parameters = [parameters] * engine.num_chains
        # Of each chain, whether it was far behind the others and so is tuned by itself.
        self.is_behind = np.zeros(engine.num_chains, bool)
        # Whether transitions diverged when the size of steps had settled.
        self.has_diverged = np.zeros((), bool)
        draw_bytes = sum(np.asarray(values).nbytes for values in engine.target.example.values())
        self.room = max(min(MOST_DRAWS, MOST_BYTES // draw_bytes), DRAWS_PER_TURN)
        self.seconds_per_step = math.inf
        # Where they start, many points of each chain are evaluated at once.
        step_bytes = TRIES * of_largest_array(engine.mcmc_kernel, engine.target)
        chain_bytes = max(self.room * draw_bytes, step_bytes)
        self.dealer = Dealer((engine.target,), engine.precision, engine.num_chains, chain_bytes)
        self.turn = partial(take_turn, engine.mcmc_kernel, self.room)
        self.phases = [
            *(
                Phase("warm-up", size, gain=1.0, tunes=not is_last)
                for size, is_last in windows(engine.num_warmup)
            ),
            Phase("burn", engine.num_burn),
            Phase("", engine.num_samples, engine.num_thin),
        ]
        self.phase, self.num_done = 0, 0
        self.is_nan: dict[str, np.ndarray] = {}
        self.kept = Shelf(engine.num_samples, folder)
        self.shelf = self.kept

    def result(self, start: float, checkpoint: Checkpoint | None) -> Draws:
        """Run; `start` is when the clock of compilation began."""
        engine = self.engine
        with ProgressReport(f"MCMC of {engine.model.name}") as self.progress:
            with uncollected():  # before the clock of sampling starts
                self.dealer.compile(self._calls())
            starts = find(
                engine.start,
                engine.mcmc_kernel,
                engine.target,
                self.dealer,
                self.key,
                engine.num_chains,
            )
            self.states = starts.states
            self._tune(lambda group: starts.shape, 0)  # of the prior, but for start=pathfinder
            compiled = time.perf_counter()
            self._restore(checkpoint)
            self.progress.begin(self._steps()[0] / self._steps()[1])
            while self.phase < len(self.phases):
                self._go_through(self.phases[self.phase], checkpoint)
                self.phase, self.num_done = self.phase + 1, 0
            if checkpoint:
                checkpoint.write()
            sampled = time.perf_counter()
        draws, statistics = self.kept.read()
        adapted_to = _mean([adapted(own) for own in self.parameters])
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

    def _calls(self) -> Iterator[partial]:
        """Give a call of every program, with zeros, as soon as their shapes are known."""
        engine = self.engine
        drawn_with = drawing(engine.mcmc_kernel, engine.target, self.key, engine.num_chains)
        drawn = yield from prior_draws.calls(*drawn_with)
        tune = self._tuning(self.parameters[0], drawn.position, 0)
        state = jax.tree.map(lambda leaf: leaf[..., :1], drawn)
        item = (*self._numbers(0, Phase("", 0)), zeros(tune), state)
        yield from self.dealer.calls(self.turn, item)
        yield tune

    def flush(self) -> None:
        """Bring what the arrays of `_arrays` refer to onto the disk."""
        self.shelf.flush()

    def _arrays(self) -> dict[str, np.ndarray]:
        """Return all that a run needs to go on, but for what is on the shelf."""
        leaves = jax.tree.leaves((self.states, self.parameters))
        return {
            "counts": np.array([self.phase, self.num_done]),
            "is_behind": self.is_behind,
            "has_diverged": self.has_diverged,
            **{f"is_nan/{name}": flags for name, flags in self.is_nan.items()},
            **{f"leaf/{number}": np.asarray(leaf) for number, leaf in enumerate(leaves)},
        }

    def _restore(self, checkpoint: Checkpoint | None) -> None:
        """Go on from the arrays of an earlier process, if there are any."""
        saved = checkpoint.load() if checkpoint else None
        if checkpoint and saved is not None:
            self.phase, self.num_done = saved["counts"].tolist()
            self.is_behind = saved["is_behind"]
            self.has_diverged = saved["has_diverged"]
            names = [name for name in saved if name.startswith("is_nan/")]
            self.is_nan = {name.removeprefix("is_nan/"): saved[name] for name in names}
            leaves, structure = jax.tree.flatten((self.states, self.parameters))
            leaves = [saved[f"leaf/{number}"] for number in range(len(leaves))]
            self.states, self.parameters = jax.tree.unflatten(structure, leaves)
            logger.info("goes on from %s", checkpoint.path)
        is_last = self.phase == len(self.phases) - 1
        self.kept.reserve(self._rows(), keep=is_last and self.num_done > 0)

    def _rows(self):
        """Return the shapes of what a turn adds to a shelf."""
        with precision_context(self.engine.precision):
            found = take_turn.eval_shape(
                *self.turn.args, self.engine.target, *self._item(0, self.phases[-1])
            )
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((self.engine.num_chains, *leaf.shape), leaf.dtype),
            (found.draws, found.statistics),
        )

    def _go_through(self, phase: Phase, checkpoint: Checkpoint | None) -> None:
        """Make all draws of a phase, and tune if it is for that."""
        self.shelf = self.kept
        if phase.tunes:
            folder = self.folder and self.folder / f"window-{self.phase}"
            self.shelf = Shelf(phase.num_draws, folder)
            self.shelf.reserve(self._rows(), keep=self.num_done > 0)
        while self.num_done < phase.num_draws:
            self._take_turn(phase)
            if checkpoint:
                checkpoint.offer(self._arrays())
        if phase.tunes:
            draws, statistics = self.shelf.read()
            is_behind = behind(statistics["lp"], statistics["log_prior"])
            self.is_behind = np.all(is_behind[:, phase.num_draws // 2 :], axis=1)

            def of_group(chains: list[int]) -> dict[str, np.ndarray]:
                counts = ~is_behind[chains] | self.is_behind[chains, None]
                return {n: np.moveaxis(v[chains][counts], 0, -1) for n, v in draws.items()}

            self._tune(of_group, 1)
            # In the first half of each turn steps vary much.
            is_late = np.arange(phase.num_draws) % DRAWS_PER_TURN >= DRAWS_PER_TURN // 2
            diverging = statistics.get("diverging", np.zeros(is_behind.shape, bool))
            self.has_diverged |= np.any(diverging[~self.is_behind][:, is_late])
            if not self.phases[self.phase + 1].tunes:
                self._settle()

    def _settle(self) -> None:
        """Aim at the acceptance rate of the draws; after divergences, half as far from 1."""
        for update, first in self.engine.mcmc_kernel.parameters.items():
            if FINAL_RATE in first:
                rate = first[FINAL_RATE]
                if self.has_diverged:
                    rate = (1 + rate) / 2
                    logger.info("divergences: steps are tuned to accept %.3g of proposals", rate)
                self.parameters = [
                    own | {update: own[update] | {RATE: self.dtype.type(rate)}}
                    for own in self.parameters
                ]

    def _take_turn(self, phase: Phase) -> None:
        """Let all chains make some draws."""
        size, start = self._size(phase), time.perf_counter()
        items = [self._item(chain, phase, size) for chain in range(self.engine.num_chains)]
        found = jax.device_get(self.dealer.map(self.turn, items))
        self.seconds_per_step = (time.perf_counter() - start) / (size * phase.num_thin)
        self.states = [turn.state for turn in found]
        rows = jax.tree.map(
            lambda *leaves: np.stack([leaf[:size] for leaf in leaves]),
            *[(turn.draws, turn.statistics) for turn in found],
        )
        if phase.tunes or not phase.name:
            self.shelf.put(self.num_done, rows)
        if not phase.name:
            for name in found[0].is_nan:
                flags = np.stack([turn.is_nan[name] for turn in found])
                self.is_nan[name] = self.is_nan.get(name, False) | flags
        if phase.gain:
            self._average([turn.adapted for turn in found])
        self.num_done += size
        self._tell(phase, rows[1]["acceptance_rate"])

    def _size(self, phase: Phase) -> int:
        """Return how many draws the next turn makes, on which no number depends after warm-up."""
        left = phase.num_draws - self.num_done
        if phase.gain:
            return min(DRAWS_PER_TURN, left)
        in_time = int(SECONDS_PER_TURN / (self.seconds_per_step * phase.num_thin))
        return min(max(in_time, 1), self.room, left)

    def _tell(self, phase: Phase, rates: dict[str, np.ndarray]) -> None:
        done, total = self._steps()
        self.progress.update(
            done / total,
            f"{phase.name + ', ' if phase.name else ''}step {done:,} of {total:,}, acceptance "
            + ", ".join(f"{name} {rate.mean():.2f}" for name, rate in rates.items()),
        )

    def _steps(self) -> tuple[int, int]:
        """Return how many steps each chain has made, and how many it will make."""
        lengths = [phase.num_draws * phase.num_thin for phase in self.phases]
        done = sum(lengths[: self.phase])
        if self.phase < len(self.phases):
            done += self.num_done * self.phases[self.phase].num_thin
        return done, sum(lengths)

    def _item(self, chain: int, phase: Phase, num_draws: int = 0) -> tuple:
        return (
            *self._numbers(chain, phase, num_draws),
            self.parameters[chain],
            self.states[chain],
        )

    def _numbers(self, chain: int, phase: Phase, num_draws: int = 0) -> tuple:
        return (
            derived(self.key, "step", chain, self.phase),
            np.int64(self.num_done),
            np.int64(num_draws),
            np.int64(phase.num_thin),
            self.dtype.type(phase.gain),
        )

    def _groups(self) -> list[list[int]]:
        """Return for each chain the chains that it is tuned with."""
        together = np.flatnonzero(~self.is_behind).tolist()
        return [[c] if is_alone else together for c, is_alone in enumerate(self.is_behind)]

    def _tune(self, draws: Callable[[list[int]], dict[str, np.ndarray]], temperature: int) -> None:
        """Take the shape of steps from the draws of each group of chains, particles last."""
        tuned: dict[tuple[int, ...], dict[str, Parameters]] = {}
        for chain, group in enumerate(self._groups()):
            if tuple(group) not in tuned:
                tune = self._tuning(self.parameters[chain], draws(group), temperature)
                tuned[tuple(group)] = jax.device_get(tune())
        self.parameters = [tuned[tuple(group)] for group in self._groups()]

    def _tuning(self, parameters: dict[str, Parameters], draws: dict, temperature: int) -> partial:
        """Return the call of the one program that takes the shape of steps from any draws."""
        kernel, target = self.engine.mcmc_kernel, self.engine.target
        # The shape that steps had is left out, and draws that are not finite are of no account.
        own = {
            update: {name: parameters[update][name] for name in first}
            for update, first in kernel.parameters.items()
        }
        most = self.engine.num_chains * longest_window(self.engine.num_warmup)
        position = {name: _fill(values, most) for name, values in draws.items()}
        return partial(_tune, kernel, own, position, target, self.dtype.type(temperature))

    def _average(self, adapted_to: list[dict[str, Parameters]]) -> None:
        """Start the next turn with what those of all chains, or a group of them, ended with."""
        means = [_mean([adapted_to[c] for c in group]) for group in self._groups()]
        self.parameters = [
            {name: {**own, **mean.get(name, {})} for name, own in parameters.items()}
            for parameters, mean in zip(self.parameters, means, strict=True)
        ]


def behind(lp: np.ndarray, log_prior: np.ndarray) -> np.ndarray:
    """Tell which draws are far from where the likeliest chain has arrived.

    Neither their posterior density nor their likelihood comes up to the lowest in the second half
    of that chain. In one mode hardly a draw is so low in both; and neither is one in the narrow
    neck of a funnel, where the density is high though the likelihood is low.

    Parameters
    ----------
    lp, log_prior
        Log densities, of shape (chain, draw).

    Examples
    --------
    >>> import numpy as np
    >>> lp = np.array([[-9.0, -5.0, -3.0, -4.0], [-8.0, -9.0, -8.0, -4.0]])
    >>> behind(lp, np.zeros((2, 4)))
    array([[ True,  True, False, False],
           [ True,  True,  True, False]])
    """
    late = slice(lp.shape[1] // 2, None)
    best = np.argmax(np.mean(lp[:, late], axis=1))
    is_below = [values < np.min(values[best, late]) for values in (lp, lp - log_prior)]
    return np.logical_and(*is_below)


def _mean(adapted_to: list[dict[str, Parameters]]) -> dict[str, Parameters]:
    return jax.tree.map(lambda *values: np.mean(values).astype(values[0].dtype), *adapted_to)


@partial(jax.jit, static_argnums=0)
def _tune(kernel: Kernel, parameters, position, target: Target, temperature):
    return kernel.tune(parameters, position, target, temperature)


def _fill(values: np.ndarray, size: int) -> np.ndarray:
    """Make the last axis at least so long, by NaN, or where there are whole numbers by zeros."""
    missing = max(size - values.shape[-1], 0)
    filling = np.nan if np.issubdtype(values.dtype, np.floating) else 0
    widths = [(0, 0)] * (values.ndim - 1) + [(0, missing)]
    return np.pad(values, widths, constant_values=filling)


def longest_window(num_warmup: int) -> int:
    """Return of how many draws of each chain the shape of steps is taken at most."""
    return max([PRIOR_DRAWS, *(size for size, _ in windows(num_warmup))])


def windows(num_warmup: int) -> list[tuple[int, bool]]:
    """Divide the warm-up into windows of doubling length; the last tenth is one of its own.

    >>> windows(1000)
    [(100, False), (200, False), (600, False), (100, True)]
    """
    last = num_warmup // 10
    left, size, sizes = num_warmup - last, DRAWS_PER_TURN, list[int]()
    while left > 0:
        size = size if left >= 3 * size else left
        sizes.append(size)
        left, size = left - size, 2 * size
    return [(size, False) for size in sizes] + [(last, True)] * (last > 0)
