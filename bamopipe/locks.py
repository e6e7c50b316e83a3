"""Snakemake's lock on a project, when the Snakemake that took it was killed.

Snakemake marks a project as locked by files, which stay when it is killed; a rerun then asks its
person to unlock by hand. A lock of the kernel goes with the process that holds it, however that
ends. So who has the kernel's lock knows that nobody holds Snakemake's.
"""

import fcntl
from pathlib import Path
from typing import IO

FOLDER = Path(".snakemake")


def take_over(folder: Path = FOLDER) -> IO[str] | None:
    """Hold the project, and remove what a killed Snakemake left of its lock.

    If another Snakemake is alive nothing is done, and Snakemake itself says so.

    Parameters
    ----------
    folder : pathlib.Path
        Where Snakemake keeps its own files.

    Returns
    -------
    file or None
        The project is held until this file is closed, at the latest when the process ends. None if
        another holds it.
    """
    folder.mkdir(exist_ok=True)
    file = (folder / "bamopipe.lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # held by another, or a file system without locks
        file.close()
        return None
    for stale in folder.glob("locks/*.lock"):
        stale.unlink(missing_ok=True)
    return file
