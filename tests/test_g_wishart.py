"""G-Wishart matrices of decomposable graphs against closed forms."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import multigammaln
from tensorflow_probability.substrates import jax as tfp

from bamopipe.base import Model
from bamopipe.distributions import adapter
from bamopipe.distributions.bijectors import unconstraining
from bamopipe.distributions.g_wishart import GWishart
from bamopipe.errors import UserError
from bamopipe.target import compile_target, precision_context

tfd = tfp.distributions

# Cliques, separators; in the second graph no order of the variables as they are will do.
CASES = {
    "chain": ([[0, 1], [1, 2], [2, 3]], [[1], [2]]),
    "star and pair": ([[1, 4], [1, 2], [1, 0], [3, 5]], [[1], [1], []]),
    "two triangles": ([[0, 3, 2], [2, 3, 4], [1]], [[2, 3], []]),
    "complete": ([[0, 1, 2, 3]], []),
    "empty": ([[0], [1], [2]], [[], []]),
}
DOF = 3.7


@pytest.fixture(autouse=True)
def x64():
    with precision_context("float64"):
        yield


def graph_of(name):
    cliques = CASES[name][0]
    p = 1 + max(max(c) for c in cliques)
    graph = np.zeros((p, p), int)
    for clique in cliques:
        graph[np.ix_(clique, clique)] = 1
    return graph


def rate_of(p):
    a = np.random.default_rng(p).normal(size=(p, p))
    return a @ a.T + np.eye(p)


def make(name):
    graph = graph_of(name)
    return GWishart(DOF, rate_of(len(graph)), graph)


def log_constant(name):
    """Constants of Wishart distributions: cliques over separators (Dawid and Lauritzen 1993)."""

    def one(subset):
        n, d = len(subset), rate_of(len(graph_of(name)))[np.ix_(subset, subset)]
        nu = (DOF + n - 1) / 2
        return n * nu * np.log(2) + multigammaln(nu, n) - nu * np.linalg.slogdet(d)[1] if n else 0.0

    cliques, separators = CASES[name]
    return sum(map(one, cliques)) - sum(map(one, separators))


def exact_mean(name):
    """The sum over cliques, less separators, of (dof + size - 1) times their inverse rate."""
    p = len(graph_of(name))
    total = np.zeros((p, p))
    for sign, subsets in zip((1, -1), CASES[name], strict=True):
        for subset in subsets:
            block = np.ix_(subset, subset)
            total[block] += sign * (DOF + len(subset) - 1) * np.linalg.inv(rate_of(p)[block])
    return total


@cache
def some_matrices(name):
    """Four matrices of the graph, the real vectors they come from, and their log densities."""
    distribution = make(name)
    bijector = unconstraining(distribution)
    shape = bijector.inverse_event_shape(distribution.event_shape)
    z = np.random.default_rng(1).normal(size=(4, *shape))

    def run(z):
        matrices = bijector.forward(z)
        return matrices, adapter.log_prob(distribution, matrices)

    matrices, log_prob = map(np.asarray, jax.jit(run)(z))
    return matrices, z, log_prob


@cache
def many_draws(name):
    """Return 20,000 draws, their log densities, and those of a distribution that is near."""
    graph = graph_of(name)

    def run(key):
        draws = adapter.sample(make(name), key, (20_000,))
        other = GWishart(DOF + 1, 1.3 * rate_of(len(graph)), graph)
        return draws, adapter.log_prob(make(name), draws), other.log_prob(draws)

    return tuple(map(np.asarray, jax.jit(run)(jax.random.key(0))))


@pytest.mark.parametrize("name", CASES)
def test_density(name):
    matrices, _, found = some_matrices(name)
    rate = rate_of(matrices.shape[-1])
    expected = (
        (DOF - 2) / 2 * np.linalg.slogdet(matrices)[1]
        - np.trace(matrices @ rate, axis1=-2, axis2=-1) / 2
        - log_constant(name)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-11)


def test_complete_graph_is_the_wishart_distribution():
    matrices, _, found = some_matrices("complete")
    reference = stats.wishart(DOF + 3, np.linalg.inv(rate_of(4)))
    expected = [reference.logpdf(k) for k in matrices]
    np.testing.assert_allclose(found, expected, rtol=1e-11)


def test_empty_graph_is_independent_gammas():
    matrices, _, found = some_matrices("empty")
    diagonal = np.diagonal(matrices, axis1=-2, axis2=-1)
    reference = stats.gamma(DOF / 2, scale=2 / np.diag(rate_of(3)))
    expected = reference.logpdf(diagonal).sum(-1)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


# Five standard errors for each entry.
@pytest.mark.parametrize("name", CASES)
def test_draws_have_the_exact_mean(name):
    draws, _, _ = many_draws(name)
    error = draws.std(0) / np.sqrt(len(draws))
    np.testing.assert_array_less(np.abs(draws.mean(0) - exact_mean(name)), 5 * error + 1e-12)


@pytest.mark.parametrize("name", CASES)
def test_draws_follow_the_density(name):
    """The mean over draws of the density of another over their own is 1, whatever the other.

    The other has `dof + 1` and a larger rate, so that ratios have a finite variance. This sees what
    the mean does not, such as dependence between parts that are not connected.
    """
    _, own, other = many_draws(name)
    ratio = np.exp(other - own)
    assert abs(ratio.mean() - 1) < 5 * ratio.std() / np.sqrt(len(ratio))


def test_unconnected_variables_are_independent():
    """Restricting draws of a Wishart matrix would give a correlation above 0.1 here."""
    n = 20_000
    draws = np.asarray(GWishart(3.0, np.eye(3), np.eye(3)).sample(seed=2, sample_shape=(n,)))
    diagonal = np.diagonal(draws, axis1=-2, axis2=-1)
    correlation = np.corrcoef(diagonal.T)[np.triu_indices(3, 1)]
    np.testing.assert_array_less(np.abs(correlation), 5 / np.sqrt(n))


@pytest.mark.parametrize("name", CASES)
def test_draws_are_inside_and_have_exact_zeros(name):
    draws, log_prob, _ = many_draws(name)
    assert np.all(draws[:, graph_of(name) == 0] == 0)
    assert np.all(np.isfinite(log_prob))


def test_density_is_zero_outside():
    distribution = make("chain")
    inside = np.eye(4)
    log_prob = jax.jit(jax.value_and_grad(lambda k: adapter.log_prob(distribution, k)))
    assert np.isfinite(log_prob(jnp.asarray(inside))[0])
    for i, j, value in [(0, 3, 0.1), (0, 1, 0.1), (2, 2, -1.0)]:  # off the graph, asymmetric, < 0
        outside = inside.copy()
        outside[i, j] = value
        if (i, j) == (0, 3):
            outside[j, i] = value
        found, gradient = log_prob(jnp.asarray(outside))
        assert found == -np.inf
        assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("name", CASES)
def test_unconstraining(name):
    matrices, z, _ = some_matrices(name)
    bijector = unconstraining(make(name))
    back = bijector.inverse(jnp.asarray(matrices))  # a copy, past the bijector's cache
    np.testing.assert_allclose(back, z, rtol=1e-9, atol=1e-9)
    rows, columns = np.nonzero(np.tril(graph_of(name) | np.eye(len(matrices[0]), dtype=int)))
    jacobian = jax.jit(jax.jacobian(lambda z: bijector.forward(z)[rows, columns]))
    for point in z:
        found = bijector.forward_log_det_jacobian(jnp.asarray(point), event_ndims=1)
        np.testing.assert_allclose(found, np.linalg.slogdet(jacobian(point))[1], rtol=1e-10)


def test_conjugate_update():
    """Prior times likelihood is posterior times evidence, the same at every matrix."""
    graph, rate = graph_of("two triangles"), rate_of(5)
    y = np.random.default_rng(5).normal(size=(7, 5))
    posterior = GWishart(DOF + 7, rate + y.T @ y, graph)
    matrices, _, log_prior = some_matrices("two triangles")
    likelihoods = [stats.multivariate_normal(np.zeros(5), np.linalg.inv(k)) for k in matrices]
    log_likelihood = np.array([one.logpdf(y).sum() for one in likelihoods])
    log_evidence = log_likelihood + log_prior - jax.jit(posterior.log_prob)(matrices)
    np.testing.assert_allclose(log_evidence, log_evidence[0], rtol=1e-9)


def test_under_vmap_with_a_gradient():
    graph, rate = graph_of("chain"), rate_of(4)
    matrix = jnp.asarray(some_matrices("chain")[0][0])

    def log_prob(theta):
        return adapter.log_prob(GWishart(theta[0], theta[1] * rate, graph), matrix)

    one, gradient = jax.jit(log_prob), jax.jit(jax.grad(log_prob))
    thetas = jnp.array([[3.0, 1.0], [5.0, 0.5]])
    mapped = jax.jit(jax.vmap(log_prob))(thetas)
    np.testing.assert_allclose(mapped, [one(t) for t in thetas], rtol=1e-12)
    step = 1e-5  # central differences: error of order step**2, relative rounding 1e-10
    for theta in thetas:
        differences = [
            (one(theta + step * e) - one(theta - step * e)) / (2 * step) for e in jnp.eye(2)
        ]
        np.testing.assert_allclose(gradient(theta), differences, rtol=1e-6)


def test_as_a_node():
    model = Model("graphical")
    graph = graph_of("chain")
    precision = model.add_node(
        "precision",
        distribution=partial(GWishart, graph=graph),
        parents=dict(dof=DOF, rate=rate_of(4)),
    )
    y = np.random.default_rng(6).normal(size=(5, 4))
    model.add_node(
        "y",
        distribution=tfd.MultivariateNormalTriL,
        parents=dict(precision=precision),
        link_fn=lambda precision: dict(
            loc=jnp.zeros(4), scale_tril=jnp.linalg.cholesky(jnp.linalg.inv(precision))
        ),
        observations=y,
    )
    target = compile_target(model)
    position = target.sample_prior(jax.random.key(0))
    np.testing.assert_allclose(
        target.log_prior(position), make("chain").log_prob(position["precision"]), rtol=1e-12
    )
    unconstrained = target.unconstrain(position)
    assert np.size(unconstrained["precision"]) == 4 + 3
    again, _ = target.constrain(unconstrained)
    np.testing.assert_allclose(again["precision"], position["precision"], rtol=1e-10, atol=1e-12)


def test_mistakes_are_told():
    square = np.array([[1, 1, 0, 1], [1, 1, 1, 0], [0, 1, 1, 1], [1, 0, 1, 1]])
    with pytest.raises(UserError, match=r"not decomposable.*variables (0 and 2|1 and 3)"):
        GWishart(3.0, np.eye(4), square)
    with pytest.raises(UserError, match="symmetric square matrix"):
        GWishart(3.0, np.eye(2), np.array([[1, 1], [0, 1]]))
    with pytest.raises(UserError, match=r"rate of GWishart has shape \(3, 3\)"):
        GWishart(3.0, np.eye(3), np.eye(2))
    with pytest.raises(UserError, match=r"functools.partial\(GWishart"):
        jax.jit(lambda g: GWishart(3.0, jnp.eye(2), g).log_prob(jnp.eye(2)))(jnp.eye(2))
