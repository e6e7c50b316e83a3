"""Every figure for every kind of posterior; what must not be missing from it."""

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from matplotlib.text import Text

import trees
from bamopipe.errors import UserError
from bamopipe.plots import FIGURES, density, marginals, pairs, prior_posterior, style, tempering
from bamopipe.plots import chains as chains_plot
from bamopipe.stages import plot as stage


@pytest.fixture(scope="module", params=list(trees.VARIANTS))
def tree(request):
    return trees.VARIANTS[request.param]()


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text)]


def test_listing_the_figures_loads_nothing_heavy():
    code = (
        "import sys, bamopipe.plots as p; print(len(p.FIGURES), p.COMPARISONS);"
        "print([m for m in ('matplotlib', 'xarray', 'arviz_base', 'jax') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "7 ('evidence',)\n[]\n"


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_made_for_every_posterior(name, tree, tmp_path):
    plot = importlib.import_module(f"bamopipe.plots.{name}").plot
    style.save(tmp_path / f"{name}.png", plot, tree, dpi=50)
    image = imread(tmp_path / f"{name}.png")
    assert image.shape[1] > 150
    assert image[..., :3].std() > 0.02  # something is drawn
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.png"]


@pytest.mark.parametrize("name", FIGURES)
def test_a_failed_run_is_marked_in_every_figure(name):
    plot = importlib.import_module(f"bamopipe.plots.{name}").plot
    assert any(text.startswith("Not converged.") for text in texts(plot(trees.disagreeing())))
    assert not any(text.startswith("Not converged.") for text in texts(plot(trees.matrix())))


def test_marginals_show_each_school_with_what_was_observed():
    figure = marginals.plot(trees.eight_schools())
    panels = figure.get_axes()
    assert [ax.get_title() for ax in panels] == trees.SCHOOLS
    assert len({ax.get_xlim() for ax in panels}) == len({ax.get_ylim() for ax in panels}) == 1
    for ax, effect in zip(panels, trees.EFFECTS, strict=True):
        observed = [line for line in ax.lines if line.get_color() == style.OBSERVED]
        assert [line.get_xdata()[0] for line in observed] == [effect]


def test_marginals_do_not_take_counts_for_values_of_a_latent_variable():
    tree = trees.eight_schools(draws=200)
    tree["posterior_predictive"] = tree["posterior_predictive"].to_dataset().round()
    figure = marginals.plot(tree)
    assert not any("observed" in text for text in texts(figure))
    colours = [line.get_color() for ax in figure.get_axes() for line in ax.lines]
    assert colours
    assert style.OBSERVED not in colours


def test_figures_say_what_they_leave_out():
    large = trees.large()
    assert any("936 elements not shown" in text for text in texts(marginals.plot(large)))
    assert any("5 of 1,000 scalars" in text for text in texts(pairs.plot(large)))
    assert any("16 of 1,000 scalars" in text for text in texts(prior_posterior.plot(large)))
    assert any("largest R-hat" in text for text in texts(chains_plot.plot(large)))


def test_a_wide_prior_does_not_make_the_posterior_a_needle():
    rng = np.random.default_rng(5)
    draws = {"beta": rng.normal(size=(4, 500))}
    made = prior_posterior.plot(trees.tree(draws, prior={"beta": rng.standard_cauchy((4, 500))}))
    low, high = made.get_axes()[0].get_xlim()
    assert -12 < low < -3 < 3 < high < 12


def test_log_axes_are_labelled():
    made = prior_posterior.plot(trees.eight_schools())
    scales = {ax.get_xlabel(): ax.get_xscale() for ax in made.get_axes()}
    assert scales["τ (log scale)"] == "log"
    assert scales["μ"] == "linear"


def test_tempering_ends_each_chain_where_it_ended():
    temperature = tempering.plot(trees.disagreeing()).get_axes()[0]
    curves = [line for line in temperature.lines if len(line.get_xdata()) == 6]
    reached = [np.nanmax(line.get_ydata()) for line in curves]
    assert reached[:3] == [1, 1, 1]
    assert reached[3] < 0.1


@pytest.mark.parametrize("log", [False, True])
def test_a_density_integrates_to_the_share_that_is_shown(log):
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    ax.set_xscale("log" if log else "linear")
    draws = np.random.default_rng(6).lognormal(size=20_000)
    density.draw(ax, draws, (0.2, 2), color="k")
    x, y = ax.lines[0].get_data()
    area = np.trapezoid(y, np.log(x) if log else x)
    assert area == pytest.approx(((draws >= 0.2) & (draws <= 2)).mean(), rel=0.01)


def test_seeds_have_different_colours():
    for number in (2, 7, 40):
        colours = style.seed_colours(np.arange(number))
        assert len({tuple(np.ravel(colour)) for colour in colours.values()}) == number


def test_stage_draws_all_figures_in_any_known_style(tmp_path):
    posterior = trees.write_block(tmp_path / "posterior.nc", 0)
    stage.main(posterior, tmp_path / "figures", {"style": "ggplot", "dpi": 40}, {})
    made = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert made == sorted(f"{name}.png" for name in FIGURES)
    with pytest.raises(UserError, match="no style 'gplot'; did you mean 'ggplot'"):
        stage.main(posterior, tmp_path / "figures", {"style": "gplot"}, {})


OWN_FIGURES = """
from matplotlib.figure import Figure

def forest(tree):
    figure = Figure(facecolor="red")
    figure.subplots().hist(tree["posterior/mu"].values.ravel())
    return figure

def missing(tree):
    return tree["posterior/nu"]

def nothing(tree):
    pass
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A project with figures of its own."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "conf").mkdir()
    (folder / "conf" / "config.yaml").write_text("trusted: [figures_of_mine]")
    (folder / "figures_of_mine.py").write_text(OWN_FIGURES)
    trees.write_block(folder / "posterior.nc", 0)
    return folder


def test_figures_of_ones_own_are_drawn_beside_the_others(own, monkeypatch):
    monkeypatch.chdir(own)
    monkeypatch.setattr(stage, "FIGURES", ())
    stage.main(Path("posterior.nc"), Path(), {"dpi": 40}, {"own": "figures_of_mine.forest"})
    assert (imread("own.png")[0, 0, :3] == [1, 0, 0]).all()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            "figures_of_mine.missing",
            r"failed with KeyError: .*nu.* \(figures_of_mine.py, line 10\)",
        ),
        ("figures_of_mine.nothing", "returned None; expected a matplotlib Figure"),
        ("figures_of_mine.forst", "has no function 'forst'; did you mean 'forest'"),
        ("os.system", "which `trusted` in conf/config.yaml does not list"),
    ],
)
def test_figures_of_ones_own_fail_in_one_sentence(own, monkeypatch, function, message):
    monkeypatch.chdir(own)
    monkeypatch.setattr(stage, "FIGURES", ())
    with pytest.raises(UserError, match=message) as raised:
        stage.main(Path("posterior.nc"), Path(), {}, {"broken": function})
    assert "plots.figures.broken" in str(raised.value) or "has no function" in message
    assert not Path("broken.png").exists()
