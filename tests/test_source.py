"""What the plan reads in a model's source, without running it."""

import pytest

from bamopipe import source

HEAD = "from bamopipe.base import Model\n\n\ndef model(data, mu, sigma=1.0):\n"


def read(tmp_path, body):
    path = tmp_path / "mine.py"
    path.write_text(HEAD + "".join(f"    {line}\n" for line in body))
    return source.inspect(path, "model")


def test_nodes_priors_and_files(tmp_path):
    found = read(
        tmp_path,
        [
            "m = Model('mine')",
            "m.add_node('mu', distribution=mu)",
            "m.add_node('twice', parents=dict(mu='mu'), link_fn=lambda mu: 2 * mu)",
            "m.add_node('later', Normal, None, parents=dict(loc='twice', scale=1))",
            "m.add_node('y', Normal, data['rt']['y'], parents=dict(loc='twice', scale=sigma),",
            "           missing='impute')",
            "return m",
        ],
    )
    assert found.parameters == {"mu": True, "sigma": False}
    assert found.priors == {"mu"}
    assert found.latent == {"mu", "later"}
    assert found.imputed == {"y_missing"}
    assert found.files == {"rt"}


@pytest.mark.parametrize(
    "body",
    [
        ["for name in 'ab':", "    m.add_node(name, mu)"],
        ["if sigma > 1:", "    m.add_node('extra', mu)"],
        ["add_others(m)"],
        ["names = [m.add_node(n, mu) for n in 'ab']"],
        ["add = m.add_node", "add('more', mu)"],
        ["k = m", "k.add_node('more', mu)"],
        ["m = base(data)"],
        ["def add():", "    m.add_node('inner', mu)", "add()"],
    ],
)
def test_what_hangs_on_more_than_the_text_is_left_open(tmp_path, body):
    found = read(tmp_path, ["m = Model('mine')", "m.add_node('mu', mu)", *body, "return m"])
    assert found.latent is None
