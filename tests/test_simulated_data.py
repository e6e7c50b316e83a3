"""Simulation-based calibration: posteriors of data drawn from the model, over and over.

If values of the variables come from the prior, and data from these values, then the values are
draws from the posterior given these data. Their ranks among the posterior draws of a sampler are
uniform, over many data sets (Cook, Gelman and Rubin 2006; Talts et al. 2018, arXiv:1804.06788). A
wrong density, a lost Jacobian and chains that are stuck all make them uneven.

There are 200 data sets a model, and ten bins of ranks. If all samplers are right, the chi-square
statistic of one variable is as improbable as a normal estimate that is off by 4 standard errors at
one key in 300. The key was chosen beforehand.
"""

import blackjax
import distrax as dx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import compilations, make_eight_schools
from scipy.stats import chi2, norm
from tensorflow_probability.substrates.jax import distributions as tfd

from bamopipe.base import Model
from bamopipe.inference import MCMCInference, SMCInference
from bamopipe.inference.result import OK, Result
from bamopipe.samplers import blackjax_update, gibbs_sampler, mcmc_sampler
from bamopipe.target import compile_target, precision_context

KEY = 50
NUM_DATA_SETS, NUM_BINS, NUM_DRAWS = 200, 10, 100
WITHIN = 4.0


def counts() -> Model:
    """A rate and a share, of which the data say little, so that a lost Jacobian shows."""
    model = Model("counts")
    rate = model.add_node("rate", distribution=dx.Gamma(2.0, 1.0))
    share = model.add_node("share", distribution=dx.Beta(1.0, 3.0))
    model.add_node(
        "events", distribution=tfd.Poisson, parents=dict(rate=rate), observations=[0.0, 1.0]
    )
    model.add_node(
        "hits",
        distribution=tfd.Binomial,
        parents=dict(total_count=3.0, probs=share),
        observations=1.0,
    )
    return model


def switches() -> Model:
    """A regression whose coefficients are switched on and off, with noise of unknown variance."""
    x = jnp.array([[1.0, 0.0], [1.0, 1.0], [-1.0, 1.0], [0.0, -2.0]])
    model = Model("switches")
    on = model.add_node("on", distribution=dx.Bernoulli(probs=0.5), shape=2)
    beta = model.add_node("beta", distribution=dx.Normal(0.0, 2.0), shape=2)
    variance = model.add_node("variance", distribution=tfd.InverseGamma(3.0, 2.0))
    model.add_node(
        "y",
        distribution=dx.Normal,
        parents=dict(on=on, beta=beta, variance=variance),
        link_fn=lambda on, beta, variance: dict(loc=x @ (on * beta), scale=jnp.sqrt(variance)),
        observations=np.zeros(4),
    )
    return model


def gibbs_in_smc(model):
    return SMCInference(model, gibbs_sampler(model), num_particles=NUM_DRAWS)


def nuts_in_smc(model):
    return SMCInference(model, mcmc_sampler(model, blackjax.nuts), num_particles=NUM_DRAWS)


def nuts(model):
    """Make one chain, whose draws are so far apart that they are nearly independent."""
    return MCMCInference(
        model,
        mcmc_sampler(model, blackjax.nuts),
        num_chains=1,
        num_warmup=300,
        num_samples=NUM_DRAWS,
        num_thin=10,
    )


ENGINES = (gibbs_in_smc, nuts_in_smc, nuts)


def ranks(make_model, engines=ENGINES, num_data_sets=NUM_DATA_SETS) -> dict[str, np.ndarray]:
    """Return the rank of each true value among its posterior draws, as a share from 0 to 1.

    Equal values are brought into a random order. Data sets after the first compile nothing.

    Returns
    -------
    dict
        Engine and scalar, such as ``nuts: theta[0]``, to numbers of shape (data set,).
    """
    model, found = make_model(), {}
    with precision_context("float64"):
        draw = jax.jit(jax.vmap(compile_target(model).sample_prior_predictive))
        truths = jax.device_get(draw(jax.random.split(jax.random.key(KEY), num_data_sets)))
    rng = np.random.default_rng(KEY)
    with compilations() as compiled:
        for index in range(num_data_sets):
            truth = {name: values[index] for name, values in truths.items()}
            other = model.with_data({name: truth[name] for name in model.observed})
            for make_engine in engines:
                result = make_engine(other).run(jax.random.fold_in(jax.random.key(KEY), index))
                assert set(result.status) == {OK}, (index, make_engine.__name__, result.status)
                smc = isinstance(result, Result)
                draws = result.final_state.particles if smc else result.draws
                for name in model.latent:
                    for place, value in np.ndenumerate(truth[name]):
                        ours = draws[name][(0, slice(None), *place)]
                        below, equal = np.sum(ours < value), np.sum(ours == value)
                        rank = (below + rng.uniform() * (equal + 1)) / (len(ours) + 1)
                        what = f"{make_engine.__name__}: {name}{list(place) if place else ''}"
                        found.setdefault(what, []).append(rank)
            if index == 0:
                compiled.clear()
    assert compiled == []
    return {what: np.array(values) for what, values in found.items()}


def unevenness(shares: np.ndarray) -> float:
    """Tell by how many standard errors a normal estimate with the same p-value would be off."""
    counted, _ = np.histogram(shares, NUM_BINS, (0, 1))
    expected = len(shares) / NUM_BINS
    p_value = chi2.sf(np.sum((counted - expected) ** 2 / expected), NUM_BINS - 1)
    return float(norm.isf(p_value / 2))


@pytest.mark.slow
@pytest.mark.parametrize(
    "make_model",
    [
        switches,
        pytest.param(counts, marks=pytest.mark.long),
        pytest.param(make_eight_schools, marks=pytest.mark.long),
    ],
)
def test_ranks_are_even(make_model):
    found = {what: unevenness(shares) for what, shares in ranks(make_model).items()}
    print({what: round(value, 1) for what, value in found.items()})
    assert {what: value for what, value in found.items() if not value < WITHIN} == {}


@pytest.mark.slow
@pytest.mark.long
def test_a_lost_jacobian_makes_ranks_uneven(monkeypatch):
    original = blackjax_update.from_coordinates
    monkeypatch.setattr(
        blackjax_update, "from_coordinates", lambda *a: (original(*a)[0], 0.0 * a[1][0])
    )
    jax.clear_caches()
    found = {what: unevenness(shares) for what, shares in ranks(counts, (nuts,)).items()}
    jax.clear_caches()
    assert all(value > WITHIN for value in found.values())
