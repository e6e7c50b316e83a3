"""Dealing blocks of particles over the local devices."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax

from bamopipe.target import precision_context


class Dealer:
    """Runs one compiled program on all local devices, a block of particles at a time.

    Every block is a call of its own with the same shapes. What a block gives therefore does not
    depend on how many blocks, chains or devices there are, bit for bit, which it would if blocks
    were mapped with `jax.vmap`.

    Parameters
    ----------
    constants
        A pytree that every call gets first; copied to each device once.
    precision
        That of the arrays.
    """

    def __init__(self, constants: Any, precision: str):
        self.devices = jax.local_devices()
        self.precision = precision
        self._constants = [jax.device_put(constants, device) for device in self.devices]

    def map(self, program: Callable, items: Iterable[tuple]) -> list:
        """Return ``program(*constants, *item)`` of each item, on the host and in order."""
        # Calls return before they are done, so that all devices work at once. What runs where is
        # placed first: a copy that waits behind a running block would hold up its device.
        placed = []
        for index, item in enumerate(items):
            which = index % len(self.devices)
            placed.append((which, jax.device_put(item, self.devices[which])))
        running = [program(*self._constants[which], *item) for which, item in placed]
        return [jax.device_get(result) for result in running]

    def warm(self, program: Callable, item: tuple) -> None:
        """Compile a program on every device at the same time, by a call that does no work."""

        def call(which: int) -> None:
            with precision_context(self.precision):
                placed = jax.device_put(item, self.devices[which])
                jax.block_until_ready(program(*self._constants[which], *placed))

        with ThreadPoolExecutor(len(self.devices)) as pool:
            list(pool.map(call, range(len(self.devices))))
