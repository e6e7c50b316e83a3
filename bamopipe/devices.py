"""Which devices a process computes on: to be settled before JAX starts. Imports no JAX itself."""

import contextlib
import os
import sys


def use_cpu_cores(count: int | None = None) -> None:
    """Give JAX one CPU device a core, unless somebody has chosen already.

    One CPU device runs one block of particles at a time; with a device for each core they all work.
    A choice made by the environment variable ``JAX_NUM_CPU_DEVICES`` stands. Results do not depend
    on the number.

    Parameters
    ----------
    count
        Number of cores; all that this process may use by default.
    """
    if "JAX_NUM_CPU_DEVICES" in os.environ and count is None:
        return
    count = count or len(os.sched_getaffinity(0))
    if "jax" not in sys.modules:
        os.environ["JAX_NUM_CPU_DEVICES"] = str(count)
        return
    jax = sys.modules["jax"]
    with contextlib.suppress(RuntimeError):  # once JAX has started it keeps the devices it has
        jax.config.update("jax_num_cpu_devices", count)
