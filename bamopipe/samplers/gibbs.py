"""Metropolis-within-Gibbs over the graph."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import blackjax

from bamopipe.base import Model
from bamopipe.errors import UserError
from bamopipe.samplers.base import Block, Kernel, Parameters, Update, check_names
from bamopipe.samplers.blackjax_update import make_update
from bamopipe.samplers.default_update import default_update, joint_update
from bamopipe.target import compile_target

# A variable, or several that move together: a tuple of names, or "mu, tau".
Names = str | tuple[str, ...]


def gibbs_sampler(
    model: Model,
    step_fns: Mapping[Names, Callable] | None = None,
    step_fn_params: Mapping[Names, Mapping] | None = None,
    order: Sequence[Names] | None = None,
    repeats: Mapping[Names, int] | None = None,
) -> Kernel:
    """Make a kernel that moves variables in turn, each with its own BlackJAX algorithm.

    Use it when variables differ in scale or kind, above all in hierarchical models. Each variable
    moves by the product of its own factor and those of its children; only observed children are
    tempered.

    Parameters
    ----------
    model
        The graph.
    step_fns
        Latent variable, or a tuple of several that move together -> BlackJAX algorithm, such as
        `blackjax.nuts`. What is named here has what is named.

        By default a variable is drawn from its full conditional where that is Gaussian, Gamma,
        inverse Gamma, Beta or Dirichlet, or where the variable is discrete with few values; other
        variables that take whole numbers step by one up or down, and all others have a Gaussian
        random walk. Where the elements of a variable are independent given all others, the walk
        accepts or rejects each by itself; where more than ten depend on each other it is
        `blackjax.hmc` that moves them, or an elliptical slice for a Gaussian process. Last, all
        variables with few coordinates walk together, and carry along what they shift and scale,
        such as the members of a group. `Kernel.describe` says which it was.
    step_fn_params
        The same keys -> settings of the algorithm. Without scales (a step size, a mass matrix,
        `sigma`) the algorithm works in unconstrained space and tunes itself.
    order
        The variables, and the tuples of those that move together, in the order in which they move
        in each sweep; parents first by default. What is there twice moves twice, and nothing moves
        that is not there: no walk of all together.
    repeats
        Variable or tuple -> how many times in a row it moves, 1 by default.

    Raises
    ------
    UserError
        A name is not that of a latent variable, a variable is in two blocks, or one is in no place
        of the order.

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
    given: list[dict[tuple[str, ...], Any]] = []
    for what, values in (
        ("step_fns", step_fns),
        ("step_fn_params", step_fn_params),
        ("repeats", repeats),
    ):
        if not isinstance(values, Mapping | None):
            raise UserError(
                f"gibbs_sampler: {what} is of type {type(values).__name__}; expected a dict by "
                "latent variable"
            )
        given.append({_variables(model, what, key): v for key, v in (values or {}).items()})
    functions, settings, counts = given
    if isinstance(order, str):
        raise UserError(f"gibbs_sampler: order is {order!r}; expected a list of variables")
    places = [_variables(model, "order", key) for key in order or ()]
    target = compile_target(model)
    blocks: list[Block] = []
    parameters: dict[str, Parameters] = {}
    for variables in _partition(model, [*functions, *settings, *counts, *places]):
        name = ", ".join(variables)
        update: Update
        if variables not in functions and variables not in settings and len(variables) == 1:
            update, parameters[name] = default_update(target, name)
        else:
            if variables not in functions and {*variables} & {*model.discrete}:
                raise UserError(
                    f"gibbs_sampler: the settings of {name!r} are for a random walk, but "
                    f"{_first(model.discrete, variables)!r} takes whole numbers; leave them out, "
                    "and it has an update for these, which needs none"
                )
            factory = functions.get(variables, blackjax.normal_random_walk)
            update, parameters[name] = make_update(factory, settings.get(variables))
        blocks.append(Block(name, variables, update, _count(name, counts.get(variables, 1))))
    if not places:
        named = {variable for key in (*functions, *settings, *counts) for variable in key}
        joint = joint_update(target, [name for name in model.latent if name not in named])
        if joint is not None:
            variables, update, tuning = joint
            blocks.append(Block(", ".join(variables), variables, update))
            parameters[blocks[-1].name] = tuning
    names = [block.name for block in blocks]
    moved = tuple(", ".join(variables) for variables in places)
    for name in names:
        if moved and name not in moved:
            raise UserError(
                f"gibbs_sampler: {name!r} has no place in the order, and would never move; "
                f"expected {', '.join(map(repr, names))}, each once or more"
            )
    return Kernel(tuple(blocks), parameters, moved)


def _variables(model: Model, what: str, key: Names) -> tuple[str, ...]:
    """Return the names of the variables of a block, parents first."""
    names = [name.strip() for name in key.split(",")] if isinstance(key, str) else list(key)
    check_names(f"gibbs_sampler: variable in {what}", names, model.latent)
    if len({*names}) < len(names):
        raise UserError(f"gibbs_sampler: {what} has a variable twice in {', '.join(names)!r}")
    return tuple(name for name in model.latent if name in names)


def _partition(model: Model, named: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return the variables in blocks: those that were named together, all others by themselves."""
    block_of: dict[str, tuple[str, ...]] = {}
    for variables in sorted({*named}, key=len, reverse=True):
        for name in variables:
            if name in block_of:
                raise UserError(
                    f"gibbs_sampler: variable {name!r} is in two blocks, "
                    f"{', '.join(block_of[name])!r} and {', '.join(variables)!r}; name it in one, "
                    "in the same way wherever it is named"
                )
            block_of[name] = variables
    return list(dict.fromkeys(block_of.get(name, (name,)) for name in model.latent))


def _first(names: Iterable[str], among: Sequence[str]) -> str:
    return next(name for name in among if name in {*names})


def _count(name: str, count: Any) -> int:
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise UserError(
            f"gibbs_sampler: repeats of {name!r} is {count!r}; expected a whole number from 1 on"
        )
    return count
