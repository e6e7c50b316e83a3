"""Missing observations: left out of the likelihood, or latent variables of their own."""

import blackjax
import distrax as dx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm
from tensorflow_probability.substrates import jax as tfp

import exact
from bamopipe.base import Model
from bamopipe.errors import UserError
from bamopipe.inference import SMCInference
from bamopipe.inference.datatree import to_datatree
from bamopipe.samplers import gibbs_sampler
from bamopipe.target import compile_target, precision_context

tfd = tfp.distributions

Y = np.array([1.5, np.nan, -0.5, np.nan, 2.0, 0.3])
SEEN = ~np.isnan(Y)


@pytest.fixture(autouse=True)
def x64():
    with precision_context("float64"):
        yield


def make(missing: str, observations=Y) -> Model:
    model = Model()
    mu = model.add_node("mu", distribution=dx.Normal(0.0, 2.0))
    model.add_node(
        "y",
        distribution=dx.Normal,
        parents=dict(loc=mu, scale=1.0),
        observations=observations,
        missing=missing,
        dims="trial",
    )
    return model


@pytest.mark.parametrize(
    "observations",
    [Y, np.ma.masked_array(np.where(SEEN, Y, 99.0), mask=~SEEN)],
    ids=["nan", "mask"],
)
def test_dropped_entries_are_not_in_the_likelihood(observations):
    target = compile_target(make("drop", observations))
    assert target.latent == ("mu",)
    value, gradient = jax.value_and_grad(lambda mu: target.log_likelihood({"mu": mu}))(0.7)
    np.testing.assert_allclose(value, norm.logpdf(Y[SEEN], 0.7).sum())
    np.testing.assert_allclose(gradient, (Y[SEEN] - 0.7).sum())
    pointwise = target.pointwise_log_likelihood({"mu": 0.7})["y"]
    np.testing.assert_allclose(pointwise, norm.logpdf(Y[SEEN], 0.7))
    assert np.all(np.isfinite(target.predict(jax.random.key(0), {"mu": 0.7})["y"]))


def test_imputed_entries_are_latent_and_have_a_prior_factor():
    model = make("impute")
    assert model.latent == ("mu", "y_missing")
    target = compile_target(model)
    position = {"mu": 0.7, "y_missing": np.array([5.0, -3.0])}
    factors = target.log_factors(position)
    np.testing.assert_allclose(factors["y_missing"], norm.logpdf([5.0, -3.0], 0.7).sum())
    np.testing.assert_allclose(factors["y"], norm.logpdf(Y[SEEN], 0.7).sum())
    assert target.touching(["y_missing"]) == ("y_missing",)
    assert target.touching(["mu"]) == ("mu", "y_missing", "y")
    assert target.sample_prior(jax.random.key(1))["y_missing"].shape == (2,)
    moved, log_det = target.constrain(target.unconstrain(position))
    np.testing.assert_allclose(moved["y_missing"], [5.0, -3.0])
    assert log_det == 0


def test_children_see_the_completed_values():
    model = make("impute")
    model.add_node(
        "z", distribution=dx.Normal, parents=dict(loc="y", scale=1.0), observations=Y * 0
    )
    target = compile_target(model)
    position = {"mu": 0.7, "y_missing": np.array([5.0, -3.0])}
    complete = np.where(SEEN, Y, 0)
    complete[~SEEN] = [5.0, -3.0]
    # z has the same gaps, and drops them
    np.testing.assert_allclose(
        target.log_factors(position)["z"], norm.logpdf(0, complete)[SEEN].sum()
    )
    assert target.touching(["y_missing"]) == ("y_missing", "z")


def test_each_leaf_has_its_own_gaps():
    model = make("drop")
    model.add_node(
        "k", distribution=tfd.Poisson, parents=dict(rate=2.0), observations=[3.0, np.nan]
    )
    pointwise = compile_target(model).pointwise_log_likelihood({"mu": 0.0})
    assert {name: values.shape for name, values in pointwise.items()} == {"y": (4,), "k": (1,)}


