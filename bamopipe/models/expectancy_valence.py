"""Expectancy valence: how one subject learns from the cards of the Iowa gambling task."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import pandas as pd
from tensorflow_probability.substrates.jax import distributions as tfd

from bamopipe.base import Model

NUM_DECKS = 4


def model(data: Mapping[str, pd.DataFrame], w, a, c) -> Model:
    """Return the expectancy valence model of one subject.

    A card is worth ``u_t = (1 - w) win_t + w loss_t`` (losses are negative). The deck that it came
    from is expected to bring ``ev_k += a (u_t - ev_k)``, from 0. The choice after t cards is
    ``choice ~ Categorical(softmax((t / 10)^c ev))``; the first is of any deck.

    Predictions are one step ahead: each choice given the wins and losses before it.

    Parameters
    ----------
    data
        ``data["trials"]`` with a row for each trial and columns ``choice`` (1 to 4), ``win`` and
        ``loss``, in hundreds of dollars.
    w
        Prior of the attention to losses, from 0 to 1.
    a
        Prior of the rate of learning, from 0 to 1.
    c
        Prior of the consistency: above 0, choices follow the expectations more and more.

    References
    ----------
    Busemeyer & Stout (2002), Psychological Assessment 14, 253-262; Steingroever, Wetzels &
    Wagenmakers (2016), Decision 3, 115-131.
    """
    trials = data["trials"]
    choice = trials["choice"] - 1
    m = Model("expectancy valence", coords={"trial": range(1, len(trials) + 1)})
    m.add_node("w", distribution=w)
    m.add_node("a", distribution=a)
    m.add_node("c", distribution=c)
    m.add_node(
        "choice",
        distribution=tfd.Categorical,
        parents={
            "w": "w",
            "a": "a",
            "c": "c",
            "chosen": choice,
            "win": trials["win"],
            "loss": trials["loss"],
        },
        link_fn=lambda **parents: {"logits": preferences(**parents)},
        observations=choice,
        dims="trial",
    )
    return m


def preferences(w, a, c, chosen, win, loss):
    """Return the log odds of the decks before each choice of one or more subjects.

    Parameters
    ----------
    w, a, c
        Attention to losses, rate of learning and consistency, of shape (...).
    chosen, win, loss
        The deck of each trial (from 0), and what it won and lost, of shape (trial, ...).

    Returns
    -------
    Array
        Of shape (trial, ..., deck).
    """

    def learn(expected, trial):
        chosen, utility = trial
        is_chosen = jax.nn.one_hot(chosen, NUM_DECKS, dtype=expected.dtype)
        change = jnp.expand_dims(a, -1) * is_chosen * (utility[..., None] - expected)
        return expected + change, expected

    utility = (1 - w) * win + w * loss
    start = jnp.zeros((*utility.shape[1:], NUM_DECKS), utility.dtype)
    _, expected = jax.lax.scan(learn, start, (chosen, utility))
    # Before the first card all expectations are 0, at whatever power: 1 stands for 0 there.
    cards = jnp.maximum(jnp.arange(len(chosen)), 1)
    sensitivity = jnp.exp(jnp.multiply.outer(jnp.log(cards / 10), c))
    return sensitivity[..., None] * expected
