"""A Slurm cluster of two nodes on this one host, from Debian's packages; by hand for an hour:

    python tests/cluster.py

Both nodes are this machine under two names. Each claims four processors, 8 GB and a GPU, which is
a device that is always empty, so what is tested is who gets what, not how fast it is.
"""

import contextlib
import fcntl
import importlib.util
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

NODES = {"n1": 17001, "n2": 17002}
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel")
# Tools read this place when they are started without Slurm's variables, as the plugin does.
ETC = Path("/etc/slurm")
OURS = "# of bamopipe's tests"
MUNGE = Path("/run/munge")

SLURM_CONF = """\
{ours}
ClusterName=bamopipe
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdSpoolDir={folder}/spool.%n
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmdLogFile={folder}/slurmd.%n.log
AuthType=auth/munge
CredType=cred/munge
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none

# Control groups need systemd, so processes are found by their parents, and memory by looking.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill

# Processors and memory are shared out; a node may claim more of both than there are.
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
GresTypes=gpu

# Quick to start a job, to miss a node and to take it back; finished jobs stay in squeue.
SchedulerParameters=batch_sched_delay=1,sched_min_interval=200000,bf_interval=5
SlurmdTimeout=10
ReturnToService=2
KillWait={kill_wait}
MinJobAge=600
JobRequeue=0

PartitionName=all Nodes=ALL Default=YES MaxTime=1-0 DefaultTime=10 DefMemPerCPU=500 State=UP
"""
NODE = (
    "NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 Boards=1"
    " SocketsPerBoard=1 CoresPerSocket=4 ThreadsPerCore=1 RealMemory=8000 Gres=gpu:1\n"
)


def obstacle() -> str:
    """Say why there can be no cluster here; nothing if there can."""
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing:
        return f"no {missing[0]}: apt-get install slurm-wlm slurm-client munge"
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        return "no plugin of Snakemake's: uv sync --extra slurm"
    if os.geteuid() != 0:
        return "only root can start Slurm's daemons"
    conf = ETC / "slurm.conf"
    if conf.exists() and not conf.read_text().startswith(OURS):
        return f"{conf} belongs to a cluster that is there already"
    return ""


class Cluster:
    """What is running.

    Parameters
    ----------
    folder
        For its state and logs.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def start_node(self, node: str) -> None:
        """Start the daemon of a node, also again after `kill_node`."""
        subprocess.run(["slurmd", "-N", node], check=True)
        _until(lambda: self.states()[node] in ("idle", "mixed", "allocated"))

    def kill_node(self, node: str) -> None:
        """End the daemon of a node and all its jobs at once, as when its power fails."""
        doomed = [self._daemon(f"slurmd.{node}")]
        for job, where in self.jobs("%A %N", "-t", "R,CG"):
            steps = [p for p in psutil.process_iter() if f"[{job}." in " ".join(_words(p))]
            doomed += steps if where == node else []
        for process in list(doomed):
            with contextlib.suppress(psutil.NoSuchProcess):
                doomed += process.children(recursive=True)
        for process in doomed:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def states(self) -> dict[str, str]:
        """Return node -> what it is at."""
        return {node: state for node, state in _read("sinfo", "-h", "-N", "-o", "%N %T")}

    def jobs(self, form: str = "%A %T %k", *options: str) -> list[list[str]]:
        """Return what squeue says of each job; ended ones with ``-t all`` only."""
        return _read("squeue", "-h", "-o", form, *options)

    def asked(self, after: int = 0) -> list[list[str]]:
        """Return what each job asked for: its comment, processors, memory, time and GPUs.

        Parameters
        ----------
        after
            Jobs with a higher number only.
        """
        form = "JobID:10,Comment:100,NumCPUs:10,MinMemory:10,TimeLimit:20,tres-per-job:20"
        rows = _read("squeue", "-h", "-t", "all", "-O", form)
        return [asked for job, *asked in rows if int(job) > after]

    def last(self) -> int:
        """Return the number of the latest job."""
        return max((int(job) for (job,) in self.jobs("%A", "-t", "all")), default=0)

    def cancel_all(self) -> None:
        """End all jobs at once, those that are stopped too."""
        for how in (["--full", "--signal=KILL"], []):  # what runs, and what waits
            subprocess.run(["scancel", *how, "--user=root"], check=True, capture_output=True)
        _until(lambda: not self.jobs())

    def _daemon(self, name: str) -> psutil.Process:
        return psutil.Process(int((self.folder / f"{name}.pid").read_text()))

    def stop(self) -> None:
        """End all jobs and daemons."""
        for node in NODES:
            with contextlib.suppress(psutil.NoSuchProcess, OSError):
                self.kill_node(node)
        with contextlib.suppress(psutil.NoSuchProcess, OSError):
            self._daemon("slurmctld").kill()


@contextlib.contextmanager
def start(folder: Path, kill_wait: int = 30) -> Iterator[Cluster]:
    """Start a cluster, and stop it in the end; one at a time on a machine.

    Parameters
    ----------
    folder
        For its state and logs.
    kill_wait
        Seconds between SIGTERM and SIGKILL; 30 is Slurm's default.
    """
    with open("/run/lock/bamopipe-slurm", "w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        _start_munge()
        for name in ("state", *(f"spool.{node}" for node in NODES)):
            (folder / name).mkdir()
        about = {"ours": OURS, "folder": folder, "host": socket.gethostname().split(".")[0]}
        nodes = "".join(NODE.format(node=n, port=port, **about) for n, port in NODES.items())
        gpus = ""
        for node in NODES:
            os.mknod(folder / f"gpu.{node}", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
            gpus += f"NodeName={node} Name=gpu File={folder}/gpu.{node}\n"
        (ETC / "gres.conf").write_text(gpus)
        (ETC / "slurm.conf").write_text(SLURM_CONF.format(kill_wait=kill_wait, **about) + nodes)
        cluster = Cluster(folder)
        try:
            subprocess.run(["slurmctld"], check=True)
            _until(
                lambda: subprocess.run(["scontrol", "ping"], capture_output=True).returncode == 0
            )
            for node in NODES:
                cluster.start_node(node)
            yield cluster
        finally:
            cluster.stop()
            for name in ("slurm.conf", "gres.conf"):
                (ETC / name).unlink()


def _start_munge() -> None:
    """Start the daemon by which Slurm's others know each other, unless it runs."""
    MUNGE.mkdir(exist_ok=True)
    shutil.chown(MUNGE, "munge", "munge")
    if not _works("munge", "-n"):
        subprocess.run(["runuser", "-u", "munge", "--", "munged", "--force"], check=True)


def _works(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _read(*command: str) -> list[list[str]]:
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.split() for line in run.stdout.splitlines()]


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _until(is_so: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError("Slurm does not come up; look at its logs")
        time.sleep(0.1)


if __name__ == "__main__":
    problem = obstacle()
    if problem:
        sys.exit(f"no cluster: {problem}")
    with tempfile.TemporaryDirectory() as place, start(Path(place)):
        subprocess.run(["sinfo", "-N"], check=True)
        print("Ctrl-C stops it", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            time.sleep(3600)
