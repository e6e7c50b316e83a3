"""Leases on GPUs, with made-up GPUs: fits never share one by mistake, nor leave it locked.

A process sees as many as a ``nvidia-smi`` of ours lists, and a folder stands for JAX's plugin.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from test_fit import CONFIG, command_of

import project
from bamopipe import posterior

LEASE = """
import os, sys, time
from bamopipe import devices
lease = devices.lease()
names = ("CUDA_VISIBLE_DEVICES", "XLA_PYTHON_CLIENT_MEM_FRACTION")
print(*(lease or ("none", "-")), *(os.environ.get(name, "-") for name in names), flush=True)
"""
HOLD = LEASE + "time.sleep(600)"

# Does what two fits with one GPU must never do at once.
TURN = """
import os, sys, time
from pathlib import Path
from bamopipe import devices
device, _ = devices.lease()
held = Path(sys.argv[1], f"{device}.{os.getpid()}")
held.touch()
print(device, len(list(Path(sys.argv[1]).glob(f"{device}.*"))), flush=True)
time.sleep(0.3)
held.unlink()
"""


class Machine:
    """A machine with GPUs: the environment of the processes on it."""

    def __init__(self, folder: Path):
        self.folder = folder
        plugin = folder / "packages" / "jax_plugins" / "xla_cuda12"
        for needed in (plugin, folder / "bin", folder / "tmp"):
            needed.mkdir(parents=True)
        (plugin / "__init__.py").write_text("def initialize(): pass\n")
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("CUDA", "XLA", "JAX"))},
            "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(folder / "packages"),
            "TMPDIR": str(folder / "tmp"),
        }

    def install(self, listing: str) -> None:
        tool = self.folder / "bin" / "nvidia-smi"
        tool.write_text(f'#!/bin/sh\n[ "$1" = -L ] || exit 9\ncat <<END\n{listing}\nEND\n')
        tool.chmod(0o755)

    def start(self, *words, **environment) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, *map(str, words)],
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def leased(self, **environment) -> list[str]:
        output, errors = self.start("-c", LEASE, **environment).communicate(timeout=100)
        assert output, errors
        return output.split()

    def locks(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "tmp").glob("bamopipe-gpus-*/*"))


@pytest.fixture
def machine(tmp_path):
    """Two GPUs."""
    machine = Machine(tmp_path)
    machine.install(
        "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-aaaa-1)\n"
        "GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-bbbb-2)"
    )
    return machine


def test_each_gets_a_gpu_or_a_share_and_waits_when_all_are_taken(machine):
    """Idle GPUs go first; the fifth of four has to wait until one is killed."""
    shared = {"BAMOPIPE_JOBS_PER_GPU": "2"}
    holders = [machine.start("-c", HOLD, **shared) for _ in range(4)]
    try:
        given = [holder.stdout.readline().split() for holder in holders]
        assert Counter(line[0] for line in given) == {"GPU-aaaa-1": 2, "GPU-bbbb-2": 2}
        assert all(line[1:] == ["1/2", line[0], "0.450"] for line in given)
        late = machine.start(
            "-c", "import logging; logging.basicConfig(level=20)" + LEASE, **shared
        )
        assert "waiting for a GPU: other fits have all 4 shares" in late.stderr.readline()
        time.sleep(1)
        assert late.poll() is None
        holders[2].send_signal(signal.SIGKILL)
        output, errors = late.communicate(timeout=100)
        assert output.split() == given[2], errors
    finally:
        for holder in holders:
            holder.kill()
            holder.communicate()
    assert machine.locks() == [f"GPU-{g}.{n}" for g in ("aaaa-1", "bbbb-2") for n in (0, 1)]


def test_no_two_have_a_gpu_at_once(machine):
    """Eight at once on two GPUs, in turns; each looks who else is there."""
    place = machine.folder / "held"
    place.mkdir()
    turns = [machine.start("-c", TURN, place) for _ in range(8)]
    said = [turn.communicate(timeout=200) for turn in turns]
    assert {output.split()[1] for output, _ in said} == {"1"}, said
    assert {output.split()[0] for output, _ in said} == {"GPU-aaaa-1", "GPU-bbbb-2"}


@pytest.mark.parametrize(
    ("chosen", "device", "name"),
    [
        ("1", "GPU-bbbb-2", "1"),  # as a person or Slurm numbers them
        ("GPU-bb", "GPU-bbbb-2", "GPU-bb"),
        ("1,0", "GPU-bbbb-2", "1"),
        ("7", "7", "7"),  # CUDA will say that it is not there
        ("", "none", ""),
        ("-1", "none", "-1"),
        ("NoDevFiles", "none", "NoDevFiles"),  # Slurm's word for none
    ],
)
def test_the_choice_of_slurm_or_a_person_is_honoured(machine, chosen, device, name):
    given = machine.leased(CUDA_VISIBLE_DEVICES=chosen)
    if device == "none":
        assert given == ["none", "-", *([name] if name else []), "-"]
        assert machine.locks() == []
    else:
        assert given == [device, "1/1", name, "0.900"]
        assert machine.locks() == [f"{device}.0"]


def test_memory_that_a_person_set_is_left_alone(machine):
    given = machine.leased(XLA_PYTHON_CLIENT_MEM_FRACTION="0.3")
    assert given == ["GPU-aaaa-1", "1/1", "GPU-aaaa-1", "0.3"]


def test_of_a_gpu_in_parts_each_part_is_one(machine):
    machine.install(
        "GPU 0: NVIDIA A100 (UUID: GPU-aaaa-1)\n"
        "  MIG 3g.20gb     Device  0: (UUID: MIG-c-1)\n"
        "  MIG 3g.20gb     Device  1: (UUID: MIG-c-2)\n"
        "GPU 1: NVIDIA A100 (UUID: GPU-bbbb-2)"
    )
    program = "from bamopipe import devices; print([gpu.name for gpu in devices.visible_gpus()])"
    output, errors = machine.start("-c", program).communicate(timeout=100)
    assert output.strip() == "['MIG-c-1', 'MIG-c-2', 'GPU-bbbb-2']", errors


@pytest.mark.parametrize("lacking", ["plugin", "platform", "gpu"])
def test_nothing_is_touched_where_jax_computes_on_the_processor(machine, lacking):
    environment = {}
    if lacking == "plugin":
        environment["PYTHONPATH"] = ""
    elif lacking == "platform":
        environment["JAX_PLATFORMS"] = "cpu"
    else:
        machine.install("No devices were found")
    assert machine.leased(**environment) == ["none", "-", "-", "-"]
    assert machine.locks() == []


@pytest.mark.parametrize("count", ["0", "two", "1.5", "-1"])
def test_a_count_that_is_none_gets_one_sentence(machine, count, tmp_path):
    command, _ = command_of(tmp_path, CONFIG)
    run = machine.start(*command[1:], BAMOPIPE_JOBS_PER_GPU=count)
    _, errors = run.communicate(timeout=100)
    assert run.returncode == 2
    assert errors == (
        f"bamopipe: BAMOPIPE_JOBS_PER_GPU must be a whole number from 1 to 99, got '{count}'\n"
    )


def test_a_folder_of_locks_that_is_a_link_is_refused(machine):
    (machine.folder / "tmp" / f"bamopipe-gpus-{os.getuid()}").symlink_to(machine.folder)
    _, errors = machine.start("-c", LEASE).communicate(timeout=100)
    assert "for locks on GPUs, is not yours" in errors


# Looks at the pools of threads from within a process that has fitted.
FIT = """
import json, sys
from pathlib import Path
from threadpoolctl import threadpool_info
from bamopipe import cli
status = cli.main(sys.argv[1:])
from bamopipe.inference.devices import num_workers
names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
pools = {name: names.count(f"tf_XLA{name}") for name in ("Eigen", "Execute", "Compile")}
print(json.dumps({"status": status, "workers": num_workers(), "blas": blas, **pools}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="threads are listed in /proc")
def test_a_fit_records_its_gpu_and_has_the_threads_that_it_was_given(machine, tmp_path):
    """Three, which is neither one nor what machines have."""
    small = {**CONFIG["inference"], "num_chains": 1, "num_particles": 20, "num_mutations": 1}
    command, out = command_of(tmp_path, {**CONFIG, "inference": small}, "--threads", "3", seeds="0")
    run = machine.start("-c", FIT, *command[3:])
    output, errors = run.communicate(timeout=300)
    assert run.returncode == 0, errors
    assert '"status": 0, "workers": 3, "blas": [' in output
    assert '"Eigen": 3, "Execute": 3, "Compile": 3}' in output
    assert set(output.partition('"blas": [')[2].partition("]")[0].split(", ")) == {"1"}
    record = posterior.read(out).attrs["machine"]
    assert '"gpu": "GPU-aaaa-1", "gpu_share": "1/1"' in record


@pytest.mark.parametrize(("words", "expected"), [([], "4"), (["--resources", "gpu=3"], "3")])
def test_the_gpu_profile_starts_as_many_fits_as_there_are_shares(machine, words, expected):
    """Snakemake has to be told, for it would otherwise start them all, to wait with their cores."""
    folder = machine.folder / "project"
    folder.mkdir()
    project.make(folder)
    words = ["--workflow-profile", "profiles/gpu", "--cores", "8", *words]
    path = f"{folder / 'bin'}{os.pathsep}{machine.environment['PATH']}"
    environment = {**machine.environment, "PATH": path, "BAMOPIPE_JOBS_PER_GPU": "2"}
    run = project.snakemake(folder, *words, **environment, STUB_ALL="1")
    assert run.returncode == 0, run.stderr
    lines = [line for line in (run.stdout + run.stderr).splitlines() if "rovided" in line]
    assert f'Provided resources: gpu=Resource("gpu", {expected})' in lines, lines
