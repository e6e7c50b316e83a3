"""Dealing blocks of particles over the cores and devices of this machine."""

import contextlib
import os
import queue
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax

from bamopipe.target import precision_context

NUM_THREADS = "BAMOPIPE_NUM_THREADS"
"""Environment variable: how many CPU cores to use; all that the process may use by default."""


class Dealer:
    """Runs one compiled program on all cores or local devices, a block of particles at a time.

    Every block is a call of its own with the same shapes. What a block gives therefore does not
    depend on how many blocks, chains, cores or devices there are, bit for bit, which it would if
    blocks were mapped with `jax.vmap`.

    Parameters
    ----------
    constants
        A pytree that every call gets first; copied to each device once.
    precision
        That of the arrays.
    """

    def __init__(self, constants: Any, precision: str):
        devices = jax.local_devices()
        self._placed = [(device, jax.device_put(constants, device)) for device in devices]
        self._precision = precision
        self._num_workers = num_workers()

    def map(self, program: Callable, items: Iterable[tuple]) -> list:
        """Return ``program(*constants, *item)`` of each item, on the host and in order."""
        items = list(items)
        results: list = [None] * len(items)
        waiting: queue.SimpleQueue = queue.SimpleQueue()
        for numbered in enumerate(items):
            waiting.put(numbered)

        def work(worker: int) -> None:
            device, constants = self._placed[worker % len(self._placed)]
            with precision_context(self._precision):  # settings of JAX belong to a thread
                while True:
                    try:
                        index, item = waiting.get_nowait()
                    except queue.Empty:
                        return
                    placed = jax.device_put(item, device)
                    results[index] = jax.device_get(program(*constants, *placed))

        with ThreadPoolExecutor(self._num_workers) as pool:
            workers = [pool.submit(work, worker) for worker in range(self._num_workers)]
            try:
                for done in workers:
                    done.result()
            finally:  # after an error or an interrupt, the workers find nothing more to do
                with contextlib.suppress(queue.Empty):
                    while True:
                        waiting.get_nowait()
        return results

    def warm(self, program: Callable, item: tuple) -> None:
        """Compile a program for every device, by a call that does no work."""
        for device, constants in self._placed:
            jax.block_until_ready(program(*constants, *jax.device_put(item, device)))


def num_workers() -> int:
    """Return how many programs run at once."""
    devices = jax.local_devices()
    # A CPU device runs as many programs at once as threads call it; a GPU runs one.
    cores = int(os.environ.get(NUM_THREADS, 0)) or _usable_cores()
    return max(len(devices), cores if devices[0].platform == "cpu" else 1)


def _usable_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS has no such call
        return os.cpu_count() or 1
