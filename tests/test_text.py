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
    ],
)
def test_refused(text, message):
    with pytest.raises(UserError, match=message.replace("(", r"\(").replace(")", r"\)")):
        parse(text)


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
