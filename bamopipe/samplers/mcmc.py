"""MCMC on the whole position at once."""

from collections.abc import Callable, Mapping

from bamopipe.base import Model
from bamopipe.samplers.base import Block, Kernel
from bamopipe.samplers.blackjax_update import make_update


def mcmc_sampler(
    model: Model, mcmc_kernel: Callable, mcmc_parameters: Mapping | None = None
) -> Kernel:
    """Make a kernel that moves all latent variables together with one BlackJAX algorithm.

    Use it for small models, or with gradient-based algorithms. Matrices and vectors among the
    settings follow the alphabetical order of the variables (`jax.flatten_util.ravel_pytree`).

    Parameters
    ----------
    model
        The graph.
    mcmc_kernel
        A BlackJAX algorithm, such as `blackjax.normal_random_walk` or `blackjax.nuts`. It works in
        the variables' constrained space: proposals outside the support are rejected.
    mcmc_parameters
        Its settings.

    Examples
    --------
    >>> import blackjax
    >>> import distrax as dx
    >>> from bamopipe.base import Model
    >>> from bamopipe.samplers import mcmc_sampler
    >>> model = Model()
    >>> mu = model.add_node("mu", distribution=dx.Normal(loc=0.0, scale=1.0))
    >>> kernel = mcmc_sampler(model, blackjax.normal_random_walk, dict(sigma=2.0))
    >>> kernel.blocks[0].variables
    ('mu',)
    """
    update, parameters = make_update(mcmc_kernel, mcmc_parameters)
    return Kernel((Block("position", model.latent, update),), {"position": parameters})
