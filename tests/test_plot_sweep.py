"""The figure of a sweep: lines for one setting, heat maps for two."""

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from bamopipe.plots import style, sweep


def swept(arms, axes, failed=()):
    """A table of every combination; the log evidence is the number of its row, from -10 on."""
    points = list(itertools.product(arms, *axes.values()))
    table = pd.DataFrame(points, columns=["arm", *axes]).astype(str)
    table["log_evidence"] = -10.0 + np.arange(len(table))
    table["log_evidence_se"] = 0.25
    table["converged"] = ~table.index.isin(failed)
    return table


def draw(table, axes):
    with style.use("bamopipe"):
        made = sweep.plot(table, list(axes), "log_evidence", "log evidence")
        made.draw_without_rendering()
    return made


def lines(ax):
    """Points of the lines that carry markers, as they are on the axis."""
    return [line for line in ax.lines if line.get_marker() == "o" and len(line.get_xdata())]


def test_numbers_are_put_in_order_and_joined():
    axes = {"n": [1000, 10, 100]}
    (ax,) = draw(swept(["a"], axes), axes).get_axes()
    assert ax.get_xscale() == "log"
    x, y = lines(ax)[0].get_data()
    assert list(x) == [10, 100, 1000]
    assert list(y) == [-9, -8, -10]
    low, high = ax.get_ylim()
    assert low < -10.25
    assert high > -7.75


def test_arms_have_lines_of_their_own_and_failures_are_red():
    axes = {"prior": ["Normal(0, 5)", "Normal(0, 100)"]}
    made = draw(swept(["a", "b"], axes, failed=[3]), axes)
    (ax,) = made.get_axes()
    assert [label.get_text() for label in ax.get_xticklabels()] == axes["prior"]
    red = [line for line in lines(ax) if line.get_color() == style.RED]
    assert [line.get_ydata().tolist() for line in red] == [[-7]]
    texts = [text.get_text() for text in made.findobj(Text)]
    assert any("1 did not converge" in text for text in texts)
    assert {"a", "b", "not converged"} <= set(texts)


def test_two_settings_are_a_heat_map_for_each_arm():
    axes = {"n": [10, 100, 1000], "prior": ["p", "q"]}
    table = swept(["a", "b"], axes, failed=[0]).drop(index=11)  # a run that was not made
    made = draw(table, axes)
    first, second = [ax for ax in made.get_axes() if ax.images]
    assert first.images[0].get_array().tolist() == [[-10, -8, -6], [-9, -7, -5]]
    assert np.isnan(second.images[0].get_array().filled(np.nan)[1, 2])
    assert [t.get_text() for t in first.get_yticklabels()] == ["p", "q"]
    assert [patch.get_edgecolor()[:1] for patch in first.patches]  # the red frame
    assert not second.patches
    # What failed does not stretch the colours.
    assert first.images[0].norm.vmin == -9
    assert "−9.00\n± 0.25" in [t.get_text() for t in first.texts]


def test_without_any_evidence_nothing_breaks():
    axes = {"n": [1, 2]}
    table = swept(["a"], axes).assign(log_evidence=np.nan, converged=False)
    draw(table, axes)
    both = {"n": [1, 2], "m": [1, 2]}
    draw(swept(["a"], both).assign(log_evidence=np.nan, converged=False), both)


@pytest.mark.parametrize("axes", [{"n": range(300)}, {"n": range(30), "m": range(40)}])
def test_many_runs_have_few_labels(axes):
    made = draw(swept(["a"], axes), axes)
    ax = made.get_axes()[0]
    assert len(ax.get_xticklabels()) <= sweep.MOST_TICKS + 1
    assert len(ax.get_yticklabels()) <= sweep.MOST_TICKS + 1
    assert not ax.texts


def overlap(boxes):
    return any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


@pytest.mark.parametrize(
    "axes",
    [
        {"model.mu": ["Normal(0, 5)", "Normal(0, 10)", "HalfCauchy(0, 25)", "LogNormal(5, 1)"]},
        {"inference.num_particles": [100, 300, 1000, 3000, 10000]},
        {"n": [100, 300, 1000], "model.tau": ["HalfCauchy(0, 5)", "LogNormal(5, 1)"]},
    ],
)
def test_labels_do_not_lie_on_each_other(axes):
    made = draw(swept(["gibbs", "random_walk"], axes), axes)
    canvas = FigureCanvasAgg(made).get_renderer()
    for ax in made.get_axes():
        shown = [t for t in ax.get_xticklabels() if t.get_text() and not t.get_rotation()]
        assert not overlap([t.get_window_extent(canvas) for t in shown])
        assert not overlap([t.get_window_extent(canvas) for t in ax.texts])
