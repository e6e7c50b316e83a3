"""Full conditionals of exponential families: how they are found, and draws from them."""

from functools import partial

import blackjax
import distrax as dx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from kernels import run
from scipy import stats
from tensorflow_probability.substrates.jax import bijectors as tfb
from tensorflow_probability.substrates.jax import distributions as tfd

from bamopipe.base import Model
from bamopipe.distributions.autoregressive import AutoRegressive
from bamopipe.errors import UserError
from bamopipe.samplers import conjugate_draw, gibbs_sampler
from bamopipe.samplers.conjugate_draw import ConjugateDraw
from bamopipe.samplers.tuned_random_walk import TunedRandomWalk
from bamopipe.target import (
    Family,
    compile_target,
    conjugate_family,
    conjugate_parameters,
    precision_context,
)
from bamopipe.target import conjugate as conjugate_module


@pytest.fixture(autouse=True)
def x64():
    with precision_context("float64"):
        yield


GROUP = np.array([0, 2, 2, 1, 0, 2])
Y = np.array([0.3, -1.2, 2.0, 0.4, -0.7, 1.1])
COUNTS = np.array([3.0, 0.0, 2.0, 5.0, 1.0, 2.0])
KINDS = np.array([0, 1, 1, 2, 1, 0])
ONE_HOT = np.eye(3, dtype=int)[KINDS]
POSITIVE = np.array([0.5, 1.5, 0.2, 3.0, 1.0, 0.8])
GAMMA, INVERSE = Family("Gamma"), Family("Gamma", -1.0)
BETA, DIRICHLET = Family("Beta"), Family("Dirichlet")


def seen(prior, link_fn, distribution, observations, shape=(), **others):
    """A model of x with some prior, and y given x."""
    model = Model()
    x = model.add_node("x", distribution=prior, shape=shape)
    others = {name: model.add_node(name, distribution=value) for name, value in others.items()}
    model.add_node(
        "y",
        distribution=distribution,
        parents=dict(x=x, **others),
        link_fn=link_fn,
        observations=observations,
    )
    return model


def normal(scale, prior, **settings):
    """y is normal, with a scale that is computed from x."""
    return seen(prior, lambda x: dict(loc=0.5, scale=scale(x)), dx.Normal, Y, **settings)


def squares(t):
    """Half the number of observations, and half their squared distances from 0.5, tempered."""
    return t * len(Y) / 2, t * np.sum((Y - 0.5) ** 2) / 2


def each(values, t):
    """Sum up by group."""
    return t * np.array([np.sum(values[g == GROUP]) for g in range(3)])


