"""Markov chain Monte Carlo: chains that warm up together and then draw."""

import os
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from jax import Array
from threadpoolctl import threadpool_limits

from bamopipe.base import Model
from bamopipe.errors import UserError
from bamopipe.inference import memory
from bamopipe.inference.checkpoint import Checkpoint, identity
from bamopipe.inference.keys import as_typed_key
from bamopipe.inference.mcmc_run import Run, longest_window
from bamopipe.inference.result import Draws
from bamopipe.inference.starts import Start
from bamopipe.samplers.base import Kernel
from bamopipe.target import Target, compile_target, precision_context


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

    def check_memory(self, num_results: int = 0) -> None:
        """Raise UserError if a run whose draws are in files does not fit in the free memory.

        Parameters
        ----------
        num_results
            Of how many runs the results will be put into one file. Those of one run need no memory.
        """
        count = longest_window(self.num_warmup) * self.num_chains
        parts = {"draws that tune the kernel": memory.of_particles(self.target, count)}
        if num_results > 1:
            results = memory.of_results(self.target, self.num_samples * self.num_chains)
            parts["results"] = results * num_results
        memory.check_fits(parts, "use a shorter warm-up, fewer chains, or fewer seeds at once")

    def run(self, key: Array, checkpoint: str | os.PathLike | None = None) -> Draws:
        """Run all chains.

        Parameters
        ----------
        key
            A JAX key; the same key gives the same draws bit for bit, on any number of devices of
            one kind.
        checkpoint
            A file, ending in ``.npz``, to which the state goes once a minute and when the process
            is told to end (SIGTERM) or interrupted. Draws and statistics go, turn by turn, to the
            folder of the same name that ends in ``.draws``, and need no memory: the arrays of the
            result are maps of its files. A run that finds its own state there goes on from it, and
            gives the same arrays as one that was never disturbed. Delete both after.

        Raises
        ------
        UserError
            The kernel does not fit the model, there is no start where all densities are finite, or
            the memory or the disk does not suffice.
        """
        start = time.perf_counter()
        key = as_typed_key(key)
        with (
            precision_context(self.precision),
            threadpool_limits(limits=1, user_api="blas"),
            memory.exhaustion_told("use fewer chains"),
        ):
            self.mcmc_kernel.check(self.target)
            self.check_memory()
            if checkpoint is None:
                draws = memory.of_particles(self.target, self.num_samples * self.num_chains)
                memory.check_fits({"draws": draws}, "give `run` a checkpoint, and they go to files")
            path = Path(checkpoint) if checkpoint else None
            run = Run(self, key, path and path.with_suffix(".draws"))
            kept = Checkpoint(path, identity(self, key), before_write=run.flush) if path else None
            with kept or nullcontext():
                return run.result(start, kept)
