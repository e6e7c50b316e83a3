"""What an engine needs to go on after it was killed: arrays in one file."""

import hashlib
import logging
import os
import signal
import threading
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import Any

import jax
import numpy as np

from bamopipe.files import atomic_write

logger = logging.getLogger("bamopipe")

# The variable is for tests that need a state at once, and for file systems where writing is dear.
SECONDS_BETWEEN_WRITES = float(os.environ.get("BAMOPIPE_CHECKPOINT_SECONDS", 60.0))


class Checkpoint:
    """A file that holds the last state of a run that an engine offered; a context manager.

    It is written when the last time is a minute ago; when the process is told to end (SIGTERM,
    which Slurm sends half a minute before it kills), which then ends; and when the body raises.
    Only arrays are stored, and nothing is executed that a file says.

    Parameters
    ----------
    path
        The file, ending in ``.npz``.
    fingerprint
        Says what the run is. What another run has left is not taken up.
    seconds
        At least so much time passes between two writes.
    before_write
        Called before each, to bring to the disk what the arrays refer to.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from pathlib import Path
    >>> from bamopipe.inference.checkpoint import Checkpoint
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "run.npz"
    ...     with Checkpoint(path, "a run", seconds=0) as checkpoint:
    ...         checkpoint.offer({"draws": np.arange(3)})
    ...     Checkpoint(path, "a run").load()["draws"]
    ...     Checkpoint(path, "another run").load() is None
    array([0, 1, 2])
    True
    """

    def __init__(
        self,
        path: Path,
        fingerprint: str,
        seconds: float = SECONDS_BETWEEN_WRITES,
        before_write: Callable[[], None] = lambda: None,
    ):
        self.path = Path(path)
        self._fingerprint = np.array(fingerprint)
        self._seconds = seconds
        self._before_write = before_write
        self._latest: Mapping[str, np.ndarray] | None = None
        self._written = time.monotonic()
        self._before: Any = None

    def load(self) -> dict[str, np.ndarray] | None:
        """Return the arrays of this very run; None if there are none that can be read."""
        try:
            with self.path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except FileNotFoundError:
            return None
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError):
            logger.warning("the checkpoint %s cannot be read; the run starts afresh", self.path)
            return None
        if not np.array_equal(arrays.pop(FINGERPRINT, None), self._fingerprint):
            logger.warning(
                "the checkpoint %s is of another run: the model, its data, the settings or the "
                "version differ; the run starts afresh",
                self.path,
            )
            return None
        return arrays

    def offer(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take the arrays of a complete turn, which must not be changed any more."""
        self._latest = arrays
        if time.monotonic() - self._written >= self._seconds:
            self.write()

    def write(self) -> None:
        """Write what was offered last, unless that was done already."""
        arrays = self._latest
        if arrays is None:
            return
        named: dict[str, Any] = {FINGERPRINT: self._fingerprint, **arrays}
        try:
            self._before_write()
            with atomic_write(self.path) as temporary:
                np.savez(temporary, **named)
        except OSError as error:  # the run itself lacks nothing
            logger.warning("the checkpoint %s cannot be written: %s", self.path, error.strerror)
        # Only now, so that a signal that comes in between finds something to write.
        self._latest, self._written = None, time.monotonic()

    def remove(self) -> None:
        """Delete the file, once the results are in a safe place."""
        self._latest = None
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> "Checkpoint":
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._terminate)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
        if kind is not None:
            self.write()

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        self.write()
        logger.warning(
            "told to end (SIGTERM); %s keeps what was done, and the same run goes on from there",
            self.path,
        )
        raise SystemExit(128 + number)


FINGERPRINT = "fingerprint"


def identity(engine: Any, key: jax.Array) -> str:
    """Return the fingerprint of a run of an engine: its settings, kernel, model, data and key."""
    settings = {f.name: getattr(engine, f.name) for f in fields(engine) if f.name != "model"}
    program, data = engine.target.program.text, jax.tree.leaves(engine.target)
    return fingerprint(settings, program, data, key, jax.__version__, metadata.version("bamopipe"))


def fingerprint(*things: Any) -> str:
    """Return a hash of settings, arrays, functions and programs; the same in every process.

    Examples
    --------
    >>> from bamopipe.inference.checkpoint import fingerprint
    >>> fingerprint({"sigma": 2.0}, len) == fingerprint({"sigma": 2.0}, len)
    True
    >>> fingerprint({"sigma": 2.0}) == fingerprint({"sigma": 2.5})
    False
    """
    digest = hashlib.sha256()
    _feed(digest, things)
    return digest.hexdigest()


def _feed(digest, thing: Any) -> None:
    digest.update(f"<{type(thing).__qualname__}>".encode())
    if isinstance(thing, jax.Array) and jax.dtypes.issubdtype(thing.dtype, jax.dtypes.prng_key):
        thing = jax.random.key_data(thing)
    if isinstance(thing, Mapping):
        _feed(digest, [*thing.items()])
    elif isinstance(thing, list | tuple):
        for part in thing:
            _feed(digest, part)
    elif is_dataclass(thing):
        _feed(digest, [(f.name, getattr(thing, f.name)) for f in fields(thing)])
    elif isinstance(thing, np.ndarray | np.generic | jax.Array):
        array = np.asarray(thing)
        digest.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
    elif isinstance(thing, CodeType):
        digest.update(thing.co_code)
        _feed(digest, thing.co_consts)
    elif isinstance(thing, set | frozenset):
        _feed(digest, sorted(thing))
    elif isinstance(thing, partial):
        _feed(digest, (thing.func, thing.args, thing.keywords))
    elif callable(thing):
        digest.update(f"{thing.__module__}.{thing.__qualname__}".encode())
        _feed(digest, getattr(thing, "__code__", None))
    else:
        digest.update(repr(thing).encode())
    digest.update(b"</>")
