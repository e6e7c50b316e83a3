"""What is left of a run that was killed, and how it goes on."""

import hashlib
import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from conftest import make_eight_schools

from bamopipe.errors import UserError
from bamopipe.inference import SMCInference, memory
from bamopipe.inference.checkpoint import Checkpoint, fingerprint
from bamopipe.samplers import gibbs_sampler

SCHEMES = {
    "adaptive": dict(),
    "fixed": dict(temperatures=(0.02, 0.1, 0.4, 1.0), num_mutations=5),
    "data": dict(data_blocks=3, num_mutations=5),
    "waste_free": dict(scheme="waste_free", num_mutations=9),
    "persistent": dict(scheme="persistent", num_mutations=5),
}


def make_engine(**settings):
    model = make_eight_schools()
    settings = {"num_particles": 400, "num_chains": 2, "max_mutations": 8, **settings}
    return SMCInference(model, gibbs_sampler(model), **settings)


def digest(result) -> str:
    """Hash all that a result says but how long it took."""
    final = result.final_state
    arrays = [
        *[final.particles[name] for name in sorted(final.particles)],
        *[result.prior[name] for name in sorted(result.prior)],
        *(final.log_prior, final.log_likelihood, final.temperature),
        *(result.log_evidence_chains, result.log_evidence_se_chains),
    ]
    text = repr((result.stages, result.status)).encode()
    return hashlib.sha256(text + b"".join(np.asarray(a).tobytes() for a in arrays)).hexdigest()


class KilledError(Exception):
    """In place of a signal that ends a process."""


def offer_and_die(self, arrays, offer=Checkpoint.offer):
    self._seconds = 0
    offer(self, arrays)
    raise KilledError


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_run_goes_on_as_if_it_had_not_been_killed(scheme, tmp_path, monkeypatch):
    """Killed after every stage, so that each of as many runs makes one."""
    engine, path = make_engine(**SCHEMES[scheme]), tmp_path / "run.npz"
    undisturbed = engine.run(jax.random.key(3))
    num_stages = max(map(len, undisturbed.stages))
    assert num_stages > 2
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "offer", offer_and_die)
        for _ in range(num_stages):
            with pytest.raises(KilledError):
                engine.run(jax.random.key(3), path)
    assert digest(engine.run(jax.random.key(3), path)) == digest(undisturbed)


def test_what_another_run_left_is_not_taken_up(tmp_path, monkeypatch, caplog):
    engine, path = make_engine(**SCHEMES["fixed"]), tmp_path / "run.npz"
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "offer", offer_and_die)
        with pytest.raises(KilledError):
            engine.run(jax.random.key(3), path)
    for other, key in ((engine, 4), (make_engine(**SCHEMES["data"]), 3)):
        caplog.clear()
        assert digest(other.run(jax.random.key(key), path)) == digest(
            other.run(jax.random.key(key))
        )
        assert "is of another run" in caplog.text


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no more than the start of a zip file"])
def test_a_damaged_file_is_passed_over(damage, tmp_path, caplog):
    path = tmp_path / "run.npz"
    path.write_bytes(damage)
    assert Checkpoint(path, "a run").load() is None
    assert "cannot be read" in caplog.text


def test_a_file_is_read_as_arrays_only(tmp_path):
    path = tmp_path / "run.npz"
    np.savez(path, fingerprint=np.array("a run"), bomb=np.array([print], dtype=object))
    assert Checkpoint(path, "a run").load() is None


def test_writes_are_a_minute_apart(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    checkpoint = Checkpoint(tmp_path / "run.npz", "a run")
    written = []
    for second in range(0, 150, 10):
        clock[0] = second
        checkpoint.offer({"second": np.array(second)})
        written.append(int(checkpoint.load()["second"]) if checkpoint.path.exists() else None)
    assert written == [*[None] * 6, *[60] * 6, *[120] * 3]


def test_a_full_disk_does_not_end_the_run(tmp_path, monkeypatch, caplog):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    Checkpoint(tmp_path / "run.npz", "a run", seconds=0).offer({"a": np.zeros(3)})
    assert "No space left on device" in caplog.text
    assert list(tmp_path.iterdir()) == []


PROGRAM = """
import logging, sys
import jax
from test_checkpoint import SCHEMES, digest, make_engine
logging.basicConfig(level=logging.INFO)
engine = make_engine(num_particles=3000, num_mutations=40)
print(digest(engine.run(jax.random.key(1), sys.argv[1])))
"""


def start(path, seed):
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, path],
        env={**os.environ, "PYTHONPATH": "tests", "PYTHONHASHSEED": str(seed)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_told_to_end_it_writes_and_goes_on_in_another_process(tmp_path):
    """As Slurm tells a job whose time is up; with names hashed in another order."""
    first = start(tmp_path / "run.npz", 1)
    for line in first.stderr:
        if "stage 2" in line:
            first.send_signal(signal.SIGTERM)
            break
    output, errors = first.communicate()
    assert first.returncode == 128 + signal.SIGTERM, errors
    assert output == ""
    assert "told to end" in errors
    second = start(tmp_path / "run.npz", 2)
    output, errors = second.communicate()
    assert second.returncode == 0, errors
    assert "goes on from" in errors
    assert "stage 2," not in errors
    undisturbed = start(tmp_path / "other.npz", 3)
    assert undisturbed.communicate()[0] == output != ""


def test_fingerprints_tell_settings_arrays_and_functions_apart():
    things = [
        *({"sigma": 1.0}, {"sigma": 1}, {"sigma": np.float32(1)}, {"tau": 1.0}),
        *(np.arange(4), np.arange(4.0), np.arange(4).reshape(2, 2), [0, 1, 2, 3]),
        *(len, max, lambda x: x + 1, lambda x: x + 2),
        *(jax.random.key(0), jax.random.key(1), frozenset("ab"), frozenset("ac")),
    ]
    assert len({fingerprint(thing) for thing in things}) == len(things)


def test_a_run_that_does_not_fit_in_memory_is_refused(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 1e9)
    make_engine(num_particles=100_000).check_memory()
    # ten variables and four factors, three times, in eight bytes each
    message = r"about 6\.7 GB .* for 20,000,000 particles.* 1\.0 GB are free; use fewer particles"
    with pytest.raises(UserError, match=message):
        make_engine(num_particles=10_000_000).run(jax.random.key(0))
    make_engine(num_particles=100_000, num_chains=10).check_memory()
    with pytest.raises(UserError, match="for predictions and densities of observations"):
        make_engine(num_particles=100_000, num_chains=10).check_memory(num_results=4)


def test_the_limit_of_a_container_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "LIMITS", tmp_path)
    machine = memory.available()
    (tmp_path / "memory.current").write_text("1000")
    for limit, expected in (("max", machine), ("5000", 4000)):
        (tmp_path / "memory.max").write_text(limit)
        assert memory.available() == pytest.approx(expected, rel=0.1)
