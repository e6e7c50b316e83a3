"""Every kernel that tunes itself against exact answers, and the table in the docs."""

from itertools import product
from pathlib import Path

import blackjax
import distrax as dx
import jax
import jax.numpy as jnp
import kernels
import numpy as np
import pytest

from bamopipe.base import Model
from bamopipe.errors import UserError
from bamopipe.inference import MCMCInference
from bamopipe.samplers import mcmc_sampler, tuned_random_walk
from bamopipe.samplers.blackjax_tunings import NOT_OFFERED, OF_OWN_PROPOSALS, TUNINGS
from bamopipe.samplers.conjugate_draw import ConjugateDraw
from bamopipe.samplers.elliptical_slice import EllipticalSlice
from bamopipe.samplers.gaussian_conditional import GaussianConditional
from bamopipe.samplers.independent_proposals import IndependentProposals
from bamopipe.samplers.tuned_random_walk import TunedRandomWalk
from bamopipe.target import compile_target, precision_context

# The rest of them takes minutes.
QUICK = ("gibbs", "hmc", "normal_random_walk", "nuts")


def params(*columns):
    return [
        pytest.param(*row, marks=() if row[0] in QUICK else pytest.mark.slow)
        for row in product(kernels.KERNELS, *columns)
    ]


names = pytest.mark.parametrize("name", params())


def off(errors):
    """Select what is off by more than 4 standard errors."""
    return {what: error for what, error in errors.items() if not abs(error) < 4}


@pytest.mark.parametrize(
    ("name", "case"), [p for p in params(kernels.CASES) if kernels.applies(*p.values)]
)
def test_posterior_at_two_temperatures(name, case):
    assert off(kernels.errors(name, case)) == {}


@names
def test_joint_distribution_of_variables_and_data_stays(name):
    assert off(kernels.geweke(name)) == {}


@names
def test_a_particle_at_the_edge_of_the_support_stays_and_harms_no_other(name):
    """Rounded to 1, a draw from a beta distribution has an infinite logit."""
    with precision_context("float64"):
        model = Model()
        model.add_node("share", distribution=dx.Beta(2.0, 1.0), shape=(2,))
        target, kernel = compile_target(model), kernels.KERNELS[name](model)
        start = {"share": jnp.stack([jnp.linspace(0.1, 1.0, 10), jnp.full(10, 0.5)])}
        parameters = kernel.tune(kernel.parameters, start, target)
        state, step = kernel.init(target, start), jax.jit(kernel.step)
        for index in range(20):
            state, infos = step(jax.random.key(index), state, jnp.asarray(1.0), parameters, target)
            parameters = kernel.adapt(parameters, infos)
        share = state.position["share"]
        if isinstance(kernel.blocks[0].update, ConjugateDraw):  # which forgets where it was
            assert np.all((share > 0) & (share < 1))
        else:
            assert share[0, -1] == 1
        assert np.all((share[:, :-1] > 0) & (share[:, :-1] < 1))
        assert np.all(share[:, :-1] != start["share"][:, :-1])
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(parameters))


@names
def test_steps_become_as_long_as_is_good(name):
    """The acceptance rate ends at what is wanted, from particles of scales 1 and 100."""
    with precision_context("float64"):
        model = Model()
        model.add_node("x", distribution=dx.Normal(0.0, 1.0))
        model.add_node("y", distribution=dx.Normal(0.0, 100.0), shape=(3,))
        target, kernel = compile_target(model), kernels.KERNELS[name](model)
        keys = jax.random.split(jax.random.key(41), 1000)
        start = jax.vmap(target.sample_prior, out_axes=-1)(keys)
        parameters = kernel.tune(kernel.parameters, start, target)
        state = kernel.init(target, start)
        step = jax.jit(kernel.step)
        rates = {block.name: [] for block in kernel.blocks}
        for index in range(30):
            state, infos = step(jax.random.key(index), state, jnp.asarray(1.0), parameters, target)
            parameters = kernel.adapt(parameters, infos)
            for block, info in infos.items():
                rates[block].append(float(info.acceptance_rate.mean()))
    for block in kernel.blocks:
        rate = np.mean(rates[block.name][-10:])
        if isinstance(block.update, GaussianConditional | EllipticalSlice):
            assert rate == 1
            continue
        if isinstance(block.update, TunedRandomWalk):
            size = {("x",): 1, ("y",): 3}.get(block.variables, 4)
            assert abs(rate - 0.234 - 0.206 / size) < 0.05
            continue
        if isinstance(block.update, IndependentProposals):
            assert rate > 0.5
            continue
        tuning = TUNINGS[block.update.factory]
        if tuning.acceptance_rate is None:
            assert rate > 0.5
        elif tuning.longest_path is not None:  # the path ends at a quarter of a period
            assert tuning.acceptance_rate < rate < 1
        else:
            assert abs(rate - tuning.acceptance_rate) < 0.05


@pytest.mark.parametrize("name", ["barker", "dynamic_hmc", "nuts", "normal_random_walk"])
def test_a_diagonal_shape_forms_no_matrix(name):
    """Of 1,200 coordinates and 3 particles, tuning, stepping and adapting included."""
    size = 1200

    def largest(**settings):
        model = Model()
        model.add_node("x", distribution=dx.Normal(0.0, 1.0), shape=(size,))
        kernel = mcmc_sampler(model, getattr(blackjax, name), settings)
        target = compile_target(model)

        def program(key, x):
            parameters = kernel.tune(kernel.parameters, {"x": x}, target)
            state = kernel.init(target, {"x": x})
            state, infos = kernel.step(key, state, jnp.asarray(1.0), parameters, target)
            return kernel.adapt(parameters, infos), state

        text = str(jax.make_jaxpr(program)(jax.random.key(0), jnp.zeros((size, 3))))
        return f"{size},{size}]" in text

    with precision_context("float64"):
        assert not largest()  # beyond LARGEST_DENSE
        assert not largest(is_mass_matrix_diagonal=True)
        assert largest(is_mass_matrix_diagonal=False)


