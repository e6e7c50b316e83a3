"""Markov chain Monte Carlo: chains that warm up together and then draw."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from threadpoolctl import threadpool_limits

from bamopipe.base import Model
from bamopipe.errors import UserError
from bamopipe.inference.devices import Dealer
from bamopipe.inference.keys import as_typed_key, purpose
from bamopipe.inference.progress import ProgressReport
from bamopipe.inference.result import OK, Draws, nan_sentence
from bamopipe.samplers.base import LOG_SCALE, Info, Kernel, Parameters, State
from bamopipe.target import Target, compile_target, precision_context, sum_of

# Draws that one call of the compiled program makes; what is reported and kept in between.
DRAWS_PER_TURN = 100
# Draws from the prior that give the first shape of steps, and among which each chain starts.
PRIOR_DRAWS = 1000
STARTS = 100


@dataclass(frozen=True)
class MCMCInference:
    """Markov chain Monte Carlo from the prior's likelier draws to draws from the posterior.

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
    precision: str = "float64"

    def __post_init__(self):
        least = dict(num_samples=1, num_warmup=0, num_burn=0, num_thin=1, num_chains=1)
        for name, minimum in least.items():
            value = getattr(self, name)
            whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
            if not whole or value < minimum:
                raise UserError(f"{name} is {value!r}; expected a whole number, at least {minimum}")

    @property
    def target(self) -> Target:
        """The compiled model."""
        return compile_target(self.model, self.precision)

    def run(self, key: Array) -> Draws:
        """Run all chains.

        Parameters
        ----------
        key
            A JAX key; the same key gives the same draws bit for bit, on any number of devices of
            one kind.

        Raises
        ------
        UserError
            The kernel does not fit the model, or no draw from the prior makes the observations
            possible.
        """
        start = time.perf_counter()
        with precision_context(self.precision), threadpool_limits(limits=1, user_api="blas"):
            self.mcmc_kernel.check(self.target)
            return _Run(self, as_typed_key(key)).result(start)


