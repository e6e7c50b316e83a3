"""Dealing blocks of particles over the cores and devices of this machine."""

import contextlib
import math
import os
import queue
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bamopipe.target import precision_context

NUM_THREADS = "BAMOPIPE_NUM_THREADS"
"""Environment variable: how many CPU cores to use; all that the process may use by default."""

PARTICLES_PER_BLOCK = 1000
"""On processors."""

LARGEST_ARRAY = 2.0**29
"""Bytes of one array on a GPU, of which there may be a dozen at a time."""


class Dealer:
    """Runs one compiled program on all cores or local devices, a block of particles at a time.

    On processors every block is a call of its own with the same shapes. What a block gives
    therefore does not depend on how many blocks, chains, cores or devices there are, bit for bit,
    which it would if blocks were mapped with `jax.vmap`. A GPU is as fast with many blocks as with
    one, and does as many together as its memory is for.

    Parameters
    ----------
    constants
        A tuple of pytrees that every call gets first; copied to each device once.
    precision
        That of the arrays.
    most_items
        To how many items a program is mapped at most.
    item_bytes
        Size of the largest array that a program makes of one item; matters for GPUs alone.
    """

    def __init__(self, constants: tuple, precision: str, most_items: int, item_bytes: float):
        devices = jax.local_devices()
        self._placed = [(device, jax.device_put(constants, device)) for device in devices]
        self._precision = precision
        self._num_workers = num_workers()
        self._at_once = 1
        if not on_processors():
            room = int(LARGEST_ARRAY // item_bytes)
            self._at_once = max(1, min(math.ceil(most_items / len(devices)), room))

    def rest(self, arrays: Any) -> Any:
        """Bring arrays to where they stay between calls: the one GPU, or the host."""
        if len(self._placed) == 1 and not on_processors():
            return arrays
        return jax.device_get(arrays)

    def map(
        self, program: partial, items: Iterable[tuple], meanwhile: Callable[[], None] = lambda: None
    ) -> list:
        """Return ``program(*constants, *item)`` of each item, in order, and at rest.

        The program is a partial call of a function that `jax.jit` made, with its static arguments.
        What is to be done `meanwhile` takes a core of its own for as long.
        """
        items, size = list(items), self._at_once
        parts = [items[start : start + size] for start in range(0, len(items), size)]
        results: list = [None] * len(parts)
        waiting: queue.SimpleQueue = queue.SimpleQueue()
        for numbered in enumerate(parts):
            waiting.put(numbered)

        def work(worker: int) -> None:
            device, constants = self._placed[worker % len(self._placed)]
            with precision_context(self._precision):  # settings of JAX belong to a thread
                while True:
                    try:
                        index, part = waiting.get_nowait()
                    except queue.Empty:
                        return
                    results[index] = self._call(program, device, constants, part)

        count = max(1, min(self._num_workers, len(parts)))  # there may be no parts
        with ThreadPoolExecutor(count) as pool:
            workers = [pool.submit(work, worker) for worker in range(count)]
            try:
                meanwhile()
                for done in workers:
                    done.result()
            finally:  # after an error or an interrupt, the workers find nothing more to do
                with contextlib.suppress(queue.Empty):
                    while True:
                        waiting.get_nowait()
        return [result for part in results for result in part]

    def calls(self, program: partial, item: tuple) -> list[partial]:
        """Return the calls of a program that `map` makes, one for each device."""
        return [
            self._prepared(program, device, constants, [item]) for device, constants in self._placed
        ]

    def compile(self, calls: Iterable[partial]) -> None:
        """Compile programs that later calls find, side by side, each when a call of it is there.

        They are traced here, in the precision that the caller has set. The longest to compile had
        better not be the last.
        """
        with ThreadPoolExecutor(_num_cores()) as pool:
            # Python traces and lowers one after the other, since it runs one thread at a time.
            begun = [pool.submit(_lower(call).compile) for call in calls]
            for compiling in begun:
                compiling.result()  # which raises what went wrong

    def _call(self, program: partial, device, constants: tuple, part: list[tuple]) -> list:
        """Return what a program makes of up to as many items as are done at once."""
        found = self._prepared(program, device, constants, part)()
        return self.rest([found] if self._at_once == 1 else found[: len(part)])

    def _prepared(self, program: partial, device, constants: tuple, part: list[tuple]) -> partial:
        """Return the call that `_call` makes."""
        if self._at_once == 1:
            ((first, *others),) = part
            # What follows the first goes there by itself, quicker.
            first = jax.device_put(first, device)
            return partial(program.func, *program.args, *constants, first, *others)
        # One program for any number: what is missing is done twice.
        filled = jax.device_put(part + part[-1:] * (self._at_once - len(part)), device)
        return partial(_call_together, program.func, program.args, constants, filled)


@partial(jax.jit, static_argnums=(0, 1))
def _call_together(function: Callable, statics: tuple, constants: tuple, items: list) -> list:
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *items)
    found = jax.vmap(lambda *item: function(*statics, *constants, *item))(*stacked)
    return [jax.tree.map(lambda leaf, i=i: leaf[i], found) for i in range(len(items))]


def _lower(call: partial) -> jax.stages.Lowered:
    program: Any = call.func
    return program.lower(*call.args)


def zeros(call: partial) -> Any:
    """Return zeros in the shape of what a call of a compiled program returns, without making it."""
    program: Any = call.func
    shapes = program.eval_shape(*call.args)
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)


def particles_per_block(particle_bytes: float) -> int:
    """Return how many particles at most one program moves, by the largest array it makes of one.

    On processors as many as their caches are for; on GPUs as many as their memory is for.
    """
    if on_processors():
        return PARTICLES_PER_BLOCK
    return max(PARTICLES_PER_BLOCK, int(LARGEST_ARRAY // particle_bytes))


def on_processors() -> bool:
    """Tell whether JAX computes on processors rather than GPUs."""
    return jax.local_devices()[0].platform == "cpu"


def num_workers() -> int:
    """Return how many programs run at once."""
    devices = jax.local_devices()
    # A CPU device runs as many programs at once as threads call it; a GPU runs one.
    return max(len(devices), _num_cores() if on_processors() else 1)


def _num_cores() -> int:
    given = int(os.environ.get(NUM_THREADS, 0))
    if given:
        return given
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS has no such call
        return os.cpu_count() or 1
