"""Metropolis-within-Gibbs over the graph."""

from collections.abc import Callable, Mapping

from bamopipe.base import Model
from bamopipe.errors import UserError
from bamopipe.samplers.base import Block, Kernel, check_names
from bamopipe.samplers.blackjax_update import make_update


def gibbs_sampler(
    model: Model,
    step_fns: Mapping[str, Callable],
    step_fn_params: Mapping[str, Mapping] | None = None,
) -> Kernel:
    """Make a kernel that moves one variable at a time, each with its own BlackJAX algorithm.

    Use it when variables differ in scale or kind, above all in hierarchical models. Each variable
    moves by the product of its own factor and those of its children; only observed children are
    tempered.

    Parameters
    ----------
    model
        The graph.
    step_fns
        Latent variable -> BlackJAX algorithm, such as `blackjax.normal_random_walk`.
    step_fn_params
        Latent variable -> settings of its algorithm.

    Raises
    ------
    UserError
        A latent variable has no step function, or a name is not that of a latent variable.

    References
    ----------
    Geman and Geman (1984), IEEE PAMI 6; Tierney (1994), Annals of Statistics 22, section 2.4.

    Examples
    --------
    >>> import blackjax
    >>> import distrax as dx
    >>> from bamopipe.base import Model
    >>> from bamopipe.samplers import gibbs_sampler
    >>> model = Model()
    >>> mu = model.add_node("mu", distribution=dx.Normal(loc=0.0, scale=1.0))
    >>> kernel = gibbs_sampler(
    ...     model,
    ...     step_fns=dict(mu=blackjax.normal_random_walk),
    ...     step_fn_params=dict(mu=dict(sigma=2.0)),
    ... )
    >>> [block.name for block in kernel.blocks]
    ['mu']
    """
    step_fn_params = step_fn_params or {}
    check_names("gibbs_sampler: step function for variable", step_fns, model.latent)
    check_names("gibbs_sampler: settings for variable", step_fn_params, model.latent)
    blocks, parameters = [], {}
    for name in model.latent:
        if name not in step_fns:
            raise UserError(
                f"gibbs_sampler: variable {name!r} has no step function; give one for each of "
                f"{', '.join(model.latent)}"
            )
        update, parameters[name] = make_update(step_fns[name], step_fn_params.get(name))
        blocks.append(Block(name, (name,), update))
    return Kernel(tuple(blocks), parameters)
