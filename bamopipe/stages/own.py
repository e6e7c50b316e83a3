"""Functions of a project's own, which configs name: how they are found, and how they fail."""

import importlib
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bamopipe.errors import UserError


def see_project() -> None:
    """Let modules in the project's folder be imported: a console script does not look there."""
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))


def function(path: str) -> Callable[..., Any]:
    """Import a function by its dotted name, which has been checked."""
    see_project()
    module, _, called = path.rpartition(".")
    found: Callable[..., Any] = getattr(importlib.import_module(module), called)
    return found


def failure(what: str, path: str, error: Exception, hint: str = "") -> UserError:
    """Say in a sentence what a person's own code raised, and where.

    Parameters
    ----------
    what : str
        What failed, for the beginning of the sentence.
    path : str
        The dotted name of the function that was called.
    error : Exception
        What it raised.
    hint : str
        What may help.
    """
    frames = traceback.extract_tb(error.__traceback__)
    called = path.rpartition(".")[2]
    place = next((frame for frame in frames[::-1] if frame.name == called), frames[-1])
    return UserError(
        f"{what} failed with {type(error).__name__}: {error}{hint} "
        f"({os.path.relpath(place.filename)}, line {place.lineno})"
    )
