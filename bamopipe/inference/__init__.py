"""Engines: each turns a model and a kernel into a `Result` or `Draws`."""

from bamopipe.inference.mcmc import MCMCInference
from bamopipe.inference.result import Draws, Result
from bamopipe.inference.smc import SMCInference

__all__ = ["Draws", "MCMCInference", "Result", "SMCInference"]
