"""Snakemake's lock on a project, when the Snakemake that took it was killed.

Snakemake marks a project as locked by files, which stay when it is killed; a rerun then asks its
person to unlock by hand. A lock of the kernel goes with the process that holds it, however that
ends. So who has the kernel's lock knows that nobody holds Snakemake's.
"""

import os
import time
from pathlib import Path

from bamopipe.files import lock

FOLDER = Path(".snakemake")
TRIES, PAUSE = 3, 0.05
"""How often to try, in case of somebody who only asks, and seconds in between."""


def is_held(folder: Path = FOLDER) -> bool:
    """Tell whether a Snakemake is alive in a project.

    Parameters
    ----------
    folder : pathlib.Path
        Where Snakemake keeps its own files.
    """
    try:
        file = lock(folder / "bamopipe.lock")
    except FileNotFoundError:
        return False
    except OSError:  # no locks here: all there is to know is what Snakemake wrote down
        return any(folder.glob("locks/*.lock"))
    if file is not None:
        os.close(file)
    return file is None


def take_over(folder: Path = FOLDER) -> int | None:
    """Hold the project, and remove what a killed Snakemake left of its lock.

    If another Snakemake is alive nothing is done, and Snakemake itself says so.

    Parameters
    ----------
    folder : pathlib.Path
        Where Snakemake keeps its own files.

    Returns
    -------
    int or None
        The project is held until this file is closed, at the latest when the process ends. None if
        another holds it, or if the file system has no locks.
    """
    folder.mkdir(exist_ok=True)
    try:
        for _ in range(TRIES):
            file = lock(folder / "bamopipe.lock")
            if file is not None:
                break
            time.sleep(PAUSE)
    except OSError:
        return None
    if file is not None:
        for stale in folder.glob("locks/*.lock"):
            stale.unlink(missing_ok=True)
    return file
