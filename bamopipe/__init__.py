"""Reproducible Bayesian experiments on JAX."""
