"""Precision matrices of Gaussian graphical models."""

import distrax as dx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.linalg import cho_solve, solve_triangular
from jax.scipy.special import gammaln
from tensorflow_probability.substrates.jax import bijectors as tfb

from bamopipe.distributions.bijectors import unconstraining
from bamopipe.distributions.support import Support, support
from bamopipe.errors import UserError


class GWishart(dx.Distribution):
    """Precision matrices with zeros where a graph has no edge.

    For the precision matrix K of Gaussian variables of which some are independent given all others:
    the density is proportional to ``det(K)**((dof - 2) / 2) * exp(-trace(K @ rate) / 2)`` on
    positive definite matrices whose element (i, j) is zero unless i and j are neighbours. It is
    conjugate: n observations with scatter matrix S make the posterior one with ``dof + n`` and
    ``rate + S``. The graph has to be decomposable (every cycle of four or more has a chord); for
    others neither the normalising constant nor exact draws are at hand.

    Parameters
    ----------
    dof
        Degrees of freedom, positive; 3 is customary for a vague prior.
    rate
        A positive definite matrix, shape (p, p).
    graph
        Which variables are neighbours: a symmetric matrix of zeros and ones, shape (p, p), whose
        diagonal does not matter. It has to be fixed when the model is built, so give it with
        `functools.partial` as in the example.

    Raises
    ------
    UserError
        `graph` is not a symmetric matrix that is known when the model is built, or not
        decomposable, or `rate` has another shape.

    Notes
    -----
    The density is with respect to the diagonal and one element for each edge. Columns of the
    Cholesky factor are independent if variables are in an order in which those that come after a
    variable and are its neighbours are neighbours of each other. Draws and the constant come from
    there. Completing a draw of an unrestricted Wishart matrix to the graph (Lenkoski 2013) gives
    each clique its distribution, but not all of them jointly.

    References
    ----------
    Roverato (2000), Cholesky decomposition of a hyper inverse Wishart matrix, Biometrika 87.
    Dawid and Lauritzen (1993), Hyper Markov laws in the statistical analysis of decomposable
    graphical models, Annals of Statistics 21.

    Examples
    --------
    >>> from functools import partial
    >>> import numpy as np
    >>> from tensorflow_probability.substrates.jax import distributions as tfd
    >>> from bamopipe.base import Model
    >>> from bamopipe.distributions.g_wishart import GWishart
    >>> chain = np.array([[1, 1, 0], [1, 1, 1], [0, 1, 1]])
    >>> model = Model("graphical")
    >>> precision = model.add_node(
    ...     "precision",
    ...     distribution=partial(GWishart, graph=chain),
    ...     parents=dict(dof=3.0, rate=np.eye(3)),
    ... )
    """

    def __init__(self, dof, rate, graph):
        self._order, self._later = eliminate(graph)
        rate = jnp.asarray(rate)
        p = len(self._order)
        if rate.shape != (p, p):
            raise UserError(
                f"the rate of GWishart has shape {rate.shape}, but its graph has {p} variables; "
                f"expected shape {(p, p)}"
            )
        self._rate = rate.astype(jnp.result_type(rate, float))
        self._dof = jnp.asarray(dof, self._rate.dtype)

    @property
    def event_shape(self) -> tuple[int, int]:
        """Shape (p, p)."""
        return self._rate.shape

    def log_prob(self, value) -> Array:
        """Return the log density of matrices of shape (..., p, p)."""
        log_constant = 0.0
        for above, own, _, scale in self._columns():
            shape = (self._dof + above.shape[0]) / 2
            log_constant += gammaln(shape) - shape * jnp.log(own / 2)
            log_constant -= jnp.sum(jnp.log(jnp.diag(scale)))
            log_constant += above.shape[0] * jnp.log(2 * jnp.pi) / 2
        diagonal = jnp.diagonal(jnp.linalg.cholesky(value), axis1=-2, axis2=-1)
        log_det = 2 * jnp.sum(jnp.log(diagonal), axis=-1)
        trace = jnp.sum(value * self._rate, axis=(-2, -1))
        return (self._dof - 2) / 2 * log_det - trace / 2 - log_constant

    def _columns(self):
        """Split the rate matrix by columns of the Cholesky factor, in the order of elimination.

        For each variable, given its later neighbours: the coefficients of its regression on them,
        what is left of its own rate, their indices, and the Cholesky factor of their rate.
        """
        rate = self._rate[jnp.ix_(jnp.array(self._order), jnp.array(self._order))]
        for j, later in enumerate(self._later):
            indices = np.array(later, int)
            scale = jnp.linalg.cholesky(rate[np.ix_(indices, indices)])
            coefficients = cho_solve((scale, True), rate[indices, j])
            yield coefficients, rate[j, j] - rate[j, indices] @ coefficients, indices, scale

    def _sample_n(self, key: Array, n: int) -> Array:
        p, dtype = len(self._order), self._rate.dtype
        gamma_key, normal_key = jax.random.split(key)
        neighbours = jnp.array([len(later) for later in self._later], dtype)
        gammas = jax.random.gamma(gamma_key, (self._dof + neighbours) / 2, (n, p), dtype)
        noise = jax.random.normal(normal_key, (n, p, p), dtype)
        factor = jnp.zeros((n, p, p), dtype)
        for j, (coefficients, own, indices, scale) in enumerate(self._columns()):
            diagonal = jnp.sqrt(gammas[:, j] / (own / 2))
            below = solve_triangular(scale, noise[:, j, indices].T, lower=True, trans=1).T
            factor = factor.at[:, j, j].set(diagonal)
            factor = factor.at[:, indices, j].set(below - diagonal[:, None] * coefficients)
        return _from_factor(factor, self._order)


