"""Reproducible Bayesian experiments on JAX.

- `bamopipe.base.Model`: a model as a graph of random variables
- `bamopipe.samplers`: MCMC kernels
- `bamopipe.inference`: engines, such as `SMCInference`
- `bamopipe.posterior`: results as ArviZ has them, and as netCDF files
"""