# Name -> model, family, and temperature -> parameters by closed form.
PAIRS = {
    "normal variance": (
        lambda: normal(jnp.sqrt, tfd.InverseGamma(2.0, 1.0)),
        INVERSE,
        lambda t: (2 + squares(t)[0], 1 + squares(t)[1]),
    ),
    "normal variance, of TFP": (
        lambda: seen(
            tfd.InverseGamma(2.0, 1.0), lambda x: dict(loc=0.5, scale=x**0.5), tfd.Normal, Y
        ),
        INVERSE,
        lambda t: (2 + squares(t)[0], 1 + squares(t)[1]),
    ),
    "normal precision": (
        lambda: normal(lambda x: 1 / jnp.sqrt(x), dx.Gamma(2.0, 1.0)),
        GAMMA,
        lambda t: (2 + squares(t)[0], 1 + squares(t)[1]),
    ),
    "normal precision, by rsqrt": (
        lambda: normal(jax.lax.rsqrt, tfd.Gamma(2.0, 1.0)),
        GAMMA,
        lambda t: (2 + squares(t)[0], 1 + squares(t)[1]),
    ),
    "log of a normal precision": (
        lambda: normal(lambda x: 1 / jnp.sqrt(jnp.exp(jnp.log(2 * x))), tfd.Exponential(1.0)),
        GAMMA,
        lambda t: (1 + squares(t)[0], 1 + 2 * squares(t)[1]),
    ),
    "normal variances of groups": (
        lambda: normal(lambda x: jnp.sqrt(x[GROUP]), tfd.InverseGamma(2.0, 1.0), shape=(3,)),
        INVERSE,
        lambda t: (2 + each(np.ones(6), t) / 2, 1 + each((Y - 0.5) ** 2, t) / 2),
    ),
    "normal scale with a prior of its square": (
        lambda: normal(lambda x: 1 / x, tfd.Weibull(2.0, 1.0)),
        Family("Gamma", 2.0),
        lambda t: (1 + squares(t)[0], 1 + squares(t)[1]),
    ),
    "scale of an autoregression": (
        lambda: seen(
            tfd.InverseGamma(2.0, 1.0),
            lambda x: dict(
                coefficients=jnp.zeros(1), scale=jnp.sqrt(x), initial=jnp.zeros(1), intercept=0.5
            ),
            partial(AutoRegressive, length=6),
            Y,
        ),
        INVERSE,
        lambda t: (2 + squares(t)[0], 1 + squares(t)[1]),
    ),
    "Poisson rate": (
        lambda: seen(dx.Gamma(2.0, 1.0), lambda x: dict(rate=x), tfd.Poisson, COUNTS),
        GAMMA,
        lambda t: (2 + t * COUNTS.sum(), 1 + t * 6),
    ),
    "Poisson rates, with exposures": (
        lambda: seen(
            tfd.Gamma(2.0, 1.0),
            lambda x: dict(rate=x[GROUP] * POSITIVE),
            tfd.Poisson,
            COUNTS,
            shape=(3,),
        ),
        GAMMA,
        lambda t: (2 + each(COUNTS, t), 1 + each(POSITIVE, t)),
    ),
    "rate of waiting times": (
        lambda: seen(dx.Gamma(2.0, 1.0), lambda x: dict(rate=x), tfd.Exponential, POSITIVE),
        GAMMA,
        lambda t: (2 + t * 6, 1 + t * POSITIVE.sum()),
    ),
    "rate of Gamma variables": (
        lambda: seen(
            dx.Gamma(2.0, 1.0), lambda x: dict(concentration=3.0, rate=x), tfd.Gamma, POSITIVE
        ),
        GAMMA,
        lambda t: (2 + t * 18, 1 + t * POSITIVE.sum()),
    ),
    "Bernoulli": (
        lambda: seen(dx.Beta(2.0, 3.0), lambda x: dict(probs=x), dx.Bernoulli, [1, 0, 1]),
        BETA,
        lambda t: (2 + 2 * t, 3 + t),
    ),
    "Bernoulli, of TFP, uniform prior": (
        lambda: seen(tfd.Uniform(0.0, 1.0), lambda x: dict(probs=x), tfd.Bernoulli, [1, 0, 1]),
        BETA,
        lambda t: (1 + 2 * t, 1 + t),
    ),
    "Bernoulli by failure": (
        lambda: seen(tfd.Beta(2.0, 3.0), lambda x: dict(probs=1 - x), dx.Bernoulli, [1, 0, 1]),
        BETA,
        lambda t: (2 + t, 3 + 2 * t),
    ),
    "binomial, in groups": (
        lambda: seen(
            tfd.Beta(2.0, 3.0),
            lambda x: dict(total_count=10.0, probs=x[GROUP]),
            tfd.Binomial,
            COUNTS,
            shape=(3,),
        ),
        BETA,
        lambda t: (2 + each(COUNTS, t), 3 + each(10 - COUNTS, t)),
    ),
    "geometric": (
        lambda: seen(dx.Beta(2.0, 3.0), lambda x: dict(probs=x), tfd.Geometric, COUNTS),
        BETA,
        lambda t: (2 + t * 6, 3 + t * COUNTS.sum()),
    ),
    "negative binomial": (
        lambda: seen(
            dx.Beta(2.0, 3.0),
            lambda x: dict(total_count=4.0, probs=x),
            tfd.NegativeBinomial,
            COUNTS,
        ),
        BETA,
        lambda t: (2 + t * COUNTS.sum(), 3 + t * 24),
    ),
    "categories": (
        lambda: seen(
            dx.Dirichlet(jnp.arange(1.0, 4)), lambda x: dict(probs=x), dx.Categorical, KINDS
        ),
        DIRICHLET,
        lambda t: (np.arange(1, 4) + t * ONE_HOT.sum(0),),
    ),
    "categories, of TFP": (
        lambda: seen(
            tfd.Dirichlet(np.arange(1.0, 4)), lambda x: dict(probs=x), tfd.Categorical, KINDS
        ),
        DIRICHLET,
        lambda t: (np.arange(1, 4) + t * ONE_HOT.sum(0),),
    ),
    "one-hot categories, in rows": (
        lambda: seen(
            tfd.Dirichlet(np.arange(1.0, 4)),
            lambda x: dict(probs=x[np.array([0, 1, 1, 0, 0, 1])]),
            tfd.OneHotCategorical,
            ONE_HOT,
            shape=(2,),
        ),
        DIRICHLET,
        lambda t: (
            np.arange(1, 4)
            + t * np.array([ONE_HOT[rows].sum(0) for rows in ([0, 3, 4], [1, 2, 5])]),
        ),
    ),
    "multinomial": (
        lambda: seen(
            tfd.Dirichlet(np.arange(1.0, 4)),
            lambda x: dict(total_count=9.0, probs=x),
            tfd.Multinomial,
            [4.0, 3.0, 2.0],
        ),
        DIRICHLET,
        lambda t: (np.arange(1, 4) + t * np.array([4, 3, 2]),),
    ),
    "nothing seen": (
        lambda: alone(dx.Gamma(2.0, 3.0)),
        GAMMA,
        lambda t: (2.0, 3.0),
    ),
}


