"""Metropolis-within-Gibbs over the graph."""

import math
from collections.abc import Callable, Mapping

import blackjax

from bamopipe.base import Model
from bamopipe.errors import UserError
from bamopipe.samplers.base import LOG_SCALE, Block, Kernel, Parameters, Update, check_names
from bamopipe.samplers.blackjax_update import make_update
from bamopipe.samplers.conjugate_draw import ConjugateDraw
from bamopipe.samplers.elementwise_walk import ElementwiseWalk
from bamopipe.samplers.enumerated_draw import EnumeratedDraw, nested
from bamopipe.samplers.gaussian_conditional import GaussianConditional
from bamopipe.samplers.integer_walk import IntegerWalk
from bamopipe.samplers.tuned_random_walk import TunedRandomWalk
from bamopipe.target import (
    Target,
    compile_target,
    conjugate_family,
    independent_axes,
    is_quadratic,
    possible_values,
)

# Coordinates of a Gaussian that is drawn from: its covariance costs their cube for each particle.
LARGEST_GAUSSIAN = 100
# Evaluations of the density that a draw of all elements of a discrete variable may take.
LARGEST_SWEEP = 200


def gibbs_sampler(
    model: Model,
    step_fns: Mapping[str, Callable] | None = None,
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
        Latent variable -> BlackJAX algorithm, such as `blackjax.nuts`. By default a draw from the
        full conditional where that is Gaussian, and a Gaussian random walk elsewhere. Where the
        elements of a variable are independent given all others, the walk accepts or rejects each
        by itself. A variable that takes whole numbers steps by one up or down. `Kernel.describe`
        says which it was.
    step_fn_params
        Latent variable -> settings of its algorithm. Without scales (a step size, a mass matrix,
        `sigma`) the algorithm works in unconstrained space and tunes itself.

    Raises
    ------
    UserError
        A name is not that of a latent variable.

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

    Kernels that tune themselves:

    >>> kernel = gibbs_sampler(model)
    """
    step_fns, step_fn_params = step_fns or {}, step_fn_params or {}
    for what, given in (("step_fns", step_fns), ("step_fn_params", step_fn_params)):
        if not isinstance(given, Mapping):
            raise UserError(
                f"gibbs_sampler: {what} is of type {type(given).__name__}; expected a dict by "
                "latent variable"
            )
    check_names("gibbs_sampler: step function for variable", step_fns, model.latent)
    check_names("gibbs_sampler: settings for variable", step_fn_params, model.latent)
    blocks: list[Block] = []
    parameters: dict[str, Parameters] = {}
    target = compile_target(model)
    for name in model.latent:
        settings = step_fn_params.get(name)
        update: Update
        if name in step_fns or (settings is not None and name not in model.discrete):
            factory = step_fns.get(name, blackjax.normal_random_walk)
            update, parameters[name] = make_update(factory, settings)
        elif settings is not None:
            raise UserError(
                f"gibbs_sampler: variable {name!r} takes whole numbers, and moves by one without "
                "any settings; leave them out"
            )
        else:
            update, parameters[name] = _default(target, name)
        blocks.append(Block(name, (name,), update))
    return Kernel(tuple(blocks), parameters)


def _default(target: Target, name: str) -> tuple[Update, Parameters]:
    """Choose an update that needs no settings."""
    if name in target.program.discrete:
        return of_whole_numbers(target, name), {}
    axes = independent_axes(target, name)
    shape = target.program.shapes[name]
    size = math.prod(n for axis, n in enumerate(shape) if axis not in axes)
    if size <= LARGEST_GAUSSIAN and is_quadratic(target, name):
        return GaussianConditional(axes), {}
    family = conjugate_family(target, name)
    if family is not None:
        return ConjugateDraw(family), {}
    return (ElementwiseWalk(axes) if axes else TunedRandomWalk()), {LOG_SCALE: 0.0}


def of_whole_numbers(target: Target, name: str) -> Update:
    """Choose an update of a discrete variable."""
    values = possible_values(target, name)
    if values is None:
        return IntegerWalk()
    shape = target.program.shapes[name]
    elements = shape[: len(shape) - (values.ndim - 1)]
    axes = tuple(a for a in independent_axes(target, name) if a < len(elements))
    rows = math.prod(size for axis, size in enumerate(elements) if axis not in axes)
    affordable = rows * len(values) <= LARGEST_SWEEP
    return EnumeratedDraw(nested(values), axes) if affordable else IntegerWalk()
