"""Fetch a data file, as the pipeline does for those that have a URL."""

from pathlib import Path

from bamopipe import config, datafiles


def main(url: str, sha256: str, name: str | None, out: Path) -> None:
    """Fetch a file, or take it from the folder of copies, and check its content.

    Parameters
    ----------
    url : str
        Where it is.
    sha256 : str
        The hash of its content.
    name : str, optional
        Its name, where the URL does not end in it.
    out : pathlib.Path
        Where to put it.
    """
    entry = {"url": url, "sha256": sha256, **({"name": name} if name else {})}
    file = config.data_file(entry, "fetch")
    datafiles.fetch(file["name"], file, out)
