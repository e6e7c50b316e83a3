"""What is predicted beside what was observed: the numbers drawn, and that all of it can be read."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import same_color
from matplotlib.text import Text
from matplotlib.transforms import Bbox

import trees
from bamopipe.plots import predictions, style

CHAINS, DRAWS = 4, 250


def made(observed, before=None, after=None, dims=None, coords=None, name="made"):
    """Make a tree of one variable y, or of several if dictionaries are given."""

    def dataset(arrays, lead=()):
        arrays = arrays if isinstance(arrays, dict) else {"y": arrays}
        own = {
            name: dims or [f"{name}_dim_{i}" for i in range(np.ndim(array) - len(lead))]
            for name, array in arrays.items()
        }
        named = {name: ((*lead, *own[name]), np.asarray(array)) for name, array in arrays.items()}
        return xr.Dataset(named, coords=coords)

    sample = ("chain", "draw")
    rng = np.random.default_rng(8)
    tree = trees.tree({"theta": rng.normal(size=(CHAINS, DRAWS))}, updates=["theta"], name=name)
    groups = {"observed_data": dataset(observed)}
    if before is not None:
        groups["prior_predictive"] = dataset(before, sample)
    if after is not None:
        groups["posterior_predictive"] = dataset(after, sample)
    return tree.assign({group: xr.DataTree(part) for group, part in groups.items()})


def rng_for(case):
    return np.random.default_rng([14, *case.encode()])


def eight_schools():
    rng = rng_for("schools")
    tree = trees.eight_schools(draws=500)
    theta = tree["prior/theta"].values
    y = rng.normal(theta, trees.ERRORS)
    return tree.assign(
        prior_predictive=xr.DataTree(
            xr.Dataset({"y": (("chain", "draw", "school"), y)}, coords={"school": trees.SCHOOLS})
        )
    )


def goals():
    rng = rng_for("goals")
    observed = rng.poisson(rng.gamma(4, 0.35, 1140))
    before = rng.poisson(np.exp(rng.normal(0, 2, (CHAINS, DRAWS, 1))), (CHAINS, DRAWS, 1140))
    after = rng.poisson(rng.normal(observed.mean(), 0.04, (CHAINS, DRAWS, 1)), before.shape)
    return made(observed, before.astype(float), after.astype(float), name="goals")


def counts_of_many_values():
    rng = rng_for("many")
    shape = (CHAINS, DRAWS, 1140)
    observed = rng.negative_binomial(3, 0.05, 1140)
    before = rng.poisson(np.exp(rng.normal(3, 2, (CHAINS, DRAWS, 1))), shape)
    return made(observed, before, rng.negative_binomial(3, 0.048, shape))


def binary():
    rng = rng_for("binary")
    shape = (CHAINS, DRAWS, 300)
    return made(
        rng.random(300) < 0.3,
        rng.random(shape) < rng.random((CHAINS, DRAWS, 1)),
        rng.random(shape) < rng.beta(90, 210, (CHAINS, DRAWS, 1)),
    )


def categories():
    rng = rng_for("categories")
    shape = (CHAINS, DRAWS, 200)
    return made(
        rng.choice(4, 200, p=[0.1, 0.5, 0.4, 0]),
        rng.integers(0, 4, shape),
        rng.integers(0, 4, shape),
    )


def matrix():
    rng = rng_for("matrix")
    shape = (CHAINS, DRAWS, 60, 6)
    return made(
        rng.normal(2, 1, (60, 6)),
        rng.normal(rng.normal(0, 5, (CHAINS, DRAWS, 1, 6)), 1, shape),
        rng.normal(2, 1.1, shape),
        dims=["patient", "item"],
    )


def small_matrix():
    rng = rng_for("small matrix")
    shape = (CHAINS, DRAWS, 2, 3)
    return made(
        rng.normal(0, 1, (2, 3)), rng.normal(0, 2, shape), rng.normal(0, 1, shape),
        dims=["group", "item"], coords={"group": ["left", "right"], "item": ["a", "b", "c"]},
    )  # fmt: skip


def vague():
    rng = rng_for("vague")
    shape = (CHAINS, DRAWS, 20)
    observed = rng.normal(3, 2, 20)
    return made(observed, rng.normal(0, 3e6, shape), rng.normal(3, 2.2, shape))


def rather_vague():
    rng = rng_for("rather vague")
    shape = (CHAINS, DRAWS, 12)
    observed = np.linspace(2, 7.8, 12)
    return made(observed, rng.normal(0, 190, shape), rng.normal(5, 2, shape))


def vague_and_many():
    rng = rng_for("vague, many")
    observed = rng.normal(3, 2, 500)
    shape = (CHAINS, DRAWS, 500)
    before = rng.normal(rng.normal(0, 3e6, (CHAINS, DRAWS, 1)), 3, shape)
    return made(observed, before, rng.normal(3, 2.2, shape))


def heavy_tails():
    rng = rng_for("heavy")
    shape = (CHAINS, DRAWS, 40)
    with np.errstate(over="ignore", divide="ignore"):
        before = np.exp(rng.standard_cauchy(shape) ** 3)
    before[0, :5, 0] = np.nan
    before[1, :50, 1] = -np.inf
    return made(rng.lognormal(0, 1, 40), before, rng.lognormal(0, 1.1, shape))


def missing():
    rng = rng_for("missing")
    observed = rng.normal(50, 10, 25)
    observed[[3, 4, 17]] = np.nan
    shape = (CHAINS, DRAWS, 25)
    return made(
        observed, rng.normal(50, 30, shape), rng.normal(50, 11, shape),
        dims=["year"], coords={"year": np.arange(1990, 2015)},
    )  # fmt: skip


def scalar():
    rng = rng_for("scalar")
    before, after = rng.normal(0, 10, (CHAINS, DRAWS)), rng.normal(4, 2, (CHAINS, DRAWS))
    return made(4.7, before, after)


def scalar_count():
    rng = rng_for("scalar count")
    return made(
        7, rng.binomial(10, rng.random((CHAINS, DRAWS))), rng.binomial(10, 0.65, (CHAINS, DRAWS))
    )


def scalar_vague():
    rng = rng_for("scalar vague")
    return made(4.7, rng.standard_cauchy((CHAINS, DRAWS)) * 1e5, rng.normal(4, 2, (CHAINS, DRAWS)))


def only_prior():
    tree = missing()
    return xr.DataTree.from_dict(
        {g: tree[g].to_dataset() for g in ("prior_predictive", "observed_data")}, name="root"
    )


def only_posterior():
    return trees.eight_schools(draws=300)


def several():
    rng = rng_for("several")
    sizes = {f"y_{i}": 3 + 7 * i for i in range(11)}
    sample = {n: rng.normal(1e5, 1e4, (CHAINS, DRAWS, s)) for n, s in sizes.items()}
    return made({n: rng.normal(1e5, 1e4, s) for n, s in sizes.items()}, sample, sample)


def empty():
    return made(np.empty(0), np.empty((CHAINS, DRAWS, 0)), np.empty((CHAINS, DRAWS, 0)))


def all_missing():
    rng = rng_for("all missing")
    return made(np.full(5, np.nan), rng.normal(size=(CHAINS, DRAWS, 5)), None)


def not_finite():
    return made(np.zeros(5), np.full((CHAINS, DRAWS, 5), np.inf), np.zeros((CHAINS, DRAWS, 5)))


def float_limits_many():
    rng = rng_for("limits, many")
    draws = rng.normal(0, np.finfo(float).max / 20, (CHAINS, DRAWS, 100))
    draws[:, ::7] = np.inf
    draws[0, 3] = np.nan
    return made(rng.normal(size=100), draws, draws[..., ::-1])


def float_limits_about_zero():
    rng = rng_for("limits, zero")
    shape = (CHAINS, DRAWS)
    draws = {"one": rng.normal(0, 1e307, shape), "two": rng.normal(0, 1e20, (*shape, 2))}
    return made({"one": 0.0, "two": np.zeros(2)}, draws, {n: d * 1e-20 for n, d in draws.items()})


def constant():
    return made(np.full(4, 2.5), np.full((CHAINS, DRAWS, 4), 2.5), np.full((CHAINS, DRAWS, 4), 3.5))


def few_counts():
    rng = rng_for("few counts")
    shape = (CHAINS, DRAWS, 10)
    return made(rng.poisson(1, 10), rng.poisson(rng.gamma(1, 5, shape)), rng.poisson(0.2, shape))


def half_a_year():
    """A name, labels and predictions that need room."""
    rng = rng_for("months")
    months = ["January", "February", "March", "April", "May", "June in the northern hemisphere"]
    shape = (CHAINS, DRAWS, 6)
    return made(
        rng.normal(-3e7, 1e7, 6), rng.normal(0, 1e12, shape), rng.normal(-3e7, 1e7, shape),
        dims=["month"], coords={"month": months},
    )  # fmt: skip


def positive():
    rng = rng_for("positive")
    shape = (CHAINS, DRAWS, 30)
    return made(
        rng.lognormal(2, 3, 30),
        rng.lognormal(0, 3.5, shape),
        rng.lognormal(2, 3, shape),
    )


def sixty():
    rng = rng_for("sixty")
    wave = np.sin(np.arange(60) / 6)
    shape = (CHAINS, DRAWS, 60)
    return made(rng.normal(wave, 0.3), rng.normal(0, 1, shape), rng.normal(wave, 0.32, shape))


def different_sizes():
    rng = rng_for("sizes")
    tree = made(np.zeros(3), rng.normal(size=(1, 40, 3)), rng.normal(size=(CHAINS, DRAWS, 3)))
    return tree


def far_values():
    rng = rng_for("far")
    shape = (CHAINS, DRAWS, 6)
    return made(rng.normal(1e6, 1, 6), rng.normal(1e6, 100, shape), rng.normal(1e6, 1.1, shape))


def float_limits():
    rng = rng_for("limits")
    signs = rng.choice([-1.0, 1.0], (CHAINS, DRAWS, 100))
    return made(np.zeros(100), signs * np.finfo(float).max, signs.astype(np.float32))


CASES = {
    case.__name__: case
    for case in (
        eight_schools, goals, counts_of_many_values, binary, categories, matrix, small_matrix,
        vague, vague_and_many, heavy_tails, missing, scalar, scalar_count, scalar_vague,
        only_prior, only_posterior, several, empty, all_missing, not_finite, positive, sixty,
        different_sizes, far_values, float_limits, few_counts, half_a_year,
        float_limits_many, float_limits_about_zero, constant, rather_vague,
    )
}  # fmt: skip


EVERY_TREE = CASES | {f"trees.{name}": variant for name, variant in trees.VARIANTS.items()}


@pytest.fixture(scope="module", params=EVERY_TREE)
def figure(request):
    with style.use("bamopipe"):
        made_figure = predictions.plot(EVERY_TREE[request.param]())
        made_figure.draw_without_rendering()
    return made_figure


def written(figure):
    """All texts that can be seen, with the pixels they take."""
    found = [*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]
    for ax in figure.get_axes():
        found += [child for child in ax.get_children() if isinstance(child, Text)]
        for axis in (ax.xaxis, ax.yaxis) if ax.axison else ():
            low, high = axis.get_view_interval()
            ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
            found += [axis.label, *(t.label1 for t in ticks if low <= t.get_loc() <= high)]
    return [(text, text.get_window_extent()) for text in found if text.get_text()]


def test_nothing_that_is_written_overlaps_or_is_cut(figure):
    inside = figure.bbox.padded(1)
    texts = written(figure)
    assert texts
    for place, (text, box) in enumerate(texts):
        corners = [box.min, box.max]
        assert all(inside.contains(*corner) for corner in corners), text
        for other, second in texts[:place]:
            if text.get_rotation() == other.get_rotation() == 30:
                continue  # the boxes around slanted labels overlap, not the labels
            both = Bbox.intersection(box, second)
            assert both is None or both.width < 1 or both.height < 1, (text, other)


def test_something_is_drawn_and_little_of_it(figure):
    for ax in figure.get_axes():
        assert ax.lines or ax.collections or ax.patches or ax.texts
        assert len(ax.lines) + len(ax.collections) + len(ax.patches) <= 6  # the patch of the axes


def panels(tree):
    return predictions.plot(tree).get_axes()


def flat(tree, group, name="y"):
    values = tree[f"{group}/{name}"].values
    return values.reshape(values.shape[0] * values.shape[1], -1).astype(float)


def bars(ax):
    """Ends of the 90% and the 50% intervals, of shape (2, interval, 2)."""
    return np.array([np.array(lines.get_segments())[:, :, 1] for lines in ax.collections])


def dots(ax):
    (points,) = [line for line in ax.lines if line.get_color() == style.OBSERVED]
    return points.get_ydata()


def notes(ax):
    return ax.texts[0].get_text().strip().split("\n")


GROUPS = ["prior_predictive", "posterior_predictive"]


@pytest.mark.parametrize(
    "case", [eight_schools, small_matrix, vague, heavy_tails, missing, positive, sixty, constant]
)
def test_intervals_of_elements_are_those_of_numpy(case):
    tree = case()
    observed = tree["observed_data/y"].values.ravel()
    for ax, group in zip(panels(tree), GROUPS, strict=True):
        draws = flat(tree, group)
        draws[~np.isfinite(draws)] = np.nan
        low, inner_low, inner_high, high = np.nanquantile(draws, [0.05, 0.25, 0.75, 0.95], axis=0)
        outer, inner = bars(ax)
        np.testing.assert_allclose(outer.T, [low, high], rtol=1e-12)
        np.testing.assert_allclose(inner.T, [inner_low, inner_high], rtol=1e-12)
        np.testing.assert_array_equal(dots(ax), observed)
        outside = np.count_nonzero((observed < low) | (observed > high))
        seen = np.isfinite(observed).sum()
        assert notes(ax)[0] == f"{outside} of {seen} observations outside the 90% interval"


@pytest.mark.parametrize("case", [binary, categories, goals])
def test_shares_of_values_are_those_of_numpy(case):
    tree = case()
    observed = tree["observed_data/y"].values.astype(float)
    for ax, group in zip(panels(tree), GROUPS, strict=True):
        outside = 0
        for label, outer, dot in zip(ax.get_xticklabels(), bars(ax)[0], dots(ax), strict=True):
            text, draws = label.get_text(), flat(tree, group)
            value = float(text.strip("≥"))
            having = (np.greater_equal if "≥" in text else np.equal)(draws, value)
            expected = np.quantile(having.mean(axis=1), [0.05, 0.95])
            np.testing.assert_allclose(outer, expected, rtol=1e-12, atol=1e-15)
            assert dot == np.mean(observed == value)
            outside += not expected[0] <= dot <= expected[1]
        assert notes(ax) == [f"{outside} of {len(dots(ax))} shares outside the 90% interval"]


def test_a_category_that_was_predicted_but_not_observed_is_shown():
    ax = panels(categories())[0]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "1", "2", "3"]
    assert dots(ax)[3] == 0
    assert [label.get_text() for label in panels(goals())[0].get_xticklabels()][-1] == "≥8"


@pytest.mark.parametrize("case", [counts_of_many_values, matrix, vague_and_many])
def test_bands_of_a_histogram_are_those_of_numpy(case):
    tree = case()
    observed = tree["observed_data/y"].values.ravel()
    for ax, group in zip(panels(tree), GROUPS, strict=True):
        draws = flat(tree, group)
        outer, inner, line = (patch.get_data() for patch in ax.patches)
        counts = np.array([np.histogram(row, outer.edges)[0] for row in draws]) / observed.size
        low, inner_low, inner_high, high = np.quantile(counts, [0.05, 0.25, 0.75, 0.95], axis=0)
        np.testing.assert_allclose([outer.baseline, outer.values], [low, high], atol=1e-14)
        np.testing.assert_allclose(
            [inner.baseline, inner.values], [inner_low, inner_high], atol=1e-14
        )
        np.testing.assert_allclose(
            line.values, np.histogram(observed, outer.edges)[0] / observed.size, atol=1e-14
        )
        assert line.values.sum() == pytest.approx(1)  # all observations are on the axis
        ends = np.quantile(draws, [0.05, 0.95], axis=0)
        share = np.mean((observed < ends[0]) | (observed > ends[1]))
        assert notes(ax) == [f"{share:.1%} of observations outside the 90% interval"]


def test_a_single_number_is_held_against_its_histogram():
    tree = scalar_count()
    for ax, group in zip(panels(tree), GROUPS, strict=True):
        draws = flat(tree, group)[:, 0]
        heights, edges, _ = ax.patches[0].get_data()
        for height, left, right in zip(heights, edges, edges[1:], strict=False):
            assert height == pytest.approx(np.mean((draws > left) & (draws < right)))
        assert ax.lines[0].get_xdata()[0] == 7
        (outer,), (inner,) = (lines.get_segments() for lines in ax.collections)
        np.testing.assert_allclose(outer[:, 0], np.quantile(draws, [0.05, 0.95]))
        np.testing.assert_allclose(inner[:, 0], np.quantile(draws, [0.25, 0.75]))
        assert notes(ax) == ["observation inside the 90% interval"]


def test_what_is_missing_or_not_finite_is_left_out_and_counted():
    before, after = panels(missing())
    assert notes(before)[1] == notes(after)[1] == "3 missing"
    tree = heavy_tails()
    count = np.count_nonzero(~np.isfinite(flat(tree, "prior_predictive")))
    before, after = panels(tree)
    assert notes(before)[1] == f"{count:,} predictions not finite, left out"
    assert len(notes(after)) == 1


def test_elements_without_an_observation_do_not_count_in_shares():
    tree = binary()
    observed = tree["observed_data/y"].values.astype(float)
    observed[:100] = np.nan
    tree["observed_data"] = tree["observed_data"].to_dataset().assign(y=("y_dim_0", observed))
    ax = panels(tree)[1]
    expected = np.quantile(flat(tree, "posterior_predictive")[:, 100:].mean(axis=1), [0.05, 0.95])
    np.testing.assert_allclose(bars(ax)[0][1], expected)
    assert dots(ax)[1] == np.nanmean(observed)
    assert notes(ax)[1] == "100 missing"


@pytest.mark.parametrize(
    "case", [vague, rather_vague, vague_and_many, scalar_vague, heavy_tails, half_a_year]
)
def test_the_data_keep_room_beside_a_vague_prior(case):
    tree = case()
    (ax, _), observed = panels(tree), tree["observed_data/y"].values
    axis = ax.xaxis if case in (vague_and_many, scalar_vague) else ax.yaxis
    assert axis.get_scale() == "symlog"
    assert "log scale beyond" in axis.get_label_text()
    place = axis.get_transform().transform(np.array([0, np.abs(observed).max()]))
    low, high = axis.get_transform().transform(axis.get_view_interval())
    assert (place[1] - place[0]) / (high - low) > 0.08
    assert np.all(axis.get_view_interval()[0] <= observed)
    assert np.all(axis.get_view_interval()[1] >= observed)


def test_similar_predictions_share_an_axis():
    first, second = (ax.get_ylim() for ax in panels(different_sizes()))
    assert first == second
    first, second = (ax.get_ylim() for ax in panels(far_values()))
    assert first != second


def test_rows_are_few_and_the_figure_says_so():
    made_figure = predictions.plot(several())
    assert len(made_figure.get_axes()) == 2 * predictions.MOST_ROWS
    assert any("8 of 11 variables shown" in t.get_text() for t in made_figure.findobj(Text))


def test_one_group_has_one_column():
    for case, title in ((only_prior, "before the data"), (only_posterior, "after the data")):
        (ax,) = panels(case())
        assert ax.get_title(loc="left") == title


def test_columns_are_in_the_colours_of_prior_and_posterior():
    for ax, color in zip(panels(vague()), (style.PRIOR, style.POSTERIOR), strict=True):
        for lines in ax.collections:
            assert same_color(lines.get_color()[0][:3], color)


@pytest.mark.parametrize("whole", [False, True])
def test_a_hundred_thousand_elements_take_few_artists(whole):
    rng = rng_for("100,000")
    shape = (2, 20, 100_000)
    observed = rng.normal(0, 3, shape[2:])
    before, after = rng.normal(0, 5, shape), rng.normal(0, 3, shape)
    if whole:
        observed, before, after = (np.rint(part) for part in (observed, before, after))
    axes = panels(made(observed, before, after))
    for ax, draws in zip(axes, (before, after), strict=True):
        assert len(ax.get_children()) <= 20
        ends = np.quantile(draws.reshape(-1, shape[2]), [0.05, 0.95], axis=0)
        share = np.mean((observed < ends[0]) | (observed > ends[1]))
        assert notes(ax) == [f"{share:.1%} of observations outside the 90% interval"]


def test_of_very_many_predictions_evenly_spaced_draws_are_taken(monkeypatch):
    tree = sixty()
    monkeypatch.setattr(predictions, "MOST_NUMBERS", 20_000)  # of 60,000
    for ax, group in zip(panels(tree), GROUPS, strict=True):
        expected = np.quantile(flat(tree, group)[::4], [0.05, 0.95], axis=0)
        np.testing.assert_allclose(bars(ax)[0].T, expected, rtol=1e-12)
