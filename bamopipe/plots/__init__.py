"""Pictures of a posterior: one plot a file, each with ``plot(tree) -> Figure``.

This module names them and imports none, so that a workflow can list its figures without
matplotlib. To add a figure, write its file and add its name here. To draw one in a notebook::

    from bamopipe.plots import marginals

    marginals.plot(tree)
"""

FIGURES: dict[str, str] = {
    "graph": "Model",
    "marginals": "Posterior",
    "prior_posterior": "Posterior",
    "predictions": "Posterior",
    "pairs": "Posterior",
    "chains": "Diagnostics",
    "sampling": "Diagnostics",
}
"""The figures of a run, and their category in the report."""

COMPARISONS: tuple[str, ...] = ("evidence",)
"""The figures of an experiment."""
