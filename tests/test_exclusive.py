"""One process at a time makes a file."""

import errno
import fcntl
import subprocess
import sys
import threading
import time

import pytest

from bamopipe.exclusive import exclusive

HOLD = """
import sys, time
from pathlib import Path
from bamopipe.exclusive import exclusive
with exclusive(Path(sys.argv[1])) as waited:
    print(waited, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the file."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "a.nc")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "False\n"
        yield process
        process.kill()


def test_the_next_waits_and_knows_for_whom(holder, tmp_path, caplog):
    caplog.set_level("INFO", "bamopipe")
    threading.Timer(0.5, holder.kill).start()
    start = time.monotonic()
    with exclusive(tmp_path / "a.nc") as waited:
        assert waited
        assert time.monotonic() - start > 0.4
    assert f"is made by process {holder.pid} on" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_what_was_killed_holds_nothing(holder, tmp_path):
    holder.kill()
    holder.wait()
    assert (tmp_path / "a.lock").exists()
    with exclusive(tmp_path / "a.nc") as waited:
        assert not waited


def test_many_at_once_take_turns(tmp_path):
    inside, most = [], []

    def work():
        for _ in range(20):
            with exclusive(tmp_path / "a.nc"):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.001)
                inside.pop()

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert most == [1] * 160


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch, caplog):
    def refuse(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with exclusive(tmp_path / "a.nc") as waited:
        assert not waited
    assert "cannot be locked: No locks available" in caplog.text
