"""The graph: what it holds, its order, and the mistakes it refuses."""

import distrax as dx
import numpy as np
import pytest

from bamopipe.base import Model
from bamopipe.errors import UserError
from bamopipe.target import compile_target


def test_numbers_become_constants_named_after_argument_and_child(eight_schools):
    assert list(eight_schools.nodes) == ["mu", "tau", "theta", "scale_y", "y"]
    assert eight_schools.nodes["scale_y"].is_constant
    assert eight_schools.latent == ("mu", "tau", "theta")
    assert eight_schools.observed == ("y",)


def test_parents_may_be_named_before_they_are_added():
    model = Model()
    model.add_node("y", distribution=dx.Normal, parents=dict(loc="mu", scale=1.0), observations=0.5)
    model.add_node("mu", distribution=dx.Normal(0.0, 1.0))
    assert model.order() == ("scale_y", "mu", "y")


def test_order_does_not_depend_on_hashing():
    names = ["zeta", "alpha", "mid", "beta"]
    model = Model()
    for name in names:
        model.add_node(name, distribution=dx.Normal(0.0, 1.0))
    assert list(model.latent) == names


def test_cycle_is_named():
    model = Model()
    model.add_node("a", distribution=dx.Normal, parents=dict(loc="b", scale=1.0))
    model.add_node("b", distribution=dx.Normal, parents=dict(loc="a", scale=1.0))
    with pytest.raises(UserError, match="a -> b -> a"):
        model.order()


def test_duplicate_names_are_refused_also_against_constants():
    model = Model()
    model.add_node("loc_x", distribution=dx.Normal(0.0, 1.0))
    with pytest.raises(UserError, match="already has a node 'loc_x'"):
        model.add_node("loc_x", distribution=dx.Normal(0.0, 1.0))
    with pytest.raises(UserError, match=r"'loc_x'.*constant for parent 'loc' of 'x'"):
        model.add_node("x", distribution=dx.Normal, parents=dict(loc=0.0, scale=1.0))


def test_unknown_parent_gets_the_nearest_name():
    model = Model()
    model.add_node("theta", distribution=dx.Normal(0.0, 1.0))
    model.add_node("y", distribution=dx.Normal, parents=dict(loc="thta", scale=1.0))
    with pytest.raises(UserError, match="did you mean 'theta'"):
        model.order()


def test_parent_of_another_model_is_refused():
    stranger = Model("other").add_node("mu", distribution=dx.Normal(0.0, 1.0))
    with pytest.raises(UserError, match="another model"):
        Model().add_node("y", distribution=dx.Normal, parents=dict(loc=stranger, scale=1.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(name="y"), "neither a distribution nor observations nor a link_fn"),
        (dict(name="class", distribution=dx.Normal(0.0, 1.0)), "not usable"),
        (dict(name="a b", distribution=dx.Normal(0.0, 1.0)), "not usable"),
        (dict(name="y", distribution=3.0), "expected a distrax or TFP"),
        (
            dict(name="y", distribution=dx.Normal(0.0, 1.0), parents=dict(loc=1.0)),
            "already complete",
        ),
        (dict(name="y", observations=[1.0], parents=dict(loc=1.0)), "is a constant"),
        (dict(name="x", observations=[0.0, np.nan]), r"NaN at index \(1\)"),
        (dict(name="y", distribution=dx.Normal(0.0, 1.0), observations=["a"]), "must be numbers"),
    ],
)
def test_mistakes_in_a_node(arguments, message):
    with pytest.raises(UserError, match=message):
        Model().add_node(**arguments)


def test_no_node_after_compilation(eight_schools):
    compile_target(eight_schools)
    with pytest.raises(UserError, match="already compiled"):
        eight_schools.add_node("late", distribution=dx.Normal(0.0, 1.0))
