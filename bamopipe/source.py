"""What a model's source file says about itself, read without running it.

A model is a Python function ``model(data, ...)``. The plan compares a config with the function's
signature and with the nodes it adds, so that a misspelt name is found in a second rather than in
a failed fit. Whatever the source leaves open (names made in a loop, say) is not checked.
"""

import ast
import functools
import importlib.util
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bamopipe import local
from bamopipe.distributions import text
from bamopipe.errors import UserError, nearest
from bamopipe.local import CONF


@dataclass(frozen=True)
class ModelSource:
    """A model's file and what could be read in it.

    Attributes
    ----------
    path : pathlib.Path
        The file, relative to the working directory where it lies below it.
    parameters : dict
        Parameter name (without the first, the data) to whether it must be given.
    open_ended : bool
        Whether the function takes any keyword.
    priors : frozenset of str
        Parameters that are handed to ``add_node`` as a distribution.
    latent : frozenset of str or None
        Names of the latent nodes, or None where the source does not spell them out.
    imputed : frozenset of str
        Names of the latent nodes that there are if observations are missing.
    files : frozenset of str
        Names of the data files that the function asks for.
    """

    path: Path
    parameters: dict[str, bool]
    open_ended: bool
    priors: frozenset[str]
    latent: frozenset[str] | None
    imputed: frozenset[str]
    files: frozenset[str]


def find(target: str, trusted: Iterable[str], key: str = "model._target_") -> Path:
    """Find the file of a function that a config names, without importing anything.

    Parameters
    ----------
    target : str
        The function's dotted name, such as ``bamopipe.models.eight_schools.model``.
    trusted : iterable of str
        The packages, besides ``bamopipe.models``, whose functions may be called.
    key : str
        Where the config names it, for messages.

    Raises
    ------
    UserError
        When the package is not trusted, or there is no such file.
    """
    package, *inner = target.split(".")[:-1]
    allowed = ("bamopipe.models", *trusted)
    if not all(part.isidentifier() for part in target.split(".")):
        raise UserError(f"{key} must name a function, such as models.rt.model; got {target!r}")
    # The rest of bamopipe are functions that write files and start programs.
    if package not in trusted and [package, *inner][:2] != ["bamopipe", "models"]:
        raise UserError(
            f"{key} {target!r} is in package {package!r}, which `trusted` in {CONF} does "
            f"not list (it lists {', '.join(allowed)})"
        )
    root = Path()
    if not any(Path(p).exists() for p in (package, f"{package}.py")):
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise UserError(f"{key} {target!r}: there is no package {package!r}")
        origin = Path(spec.origin)
        root = origin.parent.parent if origin.name == "__init__.py" else origin.parent
    base = root.joinpath(package, *inner)
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    siblings = [f.stem for f in base.parent.glob("*.py") if f.stem != "__init__"]
    raise UserError(f"{key} {target!r}: there is no file {base}.py{nearest(base.name, siblings)}")


@functools.cache
def definition(path: Path, function: str) -> ast.FunctionDef:
    """Read a function in a file.

    Raises
    ------
    UserError
        When the file is no Python, or has no such function.
    """
    try:
        tree = ast.parse(path.read_text())
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{path} is no Python: {error}") from None
    functions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
    if function not in functions:
        raise UserError(f"{path} has no function {function!r}{nearest(function, functions)}")
    return functions[function]


@functools.cache
def inspect(path: Path, function: str) -> ModelSource:
    """Read a model function's signature, nodes and data files from its source."""
    body = definition(path, function)
    arguments = body.args
    positional = [a.arg for a in (*arguments.posonlyargs, *arguments.args)]
    required = len(positional) - len(arguments.defaults)
    parameters = {name: i < required for i, name in enumerate(positional)}
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        parameters[argument.arg] = default is None
    if not positional:
        raise UserError(f"{path}: function {function!r} must take the data as its first argument")
    data = positional[0]
    del parameters[data]

    calls = [node for node in ast.walk(body) if _is_add_node(node)]
    nodes = [_node(call) for call in calls]
    spelt = (
        bool(nodes)
        and all(node.name for node in nodes)
        and len(list(_always(body))) == len(calls)
        and _is_only_added_to(body)
    )
    latent = {n.name for n in nodes if n.name and n.distribution and not n.is_observed}
    return ModelSource(
        path=path,
        parameters=parameters,
        open_ended=arguments.kwarg is not None,
        priors=frozenset(
            n.distribution.id
            for n in nodes
            if isinstance(n.distribution, ast.Name) and n.distribution.id in parameters
        ),
        latent=frozenset(latent) if spelt else None,
        imputed=frozenset(f"{n.name}_missing" for n in nodes if n.imputes),
        files=frozenset(_subscripts(body, data)),
    )


