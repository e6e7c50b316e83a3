"""Adaptive tempered sequential Monte Carlo."""

import math
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from blackjax.smc import resampling
from jax import Array
from threadpoolctl import threadpool_limits

from bamopipe.base import Model
from bamopipe.errors import UserError
from bamopipe.inference.devices import Dealer
from bamopipe.inference.progress import ProgressReport
from bamopipe.inference.result import OK, FinalState, Result, Stage
from bamopipe.inference.tempering import reweigh_and_resample
from bamopipe.samplers.base import Kernel, Parameters, State
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
        Kernel steps of each particle at each temperature.
    num_chains
        Independent runs; two or more give a standard error.
    target_ess
        Fraction of the particles, 0 to 1: nearer 1 means more temperatures.
    resampling_fn
        One of `blackjax.smc.resampling`.
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
    num_mutations: int
    num_chains: int = 1
    target_ess: float = 0.5
    resampling_fn: Callable = resampling.systematic
    max_temperatures: int = 200
    precision: str = "float64"

    def __post_init__(self):
        for name in ("num_particles", "num_mutations", "num_chains", "max_temperatures"):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
                raise UserError(f"{name} is {value!r}; expected a whole number, at least 1")
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
            return _Run(self, _as_typed_key(key)).result(start)


class _Run:
    """The state of one call of `SMCInference.run`; arrays live on the host between stages."""

    def __init__(self, engine: SMCInference, key: Array):
        self.engine = engine
        self.dtype = np.dtype(engine.precision)
        self.num_blocks = math.ceil(engine.num_particles / PARTICLES_PER_BLOCK)
        self.block_size = math.ceil(engine.num_particles / self.num_blocks)
        parameters = jax.tree.map(
            lambda leaf: jnp.asarray(leaf, self.dtype), engine.mcmc_kernel.parameters
        )
        self.dealer = Dealer((engine.target, parameters), engine.precision)
        self.chain_keys = [
            jax.random.fold_in(jax.random.fold_in(key, _purpose("smc")), chain)
            for chain in range(engine.num_chains)
        ]
        self.move = partial(_move, engine.mcmc_kernel)
        self.temperatures = np.zeros(engine.num_chains, self.dtype)
        self.stages: list[list[Stage]] = [[] for _ in range(engine.num_chains)]
        self.status: list[str | None] = [None] * engine.num_chains
        self.timings = {"compile": 0.0, "sample": 0.0}

    def result(self, start: float) -> Result:
        """Run; `start` is when the clock of compilation began."""
        with ProgressReport(f"SMC of {self.engine.model.name}") as progress:
            self._compile()
            compiled = time.perf_counter()
            self._start()
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
        self.dealer.warm(self.move, (key, nothing, nothing, half, nothing, state))
        jax.block_until_ready(self._reweigh(key, 0, _stack([state] * self.num_blocks), half))

    def _start(self) -> None:
        """Draw all particles from the prior."""
        self.chains = [
            _stack([jax.device_get(self._draw(key, block)) for block in range(self.num_blocks)])
            for key in self.chain_keys
        ]
        for chain, state in enumerate(self.chains):
            broken = [n for n, f in state.log_factors.items() if np.isnan(f).any()]
            if broken:
                self.status[chain] = _nan_sentence(broken, "at a draw from the prior")
            elif any(np.all(state.log_factors[n] == -np.inf) for n in self.engine.target.observed):
                self.status[chain] = (
                    "the observations are impossible at every draw from the prior of this chain; "
                    "use more particles, or another prior"
                )
        _check_possible(self.engine.target, self.chains)

    def _draw(self, chain_key, block: int) -> State:
        engine = self.engine
        return _draw(engine.mcmc_kernel, self.block_size, engine.target, chain_key, np.int64(block))

    def _reweigh(self, chain_key, stage: int, state: State, temperature):
        return _reweigh(
            self.engine.resampling_fn,
            self.engine.num_particles,
            self.engine.target,
            chain_key,
            np.int64(stage),
            state,
            temperature,
            self.dtype.type(self.engine.target_ess),
        )

    def _stage(self) -> None:
        """Reweigh, resample and move all chains that are still on their way."""
        engine = self.engine
        moving, items, found = [], [], {}
        for chain in self._running:
            stage = len(self.stages[chain])
            state, reweighting = jax.device_get(
                self._reweigh(
                    self.chain_keys[chain], stage, self.chains[chain], self.temperatures[chain]
                )
            )
            if not reweighting.temperature > self.temperatures[chain]:
                self.status[chain] = (
                    f"tempering stalled at temperature {self.temperatures[chain]:.3g}: no higher "
                    f"temperature keeps the effective sample size at {engine.target_ess:g} of the "
                    "particles; use more particles or more mutations"
                )
                continue
            self.temperatures[chain] = reweighting.temperature
            found[chain] = reweighting
            moving.append(chain)
            items += [
                (
                    self.chain_keys[chain],
                    np.int64(stage),
                    np.int64(block),
                    self.temperatures[chain],
                    np.int64(engine.num_mutations),
                    jax.tree.map(lambda leaf, b=block: leaf[b], state),
                )
                for block in range(self.num_blocks)
            ]
        moved = self.dealer.map(self.move, items)
        for place, chain in enumerate(moving):
            part = moved[place * self.num_blocks : (place + 1) * self.num_blocks]
            self.chains[chain] = _stack([state for state, _, _ in part])
            self._record(chain, found[chain], [rest for _, *rest in part])

    def _record(self, chain: int, reweighting, reports: Sequence) -> None:
        acceptance = [rates for rates, _ in reports]
        self.stages[chain].append(
            Stage(
                temperature=float(reweighting.temperature),
                ess=float(reweighting.ess),
                log_evidence_increment=float(reweighting.log_evidence_increment),
                acceptance_rate={
                    name: float(np.mean([rates[name] for rates in acceptance]))
                    for name in acceptance[0]
                },
            )
        )
        broken = sorted({name for _, is_nan in reports for name, flag in is_nan.items() if flag})
        temperature = f"temperature {self.temperatures[chain]:.3g}"
        if broken:
            self.status[chain] = _nan_sentence(broken, f"at {temperature}")
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
    key = jax.random.fold_in(jax.random.fold_in(chain_key, _purpose("prior")), block)
    keys = jax.random.split(key, block_size)
    return kernel.init(target, jax.vmap(target.sample_prior, out_axes=-1)(keys))


