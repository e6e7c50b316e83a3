"""Keys of JAX: one for each purpose of a run."""

import zlib

import jax
import jax.numpy as jnp
from jax import Array

from bamopipe.errors import UserError


def purpose(name: str) -> int:
    """Return the number to fold into a key for a purpose."""
    return zlib.crc32(name.encode())


def as_typed_key(key: Array) -> Array:
    """Accept the keys of `jax.random.PRNGKey` as well as those of `jax.random.key`."""
    if not isinstance(key, Array):
        raise UserError(f"the key is {key!r}; expected one of JAX, such as jax.random.key(0)")
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return key
    return jax.random.wrap_key_data(key)
