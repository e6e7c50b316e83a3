"""One run of sequential Monte Carlo: the loop over stages, on the host."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax import Array

from bamopipe.errors import UserError
from bamopipe.evidence.clusters import Clusters
from bamopipe.evidence.genealogy import Genealogy
from bamopipe.garbage import uncollected
from bamopipe.inference import prior_draws
from bamopipe.inference.chain import Chain, particles_first, stack
from bamopipe.inference.checkpoint import Checkpoint
from bamopipe.inference.devices import Dealer, particles_per_block, zeros
from bamopipe.inference.keys import derived
from bamopipe.inference.memory import of_largest_array
from bamopipe.inference.mutation import Mutation, low_correlation
from bamopipe.inference.paths import DataTempering, LikelihoodTempering, Path
from bamopipe.inference.persistent import Pool
from bamopipe.inference.progress import ProgressReport, fraction_done
from bamopipe.inference.result import OK, FinalState, Result, Stage, nan_sentence
from bamopipe.inference.smc_programs import (
    choose,
    move,
    parameters_of,
    reweigh_and_tune,
    tune,
)
from bamopipe.inference.tempering import Goal, Reweighting
from bamopipe.samplers.base import Parameters, State

if TYPE_CHECKING:
    from bamopipe.inference.smc import SMCInference

logger = logging.getLogger("bamopipe")

PRIOR_DRAWS_KEPT = 1000
# Under this fraction the particles say nothing about the posterior. Only the first temperature can
# fall there, where the likelihood is zero at most draws from the prior.
LEAST_ESS = 0.005


class Run:
    """The state of one call of `SMCInference.run`; the loop over stages is on the host."""

    def __init__(self, engine: SMCInference, key: Array):
        self.engine = engine
        self.dtype = np.dtype(engine.precision)
        particle_bytes = of_largest_array(engine.mcmc_kernel, engine.target)
        self.num_blocks = math.ceil(engine.num_particles / particles_per_block(particle_bytes))
        if engine.mcmc_kernel.tunes:  # half of the blocks to the others
            self.num_blocks += self.num_blocks % 2
        self.block_size = math.ceil(engine.num_particles / self.num_blocks)
        self.path: Path = LikelihoodTempering()
        if engine.data_blocks > 1:
            self.path = DataTempering(engine.data_blocks)
        self.path.check(engine.target)
        self.num_ancestors, num_kept = engine.num_particles, None
        if engine.scheme == "waste_free":
            assert engine.num_mutations is not None
            in_block = math.ceil(self.block_size / (engine.num_mutations + 1))
            self.num_ancestors = self.num_blocks * in_block
            num_kept = self.block_size
        self.move = partial(move, engine.mcmc_kernel, self.path, num_kept)
        self.dealer = Dealer(
            (engine.target,),
            engine.precision,
            engine.num_chains * self.num_blocks,
            self.block_size * particle_bytes,
        )
        self.is_pilot, self.pilot = False, list[Stage]()
        self.chain_keys = [derived(key, "smc", chain) for chain in range(engine.num_chains)]
        self.chains: list[Chain] = []

    def result(self, start: float, checkpoint: Checkpoint | None) -> Result:
        """Run; `start` is when the clock of compilation began."""
        with ProgressReport(f"SMC of {self.engine.model.name}") as progress:
            with uncollected():  # before the clock of sampling starts
                self.dealer.compile(self._calls())
            compiled = time.perf_counter()
            timings = {"compile": compiled - start, "sample": 0.0}
            before = self._restore(checkpoint) if checkpoint else 0.0
            if not self.chains:
                if self.engine.num_mutations is None:
                    self.pilot = self._fly_pilot()
                self._start()
                self._check_possible()
            progress.begin(self._fraction_done())
            while self._running:
                self._stage()
                timings["sample"] = before + time.perf_counter() - compiled
                if checkpoint:
                    checkpoint.offer(self._to_arrays(timings["sample"]))
                progress.update(self._fraction_done(), self._describe())
        return self._collect(timings)

    @property
    def _running(self) -> list[Chain]:
        return [chain for chain in self.chains if chain.status is None]

    def _calls(self) -> Iterator[partial]:
        """Give a call of every program, with zeros, as soon as their shapes are known."""
        key, half = self.chain_keys[0], self.dtype.type(0.5)
        parameters = self._first_parameters()
        state = yield from prior_draws.calls(*self._drawing(key, 0))
        stacked = stack([state] * self.num_blocks)
        if self.engine.scheme == "persistent":
            prepare = partial(
                tune,
                self.engine.mcmc_kernel,
                parameters,
                stacked.position,
                self.engine.target,
                half,
            )
            tuned = zeros(prepare)
        else:
            goal = Goal(self.dtype.type(1), self.dtype.type(0))
            prepare = self._reweighing(key, 0, stacked, parameters, half, 0, goal)
            stacked, tuned, _ = zeros(prepare)
            state = jax.tree.map(lambda leaf: leaf[0], stacked)
        until = np.int64(0), self._until(half)[1]
        yield from self.dealer.calls(self.move, (key, half, until, parameters_of(tuned, 0), state))
        yield prepare

    def _fly_pilot(self) -> list[Stage]:
        """Find how many mutations it takes to forget, by a chain of one or two blocks of its own.

        A chain that stopped when it had forgotten would be moved the longer the more of its
        particles are where moves are slow, by chance; its evidence would be biased (by a third of
        its standard error in eight schools with 500 particles).
        """
        engine = replace(
            self.engine,
            num_chains=1,
            num_particles=min(self.engine.num_particles, self.block_size * min(self.num_blocks, 2)),
            scheme="standard",
            target_ess=min(self.engine.target_ess, 0.9),
        )
        pilot = Run(engine, derived(self.chain_keys[0], "pilot"))
        pilot.dealer, pilot.is_pilot = self.dealer, True
        pilot._start()
        while pilot._running:
            pilot._stage()
        return pilot.chains[0].stages

    def _until(self, temperature) -> tuple[np.int64, np.floating | None]:
        """Return the number of mutations, and the correlation with their start that ends them."""
        engine, never = self.engine, self.dtype.type(-np.inf)
        if engine.num_mutations is not None:
            return np.int64(engine.num_mutations), None
        if self.is_pilot:
            low = low_correlation(engine.target, self.block_size)
            return np.int64(engine.max_mutations), self.dtype.type(low)
        for stage in self.pilot:
            if stage.temperature >= temperature:
                return np.int64(stage.num_mutations), never
        return np.int64(engine.max_mutations), never

    def _first_parameters(self) -> dict[str, Parameters]:
        given = self.engine.mcmc_kernel.parameters
        return jax.tree.map(lambda leaf: np.asarray(leaf, self.dtype), given)

    def _start(self) -> None:
        """Draw all particles from the prior."""
        engine = self.engine
        for key in self.chain_keys:
            drawing = [self._drawing(key, block) for block in range(self.num_blocks)]
            state = stack([self.dealer.rest(prior_draws.draw(*block)) for block in drawing])
            chain = Chain(
                key=key,
                parameters=self._first_parameters(),
                genealogy=(Clusters if engine.scheme == "waste_free" else Genealogy)(
                    engine.num_particles
                ),
                temperature=self.dtype.type(0),
                state=state,
                prior={
                    name: particles_first(values)[: min(PRIOR_DRAWS_KEPT, engine.num_particles)]
                    for name, values in state.position.items()
                },
            )
            broken = [n for n, f in state.log_factors.items() if np.isnan(f).any()]
            if broken:
                chain.status = nan_sentence(broken, "at a draw from the prior")
            elif any(np.all(state.log_factors[n] == -np.inf) for n in engine.target.observed):
                chain.status = (
                    "the observations are impossible at every draw from the prior of this chain; "
                    "use more particles, or another prior"
                )
            if engine.scheme == "persistent":
                chain.pool = Pool()
                self._keep(chain, chain.pool)
            self.chains.append(chain)

    def _drawing(self, chain_key, block: int) -> tuple:
        engine = self.engine
        key = derived(chain_key, "prior", block)
        return engine.mcmc_kernel, self.block_size, engine.target, key

    def _goal(self, temperature: np.floating) -> tuple[int, Goal]:
        """Return the segment of the path, and how far the next step may go on it."""
        segment, limit = self.path.segment(temperature)
        target_ess = self.engine.target_ess
        if self.engine.temperatures is not None:
            planned = np.asarray(self.engine.temperatures, self.dtype)
            limit = min(limit, planned[planned > temperature][0])
            target_ess = 0.0
        return segment, Goal(limit, self.dtype.type(target_ess))

    def _reweighing(
        self, chain_key, stage: int, state: State, parameters, temperature, segment, goal
    ) -> partial:
        engine = self.engine
        return partial(
            reweigh_and_tune,
            engine.mcmc_kernel,
            self.path,
            engine.resampling_fn,
            (engine.num_particles, self.num_ancestors),
            engine.target,
            derived(chain_key, "resample", stage),
            state,
            parameters,
            temperature,
            np.int64(segment),
            goal,
        )

    def _stage(self) -> None:
        """Reweigh, resample and move all chains that are still on their way."""
        moving, reweighings, items = list[Chain](), list[Reweighting](), []
        # All of them are begun before any is waited for.
        for chain, (state, tuned, found) in [(c, self._reweigh(c)) for c in self._running]:
            state = self.dealer.rest(state)
            tuned, temperature = jax.device_get((tuned, found.temperature))
            if not temperature > chain.temperature:
                chain.status = (
                    f"tempering stalled at temperature {chain.temperature:.3g}: no higher "
                    "temperature keeps the effective sample size at "
                    f"{self.engine.target_ess:g} of the particles; use more particles or more "
                    "mutations"
                )
                continue
            chain.temperature = temperature
            moving.append(chain)
            reweighings.append(found)
            items += [
                (
                    derived(chain.key, "move", len(chain.stages), block),
                    chain.temperature,
                    self._until(chain.temperature),
                    parameters_of(tuned, block),
                    jax.tree.map(lambda leaf, b=block: leaf[b], state),
                )
                for block in range(self.num_blocks)
            ]

        def descend() -> None:
            reweighings[:] = jax.device_get(reweighings)
            for chain, found in zip(moving, reweighings, strict=True):
                if isinstance(chain.genealogy, Clusters):
                    chain.genealogy.descend(found.weights, self._clusters())
                else:
                    keep = chain.pool is not None
                    chain.genealogy.descend(found.weights, found.ancestors, keep)

        moved = self.dealer.map(self.move, items, meanwhile=descend)
        mutations = jax.device_get([mutation for _, mutation in moved])
        for place, (chain, found) in enumerate(zip(moving, reweighings, strict=True)):
            part = slice(place * self.num_blocks, (place + 1) * self.num_blocks)
            chain.state = stack([state for state, _ in moved[part]])
            self._record(chain, found, mutations[part])
            if chain.pool is not None:
                self._keep(chain, chain.pool)

    def _clusters(self) -> np.ndarray:
        """Return for each particle that was moved the number of the ancestor it was moved from."""
        by_block = np.arange(self.num_ancestors).reshape(self.num_blocks, -1)
        copies = math.ceil(self.block_size / by_block.shape[1])
        every = np.tile(by_block, (1, copies))[:, : self.block_size]
        return every.reshape(-1)[: self.engine.num_particles]

    def _reweigh(self, chain: Chain) -> tuple[State, dict[str, Parameters], Reweighting]:
        """Raise the temperature of a chain, resample and tune."""
        segment, goal = self._goal(chain.temperature)
        if chain.pool is not None:
            return self._reweigh_pool(chain, chain.pool, goal)
        return self._reweighing(
            chain.key,
            len(chain.stages),
            chain.state,
            chain.parameters,
            chain.temperature,
            segment,
            goal,
        )()

    def _reweigh_pool(self, chain: Chain, pool: Pool, goal: Goal):
        """Do the same with the particles of all temperatures so far."""
        engine, size = self.engine, self.engine.num_particles
        temperature, log_evidence, ess, weights = pool.reweigh(
            float(chain.temperature), float(goal.limit), float(goal.target_ess)
        )
        # Zero weights up to a power of two let few programs serve any number of temperatures.
        most = size * 2 ** math.ceil(math.log2(max(len(pool.states), 16)))
        padded = np.pad(weights, (0, most - len(weights))).astype(self.dtype)
        key = derived(chain.key, "resample", len(chain.stages))
        ancestors = choose(engine.resampling_fn, size, key, padded)
        # Rounding may lead beyond the last one.
        ancestors = np.minimum(jax.device_get(ancestors), len(weights) - 1)
        state = pool.take(ancestors)
        at = self.dtype.type(temperature)
        tuned = tune(engine.mcmc_kernel, chain.parameters, state.position, engine.target, at)
        increment = log_evidence - chain.log_evidence
        return state, tuned, Reweighting(at, increment, ess, weights, ancestors)

    def _keep(self, chain: Chain, pool: Pool) -> None:
        """Put the particles of a chain among those that are weighted together."""
        (log_likelihood,) = self._totals(chain.state, self.engine.target.observed)
        pool.add(
            jax.device_get(chain.state),
            log_likelihood,
            float(chain.temperature),
            chain.log_evidence,
        )

    def _record(self, chain: Chain, found: Reweighting, mutations: list[Mutation]) -> None:
        def means(values: list[dict[str, Array]]) -> dict[str, float]:
            return {name: float(np.mean([float(v[name]) for v in values])) for name in values[0]}

        log_scale = means([m.log_scale for m in mutations])
        chain.take_scales(log_scale)
        chain.stages.append(
            Stage(
                temperature=float(found.temperature),
                ess=float(found.ess),
                log_evidence_increment=float(found.log_evidence_increment),
                num_mutations=float(np.mean([m.num_mutations for m in mutations])),
                acceptance_rate=means([m.acceptance_rate for m in mutations]),
                scale={name: math.exp(value) for name, value in log_scale.items()},
            )
        )
        broken = sorted({name for m in mutations for name, flag in m.is_nan.items() if flag})
        temperature = f"temperature {chain.temperature:.3g}"
        if broken:
            chain.status = nan_sentence(broken, f"at {temperature}")
        elif found.ess < LEAST_ESS * self.engine.num_particles:
            chain.status = (
                f"too few particles are possible: at {temperature} their effective sample size was "
                f"{found.ess:.3g} of {self.engine.num_particles}; use more particles, or "
                "another prior"
            )
        elif chain.temperature == 1:
            chain.status = OK
        elif len(chain.stages) >= self.engine.max_temperatures:
            chain.status = (
                f"stopped at {temperature} after {self.engine.max_temperatures} temperatures; "
                "raise max_temperatures, or use more particles"
            )

    def _check_possible(self) -> None:
        """Raise UserError if the observations are impossible at every draw from the prior."""
        target = self.engine.target
        for name in target.observed:
            if all(np.all(chain.state.log_factors[name] == -np.inf) for chain in self.chains):
                first = self.chains[0].state.position
                position = {n: first[n][0, ..., 0] for n in target.latent}
                row = next(row for row in target.explain(position).rows if row.name == name)
                raise UserError(
                    f"the observations of node {name!r} are impossible at every draw from the "
                    f"prior; at the first one {row.remark}"
                )

    def _fraction_done(self) -> float:
        planned = self.pilot or None
        if self.engine.temperatures is not None:
            planned = [Stage(t, 0, 0, 1, {}, {}) for t in self.engine.temperatures]
        return float(
            np.mean(
                [
                    1.0 if chain.status else fraction_done(chain.stages, planned)
                    for chain in self.chains
                ]
            )
        )

    def _describe(self) -> str:
        last = [chain.stages[-1] for chain in self.chains if chain.stages]
        if not last:
            return "no chain could leave temperature 0"
        temperatures = [chain.temperature for chain in self.chains]
        low, high = min(temperatures), max(temperatures)
        rates = {n: np.mean([s.acceptance_rate[n] for s in last]) for n in last[0].acceptance_rate}
        return (
            f"stage {max(len(chain.stages) for chain in self.chains)}, temperature "
            + (f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}")
            + f", ESS {min(s.ess for s in last):,.0f}, acceptance "
            + ", ".join(f"{name} {rate:.2f}" for name, rate in rates.items())
        )

    def _to_arrays(self, seconds: float) -> dict[str, np.ndarray]:
        """Return all that a run needs to go on, for a checkpoint."""
        arrays = {"seconds": np.asarray(seconds)}
        arrays["pilot"] = np.array([[s.temperature, s.num_mutations] for s in self.pilot])
        for number, chain in enumerate(self.chains):
            arrays |= {f"{number}/{name}": a for name, a in chain.to_arrays().items()}
        return arrays

    def _restore(self, checkpoint: Checkpoint) -> float:
        """Take up a checkpoint, if there is one; return the seconds spent before."""
        arrays = checkpoint.load()
        if arrays is None:
            return 0.0
        self._start()
        for number, chain in enumerate(self.chains):
            prefix = f"{number}/"
            chain.restore(
                {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
            )
        self.pilot = [Stage(t, math.nan, math.nan, count, {}, {}) for t, count in arrays["pilot"]]
        logger.info("goes on from %s", checkpoint.path)
        return float(arrays["seconds"])

    def _totals(self, state: State, *groups: Any) -> list[np.ndarray]:
        """Return sums of factors of these names, each of shape (particle,)."""
        size = self.engine.num_particles
        return [
            sum(
                (particles_first(state.log_factors[n])[:size] for n in names),
                start=np.zeros(size, self.dtype),
            )
            for names in groups
        ]

    def _collect(self, timings: Mapping[str, float]) -> Result:
        engine, size, chains = self.engine, self.engine.num_particles, self.chains
        target = engine.target
        totals = [self._totals(chain.state, target.latent, target.observed) for chain in chains]
        log_prior, log_likelihood = (np.stack(values) for values in zip(*totals, strict=True))
        return Result(
            final_state=FinalState(
                particles={
                    name: np.stack([particles_first(c.state.position[name])[:size] for c in chains])
                    for name in target.latent
                },
                weights=np.full((engine.num_chains, size), 1 / size, self.dtype),
                temperature=np.array([chain.temperature for chain in chains]),
                log_prior=log_prior,
                log_likelihood=log_likelihood,
            ),
            log_evidence_chains=np.array(
                [chain.log_evidence if chain.status == OK else math.nan for chain in chains]
            ),
            log_evidence_se_chains=np.sqrt([c.genealogy.relative_variance for c in chains]),
            stages=tuple(tuple(chain.stages) for chain in chains),
            prior={name: np.stack([c.prior[name] for c in chains]) for name in target.latent},
            status=tuple(chain.status or OK for chain in chains),
            timings=dict(timings),
        )
