"""From a prior as text to a TFP distribution."""

import jax.numpy as jnp
from tensorflow_probability.substrates import jax as tfp

from bamopipe.distributions import text


def build(prior: str):
    """Make the TFP distribution that a text such as ``"Normal(0, 10)"`` names.

    Parameters
    ----------
    prior
        As `bamopipe.distributions.text.parse` reads it.

    Examples
    --------
    >>> from bamopipe.distributions import from_text
    >>> float(from_text.build("Normal(0, 10)").stddev())
    10.0
    """
    parsed = text.parse(prior)
    # Plain numbers would become float32 whatever JAX's precision.
    parameters = {name: jnp.asarray(value, float) for name, value in parsed.parameters.items()}
    return getattr(tfp.distributions, parsed.name)(**parameters)