def test_what_a_kernel_tunes_is_not_for_one_with_scales():
    model = Model()
    model.add_node("x", distribution=dx.Normal(0.0, 1.0))
    for kernel, scale in ((blackjax.nuts, "step_size"), (blackjax.normal_random_walk, "sigma")):
        settings = {scale: 1.0, "is_mass_matrix_diagonal": True}
        with pytest.raises(UserError, match=f"but it has {scale}; leave one out"):
            mcmc_sampler(model, kernel, settings)
    with pytest.raises(UserError, match="is_mass_matrix_diagonal is 1; expected true or false"):
        mcmc_sampler(model, blackjax.nuts, {"is_mass_matrix_diagonal": 1})


def test_acceptance_rates_that_steps_are_tuned_to():
    model = Model()
    model.add_node("x", distribution=dx.Normal(0.0, 1.0), shape=(20,))
    scales = []
    for rate in (0.6, 0.95):
        kernel = mcmc_sampler(model, blackjax.nuts, {"target_acceptance_rate": rate})
        engine = MCMCInference(model, kernel, num_samples=300, num_warmup=1000, num_chains=8)
        result = engine.run(jax.random.key(3))
        found = np.mean(result.statistics["acceptance_rate"]["position"])
        assert found == pytest.approx(rate, abs=0.05)
        scales.append(result.scale["position"])
    assert scales[1] < scales[0]
    with pytest.raises(
        UserError, match=r"target_acceptance_rate is 1\.5; expected a number between"
    ):
        mcmc_sampler(model, blackjax.nuts, {"target_acceptance_rate": 1.5})
    for kernel, has in ((blackjax.nuts, {"step_size": 0.1}), (blackjax.slice_sampling, {})):
        with pytest.raises(UserError, match=r"but the kernel .*; leave it out"):
            mcmc_sampler(model, kernel, {"target_acceptance_rate": 0.9, **has})


def test_a_kernel_that_is_not_adjusted_says_so(capsys):
    model = Model()
    model.add_node("x", distribution=dx.Normal(0.0, 1.0), shape=(2,))
    mcmc_sampler(model, blackjax.mclmc).describe()
    assert "unadjusted: it rejects nothing" in capsys.readouterr().out


def test_joint_distribution_test_finds_a_wrong_kernel(monkeypatch):
    """A random walk in unconstrained space without its Jacobian."""
    original = tuned_random_walk.from_coordinates
    monkeypatch.setattr(
        tuned_random_walk, "from_coordinates", lambda *a: (original(*a)[0], 0.0 * a[1][0])
    )
    assert off(kernels.geweke("normal_random_walk"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings"), [("multinomial_hmc", {"num_integration_steps": 4}), ("dmhmc", {})]
)
def test_algorithms_with_one_way_paths_give_wrong_draws(name, settings):
    """When this fails BlackJAX has mended them, and they can be offered.

    Draws from exp(-x^2 / 2 - x^4 / 10) have to stay such draws; their mean square falls by 2%.
    """
    size = 200_000

    def log_density(x):
        return -(x**2) / 2 - x**4 / 10

    with precision_context("float64"):
        grid = jnp.linspace(-8, 8, 20_001)
        weight = jnp.exp(log_density(grid))
        weight = weight / weight.sum()
        uniform = jax.random.uniform(jax.random.key(0), (size,))
        start = jnp.interp(uniform, jnp.cumsum(weight), grid)
        algorithm = getattr(blackjax, name)(
            log_density, step_size=1.0, inverse_mass_matrix=jnp.ones(1), **settings
        )

        @jax.jit
        @jax.vmap
        def moved(key, x):
            def step(index, state):
                return algorithm.step(jax.random.fold_in(key, index), state)[0]

            return jax.lax.fori_loop(0, 20, step, algorithm.init(x, key)).position

        end = moved(jax.random.split(jax.random.key(1), size), start)
        expected, start, end = jax.device_get((weight @ grid**2, start, end))
    off_by = [(np.mean(x**2) - expected) / (np.std(x**2) / size**0.5) for x in (start, end)]
    assert abs(off_by[0]) < 4
    assert off_by[1] < -5


def test_every_algorithm_of_blackjax_is_in_the_table_or_has_a_reason():
    known = {getattr(blackjax, name).differentiable for name in NOT_OFFERED}
    known.add(blackjax.elliptical_slice.differentiable)  # of which there is one of our own
    smc = ("smc", "tuning")
    for name in dir(blackjax):
        algorithm = getattr(blackjax, name)
        if isinstance(algorithm, blackjax.GenerateSamplingAPI) and not name.endswith(smc):
            assert algorithm.differentiable in {*TUNINGS, *OF_OWN_PROPOSALS, *known}, name


def test_table_in_the_docs_has_every_kernel():
    text = (Path(__file__).parents[1] / "docs" / "samplers.md").read_text()
    table, reasons = text.split("## Not offered")
    assert table.startswith(kernels.INTRODUCTION), "write docs/samplers.md anew"
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]
    found = {row[0].removeprefix("| ") for row in rows if "---" not in row[0]}
    assert found == set(kernels.KERNELS), "write docs/samplers.md anew"
    for line in kernels.reasons():
        assert line in reasons
