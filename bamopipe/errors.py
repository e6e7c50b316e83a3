"""The one exception for mistakes that a person can mend."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in what a person asked for, told in one sentence.

    The message says what was given, what was expected and what to do, and names the config key,
    file or node. The ``bamopipe`` command and the Snakefile print it and exit with status 2.
    """


def printable(text: object, most: int = 2000) -> str:
    r"""Return text without what a terminal would obey, and not endlessly long.

    Parameters
    ----------
    text : object
        Such as the name of a variable in a file that somebody else made.
    most : int
        How many characters are kept, half of them from each end.

    Examples
    --------
    >>> printable("theta\x1b[2J")
    'theta?[2J'
    """
    clean = "".join(c if c.isprintable() or c == "\n" else "?" for c in str(text))
    if len(clean) <= most:
        return clean
    return f"{clean[: most // 2]} ... {clean[-most // 2 :]}"


def nearest(name: str, options: Iterable[str]) -> str:
    """Say which known names come close to a name that is not known.

    Parameters
    ----------
    name : str
        What was given.
    options : iterable of str
        The names that exist.

    Returns
    -------
    str
        Text to put after a message, such as ``"; did you mean 'gibbs'? (known: gibbs, mcmc)"``.
    """
    known = sorted(set(options))
    if not known:
        return "; nothing is known here"
    # `gibs` should find `eight_schools/gibbs` too, so the last part of a path counts as the name.
    near = difflib.get_close_matches(name, [k.rpartition("/")[2] for k in known], n=3, cutoff=0.5)
    close = [k for n in dict.fromkeys(near) for k in known if k.rpartition("/")[2] == n][:3]
    guess = f"; did you mean {' or '.join(repr(c) for c in close)}?" if close else ";"
    shown = ", ".join(known[:12]) + (f", ... ({len(known)} in all)" if len(known) > 12 else "")
    return f"{guess} (known: {shown})" if close else f"{guess} known: {shown}"