@partial(jax.jit, static_argnums=(0, 1))
def _reweigh(
    resampling_fn: Callable,
    num_particles: int,
    target: Target,
    chain_key: Array,
    stage: Array,
    state: State,
    temperature: Array,
    target_ess: Array,
):
    key = jax.random.fold_in(jax.random.fold_in(chain_key, _purpose("resample")), stage)
    return reweigh_and_resample(
        target, resampling_fn, num_particles, key, state, temperature, target_ess
    )


@partial(jax.jit, static_argnums=0)
def _move(
    kernel: Kernel,
    target: Target,
    parameters: dict[str, Parameters],
    chain_key: Array,
    stage: Array,
    block: Array,
    temperature: Array,
    num_mutations: Array,
    state: State,
) -> tuple[State, dict[str, Array], dict[str, Array]]:
    """Move a block of particles at one temperature; also acceptance rates and NaN flags."""
    key = jax.random.fold_in(jax.random.fold_in(chain_key, _purpose("move")), stage)
    key = jax.random.fold_in(key, block)

    def mutate(index, carry):
        state, accepted, is_nan = carry
        state, infos = kernel.step(
            jax.random.fold_in(key, index), state, temperature, parameters, target
        )
        accepted = {name: accepted[name] + info.acceptance_rate for name, info in infos.items()}
        for info in infos.values():
            is_nan = {
                n: flag | info.is_nan[n] if n in info.is_nan else flag for n, flag in is_nan.items()
            }
        return state, accepted, is_nan

    accepted = {block.name: jnp.zeros_like(temperature) for block in kernel.blocks}
    is_nan = {name: jnp.array(False) for name in state.log_factors}
    state, accepted, is_nan = jax.lax.fori_loop(0, num_mutations, mutate, (state, accepted, is_nan))
    return state, {name: total / num_mutations for name, total in accepted.items()}, is_nan


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


def _nan_sentence(factors: Sequence[str], where: str) -> str:
    nodes = ", ".join(repr(name) for name in factors)
    return (
        f"the log density of node {nodes} is not a number {where}, inside the support; "
        "look for a scale that can be negative, a division by zero, or the logarithm or root of a "
        "negative number, in its parents or link_fn"
    )


def _purpose(name: str) -> int:
    return zlib.crc32(name.encode())


def _as_typed_key(key: Array) -> Array:
    """Accept the keys of `jax.random.PRNGKey` as well as those of `jax.random.key`."""
    if not isinstance(key, Array):
        raise UserError(f"the key is {key!r}; expected one of JAX, such as jax.random.key(0)")
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return key
    return jax.random.wrap_key_data(key)


def _stack(states: Sequence[State]) -> State:
    return jax.tree.map(lambda *leaves: np.stack(leaves), *states)


def _particles_first(blocks) -> np.ndarray:
    """Turn (block, ..., particle) into (particle, ...)."""
    return np.moveaxis(blocks, -1, 1).reshape(-1, *blocks.shape[1:-1])
