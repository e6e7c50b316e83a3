"""The values that a discrete variable can take, whatever the values of all others."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from bamopipe.distributions.outcomes import outcomes
from bamopipe.target.quadratic import trace
from bamopipe.target.target import Target, precision_context


def possible_values(target: Target, variable: str) -> np.ndarray | None:
    """Return the values that an element of a discrete variable can take.

    Parameters
    ----------
    target
        The compiled model.
    variable
        Name of a latent variable.

    Returns
    -------
    array or None
        Shape (value,), or (value, category) where elements are one-hot vectors. None if they are
        not finite in number, or depend on other latent variables, or if that cannot be told.

    Examples
    --------
    >>> from tensorflow_probability.substrates.jax import distributions as tfd
    >>> from bamopipe.base import Model
    >>> from bamopipe.target import compile_target, possible_values
    >>> model = Model()
    >>> kind = model.add_node("kind", distribution=tfd.Categorical(probs=[0.5, 0.3, 0.2]))
    >>> possible_values(compile_target(model), "kind").tolist()
    [0, 1, 2]
    """
    if variable not in target.program.discrete:
        return None
    node = target.program.node_of[variable]
    with precision_context(target.program.precision):
        seen: list = []

        def parameter(position):
            found = outcomes(target.distribution(node, position))
            seen.append(found)
            return 0.0 if found is None else found.parameter

        program = jax.make_jaxpr(parameter)(target.example)
        depends, _ = trace(program, [True] * len(program.invars))
        if seen[0] is None or any(depends):
            return None
        values = seen[0].values(np.asarray(_parameter(node, target)))
        return np.asarray(jnp.asarray(values, target.program.dtypes[variable]))


@partial(jax.jit, static_argnums=0)
def _parameter(node: str, target: Target):
    """Return what the outcomes hang on; one program serves all data of a shape."""
    found = outcomes(target.distribution(node, target.sample_prior(jax.random.key(0))))
    assert found is not None
    return found.parameter
