"""What produced a result: code, environment and machine. Imports JAX only when asked about it."""

import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bamopipe import devices

PACKAGES = (
    "bamopipe", "blackjax", "distrax", "jax", "jaxlib", "numpy", "tfp-nightly", "xarray",
)  # fmt: skip


def describe(data_files: Mapping[str, str], model_source: Path) -> dict[str, str]:
    """Return attributes that say where a result comes from; structured ones as JSON.

    Parameters
    ----------
    data_files
        Name -> path of each data file.
    model_source
        The file that defines the model.
    """
    return {
        "model_source": model_source.read_text(),
        "data_sha256": json.dumps({n: sha256(Path(path)) for n, path in data_files.items()}),
        "git_commit": git_commit(),
        "versions": json.dumps(
            {"python": platform.python_version()}
            | {name: importlib.metadata.version(name) for name in PACKAGES}
        ),
        "machine": json.dumps(_machine()),
        "created_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


KEPT_UP_TO = 64 * 2**20
"""Bytes of data files that go into a posterior; of larger ones it has the hash alone."""


def keep(data_files: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Return the bytes of data files, so that a fit can be run again where they are not.

    Parameters
    ----------
    data_files
        Name -> path of each data file.

    Returns
    -------
    dict
        Name -> array of bytes, without the files for which there is no room; the smallest first.
    """
    kept, room = {}, KEPT_UP_TO
    for name, path in sorted(data_files.items(), key=lambda item: Path(item[1]).stat().st_size):
        room -= Path(path).stat().st_size
        if room >= 0:
            kept[name] = np.fromfile(path, np.uint8)
    return kept


def sha256(path: Path) -> str:
    """Hash the content of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git_commit() -> str:
    """Return the commit of the project's folder, with "+changes" if files differ from it."""

    def git(*arguments: str) -> str:
        run = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
        return run.stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        return commit + ("+changes" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _machine() -> dict[str, str | int]:
    import jax

    found = jax.local_devices()
    machine = {
        "isa": platform.machine(),
        "cpu": cpu_model(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "device": found[0].device_kind,
        "num_devices": len(found),
    }
    lease = devices.lease()
    return machine if lease is None else {**machine, "gpu": lease.device, "gpu_share": lease.share}


def cpu_model() -> str:
    """Name the processor: code that XLA compiles for another may round differently."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor()
