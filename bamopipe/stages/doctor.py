"""Say what works on this machine, a line each, and what to do about what does not."""

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bamopipe import compose, locks, plan
from bamopipe.errors import UserError
from bamopipe.programs import PROGRAMS
from bamopipe.provenance import cpu_model, git_commit
from bamopipe.stages.disk import bytes_text


class Finding(NamedTuple):
    """What was found about one thing.

    Attributes
    ----------
    mark : str
        ``ok``, ``-`` (not there, and not needed), ``!`` (worth a look) or ``x`` (broken).
    text : str
        What was found and, unless it is well, what to do.
    """

    mark: str
    text: str


def main() -> None:
    """Print what works here; raise UserError if something is broken."""
    broken = 0
    for name, look in CHECKS.items():
        try:
            finding = look()
        except Exception as error:  # whatever is broken here is what is to be told
            finding = Finding("x", f"{type(error).__name__}: {error}".splitlines()[0])
        broken += finding.mark == "x"
        print(f"{finding.mark:>2}  {name:<10}  {finding.text}", flush=True)
    if broken:
        raise UserError(f"{broken} of {len(CHECKS)} things above need mending (x)")


def versions() -> Finding:
    """Compare what is installed with what bamopipe is pinned to."""
    pins = [re.match(r"([\w.-]+)==([^;\s]+)\s*$", r) for r in _requirements()]
    wrong = [
        f"{pin[1]} {found} (pinned: {pin[2]})"
        for pin in pins
        if pin and (found := _version(pin[1])) != pin[2]
    ]
    named = ", ".join(f"{n} {_version(n)}" for n in ("bamopipe", "jax", "blackjax", "snakemake"))
    text = f"Python {platform.python_version()}, {named}"
    if wrong:
        return Finding("!", f"{text}; others than the tests ran with: {', '.join(wrong)}: uv sync")
    return Finding("ok", text)


def command() -> Finding:
    """Look for the `bamopipe` that Snakemake's rules will call."""
    path = shutil.which("bamopipe")
    if path is None:
        return Finding("x", "`bamopipe` is not on the PATH: start with `uv run`, or activate .venv")
    if Path(path).parent != Path(sys.executable).parent:
        return Finding("!", f"rules call {path}, but this is {sys.executable}: use one of them")
    if os.environ.get("PYTHONDONTWRITEBYTECODE"):
        return Finding("!", "PYTHONDONTWRITEBYTECODE is set, so that all starts are slow: unset it")
    return Finding("ok", path)


def project() -> Finding:
    """Plan every experiment."""
    names = compose.experiments()
    if not names:
        return Finding("x", f"no conf/experiment/ in {Path.cwd()}: change to the project's folder")
    wrong = []
    for name in names:
        try:
            plan.load({"experiment": name})
        except UserError as error:
            wrong.append(f"{name}: {error}")
    if wrong:
        return Finding("x", "; ".join(wrong))
    models = len(list(Path("conf/model").glob("*.yaml")))
    return Finding("ok", f"{models} models; experiments {', '.join(names)}")


def devices() -> Finding:
    """Compile and run a small program on every device."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # fits may be on the GPU
    import jax
    import jax.numpy as jnp

    start = time.perf_counter()
    found = jax.local_devices()
    for device in found:
        jax.block_until_ready(jax.jit(jnp.cumsum)(jax.device_put(jnp.ones(8), device)))
    seconds = time.perf_counter() - start
    kinds = ", ".join(sorted({d.device_kind for d in found}))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    where = f"{cores} cores of {cpu_model()}" if found[0].platform == "cpu" else kinds
    text = f"JAX computes on {len(found)} {found[0].platform} device, {where} ({seconds:.1f} s)"
    if found[0].platform == "cpu" and shutil.which("nvidia-smi"):
        return Finding("!", f"{text}; the NVIDIA GPU is not used: uv sync --extra cuda12")
    return Finding("ok", text)


def cache() -> Finding:
    """Write where compiled programs and results go."""
    PROGRAMS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=PROGRAMS) as folder:
        probe = Path(folder) / "probe"
        probe.write_text("probe")
        try:
            os.link(probe, probe.with_name("link"))
            links = ""
        except OSError:
            links = "; no hard links here, so that programs are copied to each fit"
    files = [f for f in PROGRAMS.rglob("*") if f.is_file()]
    size = bytes_text(sum(f.stat().st_size for f in files))
    return Finding("ok", f"{len(files)} compiled programs, {size}, in {PROGRAMS}{links}")


def disk() -> Finding:
    """Ask how much room is left."""
    free = shutil.disk_usage(Path()).free
    text = f"{bytes_text(free)} are free for results"
    return Finding("ok" if free > 1e9 else "!", text)


def git() -> Finding:
    """Ask which commit results will name."""
    commit = git_commit()
    if commit == "unknown":
        return Finding("!", "no git commit, so results will not say which code made them: git init")
    if commit.endswith("+changes"):
        return Finding("!", f"{commit[:8]} with changes: commit them, to be named in results")
    return Finding("ok", f"results name commit {commit[:8]}")


def lock() -> Finding:
    """Ask whether a Snakemake is at work."""
    if locks.is_held():
        return Finding("-", "Snakemake is running here: `bamopipe status --follow` shows how far")
    return Finding("ok", "no Snakemake is running in this folder")


def cluster() -> Finding:
    """Ask Slurm, where there is one."""
    if not shutil.which("sbatch"):
        return Finding("-", "no Slurm on this machine (no sbatch): runs are made here")
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        plugin = "uv sync --extra slurm"
        return Finding("!", f"Slurm is here, but not Snakemake's plugin for it: {plugin}")
    asked = subprocess.run(
        ["squeue", "--noheader", "--me"], capture_output=True, text=True, timeout=20, check=False
    )
    if asked.returncode:
        return Finding("x", f"squeue fails: {asked.stderr.strip().splitlines()[-1]}")
    jobs = len(asked.stdout.splitlines())
    return Finding("ok", f"Slurm answers ({jobs} jobs of yours): --workflow-profile profiles/slurm")


CHECKS: dict[str, Callable[[], Finding]] = {
    "versions": versions,
    "command": command,
    "project": project,
    "devices": devices,
    "cache": cache,
    "disk": disk,
    "git": git,
    "lock": lock,
    "cluster": cluster,
}


def _requirements() -> list[str]:
    return importlib.metadata.requires("bamopipe") or []


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"