def alone(prior) -> Model:
    model = Model()
    model.add_node("x", distribution=prior)
    return model


@pytest.mark.parametrize("name", PAIRS)
def test_parameters_by_closed_form(name):
    """At two temperatures, wherever x is."""
    make, family, parameters = PAIRS[name]
    target = compile_target(make())
    assert conjugate_family(target, "x") == family
    temperatures = np.array([1.0, 0.5, 0.0])

    def find(key, t):
        return conjugate_parameters(target, target.sample_prior(key), "x", t, family)

    keys = jax.random.split(jax.random.key(1), len(temperatures))
    found = jax.jit(jax.vmap(find))(keys, temperatures)
    for index, t in enumerate(temperatures):
        for one, expected in zip(found, parameters(t), strict=True):
            np.testing.assert_allclose(
                one[index], np.broadcast_to(expected, one[index].shape), rtol=1e-12
            )


OTHERS = {
    "half-normal prior": lambda: normal(lambda x: 1 / jnp.sqrt(x), tfd.HalfNormal(1.0)),
    "log-normal prior": lambda: normal(jnp.sqrt, tfd.LogNormal(0.0, 1.0)),
    "Gamma prior of a variance": lambda: normal(jnp.sqrt, dx.Gamma(2.0, 1.0)),
    "Gamma prior of a scale": lambda: normal(lambda x: x, dx.Gamma(2.0, 1.0)),
    "a square": lambda: normal(lambda x: 1 / x, dx.Gamma(2.0, 1.0)),
    "a minimum": lambda: normal(lambda x: jnp.minimum(x, 1e6) ** -0.5, dx.Gamma(2.0, 1.0)),
    "a step": lambda: normal(lambda x: jnp.where(x > 1e6, x, 2 * x) ** -0.5, dx.Gamma(2.0, 1.0)),
    "a sum": lambda: normal(lambda x: (x + 1e-6) ** -0.5, dx.Gamma(2.0, 1.0)),
    "a difference": lambda: normal(lambda x: (x - x[::-1]) ** -0.5, dx.Gamma(2.0, 1.0), shape=(6,)),
    "its own reverse": lambda: normal(
        lambda x: (x * x[::-1]) ** -0.25, dx.Gamma(2.0, 1.0), shape=(6,)
    ),
    "a stopped gradient": lambda: normal(
        lambda x: jax.lax.stop_gradient(x) ** -0.5, dx.Gamma(2.0, 1.0)
    ),
    "a branch": lambda: normal(
        lambda x: jax.lax.cond(x > 1, lambda: x, lambda: 2 * x) ** -0.5, dx.Gamma(2.0, 1.0)
    ),
    "a loop": lambda: normal(
        lambda x: jax.lax.scan(lambda c, _: (c, c), x, None, 6)[1] ** -0.5, dx.Gamma(2.0, 1.0)
    ),
    "used twice": lambda: seen(
        dx.Gamma(2.0, 1.0), lambda x: dict(loc=x, scale=x**-0.5), dx.Normal, Y
    ),
    "bounded from below": lambda: normal(lambda x: 1 / jnp.sqrt(x), tfd.Pareto(2.0, 0.5)),
    "bounded from above": lambda: seen(
        tfd.Uniform(0.0, 0.9), lambda x: dict(probs=x), dx.Bernoulli, [1, 0, 1]
    ),
    "bounded by its child": lambda: seen(
        dx.Gamma(2.0, 1.0), lambda x: dict(low=0.0, high=x), tfd.Uniform, POSITIVE
    ),
    "uniform prior of a rate": lambda: seen(
        tfd.Uniform(0.0, 1.0), lambda x: dict(rate=x), tfd.Poisson, COUNTS
    ),
    "a truncated child": lambda: seen(
        dx.Gamma(2.0, 1.0),
        lambda x: dict(loc=0.0, scale=x**-0.5, low=0.0, high=9.0),
        tfd.TruncatedNormal,
        POSITIVE,
    ),
    "shape of a Gamma": lambda: seen(
        dx.Gamma(2.0, 1.0), lambda x: dict(concentration=x, rate=1.0), dx.Gamma, POSITIVE
    ),
    "half a probability": lambda: seen(
        dx.Beta(2.0, 3.0), lambda x: dict(probs=x / 2), dx.Bernoulli, [1, 0, 1]
    ),
    "a probability of a positive number": lambda: seen(
        dx.Gamma(2.0, 1.0), lambda x: dict(probs=x / 100), dx.Bernoulli, [1, 0, 1]
    ),
    "positive numbers of any sum": lambda: seen(
        tfd.Independent(tfd.Gamma([2.0] * 3, 1.0), 1),
        lambda x: dict(probs=x),
        tfd.Categorical,
        KINDS,
    ),
    "shares of some": lambda: seen(
        tfd.Dirichlet(np.ones(3)), lambda x: dict(probs=x[:2]), tfd.Categorical, KINDS % 2
    ),
    "shares mixed": lambda: seen(
        tfd.Dirichlet(np.ones(3)),
        lambda x: dict(probs=(x + 1) / 4),
        tfd.Categorical,
        KINDS,
    ),
    "a transformed variable": lambda: alone(
        tfd.TransformedDistribution(tfd.Normal(0.0, 1.0), tfb.Exp())
    ),
    "real": lambda: alone(tfd.Gumbel(0.0, 1.0)),
    "whole": lambda: alone(tfd.Poisson(3.0)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_only_looks_conjugate_is_left_alone(name):
    assert conjugate_family(compile_target(OTHERS[name]()), "x") is None


MARGINALS = {
    "normal variance": lambda a, b: [stats.invgamma(a, scale=b)],
    "normal precision": lambda a, b: [stats.gamma(a, scale=1 / b)],
    "normal scale with a prior of its square": lambda a, b: [stats.gengamma(a, 2.0, scale=b**-0.5)],
    "binomial, in groups": lambda a, b: list(map(stats.beta, a, b)),
    "categories": lambda a: [stats.beta(one, a.sum() - one) for one in a],
}


@pytest.mark.parametrize("name", MARGINALS)
def test_one_step_is_a_draw_from_the_posterior(name):
    """From 4,000 draws of the prior, at two temperatures."""
    make, family, parameters = PAIRS[name]
    model, temperatures = make(), (1.0, 0.5)
    kernel = gibbs_sampler(model)
    assert kernel.blocks[0].update == ConjugateDraw(family)
    positions = run(kernel, compile_target(model), temperatures, 1)
    for t, position in zip(temperatures, positions, strict=True):
        draws = np.asarray(position["x"])
        expected = MARGINALS[name](*parameters(t))
        for row, one in zip(draws.reshape(len(expected), -1), expected, strict=True):
            assert off(one.cdf(row)) < 4


def off(uniform) -> float:
    """Tell by how many standard errors the mean or the mean square of uniform numbers is off."""
    first = (np.mean(uniform) - 1 / 2) / (1 / 12 / len(uniform)) ** 0.5
    second = (np.mean(uniform**2) - 1 / 3) / (4 / 45 / len(uniform)) ** 0.5
    return max(abs(first), abs(second))


def with_latent_child() -> Model:
    """A precision whose child is latent, and a grandchild that was observed."""
    model = Model()
    x = model.add_node("x", distribution=dx.Gamma(2.0, 1.0))
    theta = model.add_node(
        "theta",
        distribution=dx.Normal,
        parents=dict(x=x),
        link_fn=lambda x: dict(loc=0.0, scale=1 / jnp.sqrt(x)),
        shape=(3,),
    )
    model.add_node(
        "y",
        distribution=dx.Normal,
        parents=dict(loc=theta, scale=1.0),
        observations=[1.0, 2.0, 3.0],
    )
    return model


THETA = np.array([2.0, -1.0, 1.5])


def draw_given_theta() -> np.ndarray:
    """Draw x at temperature 0.5 and return its place in its full conditional, which knows none."""
    model = with_latent_child()
    target, update = compile_target(model), gibbs_sampler(model).blocks[0].update
    position = {
        "x": jnp.ones(4000),
        "theta": jnp.broadcast_to(THETA[:, None], (3, 4000)),
    }
    state = gibbs_sampler(model).init(target, position)
    moved, _ = update(jax.random.key(5), state, jnp.asarray(0.5), {}, target, ("x",))
    rate = 1 + np.sum(THETA**2) / 2
    return stats.gamma(2 + 3 / 2, scale=1 / rate).cdf(moved.position["x"])


def test_a_latent_child_is_not_tempered():
    assert off(draw_given_theta()) < 4


def test_a_tempered_latent_child_would_be_found(monkeypatch):
    """A planted defect: all factors are tempered but the variable's own."""

    def all_tempered(target, factors, temperature):
        return sum(f if name == "x" else temperature * f for name, f in factors.items())

    monkeypatch.setattr(conjugate_module, "tempered", all_tempered)
    assert off(draw_given_theta()) > 5


def test_a_lost_power_would_be_found(monkeypatch):
    """A planted defect: x to some power has the density of x, without the Jacobian."""
    original = conjugate_draw.conjugate_parameters

    def without_jacobian(*arguments):
        concentration, rate = original(*arguments)
        return concentration - 1 / arguments[-1].power, rate

    monkeypatch.setattr(conjugate_draw, "conjugate_parameters", without_jacobian)
    with pytest.raises(AssertionError):
        test_one_step_is_a_draw_from_the_posterior("normal variance")


def test_what_has_no_distribution_stays():
    """The first particle's concentration is positive, the second one's is not."""
    model = Model()
    z = model.add_node("z", distribution=dx.Normal(0.0, 9.0))
    model.add_node("x", distribution=dx.Gamma, parents=dict(concentration=z, rate=1.0))
    target, kernel = compile_target(model), gibbs_sampler(model)
    state = kernel.init(target, {"z": jnp.array([2.0, -5.0]), "x": jnp.array([0.7, 0.7])})
    moved, info = kernel.blocks[1].update(
        jax.random.key(0), state, jnp.asarray(1.0), {}, target, ("x",)
    )
    np.testing.assert_array_equal(info.acceptance_rate, [1.0, 0.0])
    assert moved.position["x"][0] != 0.7
    assert moved.position["x"][1] == 0.7


@pytest.mark.parametrize(
    "prior", [dx.Gamma(1e-4, 1.0), dx.Beta(1e-4, 1e-4), tfd.Dirichlet([1e-4] * 3)]
)
def test_no_draw_is_rounded_to_the_edge_of_the_support(prior):
    with precision_context("float32"):
        model = alone(prior)
        target, kernel = compile_target(model, "float32"), gibbs_sampler(model)
        assert isinstance(kernel.blocks[0].update, ConjugateDraw)
        event = prior.event_shape
        start = {"x": jnp.full((*event, 1000), 1 / max(2, *event) if event else 0.5, jnp.float32)}
        state, infos = kernel.step(
            jax.random.key(1), kernel.init(target, start), jnp.float32(1), kernel.parameters, target
        )
    assert np.all(np.isfinite(state.log_factors["x"]))
    assert np.mean(infos["x"].acceptance_rate) < 1


def test_what_is_named_wins():
    model = with_latent_child()
    kernel = gibbs_sampler(model, dict(x=blackjax.normal_random_walk))
    assert kernel.blocks[0].update == TunedRandomWalk()


def test_a_kernel_of_another_model_is_refused():
    kernel = gibbs_sampler(alone(dx.Gamma(2.0, 1.0)))
    with pytest.raises(UserError, match="'x': its full conditional is not Gamma"):
        kernel.check(compile_target(alone(dx.Beta(2.0, 1.0))))


def test_description():
    text = [str(block.update) for block in gibbs_sampler(with_latent_child()).blocks[:2]]
    assert text == [f"draw from its full conditional, which is {n}" for n in ("Gamma", "Gaussian")]
