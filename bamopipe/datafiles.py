"""Data files: those in the project by their path, others by a URL and the hash of their content.

A file with a URL is kept in ``results/data`` under its hash. It comes from there, from a folder of
copies (``data_copies`` in ``conf/config.yaml``, or the environment variable ``BAMOPIPE_DATA``), or
from the network, and always is what its hash says.
"""

import http.client
import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from bamopipe import local
from bamopipe.errors import UserError
from bamopipe.files import atomic_write
from bamopipe.provenance import sha256

CACHE = Path("results/data")
ENDINGS = (".csv", ".nc")
COPIES = "BAMOPIPE_DATA"
SECONDS = 60.0
"""How long a server may be silent."""


def name_of(url: str) -> str:
    """Return the name of the file that a URL leads to.

    Examples
    --------
    >>> name_of("https://example.org/records/7/rt.csv?download=1")
    'rt.csv'
    """
    return PurePosixPath(unquote(urlsplit(url).path)).name


def place(entry: str | Mapping[str, str]) -> Path:
    """Return where the file of an entry of ``data.files`` is, or will be once it is fetched."""
    if isinstance(entry, str):
        return Path(entry)
    return CACHE / f"{entry['sha256']}{Path(entry['name']).suffix}"


def ready(key: str, entry: str | Mapping[str, str]) -> Path:
    """Return the path of a data file; one with a URL is fetched if need be, and checked.

    Parameters
    ----------
    key : str
        The key in the config, for messages.
    entry : str or mapping
        A path, or ``url``, ``sha256`` and ``name``.
    """
    path = place(entry)
    if isinstance(entry, str):
        return path
    if not path.is_file():
        fetch(key, entry, path)
    elif sha256(path) != entry["sha256"]:
        raise UserError(f"{key}: {path} was changed after it was fetched; delete it, and run again")
    return path


def fetch(key: str, entry: Mapping[str, str], out: Path) -> None:
    """Bring a data file to its place, from a folder of copies or from the network.

    Parameters
    ----------
    key : str
        What to call it in messages.
    entry : mapping
        ``url``, ``sha256`` and ``name``.
    out : pathlib.Path
        Where it belongs. It is there when it is complete and has been checked, or not at all.

    Raises
    ------
    UserError
        When it cannot be had, or its content is another.
    """
    copy = _copy(entry)
    where = str(copy or entry["url"])
    with atomic_write(out) as temporary:
        if copy is not None:
            shutil.copyfile(copy, temporary)
        else:
            _download(key, entry, temporary)
        found = sha256(temporary)
        if found != entry["sha256"]:
            raise UserError(
                f"{key}: the content of {where} has sha256 {found}, not {entry['sha256']} as the "
                "config says"
            )


def copies() -> Path | None:
    """Return the folder of copies, if there is one."""
    folder = os.environ.get(COPIES) or local.settings().data_copies
    if not folder:
        return None
    if not Path(folder).is_dir():
        raise UserError(f"the folder of copies of data, {folder}, is not there")
    return Path(folder)


def find(hash_: str, entry: str | Mapping[str, str]) -> Path | None:
    """Find a file of this project, or a copy, that has a certain content, whatever its age.

    Paths that lead out of the project's folder are not followed.
    """
    if not re.fullmatch("[0-9a-f]{64}", hash_):
        return None
    named = [place(entry), *CACHE.glob(f"{hash_}.*")]
    inside = [p for p in named if p.resolve().is_relative_to(Path.cwd().resolve())]
    folder = copies()
    if folder is not None:
        inside += [folder / (entry if isinstance(entry, str) else entry["name"]).rpartition("/")[2]]
        inside += folder.glob(f"{hash_}.*")
    return next((path for path in inside if path.is_file() and sha256(path) == hash_), None)


def _copy(entry: Mapping[str, str]) -> Path | None:
    folder = copies()
    if folder is None:
        return None
    named = [folder / entry["name"], folder / place(entry).name]
    return next((path for path in named if path.is_file()), None)


def _download(key: str, entry: Mapping[str, str], out: Path) -> None:
    try:
        with (
            urllib.request.urlopen(entry["url"], timeout=SECONDS) as answer,
            out.open("wb") as file,
        ):
            shutil.copyfileobj(answer, file)
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it holds the connection
        reason = getattr(error, "reason", None) or error
        raise UserError(
            f"{key}: {entry['url']} cannot be fetched ({reason}); without a network, put "
            f"{entry['name']} into a folder and name that in {COPIES} or data_copies"
        ) from None
