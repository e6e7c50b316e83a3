"""Compiled programs, shared between processes that run models of one form.

JAX can keep compiled programs on disk, but it writes them in place, so that a process that is
killed leaves half a file which later ones stumble over. Here every process has a folder of its own,
which starts with links to the shared programs, and hands over new ones, whole, at its end. The name
of a shared file ends in a hash of its content, so that one which a crash of the machine or a full
disk has damaged is found, removed, and compiled again.
"""

import contextlib
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bamopipe.provenance import cpu_model

logger = logging.getLogger("bamopipe")

PROGRAMS = Path("results/programs")
OF_A_PROCESS = ".of-a-process-"


@contextlib.contextmanager
def shared(name: str) -> Iterator[None]:
    """Let JAX take programs from, and in the end add them to, those that share a name.

    Parameters
    ----------
    name : str
        What the programs are of: the dotted name of a model function. Models of one form but
        different data share all programs, other models none.

    Examples
    --------
    >>> import contextlib, tempfile
    >>> import jax
    >>> with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
    ...     with shared("example"):
    ...         double = jax.jit(lambda x: 2 * x)(3.0)
    ...     any(PROGRAMS.rglob("*-cache.*"))
    True
    """
    import jax

    # Programs are compiled for one kind of processor, and may crash on another.
    machine = f"{jax.__version__} {cpu_model()} {os.environ.get('XLA_FLAGS', '')}"
    folder = PROGRAMS / name / hashlib.sha256(machine.encode()).hexdigest()[:8]
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=OF_A_PROCESS) as own:
        known = set()
        for path in sorted(path for path in folder.iterdir() if path.is_file()):
            name, _, digest = path.name.rpartition(".")
            if digest != _digest(path):
                logger.info("the compiled program %s is damaged; it is made again", path)
                path.unlink(missing_ok=True)
            elif name not in known:
                _link(path, Path(own, name))
                known.add(name)
        settings = {
            "jax_compilation_cache_dir": own,
            "jax_persistent_cache_min_compile_time_secs": 0.0,
            "jax_persistent_cache_min_entry_size_bytes": -1,
        }
        before = {setting: getattr(jax.config, setting) for setting in settings}
        try:
            _configure(settings)
            yield
        finally:
            _configure(before)
        for path in Path(own).iterdir():
            if path.is_file() and path.name not in known:  # on GPUs XLA makes a folder there
                os.replace(path, folder / f"{path.name}.{_digest(path)}")


def _configure(settings: dict) -> None:
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    for setting, value in settings.items():
        jax.config.update(setting, value)
    compilation_cache.reset_cache()  # it looks at the folder's name once only


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    except FileNotFoundError:  # damaged, and another process has removed it meanwhile
        return ""


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)
