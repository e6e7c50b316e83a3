"""When Python looks for garbage."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Look for no garbage in cycles meanwhile.

    For what makes very many objects that stay, all of which would be looked through again and
    again: to import JAX, to trace a model.

    Examples
    --------
    >>> import gc
    >>> from bamopipe.garbage import uncollected
    >>> with uncollected():
    ...     gc.isenabled()
    False
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
