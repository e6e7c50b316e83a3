"""MCMC kernels: `gibbs_sampler` moves variables in turn, `mcmc_sampler` all at once."""

from bamopipe.samplers.base import Kernel
from bamopipe.samplers.gibbs import gibbs_sampler
from bamopipe.samplers.mcmc import mcmc_sampler

__all__ = ["Kernel", "gibbs_sampler", "mcmc_sampler"]