class _Run:
    """The state of one call of `MCMCInference.run`; arrays live on the host between turns."""

    def __init__(self, engine: MCMCInference, key: Array):
        self.engine = engine
        self.dtype = np.dtype(engine.precision)
        self.key = jax.random.fold_in(key, purpose("mcmc"))
        self.parameters = jax.tree.map(
            lambda leaf: np.asarray(leaf, self.dtype), engine.mcmc_kernel.parameters
        )
        self.dealer = Dealer((engine.target,), engine.precision)
        self.turn = partial(_turn, engine.mcmc_kernel, DRAWS_PER_TURN)
        self.num_turns = 0
        self.num_steps = 0
        self.total = engine.num_warmup + engine.num_burn + engine.num_samples * engine.num_thin

    def result(self, start: float) -> Draws:
        """Run; `start` is when the clock of compilation began."""
        engine = self.engine
        with ProgressReport(f"MCMC of {engine.model.name}") as self.progress:
            prior, self.states = self._start()
            self.parameters = self._tune(prior)
            self.dealer.warm(self.turn, self._item(0, 0, 0, 1))
            compiled = time.perf_counter()
            self._warm_up()
            self._draw(engine.num_burn, 1)
            draws, statistics = self._draw(engine.num_samples, engine.num_thin)
            sampled = time.perf_counter()
        is_nan = statistics.pop("is_nan")
        return Draws(
            draws=draws,
            statistics=statistics,
            prior={
                name: np.broadcast_to(
                    np.moveaxis(values, -1, 0), (engine.num_chains, PRIOR_DRAWS, *values.shape[:-1])
                )
                for name, values in prior.items()
            },
            scale={
                name: math.exp(p[LOG_SCALE])
                for name, p in self.parameters.items()
                if LOG_SCALE in p
            },
            status=tuple(
                nan_sentence(broken, "at a draw or proposal") if broken else OK
                for chain in range(engine.num_chains)
                for broken in [sorted(n for n, flags in is_nan.items() if flags[chain].any())]
            ),
            timings={"compile": compiled - start, "sample": sampled - compiled},
        )

    def _start(self):
        """Draw from the prior; start each chain at the likeliest of some draws of its own."""
        engine = self.engine
        num_draws = max(PRIOR_DRAWS, STARTS * engine.num_chains)
        keys = jax.random.split(jax.random.fold_in(self.key, purpose("prior")), num_draws)
        state = jax.device_get(_prior(engine.mcmc_kernel, engine.target, keys))
        log_density = sum(
            (state.log_factors[n] for n in (*engine.target.latent, *engine.target.observed)),
            start=np.zeros(num_draws, self.dtype),
        )
        log_likelihood = sum(
            (state.log_factors[n] for n in engine.target.observed),
            start=np.zeros(num_draws, self.dtype),
        )
        possible = np.isfinite(log_density)
        log_likelihood = np.where(possible, log_likelihood, -np.inf)
        states = []
        for chain in range(engine.num_chains):
            own = np.arange(chain, num_draws, engine.num_chains)
            best = own[np.argmax(log_likelihood[own])]
            if not possible[best]:
                raise UserError(
                    f"the observations are impossible at each of {len(own)} draws from the prior "
                    f"where chain {chain} could start; see `Target.explain`, or try SMCInference"
                )
            states.append(jax.tree.map(lambda leaf, i=best: leaf[..., i : i + 1], state))
        return {n: v[..., :PRIOR_DRAWS] for n, v in state.position.items()}, states

    def _item(self, chain: int, num_draws: int, num_thin: int, gain: float) -> tuple:
        return (
            jax.random.fold_in(self.key, chain),
            np.int64(self.num_turns),
            np.int64(num_draws),
            np.int64(num_thin),
            self.dtype.type(gain),
            self.parameters,
            self.states[chain],
        )

    def _tune(self, position) -> dict[str, Parameters]:
        """Take the shape of steps from draws, particles last."""
        engine = self.engine
        return jax.device_get(_tune(engine.mcmc_kernel, self.parameters, position, engine.target))

    def _warm_up(self) -> None:
        """Tune in windows of doubling length, of which the last is for the size of steps only."""
        for size, is_last in _windows(self.engine.num_warmup):
            draws, _ = self._draw(size, 1, gain=1.0)
            if not is_last:
                self.parameters = self._tune(
                    {n: np.moveaxis(v.reshape(-1, *v.shape[2:]), 0, -1) for n, v in draws.items()}
                )

    def _draw(self, num_draws: int, num_thin: int, gain: float = 0.0):
        """Let all chains make that many draws; return them, shape (chain, draw, ...)."""
        parts = []
        chains = range(self.engine.num_chains)
        for begin in range(0, num_draws, DRAWS_PER_TURN):
            size = min(DRAWS_PER_TURN, num_draws - begin)
            found = self.dealer.map(
                self.turn, [self._item(c, size, num_thin, gain) for c in chains]
            )
            self.num_turns += 1
            self.states = [turn.state for turn in found]
            made = [(turn.draws, turn.statistics) for turn in found]
            rows = jax.tree.map(lambda *leaves: np.stack(leaves), *made)
            parts.append(jax.tree.map(lambda leaf, n=size: leaf[:, :n], rows))
            if gain:
                self._average([turn.log_scale for turn in found])
            self.num_steps += size * num_thin
            rates = parts[-1][1]["acceptance_rate"]
            self.progress.update(
                self.num_steps / self.total,
                f"{'warm-up, ' if gain else ''}step {self.num_steps:,} of {self.total:,}, "
                "acceptance " + ", ".join(f"{n} {rate.mean():.2f}" for n, rate in rates.items()),
            )
        if not parts:
            return {}, {}
        return jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=1), *parts)

    def _average(self, log_scales: list[dict]) -> None:
        """Start the next turn with steps of the size that those of all chains ended with."""
        for name in log_scales[0]:
            mean = self.dtype.type(np.mean([scales[name] for scales in log_scales]))
            self.parameters[name] = {**self.parameters[name], LOG_SCALE: mean}


