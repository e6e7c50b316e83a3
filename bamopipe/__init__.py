"""Reproducible Bayesian experiments on JAX.

Importing this package loads no JAX, but makes it use all CPU cores once it starts
(`bamopipe.devices.use_cpu_cores`).

- `bamopipe.base.Model`: a model as a graph of random variables
- `bamopipe.samplers`: MCMC kernels
- `bamopipe.inference`: engines, such as `SMCInference`
- `bamopipe.posterior`: results as ArviZ has them, and as netCDF files
"""

from bamopipe.devices import use_cpu_cores

use_cpu_cores()
