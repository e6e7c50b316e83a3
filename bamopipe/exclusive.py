"""One process at a time for a file: others wait, and then find the work done."""

import contextlib
import errno
import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

logger = logging.getLogger("bamopipe")

WITHOUT_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[bool]:
    """Hold a file that is going to be made, so that no other process makes it meanwhile.

    The kernel keeps the lock, so that it ends with its process, however that ends. On a cluster it
    holds between machines where the file system passes `flock` on, as NFS version 4 does, and
    Lustre with the mount option ``flock``.

    Parameters
    ----------
    path
        The file. The lock is beside it, in ``<stem>.lock``, and goes when it is released. The
        folder is made if it is missing.

    Yields
    ------
    bool
        Whether another process held it before, and so may have made the file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with exclusive(Path(folder) / "a.nc") as waited:
    ...         waited, [path.name for path in Path(folder).iterdir()]
    (False, ['a.lock'])
    """
    place = path.with_suffix(".lock")
    place.parent.mkdir(parents=True, exist_ok=True)
    waited = False
    while True:
        file = os.open(place, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            waited |= _wait(file, place)
            if _is_at(file, place):
                break
        except OSError as error:
            if error.errno not in WITHOUT_LOCKS:
                os.close(file)
                raise
            logger.warning("%s cannot be locked: %s", place, error.strerror)
            break
        except BaseException:  # a signal while it waits
            os.close(file)
            raise
        os.close(file)  # the one before has removed it meanwhile
    try:
        os.truncate(file, 0)
        os.write(file, _whoami().encode())
        yield waited
    finally:
        place.unlink(missing_ok=True)
        os.close(file)


def _wait(file: int, place: Path) -> bool:
    """Wait for the lock, and tell whether that took waiting."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        with contextlib.suppress(OSError):
            logger.info("%s is made by %s; waiting", place, place.read_text() or "another process")
        fcntl.flock(file, fcntl.LOCK_EX)
        return True


def _is_at(file: int, place: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), place.stat())
    except OSError:  # removed; on another machine it may be stale
        return False


def _whoami() -> str:
    job = os.environ.get("SLURM_JOB_ID")
    process = f"process {os.getpid()} on {socket.gethostname()}"
    return f"Slurm job {job}, {process}" if job else process
