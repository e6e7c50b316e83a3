"""What only the project's own ``conf/config.yaml`` may say: whom to trust, and where copies are.

A frozen config and a posterior are data that may come from anybody. Their word on whose code may be
called counts for nothing; this file's does.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

import yaml

from bamopipe.errors import UserError

CONF = Path("conf/config.yaml")


@dataclass(frozen=True)
class Local:
    """What holds in a project's folder, whichever experiment is run.

    Attributes
    ----------
    trusted : list of str
        Packages, besides ``bamopipe.models``, whose functions may be called.
    data_copies : str or None
        A folder with copies of data files that are otherwise fetched.
    """

    trusted: list[str]
    data_copies: str | None = None


def settings() -> Local:
    """Read what ``conf/config.yaml`` says of this place; without the file nobody is trusted."""
    if not CONF.is_file():
        return Local([])
    return _read(CONF.absolute(), CONF.stat().st_mtime_ns)


@functools.cache  # thousands of runs are planned with one file
def _read(path: Path, _: int) -> Local:
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"{CONF} cannot be read: {' '.join(str(error).split())}") from None
    content = content if isinstance(content, dict) else {}
    trusted, copies = content.get("trusted", []), content.get("data_copies")
    if not isinstance(trusted, list) or not all(isinstance(name, str) for name in trusted):
        raise UserError(f"trusted in {CONF} must be a list of packages, got {trusted!r}")
    if copies is not None and not isinstance(copies, str):
        raise UserError(f"data_copies in {CONF} must be a folder, got {copies!r}")
    return Local(trusted, copies)
