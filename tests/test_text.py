"""Priors as text: what is read, and what is refused."""

import inspect
import warnings

import pytest

from bamopipe.distributions.text import DISTRIBUTIONS, is_prior, parse
from bamopipe.errors import UserError


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("Normal(0, 10)", {"loc": 0.0, "scale": 10.0}),
        (" Normal( scale=1e1, loc=-2.5 ) ", {"loc": -2.5, "scale": 10.0}),
        ("Dirichlet([1, 2, 3])", {"concentration": [1.0, 2.0, 3.0]}),
    ],
)
def test_read(text, parameters):
    assert parse(text).parameters == parameters
    assert parse(str(parse(text))) == parse(text)


def test_one_prior_has_one_text():
    assert {str(parse(t)) for t in ("Normal(0,10)", "Normal(0.0, scale=10.)")} == {"Normal(0, 10)"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Norml(0, 1)", "did you mean 'Normal'"),
        ("Normal(0)", "lacks scale; expected Normal(loc, scale)"),
        ("Normal(0, 1, 2)", "3 unnamed parameters"),
        ("Normal(0, 1, loc=2)", "given twice"),
        ("Normal(0, sd=1)", "unknown parameter 'sd'"),
        ("Normal(0, 0)", "scale must be positive"),
        ("Normal(0, x)", "expected a number in place of 'x'"),
        ("Normal(0, True)", "expected a number"),
        ("Normal(0, 1e999)", "expected a number"),
        ("Normal(0, __import__('os').getpid())", "expected a number"),
        ("tfd.Normal(0, 1)", "expected a prior such as"),
        ("Normal", "expected a prior such as"),
        ("Normal(0, 1", "expected a prior such as"),
        ("Uniform(2, 1)", "low must be below high"),
        ("Bernoulli(2)", "probs must lie between 0 and 1"),
        ("Uniform([0, 2], [1, 1])", "low must be below high"),
        ("Uniform([0, 2], 1)", "low must be below high"),
        ("Uniform([[0], [1]], [1, 2])", "low must be below high"),
        ("TruncatedNormal(0, 1, 2, [3, 1])", "low must be below high"),
        ("Triangular(0, 1, 2)", "peak must lie between low and high"),
        ("Triangular(0, [1, 3], -1)", "peak must lie between low and high"),
        ("Triangular(2, 1, 2)", "low must be below high"),
        ("InverseGaussian(-1, 2)", "loc must be positive"),
        ("Geometric(0)", "probs must be positive"),
        ("Geometric(2)", "probs must lie between 0 and 1"),
        ("Normal(0, 1" + "0" * 400 + ")", "expected a number in place of '1000"),
        ("Normal(0, 0x1" + "0" * 5000 + ")", "expected a number in place of '0x1000"),
        ("Normal(0, 1" + "0" * 5000 + ")", "expected a prior such as"),
        ("Normal(" + "-" * 5000 + "1, 1)", "expected a prior such as"),
        ("Normal(" + "-" * 50000 + "1, 1)", "expected a prior such as"),
        ("Normal(" + "-" * 100 + "1, 1)", "expected a number in place of '---"),
        ("Normal(" + "[" * 5000 + "1, 1)", "expected a prior such as"),
    ],
)
def test_refused(text, message):
    with pytest.raises(UserError, match=message.replace("(", r"\(").replace(")", r"\)")):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "Uniform([0, 1], [1, 2])",
        "Uniform([[0], [1]], [2, 3])",
        "Uniform([0, 0.5], 1)",
        "Triangular(0, 1, 1)",
        "Triangular(0, [1, 2], [0, 1])",
        "Geometric(1)",
        "Normal(-1, 2)",
    ],
)
def test_allowed(text):
    assert str(parse(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Dirichlet(1)", "must have rank at least 1"),
        ("MultivariateNormalDiag(0, 1)", "must have at least 1 dimension"),
        ("Normal([[1], [1, 2]], 1)", "inhomogeneous"),
        ("Normal([1, 2], [1, 2, 3])", "compatible shapes"),
        ("Uniform([0, 1, 2], [3, 4])", "shapes"),
    ],
)
def test_refused_once_it_is_built(text, message):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from bamopipe.distributions import from_text

    with pytest.raises(UserError, match=message) as error:
        from_text.build(text)
    assert str(error.value).startswith(repr(text))
    assert "\n" not in str(error.value)


def test_what_is_meant_as_a_prior():
    assert is_prior("Normal(0")
    assert not is_prior("logit")
    assert not is_prior(3)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_list_names_real_parameters(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorflow_probability.substrates import jax as tfp

    signature = inspect.signature(getattr(tfp.distributions, name).__init__)
    assert set(DISTRIBUTIONS[name]) <= set(signature.parameters)
    required = {
        p for p, v in signature.parameters.items() if v.default is v.empty and p != "self"
    }  # what text must give
    assert required <= set(DISTRIBUTIONS[name])