def check(config: dict[str, Any], path: Path | None = None) -> ModelSource:
    """Compare a run's model, data and sampler with the model's source.

    Parameters
    ----------
    config : dict
        The run's settings. Whom it says to trust counts for nothing: `bamopipe.local` does.
    path : pathlib.Path, optional
        The file with the model function, where it is not the one that its name leads to.

    Raises
    ------
    UserError
        When a setting of the model is unknown or missing, a prior is no prior, a data file that
        the model reads is not configured, or a sampler's variables are not the model's.
    """
    model = config["model"]
    function = model["_target_"].rpartition(".")[2]
    source = inspect(path or find(model["_target_"], local.settings().trusted), function)
    given = [name for name in model if name != "_target_"]
    for name in given:
        if name not in source.parameters and not source.open_ended:
            raise UserError(f"unknown setting model.{name}{nearest(name, source.parameters)}")
    for name, required in source.parameters.items():
        if required and name not in given:
            raise UserError(f"model.{name} is missing; {source.path} needs it")
    for name in source.priors & set(given):
        if not text.is_prior(model[name]):
            raise UserError(
                f"model.{name} must be a prior such as 'Normal(0, 10)', got {model[name]!r}"
            )
    for name in source.files - set(config["data"]["files"]):
        raise UserError(f"data.files.{name} is missing; {source.path} reads data[{name!r}]")
    if source.latent is not None:
        _check_variables(config["sampler"], source.latent, source.imputed)
    return source


def _check_variables(
    sampler: dict[str, Any], latent: frozenset[str], imputed: frozenset[str]
) -> None:
    """Hold the settings of a sampler that are by variable against the latent nodes."""
    if sampler["name"] == "gibbs":
        settings = {kind: sampler.get(kind, {}) for kind in ("steps", "order", "repeats")}
    else:
        sigma = sampler.get("sigma")
        settings = {"sigma": sigma if isinstance(sigma, dict) else {}}
    for kind, names in settings.items():
        for name in (part for block in names for part in block.split(", ")):
            if name not in latent | imputed:
                raise UserError(
                    f"sampler.{kind} names {name!r}, which is no latent variable"
                    f"{nearest(name, latent)}"
                )


def _is_add_node(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "add_node"
    )


class _Node(NamedTuple):
    """What a call of ``add_node`` says; `name` is None where it is no literal."""

    name: str | None
    distribution: ast.expr | None
    is_observed: bool
    imputes: bool


def _node(call: Any) -> _Node:
    given = dict(zip(("name", "distribution", "observations"), call.args, strict=False))
    given |= {keyword.arg: keyword.value for keyword in call.keywords}
    whole = None not in given and not any(isinstance(a, ast.Starred) for a in call.args)
    values = {k: v.value if isinstance(v, ast.Constant) else ... for k, v in given.items()}
    name = values.get("name")
    return _Node(
        name if whole and isinstance(name, str) else None,
        given.get("distribution"),
        values.get("observations") is not None,
        values.get("missing", "drop") != "drop",
    )


def _always(node: ast.AST) -> Iterator[ast.AST]:
    """Find the calls of ``add_node`` that are made once, whatever the data and settings."""
    sometimes = (ast.If, ast.IfExp, ast.For, ast.While, ast.Try, ast.Match, ast.Lambda)
    functions = (ast.FunctionDef, ast.ListComp, ast.DictComp, ast.SetComp, ast.GeneratorExp)
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (*sometimes, *functions)):
            continue
        if _is_add_node(child):
            yield child
        yield from _always(child)


def _is_only_added_to(body: ast.FunctionDef) -> bool:
    """Tell whether the model is made here, and then only gets nodes and is returned.

    Anything else (another function that gets it, another name for it) may add nodes elsewhere.
    """
    made = [n for n in ast.walk(body) if isinstance(n, ast.Assign | ast.AnnAssign) and _makes(n)]
    if len(made) != 1 or not isinstance(made[0], ast.Assign) or len(made[0].targets) != 1:
        return False
    (target,) = made[0].targets
    if not isinstance(target, ast.Name):
        return False
    uses = [n for n in ast.walk(body) if isinstance(n, ast.Name) and n.id == target.id]
    plain: list[ast.AST | None] = [target]
    plain += [c.func.value for c in ast.walk(body) if _is_add_node(c)]  # type: ignore[attr-defined]
    plain += [n.value for n in ast.walk(body) if isinstance(n, ast.Return)]
    return all(any(use is p for p in plain) for use in uses)


def _makes(node: ast.Assign | ast.AnnAssign) -> bool:
    call = node.value
    return (
        isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Model"
    )


def _subscripts(function: ast.FunctionDef, name: str) -> set[str]:
    """Collect the texts by which a variable is indexed, such as ``data["schools"]``."""
    return {
        node.slice.value
        for node in ast.walk(function)
        if isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Name)
        and node.value.id == name
        and isinstance(node.slice, ast.Constant)
        and isinstance(node.slice.value, str)
    }
