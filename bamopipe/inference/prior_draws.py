"""Draws from the prior, with which both engines start."""

from functools import partial

import jax
from jax import Array

from bamopipe.samplers.base import Kernel, State
from bamopipe.target import Target


@partial(jax.jit, static_argnums=(0, 1))
def draw(kernel: Kernel, num_draws: int, target: Target, key: Array) -> State:
    """Draw from the prior, and evaluate all factors; particles last."""
    keys = jax.random.split(key, num_draws)
    return kernel.init(target, jax.vmap(target.sample_prior, out_axes=-1)(keys))
