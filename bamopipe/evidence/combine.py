"""One evidence from several independent estimates."""

import numpy as np
from numpy.typing import ArrayLike


def combine_log_evidence(log_evidences: ArrayLike, errors: ArrayLike) -> tuple[float, float]:
    """Combine independent unbiased estimates of an evidence, given on the log scale.

    The estimates are averaged on the natural scale, where SMC is unbiased; averaging logarithms
    would be biased low. The standard error follows by the delta method, from how far the estimates
    are apart or from the errors that they have by themselves, whichever is larger: few estimates
    can lie together by chance.

    Parameters
    ----------
    log_evidences
        Log of each chain's estimate, shape (chain,).
    errors
        Standard error of each, shape (chain,).

    Returns
    -------
    tuple of float
        The log of the mean, and its standard error; both NaN if any chain has none.

    Examples
    --------
    >>> import numpy as np
    >>> from bamopipe.evidence.combine import combine_log_evidence
    >>> value, error = combine_log_evidence(np.log([1.0, 2.0, 3.0]), [0.1, 0.1, 0.1])
    >>> print(f"{value:.4f} {error:.4f}")
    0.6931 0.2887
    """
    logs = np.asarray(log_evidences, dtype=float)
    if logs.ndim != 1 or logs.size == 0:
        raise ValueError(f"expected one log evidence a chain, got an array of shape {logs.shape}")
    largest = logs.max()
    if not np.isfinite(largest):
        return float(largest), float("nan")
    scaled = np.exp(logs - largest)
    mean = scaled.mean()
    own = np.sqrt(np.sum((scaled * np.asarray(errors)) ** 2)) / logs.size
    apart = scaled.std(ddof=1) / np.sqrt(logs.size) if logs.size > 1 else 0.0
    return float(largest + np.log(mean)), float(max(own, apart) / mean)
