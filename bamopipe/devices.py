"""Which GPU a fit computes on: chosen and locked before JAX starts. Imports no JAX.

A fit computes on one GPU, or on a share of one, so many GPUs are used by many fits at once. Each
share has a file in a folder of this machine, and the fit that has locked the file has the share.
The kernel takes the lock back when the process ends, however it ends. Without a GPU that JAX can
use, nothing here does anything.
"""

import contextlib
import functools
import importlib.util
import logging
import os
import re
import stat
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from bamopipe.errors import UserError
from bamopipe.files import lock

logger = logging.getLogger("bamopipe")

VISIBLE = "CUDA_VISIBLE_DEVICES"
MEMORY = "XLA_PYTHON_CLIENT_MEM_FRACTION"

JOBS_PER_GPU = "BAMOPIPE_JOBS_PER_GPU"
"""Environment variable: how many fits share a GPU, 1 by default; the same for all fits at once."""

USABLE = 0.9
"""Part of a GPU's memory that fits divide among them; contexts and displays need the rest."""

PAUSE = 0.2
"""Seconds between two looks for a share that has become free."""


class Gpu(NamedTuple):
    """A GPU that this process may use.

    Attributes
    ----------
    name : str
        What CUDA_VISIBLE_DEVICES calls it.
    lock : str
        Its name in locks, by which all processes on this machine know it.
    """

    name: str
    lock: str


class Lease(NamedTuple):
    """What a process was given.

    Attributes
    ----------
    device : str
        The GPU, by its UUID where the driver tells it.
    share : str
        ``1/2`` is one of two shares of it.
    """

    device: str
    share: str


@functools.cache
def lease() -> Lease | None:
    """Take a GPU, or a share of one, until this process ends; wait for it if all are taken.

    Sets CUDA_VISIBLE_DEVICES and the part of the memory that JAX may take, unless a person has set
    that. JAX reads both when it first computes, so this has to come before.

    Returns
    -------
    Lease or None
        None where there is no GPU that JAX can use; then nothing has been touched.

    Raises
    ------
    UserError
        When BAMOPIPE_JOBS_PER_GPU is no count, or the folder of the locks is somebody else's.
    """
    gpus = visible_gpus()
    if not gpus:
        return None
    jobs = jobs_per_gpu()
    folder = _folder()
    # A GPU that is idle comes before a second share of one that is not.
    shares = [(gpu, number) for number in range(jobs) for gpu in gpus]
    waiting = False
    while True:
        for gpu, number in shares:
            if lock(folder / f"{gpu.lock}.{number}", 0o600) is not None:  # until the process ends
                os.environ[VISIBLE] = gpu.name
                os.environ.setdefault(MEMORY, f"{USABLE / jobs:.3f}")
                return Lease(gpu.lock, f"1/{jobs}")
        if not waiting:
            logger.info("waiting for a GPU: other fits have all %d shares", len(shares))
            waiting = True
        time.sleep(PAUSE)


def num_shares() -> int:
    """Return how many fits can compute on GPUs at once; 1 without a GPU, on the processor."""
    return max(1, len(visible_gpus()) * jobs_per_gpu())


def jobs_per_gpu() -> int:
    """Read how many fits share a GPU."""
    text = os.environ.get(JOBS_PER_GPU, "1")
    if not re.fullmatch(r"[1-9]\d?", text):
        raise UserError(f"{JOBS_PER_GPU} must be a whole number from 1 to 99, got {text!r}")
    return int(text)


def visible_gpus() -> list[Gpu]:
    """List the GPUs that this process may use: those that Slurm or a person chose, or all."""
    if not _jax_can_use_gpus():
        return []
    chosen = os.environ.get(VISIBLE)
    if chosen is None:
        return _gpus()
    # CUDA ends the list at the first name that it does not know, such as -1 or NoDevFiles.
    names = [name.strip() for name in chosen.split(",")]
    known = [bool(re.match(r"\d+$|GPU-|MIG-", name)) for name in names]
    names = names[: [*known, False].index(False)]
    present = _gpus() if names else []
    return [Gpu(name, _lock_name(name, present)) for name in names]


def _lock_name(name: str, present: list[Gpu]) -> str:
    """Name a chosen GPU as processes do which have chosen it by another name."""
    if name.isdigit():
        return present[int(name)].lock if int(name) < len(present) else name
    # CUDA takes the beginning of a UUID for the whole
    return next((gpu.lock for gpu in present if gpu.lock.startswith(name)), Path(name).name)


def _jax_can_use_gpus() -> bool:
    """Tell whether JAX will compute on NVIDIA GPUs if there are any."""
    platforms = os.environ.get("JAX_PLATFORMS", "")
    if platforms and not {"cuda", "gpu"}.intersection(platforms.split(",")):
        return False
    plugins = importlib.util.find_spec("jax_plugins")
    folders = (plugins and plugins.submodule_search_locations) or ()
    return any(list(Path(folder).glob("xla_cuda*")) for folder in folders)


def _gpus() -> list[Gpu]:
    """List the GPUs of this machine, and instead of those that are cut into parts, the parts."""
    try:
        listed = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        listed = ""
    found: list[str] = []
    for uuid in re.findall(r"\(UUID: ((?:GPU|MIG)-[\w-]+)", listed):
        if uuid.startswith("MIG-") and found and found[-1].startswith("GPU-"):
            found.pop()
        found.append(uuid)
    if found:
        return [Gpu(uuid, uuid) for uuid in found]
    # In containers the tool may be missing; CUDA then numbers what there is.
    files = [path.name for path in Path("/dev").glob("nvidia*") if path.name[6:].isdigit()]
    files.sort(key=lambda name: int(name[6:]))
    return [Gpu(str(number), name) for number, name in enumerate(files)]


def _folder() -> Path:
    """Make the folder of the locks: this machine's, since the GPUs are, and this person's."""
    user = os.getuid()
    folder = Path(tempfile.gettempdir(), f"bamopipe-gpus-{user}")
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != user:
        raise UserError(f"{folder}, for locks on GPUs, is not yours: remove it, or set TMPDIR")
    return folder
