"""Estimates of the log marginal likelihood, each with its standard error."""
