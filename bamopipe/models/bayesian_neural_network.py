"""A small neural network whose weights have a posterior."""

from collections.abc import Mapping

import distrax as dx
import jax
import jax.numpy as jnp
import pandas as pd

from bamopipe.base import Model


def model(data: Mapping[str, pd.DataFrame], weight, bias, hidden: int) -> Model:
    """Return a classifier of points in the plane with two hidden layers.

    ``y_i ~ Bernoulli(probability_i)`` and ``logit(probability_i) = w3 h2 + b3``, with ``h2 =
    tanh(w2 h1 + b2)`` and ``h1 = tanh(w1 x_i + b1)``. Renaming hidden units, or changing the signs
    of one's weights, changes nothing: the posterior of the weights has many equal modes, and only
    what the network computes, ``probability``, is to be read.

    Parameters
    ----------
    data
        ``data["points"]`` with columns ``x1``, ``x2`` and ``y``, the class (0 or 1).
    weight
        Prior of each weight.
    bias
        Prior of each unit's bias.
    hidden
        Number of units in each hidden layer.

    References
    ----------
    Neal (1996), Bayesian Learning for Neural Networks, Springer.
    """
    points = data["points"]

    def network(x, w1, b1, w2, b2, w3, b3):
        h1 = jnp.tanh(x @ w1 + b1)
        h2 = jnp.tanh(h1 @ w2 + b2)
        return jax.nn.sigmoid(h2 @ w3 + b3)

    m = Model("Bayesian neural network", coords={"input": ["x1", "x2"]})
    m.add_node("x", observations=points[["x1", "x2"]], dims=("point", "input"))
    m.add_node("w1", distribution=weight, shape=(2, hidden), dims=("input", "unit1"))
    m.add_node("b1", distribution=bias, shape=hidden, dims="unit1")
    m.add_node("w2", distribution=weight, shape=(hidden, hidden), dims=("unit1", "unit2"))
    m.add_node("b2", distribution=bias, shape=hidden, dims="unit2")
    m.add_node("w3", distribution=weight, shape=hidden, dims="unit2")
    m.add_node("b3", distribution=bias)
    m.add_node(
        "probability",
        parents={name: name for name in ("x", "w1", "b1", "w2", "b2", "w3", "b3")},
        link_fn=network,
        dims="point",
    )
    m.add_node(
        "y",
        distribution=dx.Bernoulli,
        parents={"probs": "probability"},
        observations=points["y"],
        dims="point",
    )
    return m