class Turn(NamedTuple):
    """What one chain did in one turn.

    Attributes
    ----------
    state
        Where it is now.
    draws
        Variable -> values, the first dimension being the draw.
    statistics
        What is known of each draw, and of the steps that led to it.
    log_scale
        Update that tunes itself -> its `LOG_SCALE`, the mean of the second half of the turn.
    """

    state: State
    draws: dict[str, Array]
    statistics: dict[str, Any]
    log_scale: dict[str, Array]


@partial(jax.jit, static_argnums=(0, 1))
def _turn(
    kernel: Kernel,
    most: int,
    target: Target,
    key: Array,
    turn: Array,
    num_draws: Array,
    num_thin: Array,
    gain: Array,
    parameters: dict[str, Parameters],
    state: State,
) -> Turn:
    """Make up to `most` draws of one chain, some steps apart; adapt if there is a gain."""
    key = jax.random.fold_in(jax.random.fold_in(key, purpose("step")), turn)

    def step(index, carry):
        state, parameters, _ = carry
        step_key = jax.random.fold_in(key, index)
        state, infos = kernel.step(step_key, state, jnp.ones(()), parameters, target)
        # Large at first, to get near; then falling, to settle.
        falling = gain / (1 + index / 5) ** 0.75
        return state, kernel.adapt(parameters, infos, falling), _statistics(infos)

    def draw(index, carry):
        state, parameters, rows, log_scale = carry
        first = step(index * num_thin, (state, parameters, None))
        state, parameters, statistics = jax.lax.fori_loop(
            index * num_thin + 1, (index + 1) * num_thin, step, first
        )
        row = _row(target, state, statistics)
        rows = jax.tree.map(lambda every, one: every.at[index].set(one), rows, row)
        late = index >= num_draws // 2
        log_scale = {
            n: total + jnp.where(late, parameters[n][LOG_SCALE], 0.0)
            for n, total in log_scale.items()
        }
        return state, parameters, rows, log_scale

    def first_row():
        moved, infos = kernel.step(key, state, jnp.ones(()), parameters, target)
        return _row(target, moved, _statistics(infos))

    rows = jax.tree.map(
        lambda one: jnp.zeros((most, *one.shape), one.dtype), jax.eval_shape(first_row)
    )
    log_scale = {n: jnp.zeros_like(p[LOG_SCALE]) for n, p in parameters.items() if LOG_SCALE in p}
    state, _, (draws, statistics), log_scale = jax.lax.fori_loop(
        0, num_draws, draw, (state, parameters, rows, log_scale)
    )
    num_late = num_draws - num_draws // 2
    return Turn(state, draws, statistics, {n: v / num_late for n, v in log_scale.items()})


def _row(target: Target, state: State, statistics: dict) -> tuple[dict, dict]:
    """Return one draw, and what is known of it."""
    log_prior = sum_of(state.log_factors, target.latent)
    lp = log_prior + sum_of(state.log_factors, target.observed)
    known = {"lp": jnp.ravel(lp)[0], "log_prior": jnp.ravel(log_prior)[0], **statistics}
    return {n: v[..., 0] for n, v in state.position.items()}, known


def _statistics(infos: dict[str, Info]) -> dict[str, Any]:
    """Reduce what the updates say of one chain's step to what ArviZ has names for."""
    found: dict[str, Any] = {
        "acceptance_rate": {name: info.acceptance_rate[0] for name, info in infos.items()}
    }
    reduce: dict[str, Callable] = {
        "diverging": jnp.any,
        "energy": jnp.sum,
        "n_steps": jnp.sum,
        "tree_depth": jnp.max,
    }
    for name, function in reduce.items():
        said = [info.statistics[name][0] for info in infos.values() if name in info.statistics]
        # The energy of a part of the position means little.
        if said and (name != "energy" or len(infos) == 1):
            found[name] = function(jnp.stack(said))
    found["is_nan"] = {
        factor: jnp.any(jnp.stack([i.is_nan[factor] for i in infos.values() if factor in i.is_nan]))
        for factor in {f for info in infos.values() for f in info.is_nan}
    }
    return found


@partial(jax.jit, static_argnums=0)
def _prior(kernel: Kernel, target: Target, keys: Array) -> State:
    """Draw from the prior, particles last."""
    return kernel.init(target, jax.vmap(target.sample_prior, out_axes=-1)(keys))


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
