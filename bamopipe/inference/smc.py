"""Adaptive tempered sequential Monte Carlo."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from blackjax.smc import resampling
from jax import Array
from threadpoolctl import threadpool_limits

from bamopipe.base import Model
from bamopipe.errors import UserError
from bamopipe.evidence.genealogy import Genealogy
from bamopipe.inference.devices import Dealer
from bamopipe.inference.keys import as_typed_key, purpose
from bamopipe.inference.mutation import Mutation, low_correlation, mutate
from bamopipe.inference.progress import ProgressReport
from bamopipe.inference.result import OK, FinalState, Result, Stage, nan_sentence
from bamopipe.inference.tempering import Reweighting, reweigh_and_resample
from bamopipe.samplers.base import LOG_SCALE, Kernel, Parameters, State
from bamopipe.target import Target, compile_target, precision_context

PARTICLES_PER_BLOCK = 1000
PRIOR_DRAWS_KEPT = 1000
# Under this fraction the particles say nothing about the posterior. Only the first temperature can
# fall there, where the likelihood is zero at most draws from the prior.
LEAST_ESS = 0.005


@dataclass(frozen=True)
class SMCInference:
    """Sequential Monte Carlo from the prior to the posterior, with the evidence on the way.

    Particles start as draws from the prior, at temperature 0. Each stage raises the temperature as
    far as keeps the effective sample size of the weights at `target_ess`, adds the log of their
    mean to the log evidence, resamples, and moves all particles with the kernel at the new
    temperature. The last moves are at temperature 1, so that the final particles are equally
    weighted draws from the posterior. Chains are independent runs, each on its own schedule.

    Use it when the evidence is wanted, when the posterior may have several modes, or when tuning
    an MCMC run is a burden.

    Parameters
    ----------
    model
        The graph.
    mcmc_kernel
        From `gibbs_sampler` or `mcmc_sampler`.
    num_particles
        Particles a chain.
    num_mutations
        Kernel steps of each particle at each temperature. By default as many as it takes to forget
        where they started: until the correlation with their start is under 0.1 (more if there are
        few of them) in every coordinate and in the log likelihood. A pilot of up to 1,000 particles
        goes ahead to find out.
    num_chains
        Independent runs; two or more show whether they agree.
    target_ess
        Fraction of the particles, 0 to 1: nearer 1 means more temperatures.
    resampling_fn
        One of `blackjax.smc.resampling`.
    max_mutations
        The most kernel steps at each temperature where their number is not given.
    max_temperatures
        A chain that needs more stops with a status that says so.
    precision
        "float64" or "float32".

    References
    ----------
    Del Moral, Doucet and Jasra (2006), JRSS B 68, 411-436; Jasra et al. (2011), Scandinavian
    Journal of Statistics 38, 1-22; Hinne (2025), Behavior Research Methods.

    Examples
    --------
    A normal mean with a normal prior, whose evidence is known:

    >>> import blackjax, distrax as dx, jax
    >>> from bamopipe.base import Model
    >>> from bamopipe.inference import SMCInference
    >>> from bamopipe.samplers import gibbs_sampler
    >>> model = Model()
    >>> mu = model.add_node("mu", distribution=dx.Normal(loc=0.0, scale=1.0))
    >>> y = model.add_node(
    ...     "y", distribution=dx.Normal, parents=dict(loc=mu, scale=1.0), observations=1.0
    ... )
    >>> kernel = gibbs_sampler(
    ...     model, dict(mu=blackjax.normal_random_walk), dict(mu=dict(sigma=1.5))
    ... )
    >>> engine = SMCInference(model, kernel, num_particles=1000, num_mutations=10, num_chains=4)
    >>> result = engine.run(jax.random.key(0))
    >>> result["final_state"].particles["mu"].shape
    (4, 1000)
    >>> exact = float(dx.Normal(0.0, 2.0**0.5).log_prob(1.0))
    >>> abs(result.log_evidence - exact) < 4 * result.log_evidence_se
    True
    """

    model: Model
    mcmc_kernel: Kernel
    num_particles: int
    num_mutations: int | None = None
    num_chains: int = 1
    target_ess: float = 0.5
    resampling_fn: Callable = resampling.systematic
    max_mutations: int = 200
    max_temperatures: int = 200
    precision: str = "float64"

    def __post_init__(self):
        counts = ("num_particles", "num_mutations", "num_chains", "max_mutations")
        for name in (*counts, "max_temperatures"):
            value = getattr(self, name)
            if name == "num_mutations" and value is None:
                continue
            if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
                auto = ", or None for as many as it takes" if name == "num_mutations" else ""
                raise UserError(f"{name} is {value!r}; expected a whole number, at least 1{auto}")
        if not 0 < self.target_ess < 1:
            raise UserError(
                f"target_ess is {self.target_ess!r}; expected a fraction between 0 and 1, such as "
                "0.5"
            )

    @property
    def target(self) -> Target:
        """The compiled model."""
        return compile_target(self.model, self.precision)

    def run(self, key: Array) -> Result:
        """Run all chains.

        Parameters
        ----------
        key
            A JAX key; the same key gives the same result bit for bit, on any number of devices of
            one kind.

        Raises
        ------
        UserError
            The kernel does not fit the model, or no prior draw makes the observations possible.
        """
        start = time.perf_counter()
        # With more threads the linear algebra library sums in another order, and with other bits.
        with precision_context(self.precision), threadpool_limits(limits=1, user_api="blas"):
            self.mcmc_kernel.check(self.target)
            return _Run(self, as_typed_key(key)).result(start)


class _Run:
    """The state of one call of `SMCInference.run`; arrays live on the host between stages."""

    def __init__(self, engine: SMCInference, key: Array):
        self.engine = engine
        self.dtype = np.dtype(engine.precision)
        self.num_blocks = math.ceil(engine.num_particles / PARTICLES_PER_BLOCK)
        self.block_size = math.ceil(engine.num_particles / self.num_blocks)
        parameters = jax.tree.map(
            lambda leaf: np.asarray(leaf, self.dtype), engine.mcmc_kernel.parameters
        )
        self.parameters = [parameters] * engine.num_chains
        self.dealer = Dealer((engine.target,), engine.precision)
        self.is_pilot, self.pilot = False, list[Stage]()
        self.chain_keys = [
            jax.random.fold_in(jax.random.fold_in(key, purpose("smc")), chain)
            for chain in range(engine.num_chains)
        ]
        self.move = partial(_move, engine.mcmc_kernel)
        self.temperatures = np.zeros(engine.num_chains, self.dtype)
        self.genealogies = [Genealogy(engine.num_particles) for _ in range(engine.num_chains)]
        self.stages: list[list[Stage]] = [[] for _ in range(engine.num_chains)]
        self.status: list[str | None] = [None] * engine.num_chains
        self.timings = {"compile": 0.0, "sample": 0.0}

    def result(self, start: float) -> Result:
        """Run; `start` is when the clock of compilation began."""
        with ProgressReport(f"SMC of {self.engine.model.name}") as progress:
            self._compile()
            compiled = time.perf_counter()
            if self.engine.num_mutations is None:
                self.pilot = self._fly_pilot()
            self._start()
            _check_possible(self.engine.target, self.chains)
            prior = self._positions(PRIOR_DRAWS_KEPT)
            while self._running:
                self._stage()
                progress.update(self._fraction_done(), self._describe())
            self.timings = {"compile": compiled - start, "sample": time.perf_counter() - compiled}
        return self._collect(prior)

    @property
    def _running(self) -> list[int]:
        return [chain for chain, status in enumerate(self.status) if status is None]

    def _compile(self) -> None:
        """Compile every program before the clock of sampling starts."""
        key, nothing, half = self.chain_keys[0], np.int64(0), self.dtype.type(0.5)
        state = jax.device_get(self._draw(key, 0))
        stacked = _stack([state] * self.num_blocks)
        _, tuned, _ = jax.device_get(self._reweigh(0, 0, stacked, half))
        until = nothing, self.dtype.type(0)
        self.dealer.warm(self.move, (key, nothing, nothing, half, until, tuned, state))

    def _fly_pilot(self) -> list[Stage]:
        """Find how many mutations it takes to forget, by a chain of one block of its own.

        A chain that stopped when it had forgotten would be moved the longer the more of its
        particles are where moves are slow, by chance; its evidence would be biased (by a third of
        its standard error in eight schools with 500 particles).
        """
        engine = replace(self.engine, num_chains=1, num_particles=self.block_size)
        pilot = _Run(engine, jax.random.fold_in(self.chain_keys[0], purpose("pilot")))
        pilot.dealer, pilot.is_pilot = self.dealer, True
        pilot._start()
        while pilot._running:
            pilot._stage()
        return pilot.stages[0]

    def _until(self, temperature) -> tuple[np.int64, np.floating]:
        """Return the number of mutations, and the correlation with their start that ends them."""
        engine, never = self.engine, self.dtype.type(-np.inf)
        if engine.num_mutations is not None:
            return np.int64(engine.num_mutations), never
        if self.is_pilot:
            low = low_correlation(engine.target, self.block_size)
            return np.int64(engine.max_mutations), self.dtype.type(low)
        for stage in self.pilot:
            if stage.temperature >= temperature:
                return np.int64(stage.num_mutations), never
        return np.int64(engine.max_mutations), never

    def _start(self) -> None:
        """Draw all particles from the prior."""
        self.chains = [
            _stack([jax.device_get(self._draw(key, block)) for block in range(self.num_blocks)])
            for key in self.chain_keys
        ]
        for chain, state in enumerate(self.chains):
            broken = [n for n, f in state.log_factors.items() if np.isnan(f).any()]
            if broken:
                self.status[chain] = nan_sentence(broken, "at a draw from the prior")
            elif any(np.all(state.log_factors[n] == -np.inf) for n in self.engine.target.observed):
                self.status[chain] = (
                    "the observations are impossible at every draw from the prior of this chain; "
                    "use more particles, or another prior"
                )

    def _draw(self, chain_key, block: int) -> State:
        engine = self.engine
        return _draw(engine.mcmc_kernel, self.block_size, engine.target, chain_key, np.int64(block))

    def _reweigh(self, chain: int, stage: int, state: State, temperature):
        return _reweigh(
            self.engine.mcmc_kernel,
            self.engine.resampling_fn,
            self.engine.num_particles,
            self.engine.target,
            self.chain_keys[chain],
            np.int64(stage),
            state,
            self.parameters[chain],
            temperature,
            self.dtype.type(self.engine.target_ess),
        )

    def _stage(self) -> None:
        """Reweigh, resample and move all chains that are still on their way."""
        engine = self.engine
        moving, items, found = [], [], {}
        for chain in self._running:
            stage = len(self.stages[chain])
            state, tuned, reweighting = jax.device_get(
                self._reweigh(chain, stage, self.chains[chain], self.temperatures[chain])
            )
            if not reweighting.temperature > self.temperatures[chain]:
                self.status[chain] = (
                    f"tempering stalled at temperature {self.temperatures[chain]:.3g}: no higher "
                    f"temperature keeps the effective sample size at {engine.target_ess:g} of the "
                    "particles; use more particles or more mutations"
                )
                continue
            self.temperatures[chain] = reweighting.temperature
            self.genealogies[chain].descend(reweighting.weights, reweighting.ancestors)
            found[chain] = reweighting
            moving.append(chain)
            items += [
                (
                    self.chain_keys[chain],
                    np.int64(stage),
                    np.int64(block),
                    self.temperatures[chain],
                    self._until(self.temperatures[chain]),
                    tuned,
                    jax.tree.map(lambda leaf, b=block: leaf[b], state),
                )
                for block in range(self.num_blocks)
            ]
        moved = self.dealer.map(self.move, items)
        for place, chain in enumerate(moving):
            part = moved[place * self.num_blocks : (place + 1) * self.num_blocks]
            self.chains[chain] = _stack([state for state, _ in part])
            self._record(chain, found[chain], [mutation for _, mutation in part])

    def _record(self, chain: int, reweighting: Reweighting, mutations: list[Mutation]) -> None:
        def means(values: list[dict[str, Array]]) -> dict[str, float]:
            return {name: float(np.mean([float(v[name]) for v in values])) for name in values[0]}

        # The next temperature starts with steps of the size that these ended with.
        log_scale = means([m.log_scale for m in mutations])
        self.parameters[chain] = {
            name: {**parameters, LOG_SCALE: self.dtype.type(log_scale[name])}
            if name in log_scale
            else parameters
            for name, parameters in self.parameters[chain].items()
        }
        self.stages[chain].append(
            Stage(
                temperature=float(reweighting.temperature),
                ess=float(reweighting.ess),
                log_evidence_increment=float(reweighting.log_evidence_increment),
                num_mutations=float(np.mean([m.num_mutations for m in mutations])),
                acceptance_rate=means([m.acceptance_rate for m in mutations]),
                scale={name: math.exp(value) for name, value in log_scale.items()},
            )
        )
        broken = sorted({name for m in mutations for name, flag in m.is_nan.items() if flag})
        temperature = f"temperature {self.temperatures[chain]:.3g}"
        if broken:
            self.status[chain] = nan_sentence(broken, f"at {temperature}")
        elif reweighting.ess < LEAST_ESS * self.engine.num_particles:
            self.status[chain] = (
                f"too few particles are possible: at {temperature} their effective sample size was "
                f"{reweighting.ess:.3g} of {self.engine.num_particles}; use more particles, or "
                "another prior"
            )
        elif self.temperatures[chain] == 1:
            self.status[chain] = OK
        elif len(self.stages[chain]) >= self.engine.max_temperatures:
            self.status[chain] = (
                f"stopped at {temperature} after {self.engine.max_temperatures} temperatures; "
                "raise max_temperatures, or use more particles"
            )

    def _fraction_done(self) -> float:
        done = [
            1.0 if s is not None else t for s, t in zip(self.status, self.temperatures, strict=True)
        ]
        return float(np.mean(done))

    def _describe(self) -> str:
        last = [stages[-1] for stages in self.stages if stages]
        if not last:
            return "no chain could leave temperature 0"
        low, high = self.temperatures.min(), self.temperatures.max()
        rates = {n: np.mean([s.acceptance_rate[n] for s in last]) for n in last[0].acceptance_rate}
        return (
            f"stage {max(len(stages) for stages in self.stages)}, temperature "
            + (f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}")
            + f", ESS {min(s.ess for s in last):,.0f}, acceptance "
            + ", ".join(f"{name} {rate:.2f}" for name, rate in rates.items())
        )

    def _positions(self, limit: int) -> dict[str, np.ndarray]:
        """Return the first particles of all chains, shape (chain, particle, ...)."""
        return {
            name: np.stack(
                [_particles_first(state.position[name])[:limit] for state in self.chains]
            )
            for name in self.engine.target.latent
        }

    def _collect(self, prior: dict[str, np.ndarray]) -> Result:
        engine, size = self.engine, self.engine.num_particles
        status = tuple(s or OK for s in self.status)
        evidence = [
            sum(s.log_evidence_increment for s in stages) if state == OK else math.nan
            for stages, state in zip(self.stages, status, strict=True)
        ]

        def total(names):
            return np.stack(
                [
                    sum(
                        (_particles_first(state.log_factors[n])[:size] for n in names),
                        start=np.zeros(size, self.dtype),
                    )
                    for state in self.chains
                ]
            )

        return Result(
            final_state=FinalState(
                particles=self._positions(size),
                weights=np.full((engine.num_chains, size), 1 / size, self.dtype),
                temperature=self.temperatures,
                log_prior=total(engine.target.latent),
                log_likelihood=total(engine.target.observed),
            ),
            log_evidence_chains=np.asarray(evidence),
            log_evidence_se_chains=np.sqrt([g.relative_variance for g in self.genealogies]),
            stages=tuple(tuple(stages) for stages in self.stages),
            prior={name: draws[:, :size] for name, draws in prior.items()},
            status=status,
            timings=self.timings,
        )


@partial(jax.jit, static_argnums=(0, 1))
def _draw(
    kernel: Kernel,
    block_size: int,
    target: Target,
    chain_key: Array,
    block: Array,
) -> State:
    """Draw a block of particles from the prior."""
    key = jax.random.fold_in(jax.random.fold_in(chain_key, purpose("prior")), block)
    keys = jax.random.split(key, block_size)
    return kernel.init(target, jax.vmap(target.sample_prior, out_axes=-1)(keys))


@partial(jax.jit, static_argnums=(0, 1, 2))
def _reweigh(
    kernel: Kernel,
    resampling_fn: Callable,
    num_particles: int,
    target: Target,
    chain_key: Array,
    stage: Array,
    state: State,
    parameters: dict[str, Parameters],
    temperature: Array,
    target_ess: Array,
) -> tuple[State, dict[str, Parameters], Reweighting]:
    """Raise the temperature of a chain, resample, and tune the kernel to how the particles lie."""
    key = jax.random.fold_in(jax.random.fold_in(chain_key, purpose("resample")), stage)
    state, found = reweigh_and_resample(
        target, resampling_fn, num_particles, key, state, temperature, target_ess
    )
    particles_last = {
        name: jnp.moveaxis(leaf, 0, -2).reshape(*leaf.shape[1:-1], -1)
        for name, leaf in state.position.items()
    }
    return state, kernel.tune(parameters, particles_last, target), found


@partial(jax.jit, static_argnums=0)
def _move(
    kernel: Kernel,
    target: Target,
    chain_key: Array,
    stage: Array,
    block: Array,
    temperature: Array,
    until: tuple[Array, Array],
    parameters: dict[str, Parameters],
    state: State,
) -> tuple[State, Mutation]:
    """Move a block of particles at one temperature, with a key of its own."""
    key = jax.random.fold_in(jax.random.fold_in(chain_key, purpose("move")), stage)
    key = jax.random.fold_in(key, block)
    return mutate(kernel, target, key, temperature, *until, parameters, state)


def _check_possible(target: Target, chains: list[State]) -> None:
    """Raise UserError if the observations are impossible at every draw from the prior."""
    for name in target.observed:
        if all(np.all(state.log_factors[name] == -np.inf) for state in chains):
            position = {n: chains[0].position[n][0, ..., 0] for n in target.latent}
            row = next(row for row in target.explain(position).rows if row.name == name)
            raise UserError(
                f"the observations of node {name!r} are impossible at every draw from the prior; "
                f"at the first one {row.remark}"
            )


def _stack(states: Sequence[State]) -> State:
    return jax.tree.map(lambda *leaves: np.stack(leaves), *states)


def _particles_first(blocks) -> np.ndarray:
    """Turn (block, ..., particle) into (particle, ...)."""
    return np.moveaxis(blocks, -1, 1).reshape(-1, *blocks.shape[1:-1])
