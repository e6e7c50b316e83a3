"""Adaptive tempered sequential Monte Carlo."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from blackjax.smc import resampling
from jax import Array
from threadpoolctl import threadpool_limits

from bamopipe.base import Model
from bamopipe.errors import UserError
from bamopipe.inference import memory
from bamopipe.inference.checkpoint import Checkpoint, identity
from bamopipe.inference.devices import PARTICLES_PER_BLOCK, on_processors
from bamopipe.inference.keys import as_typed_key
from bamopipe.inference.result import Result
from bamopipe.inference.smc_run import Run
from bamopipe.samplers.base import Kernel
from bamopipe.target import Target, compile_target, precision_context

Scheme = Literal["standard", "waste_free", "persistent"]
# Fewer resampled particles than these say too little of what is to be moved.
LEAST_ANCESTORS = 20
# A guess at how many there will be, for their memory.
PERSISTENT_TEMPERATURES = 20


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
        few of them) in every coordinate and in the log likelihood. A pilot of up to 2,000 particles
        (on a GPU, of one chain) goes ahead to find out.
    num_chains
        Independent runs; two or more show whether they agree.
    target_ess
        Fraction of the particles, 0 to 1: nearer 1 means more temperatures.
    resampling_fn
        One of `blackjax.smc.resampling`.
    temperatures
        A fixed schedule in place of the one that `target_ess` gives: rising to 1.
    data_blocks
        With more than one the observations come in as many parts, cut along the first dimension of
        each observed variable, one after the other, so that the evidence of the first ones is
        known on the way. By default the whole likelihood is tempered.
    scheme
        What becomes of particles that were moved. "standard" keeps those of the last step.
        "waste_free" keeps those of every step, and resamples fewer (Dau and Chopin 2022): more
        precise where a step leads far. "persistent" keeps those of all temperatures, and weights
        them together (Karamanis and Seljak 2024): more precise for the same moves, at the price of
        memory; `target_ess` may then exceed 1.
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
    temperatures: Sequence[float] | None = None
    data_blocks: int = 1
    scheme: Scheme = "standard"
    max_mutations: int = 200
    max_temperatures: int = 200
    precision: str = "float64"

    def __post_init__(self):
        counts = ("num_particles", "num_mutations", "num_chains", "data_blocks", "max_mutations")
        for name in (*counts, "max_temperatures"):
            value = getattr(self, name)
            if name == "num_mutations" and value is None:
                continue
            if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
                auto = ", or None for as many as it takes" if name == "num_mutations" else ""
                raise UserError(f"{name} is {value!r}; expected a whole number, at least 1{auto}")
        if self.scheme not in get_args(Scheme):
            raise UserError(
                f"scheme is {self.scheme!r}; expected one of {', '.join(get_args(Scheme))}"
            )
        most = np.inf if self.scheme == "persistent" else 1
        if not 0 < self.target_ess < most:
            raise UserError(
                f"target_ess is {self.target_ess!r}; expected a fraction between 0 and 1, such as "
                "0.5"
            )
        self._check_temperatures()
        if self.scheme == "waste_free":
            self._check_waste_free()
        if self.scheme == "persistent" and self.data_blocks > 1:
            raise UserError(
                "scheme='persistent' weights the particles of all temperatures by one likelihood, "
                f"which data_blocks={self.data_blocks} would cut; take one of the two"
            )

    def _check_temperatures(self) -> None:
        if self.temperatures is None:
            return
        given = np.asarray(self.temperatures)
        rises = given.ndim == 1 and given.size and np.all(np.diff(given, prepend=0) > 0)
        if not rises or given[-1] != 1:
            raise UserError(
                f"temperatures is {self.temperatures!r}; expected rising numbers above 0 that end "
                "with 1, such as (0.01, 0.1, 1)"
            )

    def _check_waste_free(self) -> None:
        if self.num_mutations is None:
            raise UserError(
                "scheme='waste_free' needs num_mutations: all particles but one in "
                "num_mutations + 1 come from moves; take about one in 20 to 100 (num_mutations=50)"
            )
        if self.num_particles < LEAST_ANCESTORS * (self.num_mutations + 1):
            raise UserError(
                f"with scheme='waste_free' and num_mutations={self.num_mutations}, "
                f"{self.num_particles} particles come from fewer than {LEAST_ANCESTORS} that were "
                "resampled; take more particles or fewer mutations"
            )

    @property
    def target(self) -> Target:
        """The compiled model."""
        return compile_target(self.model, self.precision)

    def check_memory(self, num_results: int = 0) -> None:
        """Raise UserError if a run does not fit in the memory that is free.

        Parameters
        ----------
        num_results
            Of how many runs the results will be held beside, with all predictions.
        """
        target, count = self.target, self.num_chains * self.num_particles
        kept = PERSISTENT_TEMPERATURES if self.scheme == "persistent" else 1
        parts = {f"{count:,} particles": memory.of_particles(target, count) * kept}
        if on_processors():  # GPUs have memory of their own
            size = min(self.num_particles, PARTICLES_PER_BLOCK)
            parts[f"moves of {size:,} particles at once"] = memory.of_moves(target, size)
        if num_results:
            results = memory.of_results(target, count) * num_results
            parts["predictions and densities of observations"] = results
        memory.check_fits(parts, "use fewer particles or chains, or fewer seeds at once")

    def run(self, key: Array, checkpoint: str | os.PathLike | None = None) -> Result:
        """Run all chains.

        Parameters
        ----------
        key
            A JAX key; the same key gives the same result bit for bit, on any number of devices of
            one kind.
        checkpoint
            A file, ending in ``.npz``, to which the state goes once a minute and when the process
            is told to end (SIGTERM) or interrupted. A run that finds its own state there goes on
            from it, and gives the same arrays as one that was never disturbed. Delete it after.

        Raises
        ------
        UserError
            The kernel does not fit the model, no prior draw makes the observations possible, or
            the memory does not suffice.
        """
        start = time.perf_counter()
        key = as_typed_key(key)
        # With more threads the linear algebra library sums in another order, and with other bits.
        with (
            precision_context(self.precision),
            threadpool_limits(limits=1, user_api="blas"),
            memory.exhaustion_told("use fewer particles"),
        ):
            self.mcmc_kernel.check(self.target)
            self.check_memory()
            run = Run(self, key)
            kept = Checkpoint(Path(checkpoint), identity(self, key)) if checkpoint else None
            with kept or nullcontext():
                return run.result(start, kept)