class GraphCholesky(tfb.Bijector):
    """From real vectors to positive definite matrices with zeros where a graph has no edge.

    The vector holds the logarithms of the diagonal of the Cholesky factor, then its other nonzero
    elements, in the order of elimination. The Jacobian is with respect to the diagonal of the
    matrix and one element for each edge.

    Parameters
    ----------
    order, later
        As from `eliminate`.
    """

    def __init__(self, order, later, name="graph_cholesky"):
        super().__init__(
            forward_min_event_ndims=1,
            inverse_min_event_ndims=2,
            parameters=dict(order=order, later=later, name=name),
            name=name,
        )
        self._order, self._later = order, later
        self._rows = np.array([i for column in later for i in column], int)
        self._columns = np.array([j for j, column in enumerate(later) for _ in column], int)

    @classmethod
    def _parameter_properties(cls, dtype):
        return {}

    def _forward(self, x):
        p = len(self._order)
        diagonal = np.arange(p)
        factor = jnp.zeros((*x.shape[:-1], p, p), x.dtype)
        factor = factor.at[..., diagonal, diagonal].set(jnp.exp(x[..., :p]))
        factor = factor.at[..., self._rows, self._columns].set(x[..., p:])
        return _from_factor(factor, self._order)

    def _inverse(self, y):
        order = np.array(self._order)
        factor = jnp.linalg.cholesky(y[..., order[:, None], order])
        diagonal = jnp.log(jnp.diagonal(factor, axis1=-2, axis2=-1))
        return jnp.concatenate([diagonal, factor[..., self._rows, self._columns]], axis=-1)

    def _forward_log_det_jacobian(self, x):
        p = len(self._order)
        powers = jnp.array([len(column) + 2 for column in self._later], x.dtype)
        return x[..., :p] @ powers + p * jnp.log(2.0)

    def _forward_event_shape(self, shape):
        return (*shape[:-1], len(self._order), len(self._order))

    def _inverse_event_shape(self, shape):
        return (*shape[:-2], len(self._order) + len(self._rows))


def eliminate(graph) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """Order the variables of a decomposable graph for a Cholesky factor without fill-in.

    Maximum cardinality search (Tarjan and Yannakakis 1984, SIAM Journal on Computing 13).

    Returns
    -------
    tuple
        The variables in order, and for each the later places of its neighbours.

    Raises
    ------
    UserError
        `graph` is not a symmetric matrix that is known when the model is built, or not
        decomposable.
    """
    if isinstance(graph, jax.core.Tracer):
        raise UserError(
            "the graph of GWishart has to be fixed when the model is built; give "
            "functools.partial(GWishart, graph=...) as the distribution"
        )
    edges = np.asarray(graph) != 0
    if edges.ndim != 2 or edges.shape[0] != edges.shape[1] or np.any(edges != edges.T):
        raise UserError(
            f"the graph of GWishart has shape {edges.shape}; expected a symmetric square matrix, "
            "nonzero where two variables are neighbours"
        )
    p = len(edges)
    chosen: list[int] = []
    while len(chosen) < p:
        left = [v for v in range(p) if v not in chosen]
        chosen.append(max(left, key=lambda v: np.sum(edges[v, chosen])))
    order = chosen[::-1]
    later = [[i for i in range(j + 1, p) if edges[order[i], order[j]]] for j in range(p)]
    for column in later:
        for i in column:
            for k in column:
                if i != k and not edges[order[i], order[k]]:
                    raise UserError(
                        "the graph of GWishart is not decomposable: a cycle of four or more "
                        "variables has no chord; adding an edge between variables "
                        f"{min(order[i], order[k])} and {max(order[i], order[k])} is a step "
                        "towards one that is"
                    )
    return tuple(order), tuple(map(tuple, later))


def _from_factor(factor: Array, order: tuple[int, ...]) -> Array:
    """Return the matrix of a Cholesky factor, with variables back in their own order."""
    back = np.argsort(order)
    matrix = factor @ jnp.swapaxes(factor, -2, -1)
    return matrix[..., back[:, None], back]


@support.register(GWishart)
def _(d) -> Support:
    p = len(d._order)
    allowed = np.eye(p, dtype=bool)
    for j, later in enumerate(d._later):
        for i in later:
            allowed[d._order[i], d._order[j]] = allowed[d._order[j], d._order[i]] = True

    def contains(x):
        asymmetry = jnp.max(jnp.abs(x - jnp.swapaxes(x, -2, -1)), axis=(-2, -1))
        slack = 100 * p * jnp.finfo(x.dtype).eps * jnp.max(jnp.abs(x), axis=(-2, -1))
        zeros = jnp.all((x == 0) | allowed, axis=(-2, -1))
        positive = jnp.all(jnp.isfinite(jnp.linalg.cholesky(x)), axis=(-2, -1))
        return (asymmetry <= slack) & zeros & positive

    return Support(contains, jnp.eye(p), discrete=False)


@unconstraining.register(GWishart)
def _(d) -> tfb.Bijector:
    return GraphCholesky(d._order, d._later)
