"""MCMC on the whole position at once."""

from collections.abc import Callable, Mapping

from bamopipe.base import Model
from bamopipe.samplers.base import Block, Kernel
from bamopipe.samplers.blackjax_update import BlackJAXUpdate, make_update
from bamopipe.samplers.default_update import default_update
from bamopipe.target import compile_target


def mcmc_sampler(
    model: Model, mcmc_kernel: Callable, mcmc_parameters: Mapping | None = None
) -> Kernel:
    """Make a kernel that moves all latent variables together with one BlackJAX algorithm.

    Use it for small models, or with gradient-based algorithms. Variables that take whole numbers
    move by themselves, as in `gibbs_sampler`, unless the algorithm has proposals of one's own.

    Parameters
    ----------
    model
        The graph.
    mcmc_kernel
        A BlackJAX algorithm, such as `blackjax.nuts`.
    mcmc_parameters
        Its settings. Without scales (a step size, a mass matrix, `sigma`) the algorithm works in
        unconstrained space and tunes itself. With scales, `blackjax.normal_random_walk`, and
        algorithms with proposals of one's own, work in the variables' own space; all others in
        unconstrained space. Matrices and vectors follow the alphabetical order of the variables
        (`jax.flatten_util.ravel_pytree`).

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
    takes_all = isinstance(update, BlackJAXUpdate) and update.space == "own"
    alone = () if takes_all else tuple(name for name in model.latent if name in model.discrete)
    together = tuple(name for name in model.latent if name not in alone)
    blocks = [
        Block(name, (name,), default_update(compile_target(model), name)[0]) for name in alone
    ]
    if together:
        blocks.insert(0, Block("position", together, update))
    return Kernel(tuple(blocks), {**{name: {} for name in alone}, "position": parameters})
