"""Keys of JAX: one for each purpose of a run."""

import zlib

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bamopipe.errors import UserError


def purpose(name: str) -> int:
    """Return the number to fold into a key for a purpose."""
    return zlib.crc32(name.encode())


def derived(key: Array, name: str, first: int = 0, second: int = 0) -> Array:
    """Return a key for a purpose, and for instance a stage and a block of particles.

    By a program of its own: within others each use of a key is a loop, and these together take as
    long to compile as a random walk does.
    """
    return _fold_in(key, np.array([purpose(name), first, second], np.uint32))


@jax.jit
def _fold_in(key: Array, numbers: Array) -> Array:
    key, _ = jax.lax.scan(lambda k, number: (jax.random.fold_in(k, number), None), key, numbers)
    return key


def as_typed_key(key: Array) -> Array:
    """Accept the keys of `jax.random.PRNGKey` as well as those of `jax.random.key`."""
    if not isinstance(key, Array):
        raise UserError(f"the key is {key!r}; expected one of JAX, such as jax.random.key(0)")
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return key
    return jax.random.wrap_key_data(key)
