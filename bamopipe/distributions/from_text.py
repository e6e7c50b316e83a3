"""From a prior as text to a TFP distribution."""

import jax.numpy as jnp
from tensorflow_probability.substrates import jax as tfp

from bamopipe.distributions import text
from bamopipe.errors import UserError


def build(prior: str):
    """Make the TFP distribution that a text such as ``"Normal(0, 10)"`` names.

    Parameters
    ----------
    prior
        As `bamopipe.distributions.text.parse` reads it.

    Raises
    ------
    UserError
        The text is no prior, or its parameters have shapes that the distribution does not take.

    Examples
    --------
    >>> from bamopipe.distributions import from_text
    >>> float(from_text.build("Normal(0, 10)").stddev())
    10.0
    """
    parsed = text.parse(prior)
    try:
        # Plain numbers would become float32 whatever JAX's precision.
        parameters = {name: jnp.asarray(value, float) for name, value in parsed.parameters.items()}
        distribution = getattr(tfp.distributions, parsed.name)(**parameters)
        distribution.batch_shape  # noqa: B018 (shapes that do not broadcast are refused only here)
        return distribution
    except (TypeError, ValueError) as error:
        raise UserError(f"{prior!r}: {' '.join(str(error).split())}") from error