def test_gaps_in_whole_draws_of_a_vector():
    rows = np.array([[1.0, 2.0], [np.nan, np.nan], [0.0, 1.0]])
    for missing in ("drop", "impute"):
        model = Model()
        mu = model.add_node("mu", distribution=dx.Normal(0.0, 1.0), shape=2)
        model.add_node(
            "y",
            distribution=dx.MultivariateNormalDiag,
            parents=dict(loc=mu, scale_diag=np.ones(2)),
            observations=rows,
            missing=missing,
        )
        target = compile_target(model)
        position = target.sample_prior(jax.random.key(0))
        expected = norm.logpdf(rows[[0, 2]], position["mu"]).sum()
        np.testing.assert_allclose(target.log_likelihood(position), expected)
        if missing == "impute":
            assert position["y_missing"].shape == (1, 2)
            back, _ = target.constrain(target.unconstrain(position))
            np.testing.assert_allclose(back["y_missing"], position["y_missing"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda m: m.add_node("z", distribution=dx.Normal, parents=dict(loc="y", scale=1.0)),
            "'y', which has missing observations; give 'y' missing='impute'",
        ),
        (
            lambda m: m.add_node(
                "z",
                distribution=dx.MultivariateNormalDiag,
                parents=dict(loc=np.zeros(2), scale_diag=np.ones(2)),
                observations=[[1.0, np.nan]],
            ),
            "'z' is missing in part",
        ),
        (
            lambda m: m.add_node("z", dx.Normal(0.0, 1.0), Y, missing="ignore"),
            "missing='ignore'; expected 'drop' or 'impute'",
        ),
    ],
)
def test_mistakes_with_gaps(change, message):
    with pytest.raises(UserError, match=message):
        change(make("drop"))


def test_the_name_of_imputed_observations_is_taken():
    with pytest.raises(UserError, match="already has a node 'y_missing'"):
        make("impute").add_node("y_missing", distribution=dx.Normal(0.0, 1.0))


# 8 chains each, key 3 chosen beforehand: 7 degrees of freedom, so 5 standard errors
# (beyond which a right program falls once in 600 numbers).
@pytest.mark.parametrize("missing", ["drop", "impute"])
def test_both_ways_give_the_posterior_of_the_seen_data(missing):
    log_evidence, mean, sd = exact.gaussian_mean(Y[SEEN], prior_sd=2.0, sd=1.0)
    model = make(missing)
    kernel = gibbs_sampler(
        model,
        dict.fromkeys(model.latent, blackjax.normal_random_walk),
        {name: dict(sigma=1.0) for name in model.latent},
    )
    engine = SMCInference(model, kernel, num_particles=2000, num_mutations=20, num_chains=8)
    result = engine.run(jax.random.key(3))
    assert abs(result.log_evidence - log_evidence) < 5 * result.log_evidence_se
    draws = result["final_state"].particles
    expected = {"mu": (mean, sd), "y_missing": (mean, (1 + sd**2) ** 0.5)}
    for name in model.latent:
        values = draws[name].reshape(8, 2000, -1)
        for estimates, value in (
            (values.mean((1, 2)), expected[name][0]),
            (values.std(1).mean(1), expected[name][1]),
        ):
            assert abs(estimates.mean() - value) < 5 * estimates.std(ddof=1) / 8**0.5
    tree = to_datatree(engine, result, seed=3)
    assert tree["log_likelihood"]["y"].dims == ("chain", "draw", "y_seen")
    assert tree["log_likelihood"]["y_seen"].values.tolist() == [0, 2, 4, 5]
    assert np.isnan(tree["observed_data"]["y"]).values.tolist() == (~SEEN).tolist()
    assert tree["posterior_predictive"]["y"].shape == (8, 2000, 6)
    assert jnp.isfinite(tree["posterior_predictive"]["y"].values).all()
