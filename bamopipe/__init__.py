"""Reproducible Bayesian experiments on JAX.

- `bamopipe.base.Model`: a model as a graph of random variables
- `bamopipe.samplers`: MCMC kernels
- `bamopipe.inference`: engines, such as `SMCInference`
- `bamopipe.posterior`: results as ArviZ has them, and as netCDF files
- `bamopipe.load`: what an experiment has left in ``results/``
"""

from typing import Any

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    # Only now, since reading results needs libraries that take their time to load.
    if name == "load":
        from bamopipe.results import load

        return load
    raise AttributeError(f"module 'bamopipe' has no attribute {name!r}")
