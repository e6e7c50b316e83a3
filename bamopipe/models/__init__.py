"""The gallery: one model a file, each a function ``model(data, <priors>) -> Model``."""
