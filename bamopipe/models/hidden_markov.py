"""A hidden Markov model with Gaussian observations, summed over the hidden states."""

from collections.abc import Mapping

import jax.numpy as jnp
import pandas as pd
from tensorflow_probability.substrates.jax import distributions as tfd

from bamopipe.base import Model
from bamopipe.distributions.ordered import Ordered


def model(data: Mapping[str, pd.DataFrame], transition, mean, sigma) -> Model:
    """Return the model with its states marginalised, so that all that is latent is continuous.

    ``y_t ~ Normal(mean[s_t], sigma)``, where ``s_t`` is a Markov chain whose rows of transition
    probabilities are ``transition[s]``, started at any state with equal probability. The means
    ascend, so that the states cannot swap their names.

    Parameters
    ----------
    data
        ``data["series"]`` with columns ``t`` and ``y``.
    transition
        Prior of a row of the transition matrix, a Dirichlet; its length is the number of states.
    mean
        Prior of each state's mean, before they are sorted.
    sigma
        Prior of the standard deviation of the observations.

    References
    ----------
    Rabiner (1989), Proceedings of the IEEE 77, 257-286.
    """
    series = data["series"]
    states = transition.event_shape[-1]

    def chain(transition, mean, sigma):
        return tfd.HiddenMarkovModel(
            initial_distribution=tfd.Categorical(logits=jnp.zeros(states)),
            transition_distribution=tfd.Categorical(probs=transition),
            observation_distribution=tfd.Normal(mean, sigma),
            num_steps=len(series),
        )

    m = Model("hidden Markov", coords={"t": series["t"]})
    m.add_node("transition", distribution=transition, shape=states, dims=("state", "next_state"))
    m.add_node("mean", distribution=Ordered(mean, size=states), dims="state")
    m.add_node("sigma", distribution=sigma)
    m.add_node(
        "y",
        distribution=chain,
        parents={"transition": "transition", "mean": "mean", "sigma": "sigma"},
        observations=series["y"],
        dims="t",
    )
    return m
