"""Engines: each turns a model and a kernel into a `Result`."""

from bamopipe.inference.result import Result
from bamopipe.inference.smc import SMCInference

__all__ = ["Result", "SMCInference"]
