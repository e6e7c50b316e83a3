"""Files that are either whole or not there."""

import contextlib
import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.(?P<kind>\w+)")
"""Names of files that are not complete."""


def lock(path: str | os.PathLike, mode: int = 0o666) -> int | None:
    """Lock a file for this process alone, unless another holds it.

    The kernel keeps the lock, so that it ends with this process, however that ends. Children do not
    inherit it, so that none of them keeps the lock of a dead parent.

    Parameters
    ----------
    path : path-like
        The file; it is made if it is missing.
    mode : int
        Its permissions then.

    Returns
    -------
    int or None
        The open file: it is locked until `os.close`. None if another process has locked it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first, second = (lock(Path(folder) / "a.lock") for _ in range(2))
    ...     os.close(first)
    >>> second is None
    True
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    except BaseException:
        os.close(file)
        raise
    return file


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """Offer a temporary path beside `path`, and move it into place once it is complete.

    The folder is made if it is missing. The temporary name keeps the suffix, since libraries
    choose a format by it. When the body raises, nothing is left behind.

    Parameters
    ----------
    path : path-like
        Where the finished file belongs; an older file there is replaced.

    Yields
    ------
    pathlib.Path
        Where to write.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_write(Path(folder) / "a.txt") as temporary:
    ...         _ = temporary.write_text("hello")
    ...     (Path(folder) / "a.txt").read_text()
    'hello'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
