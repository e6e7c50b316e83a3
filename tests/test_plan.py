"""Experiments, overrides and sweeps: which runs they mean, and what their ids depend on."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

import project
from bamopipe import index, plan
from bamopipe.blocks import cover, parse_seeds
from bamopipe.errors import UserError, nearest


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return project.make(tmp_path_factory.mktemp("plan"))


@pytest.fixture(autouse=True)
def inside(folder):
    with contextlib.chdir(folder):
        yield


def load(*overrides, experiment="eight_schools"):
    return plan.load({"experiment": experiment, "overrides": list(overrides)})


def ids(*overrides):
    return [run.id for run in load(*overrides).runs]


def test_the_default_experiment_has_two_arms_and_two_seeds():
    made = plan.load({})
    assert [run.label for run in made.runs] == ["gibbs", "random_walk"]
    assert made.seeds == (0, 1)
    assert made.home == "results/eight_schools"
    assert made.runs[0].frozen["inference"]["num_particles"] == 10_000
    assert made.runs[0].inputs == ("data/eight_schools.csv", "bamopipe/models/eight_schools.py")


@pytest.mark.parametrize(
    "override",
    [
        "seeds=[5]",
        "seeds_per_block=1",
        "plots.style=ggplot",
        "inference.num_particles=10000.0",
        "inference.num_chains=4",
        "model.mu='Normal(0.0,scale=10)'",
    ],
)
def test_what_changes_no_posterior_changes_no_id(override):
    assert ids(override) == ids()


def of_gibbs(names, **settings):
    """Plan one run of eight schools whose sampler has settings for variables that move together."""
    settings = {
        "steps": f"{{{names}: {{kernel: nuts}}}}",
        "order": f"[theta,{names}]",
        "repeats": f"{{{names}: 2}}",
        **settings,
    }
    overrides = [f"sampler.{name}={value}" for name, value in settings.items()]
    (run,) = load("sampler=gibbs", *overrides, experiment="single").runs
    return run


def test_variables_that_move_together_have_one_name():
    runs = [of_gibbs(names) for names in (r"mu\, tau", r"mu\,tau", r"tau \, mu")]
    assert len({run.id for run in runs}) == 1
    for run in runs:
        assert run.frozen["sampler"] == {
            "name": "gibbs",
            "steps": {"mu, tau": {"kernel": "nuts"}},
            "order": ["theta", "mu, tau"],
            "repeats": {"mu, tau": 2},
        }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            dict(steps=r"{mu\, tau: {kernel: nuts}, tau\, mu: {kernel: hmc}}"),
            "sampler.steps has 'mu, tau' twice",
        ),
        (dict(steps=r"{mu\, tua: {kernel: nuts}}"), "steps names 'tua', which is no latent"),
        (dict(order="[mu,thetta]"), "order names 'thetta', which is no latent variable; did"),
        (dict(repeats="{m: 3}"), "repeats names 'm', which is no latent variable"),
    ],
)
def test_variables_that_are_not_there_are_told(settings, message):
    with pytest.raises(UserError, match=message):
        of_gibbs(r"mu\, tau", **settings)


@pytest.mark.parametrize(
    "override",
    [
        "inference.num_chains=5",
        "precision=float32",
        "model.mu='Normal(0, 9)'",
        "inference.target_ess=0.6",
    ],
)
def test_what_changes_a_posterior_changes_its_id(override):
    assert not set(ids(override)) & set(ids())


def test_overrides_go_to_a_folder_of_their_own_whatever_their_order():
    a, b = "inference.num_chains=5", "precision=float32"
    assert load(a, b).home == load(b, a).home != load(a).home
    assert load(a).home.startswith("results/eight_schools+")


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("seeds=[3,1]", (1, 3)), ("seeds=0,1,2", (0, 1, 2)), ("seeds=range(0,4)", (0, 1, 2, 3))],
)
def test_seeds_are_never_swept(text, seeds):
    made = load(text)
    assert made.seeds == seeds
    assert len(made.runs) == 2


def test_sweeps_are_cartesian_over_arms_and_values():
    made = load("inference.num_particles=10,20", "model.mu='Normal(0,5)','Normal(0,7)'")
    assert len(made.runs) == len({run.name for run in made.runs}) == 8
    assert made.runs[0].title == "gibbs: inference.num_particles=10, model.mu=Normal(0,5)"
    assert {run.frozen["model"]["mu"] for run in made.runs} == {"Normal(0, 5)", "Normal(0, 7)"}


@pytest.mark.parametrize(
    ("key", "text", "swept"),
    [
        ("inference.num_particles", "range(100, 400, 100)", ["100", "200", "300"]),
        ("inference.num_particles", "choice(200, 100)", ["200", "100"]),
        ("inference.num_particles", "100,200,300,400", ["100", "200", "300", "400"]),
        ("inference.num_particles", "sort(300, 100, reverse=true)", ["300", "100"]),
        ("sampler", "glob([n*, hm*])", ["hmc", "nuts"]),
        ("sampler", "glob(*walk, exclude=e*)", ["random_walk"]),
        ("model.mu", 'choice("Normal(0, 5)", "Cauchy(0, 5)")', ["Normal(0, 5)", "Cauchy(0, 5)"]),
    ],
)
def test_an_experiment_and_the_command_line_sweep_in_the_same_grammar(key, text, swept):
    given = load(f"{key}={text}", experiment="single")
    with Path("conf/experiment/swept.yaml").open("w") as file:
        yaml.safe_dump({"sweep": {key: text}}, file)
    content = Path("conf/experiment/swept.yaml").read_text()
    Path("conf/experiment/swept.yaml").write_text(f"# @package _global_\n{content}")
    try:
        kept = load(experiment="swept")
    finally:
        Path("conf/experiment/swept.yaml").unlink()
    assert [run.settings[key] for run in given.runs] == swept
    assert [(r.id, r.settings) for r in kept.runs] == [(r.id, r.settings) for r in given.runs]


def test_a_sweep_goes_over_every_arm_and_arms_may_choose_the_group_it_is_in():
    arms = ["+arms.a=['inference=mcmc']", "+arms.b=['inference=mcmc','inference.num_thin=2']"]
    made = load(*arms, "inference.num_samples=10,20", "sampler=nuts,hmc", experiment="single")
    assert len(made.runs) == 8
    assert {run.frozen["inference"]["name"] for run in made.runs} == {"mcmc"}
    thinned = [run for run in made.runs if run.frozen["inference"]["num_thin"] == 2]
    assert [run.settings for run in thinned] == [
        {"inference.num_samples": draws, "sampler": sampler}
        for draws in ("10", "20")
        for sampler in ("nuts", "hmc")
    ]


def test_the_index_has_a_column_for_each_swept_setting(tmp_path):
    made = load("inference.num_particles=10,20", "model.mu='Normal(0,5)','Normal(0,7)'")
    (tmp_path / "index.csv").write_text(made.index() + "\n")
    assert index.read(tmp_path) == made.rows
    first = made.index().splitlines()[0]
    assert first == "run,arm,fit_id,seeds,inference.num_particles,model.mu"


def test_groups_can_be_swept_by_pattern():
    made = load("sampler=glob(*)", experiment="single")
    samplers = {path.stem for path in Path("conf/sampler").glob("*.yaml")}
    assert {run.settings["sampler"] for run in made.runs} == samplers


def test_a_sweep_has_a_page_and_up_to_two_settings_a_figure():
    swept = ["inference.num_particles=10,20", "inference.num_chains=2,3"]
    figures = [load(*swept[:n], experiment="single").sweep_figures for n in (0, 1, 2)]
    assert figures == [[], ["sweep"], ["sweep"]]
    three = load(*swept, "inference.target_ess=0.5,0.6", experiment="single")
    assert three.sweep_figures == []
    assert three.pages == ["overview", "methods", "sweep"]
    assert load().pages == ["overview", "methods"]  # arms are no sweep


def test_figures_of_ones_own_are_added_by_name():
    """As the README adds one; its file is what the figures follow."""
    made = load("+plots.figures.own=bamopipe.models.eight_schools.model")
    assert made.figures == {"own": "bamopipe.models.eight_schools.model"}
    assert made.figure_sources == ["bamopipe/models/eight_schools.py"]
    assert all("figures" not in run.plots for run in made.runs)
    assert {run.id for run in made.runs} == {run.id for run in load().runs}


def test_the_command_line_wins_over_the_experiments_sweep():
    sweep = "+sweep={inference.num_particles: '100,200'}"
    made = load(sweep, "inference.num_particles=300", experiment="single")
    assert [run.frozen["inference"]["num_particles"] for run in made.runs] == [300]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"experiment": "eight_school"}, "did you mean 'eight_schools'"),
        ({"experiment": 2024}, "experiment must be one name, got 2024"),
        ({"experimnet": "x"}, "unknown --config key 'experimnet'; did you mean 'experiment'"),
        ({"overrides": "a=1 b=2"}, "overrides must be a list of text"),
        ({"overrides": ["sampler=gibbs", "nuts"]}, "overrides must be a list of key=value"),
        ({"overrides": [{"label": "b"}]}, "overrides must be a list of text"),
    ],
)
def test_mangled_requests(request_, message):
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        plan.load(request_)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model=eight_school", "unknown model 'eight_school'; did you mean 'eight_schools'"),
        ("+arms.x=['sampler=gibs']", "unknown sampler 'gibs'; did you mean 'eight_schools/gibbs'"),
        ("inference.num_partcles=3", "did you mean 'num_particles'"),
        ("inference.num_chains=0", "inference.num_chains must be at least 1, got 0"),
        ("inference.num_chains=2.5", "must be a whole number, got 2.5"),
        ("inference.target_ess=1.0", "target_ess must be between 0 and 1, got 1.0"),
        ("model.mu='Norml(0, 1)'", "model.mu: unknown distribution 'Norml'"),
        ("model.mu='Normal(0, -1)'", "model.mu: scale must be positive"),
        ("model.mu=Normal(0, 1)", "quote text that has brackets"),
        ("model.mu=3", "model.mu must be a prior"),
        ("+model.nu=3", "unknown setting model.nu; did you mean 'mu'"),
        ("model._target_=os.system", "package 'os', which `trusted` in conf/config.yaml does not"),
        ("model._target_=bamopipe.models.nine.model", "there is no file bamopipe/models/nine.py"),
        ("data.files.schools=data/none.csv", "data.files.schools: there is no file"),
        ("data.files={}", "data.files.schools is missing"),
        ("sampler=random_walk", "sampler is set by arm 'gibbs' and again beside it"),
        ("sampler.steps.mu.sigma=3", "unknown setting sampler.steps.mu.sigma in arm 'random_walk'"),
        ("arms.gibbs=['seeds=[3]']", "seeds cannot be varied between runs"),
        ("arms.gibbs=['inference.num_chains=3,4']", "put them under `sweep`"),
        ("inference.num_chains=4,4", "2 runs of experiment 'eight_schools' are the same"),
        ("seeds=[]", "seeds must be one or more different numbers"),
        ("seeds=[1,1]", "seeds must be one or more different numbers"),
        ("seeds=[-1]", "seeds[0] must be"),
        ("~model.mu=3", "expected key=value"),
        ("plots.style=ggplt", "plots.style has no style 'ggplt'; did you mean 'ggplot'"),
        ("plots.figures={pairs: models.a.b}", "is none of graph, marginals"),
        ("plots.figures={own: os.system}", "plots.figures.own 'os.system' is in package 'os'"),
        ("plots.figures={own: bamopipe.models.eight_schools.fig}", "has no function 'fig'"),
        ("plots.figures={own: 3}", "plots.figures.own must be text, got 3"),
        (
            "arms.gibbs=['plots.figures={own: bamopipe.models.eight_schools.model}']",
            "plots.figures must be the same for all runs",
        ),
        ("inference.num_chains=${x}", "Interpolation key 'x' not found"),
        ("inference.num_chains=range(3,3)", "inference.num_chains=range(3,3): no values"),
        ("inference.num_chains=interval(1,3)", "num_chains is swept over an interval"),
        ("inference.num_chains=shuffle(1,2)", "num_chains is swept in random order"),
        ("inference.num_chains=glob(*)", "num_chains cannot be swept by glob"),
        ("inference.num_chains=2,,3", "cannot read 'inference.num_chains=2,,3'"),
        ("inference.num_chains=range(a)", "or several as in a,b or range(1, 5)"),
        ("+plots=glob(z*)", "plots=glob(z*): no file in conf/plots matches"),
        ("data=eight_schools,glob(e*)", "data: glob() stands alone"),
        ("+sweep={precision: [1, 2]}", "sweep.precision must be text in Hydra's grammar"),
        ("+sweep={precision: 'range(2'}", "cannot read 'precision=range(2' in sweep"),
        ("+sweep={precison: 'a,b'}", "unknown setting precison in arm 'gibbs'; did you mean"),
        ("+sweep={seeds: '1,2'}", "seeds cannot be varied between runs"),
        ("+sweep={sampler: 'nuts,hmc'}", "sampler is set by arm 'gibbs' and again beside it"),
        ("=3", "expected key=value"),
    ],
)
def test_bad_overrides_are_told_in_one_sentence(override, message):
    with pytest.raises(UserError) as caught:
        load(override)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_sampler_names_variables_of_the_model(folder, tmp_path):
    gibbs = folder / "conf" / "sampler" / "eight_schools" / "gibbs.yaml"
    original = gibbs.read_text()
    project.edit(gibbs, "  theta:", "  thetta:")
    try:
        with pytest.raises(UserError, match=r"steps names 'thetta', which is .*'theta'"):
            load()
    finally:
        gibbs.write_text(original)


def test_two_thousand_runs_are_planned_in_seconds():
    start = time.perf_counter()
    made = load("inference.num_particles=range(10,1010)")
    assert len(made.runs) == 2000
    assert time.perf_counter() - start < 15  # 2 s on an idle machine


def test_a_plan_loads_no_heavy_library():
    heavy = {"jax", "arviz", "xarray", "matplotlib", "pandas", "tensorflow_probability"}
    code = (
        "import sys, bamopipe.plan, bamopipe.cli, bamopipe.outcome, bamopipe.plots\n"
        "import bamopipe.stages.page, bamopipe.stages.report, bamopipe.stages.run\n"
        f"bamopipe.plan.load({{}}); print(sorted({heavy!r} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("seeds", "present", "size", "blocks"),
    [
        (range(6), [], 4, ["seeds_0-3", "seeds_4-5"]),
        ([1, 2, 5, 7], [], 4, ["seeds_1-2", "seeds_5", "seeds_7"]),
        (range(6), ["seeds_0-1"], 4, ["seeds_0-1", "seeds_2-3", "seeds_4-5"]),
        (range(4), ["seeds_0-3"], 1, ["seeds_0-3"]),
        ([0], ["seeds_0-3"], 4, ["seeds_0-3"]),
        (range(3), ["seeds_0", "seeds_0-1", "config"], 4, ["seeds_0-1", "seeds_2"]),
        ([9], [], 1, ["seeds_9"]),
    ],
)
def test_blocks_cover_the_seeds_with_what_exists(seeds, present, size, blocks):
    assert cover(seeds, present, size) == blocks
    # Once the blocks are there, the same are chosen again: a job that plans anew agrees.
    assert cover(seeds, [*present, *blocks], size) == blocks


def test_seeds_are_read_as_commands_take_them():
    assert parse_seeds("3") == [3]
    assert parse_seeds("0-2,7") == [0, 1, 2, 7]
    with pytest.raises(UserError, match="--seeds must look like"):
        parse_seeds("a")


def test_nearest_finds_the_last_part_of_a_path():
    assert "'eight_schools/gibbs'" in nearest("gibs", ["eight_schools/gibbs", "random_walk"])
    assert nearest("x", []) == "; nothing is known here"


@pytest.mark.parametrize("text", ["0,0", "3-1", "0-3,2"])
def test_a_seed_counts_once(text):
    with pytest.raises(UserError, match="each once"):
        parse_seeds(text)
