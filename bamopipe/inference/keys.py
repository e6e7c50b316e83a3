"""Keys of JAX: one for each purpose of a run."""

import zlib
from typing import Any

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

    Made on the host by `numpy.random.SeedSequence`, which is there for this: `jax.random.fold_in`
    is a program to compile, before anything else can be.
    """
    data = np.asarray(jax.random.key_data(key))
    seeds = np.random.SeedSequence(data.tolist(), spawn_key=(purpose(name), first, second))
    return _made_of(seeds.generate_state(data.size), key)


def split(key: Array, count: int) -> Array:
    """Return independent keys, as `jax.random.split` does, but on the host.

    Made by `numpy.random.Philox`. Each use of a key in a program is a loop to compile.
    """
    data = np.asarray(jax.random.key_data(key))
    numbers = np.random.Philox(np.random.SeedSequence(data.tolist()))
    words: Any = numbers.random_raw(count * data.size // 2)
    return _made_of(words.view(np.uint32).reshape(count, -1), key)


def _made_of(words: Any, like: Array) -> Array:
    """Return keys of the same kind as another one."""
    return jax.random.wrap_key_data(words, impl=jax.random.key_impl(like))


def as_typed_key(key: Array) -> Array:
    """Accept the keys of `jax.random.PRNGKey` as well as those of `jax.random.key`."""
    if not isinstance(key, Array):
        raise UserError(f"the key is {key!r}; expected one of JAX, such as jax.random.key(0)")
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return key
    return jax.random.wrap_key_data(key)
