"""The graph as data, as text in three languages, and as a figure without collisions."""

import json
import re
import subprocess
import sys
from itertools import combinations, pairwise

import distrax as dx
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import FancyArrowPatch
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from tensorflow_probability.substrates import jax as tfp

import trees
from bamopipe.base import Model
from bamopipe.graph import Graph, GraphNode, describe
from bamopipe.graph.formula import formula
from bamopipe.node import Node
from bamopipe.plots import graph as plots
from bamopipe.plots import layers, style

tfd, tfb = tfp.distributions, tfp.bijectors


def eight_schools():
    model = Model("eight schools", coords={"school": trees.SCHOOLS})
    model.add_node("mu", distribution=dx.Normal(loc=0, scale=10))
    model.add_node("tau", distribution=dx.Transformed(dx.Normal(loc=5, scale=1), tfb.Exp()))
    model.add_node(
        "theta",
        distribution=dx.Normal,
        parents=dict(loc="mu", scale="tau"),
        shape=8,
        dims="school",
    )
    model.add_node("sd", observations=trees.ERRORS, dims="school")
    model.add_node(
        "y",
        distribution=dx.Normal,
        parents=dict(loc="theta", scale="sd"),
        observations=trees.EFFECTS,
        dims="school",
    )
    return model


def regression():
    """A deterministic node with two children, a dropped observation, and numbers as parents."""
    model = Model("regression")
    model.add_node("X", observations=np.ones((5, 2)))
    model.add_node("beta", distribution=dx.MultivariateNormalDiag(jnp.zeros(2), jnp.ones(2)))
    model.add_node("sigma", distribution=dx.Gamma, parents=dict(concentration=2.0, rate=0.5))
    model.add_node("mean", parents=dict(X="X", b="beta"), link_fn=lambda **of: of["X"] @ of["b"])
    model.add_node(
        "y",
        distribution=dx.Normal,
        parents=dict(loc="mean", scale="sigma"),
        observations=[1.0, 2.0, np.nan, 3.0, 4.0],
    )

    def rates(mean, offset):
        return dict(rate=jnp.exp(mean + offset))

    model.add_node(
        "count",
        distribution=tfd.Poisson,
        parents=dict(mean="mean", offset=0.1),
        link_fn=rates,
        observations=[0, 1, 2, 3, 4],
    )
    return model


def subjects():
    """Twelve nodes in two levels, with several leaves, imputed entries and their child."""
    model = Model("subjects", coords={"subject": np.arange(6)})
    for name in ("a", "c"):
        model.add_node(f"mu_{name}", distribution=dx.Normal(loc=0.0, scale=1.0))
        model.add_node(f"sd_{name}", distribution=tfd.HalfNormal(1.0))
        model.add_node(
            f"z_{name}",
            distribution=dx.Normal,
            parents=dict(loc=f"mu_{name}", scale=f"sd_{name}"),
            shape=6,
            dims="subject",
        )
    model.add_node(
        "learning_rate",
        parents=dict(z_a="z_a"),
        link_fn=lambda z_a: 1 / (1 + jnp.exp(-z_a)),
        dims="subject",
    )
    model.add_node("payoff", observations=np.ones((6, 9)), dims=("subject", "trial"))
    model.add_node(
        "choice",
        distribution=tfd.Bernoulli,
        parents=dict(a="learning_rate", c="z_c", x="payoff"),
        link_fn=lambda a, c, x: dict(logits=(a * c)[:, None] * x),
        observations=np.zeros((6, 9), int),
        dims=("subject", "trial"),
    )
    model.add_node(
        "speed",
        distribution=dx.Normal,
        parents=dict(loc="z_a", scale=1.0),
        observations=[1, np.nan, 2, 3, np.nan, 4],
        missing="impute",
        dims="subject",
    )
    model.add_node(
        "score",
        distribution=dx.Normal,
        parents=dict(loc="speed", scale=1.0),
        observations=np.zeros(6),
        dims="subject",
    )
    return model


def plain(name, parents, kind="latent"):
    arguments = {f"a{place}": parent for place, parent in enumerate(parents)}
    return GraphNode(name, kind, "Normal", f"Normal({', '.join(parents)})", (), None, arguments)


def chain():
    nodes = [plain("x0", [])] + [plain(f"x{i}", [f"x{i - 1}"]) for i in range(1, 40)]
    return Graph("chain", tuple(nodes))


def sixty():
    """Twelve hyperparameters, 28 weights with two parents each, 20 leaves."""
    rng = np.random.default_rng(3)
    names, nodes = [], []
    for index in range(60):
        prefix = "hyper" if index < 12 else "w" if index < 40 else "y"
        known = names[:40]
        count = {"hyper": 0, "w": 2, "y": 1}[prefix]
        parents = rng.choice(known, count, replace=False).tolist() if count else []
        names.append(f"{prefix}_{index}")
        nodes.append(plain(names[-1], parents, "observed" if prefix == "y" else "latent"))
    return Graph("sixty", tuple(nodes))


def star():
    nodes = [plain("mu", []), plain("tau", [])]
    nodes += [plain(f"theta_{i}", ["mu", "tau"]) for i in range(58)]
    return Graph("star", tuple(nodes))


ODD = Graph(
    'a "quoted" \\ name\n#1',
    (
        GraphNode("end", "latent", "N", 'N(loc="x" & <b>#1;</b> `c`)', (2,), ('"dim" <i>',)),
        GraphNode("β_ß", "constant", "", "data", (3, 2), ("a\\b", "c]")),
        GraphNode("graph", "deterministic", "", "f({1}|$x$)", (), None, dict(a="end", b="β_ß")),
        GraphNode("y", "observed", "N", "N(loc=graph)", (2,), ('"dim" <i>',), {"loc": "graph"}),
    ),
)

GRAPHS = {
    "eight_schools": lambda: eight_schools().graph(),
    "regression": lambda: regression().graph(),
    "subjects": lambda: subjects().graph(),
    "chain": chain,
    "sixty": sixty,
    "star": star,
    "odd": lambda: ODD,
}


@pytest.fixture(scope="module", params=GRAPHS)
def graph(request):
    return GRAPHS[request.param]()


def test_a_model_becomes_plain_data():
    graph = subjects().graph()
    kinds = {node.name: node.kind for node in graph.nodes}
    assert kinds["mu_a"] == kinds["z_a"] == kinds["speed_missing"] == "latent"
    assert kinds["choice"] == kinds["speed"] == kinds["score"] == "observed"
    assert (kinds["learning_rate"], kinds["payoff"]) == ("deterministic", "constant")
    assert len(kinds) == 12
    nodes = {node.name: node for node in graph.nodes}
    assert nodes["choice"].title == "choice[subject: 6, trial: 9]"
    assert nodes["choice"].distribution == "Bernoulli"
    assert nodes["learning_rate"].shape == (6,)
    assert nodes["speed_missing"].shape == (2,)
    assert nodes["speed"].parents == {"loc": "z_a"}  # scale=1 is in the text
    assert nodes["speed"].formula == "Normal(loc=z_a, scale=1)"


def test_edges_lead_from_each_parent_once_and_from_imputed_entries():
    edges = subjects().graph().edges
    assert len(edges) == len(set(edges))
    assert {p for p, child in edges if child == "choice"} == {"learning_rate", "z_c", "payoff"}
    assert {p for p, child in edges if child == "score"} == {"speed", "speed_missing"}
    assert {p for p, child in edges if child == "speed_missing"} == {"z_a"}


def test_only_short_constants_written_as_an_argument_are_folded_into_a_text():
    model = Model()
    scale = model.add_node("scale", observations=2.0)
    model.add_node("a", distribution=dx.Normal, parents=dict(loc=[0.0, 1.0, 2.0], scale=scale))
    model.add_node("b", distribution=dx.Normal, parents=dict(loc=np.zeros(4), scale="scale"))
    model.add_node("c", distribution=dx.Normal, parents=dict(loc=0.0, scale=1.0))
    model.add_node("d", distribution=dx.Normal, parents=dict(loc="loc_c", scale=1.0))
    nodes = {node.name: node.formula for node in model.graph().nodes}
    assert nodes == {
        "scale": "2",
        "a": "Normal(loc=[0, 1, 2], scale=scale)",
        "loc_b": "data",
        "b": "Normal(loc=loc_b, scale=scale)",
        "loc_c": "0",  # used by another node too
        "c": "Normal(loc=loc_c, scale=1)",
        "d": "Normal(loc=loc_c, scale=1)",
    }


def test_shapes_that_nobody_knows_are_left_out():
    node = GraphNode("theta", "latent", "Normal", "Normal()", None, ("school",))
    assert node.title == "theta[school]"
    assert GraphNode("theta", "latent", "Normal", "Normal()").title == "theta"
    assert "school" in Graph("", (node,)).dot()


def test_json_brings_the_same_graph_back(graph):
    text = graph.to_json()
    assert Graph.from_json(text) == graph
    assert "\n" not in text
    assert len(json.loads(text)["nodes"]) == len(graph.nodes)


@pytest.mark.parametrize(
    ("distribution", "text"),
    [
        (dx.Normal(loc=0, scale=10), "Normal(loc=0, scale=10)"),
        (tfd.Normal(np.float32(0.1), 1e-7), "Normal(loc=0.1, scale=1e-07)"),
        (dx.Normal(jnp.zeros((4, 2)), 1 / 3), "Normal(loc=array[4, 2], scale=0.3333)"),
        (dx.Transformed(dx.Normal(5, 1), tfb.Exp()), "Exp(Normal(loc=5, scale=1))"),
        (dx.Transformed(dx.Normal(5.0, 1.0), jnp.exp), "exp(Normal(loc=5, scale=1))"),
        (
            tfd.TransformedDistribution(
                tfd.Normal(0.0, 1.0), tfb.Chain([tfb.Exp(), tfb.Shift(2.0)])
            ),
            "Exp(Shift(shift=2)(Normal(loc=0, scale=1)))",
        ),
        (
            dx.Transformed(dx.Normal(0.0, 1.0), dx.Chain([dx.Tanh(), dx.ScalarAffine(1.0, 2.0)])),
            "Tanh(ScalarAffine(shift=1, scale=2)(Normal(loc=0, scale=1)))",
        ),
        (tfd.LogNormal(5.0, 1.0), "LogNormal(loc=5, scale=1)"),
        (dx.Bernoulli(probs=0.3), "Bernoulli(probs=0.3)"),
        (tfd.NegativeBinomial(3.0, probs=0.2), "NegativeBinomial(total_count=3, probs=0.2)"),
        (
            dx.Independent(tfd.InverseGamma(2.0, scale=3.0), reinterpreted_batch_ndims=0),
            "Independent(InverseGamma(concentration=2, scale=3), reinterpreted_batch_ndims=0)",
        ),
        (
            tfd.Mixture(tfd.Categorical(probs=[0.3, 0.7]), [tfd.Normal(0, 1), tfd.Gamma(1.0, 2)]),
            "Mixture(cat=Categorical(probs=[0.3, 0.7]), "
            "components=[Normal(loc=0, scale=1), Gamma(concentration=1, rate=2)])",
        ),
    ],
)
def test_an_instance_is_written_with_its_parameters(distribution, text):
    assert formula(Node("x", distribution=distribution), {}) == text


def test_a_bijector_is_written_around_the_distribution():
    model = Model()
    model.add_node("m", distribution=dx.Normal(loc=0.0, scale=1.0))
    model.add_node(
        "x", distribution=dx.Normal, parents=dict(loc="m", scale=1.0), bijector=tfb.Exp()
    )
    assert model.graph().nodes[1].formula == "Exp(Normal(loc=m, scale=1))"


def test_a_lambda_is_not_called_as_the_variable_it_takes():
    model = Model()
    model.add_node("f", distribution=dx.Normal(loc=0.0, scale=1.0))
    model.add_node("p", parents=dict(f="f"), link_fn=lambda f: jnp.exp(f))
    assert model.graph().nodes[1].formula == "g(f)"


def test_eight_schools_described():
    assert (
        describe(eight_schools().graph())
        == """\
Model 'eight schools'

    mu ~ Normal(loc=0, scale=10)
    tau ~ Exp(Normal(loc=5, scale=1))
    theta[school: 8] ~ Normal(loc=mu, scale=tau)
    sd[school: 8] = data
    y[school: 8] ~ Normal(loc=theta, scale=sd), observed

Joint density

    p(mu) p(tau) p(theta | mu, tau) p(y | theta)

Conditionals, each up to a constant

    p(mu | rest) ∝ p(mu) p(theta | mu, tau)
    p(tau | rest) ∝ p(tau) p(theta | mu, tau)
    p(theta | rest) ∝ p(theta | mu, tau) p(y | theta)"""
    )


def test_conditionals_go_through_deterministic_nodes():
    assert (
        describe(regression().graph())
        == """\
Model 'regression'

    X[5, 2] = data
    beta[2] ~ MultivariateNormalDiag(loc=[0, 0], scale_diag=[1, 1])
    sigma ~ Gamma(concentration=2, rate=0.5)
    mean[5] = f(X, b=beta)
    y[5] ~ Normal(loc=mean, scale=sigma), observed (1 of 5 missing and left out)
    count[5] ~ Poisson(rates(mean, offset=0.1)), observed

Joint density

    p(beta) p(sigma) p(y | beta, sigma) p(count | beta)

Conditionals, each up to a constant

    p(beta | rest) ∝ p(beta) p(y | beta, sigma) p(count | beta)
    p(sigma | rest) ∝ p(sigma) p(y | beta, sigma)"""
    )


def test_imputed_entries_share_the_factor_of_the_whole():
    text = describe(subjects().graph())
    assert (
        "speed[subject: 6] ~ Normal(loc=z_a, scale=1), observed (2 of 6 missing and imputed)"
        in text
    )
    joint = re.search(r"Joint density\n\n(.*?)\n\n", text, re.DOTALL)[1]
    assert " ".join(joint.split()) == (
        "p(mu_a) p(sd_a) p(z_a | mu_a, sd_a) p(mu_c) p(sd_c) p(z_c | mu_c, sd_c) "
        "p(choice | z_a, z_c) p(speed, speed_missing | z_a) p(score | speed, speed_missing)"
    )
    conditional = "p(speed, speed_missing | z_a) p(score | speed, speed_missing)"
    assert f"    p(speed_missing | rest) ∝ {conditional}" in text.splitlines()


def test_long_texts_are_wrapped_between_factors():
    for graph in (sixty(), star()):
        lines = describe(graph).splitlines()
        assert max(map(len, lines)) <= 100
        assert all(line.count("(") == line.count(")") for line in lines)
    crowd = Graph("", (*(plain(f"mu_{i}", []) for i in range(40)),
                       plain("y", [f"mu_{i}" for i in range(40)])))  # fmt: skip
    text = describe(crowd)
    assert max(map(len, text.splitlines())) <= 100
    assert re.findall(r"\bmu_\d+\b", text).count("mu_39") == 1 + 1 + 2 + 2 + 40 + 1


# The texts for other programs, read by small parsers of our own.

DOT_STRING = r'"((?:[^"\\]|\\.)*)"'


def read_dot(text):
    def unquote(quoted):
        return re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], quoted)

    nodes, edges, plates, within = {}, [], {}, []
    for line in text.splitlines()[1:-1]:
        if found := re.fullmatch(rf"\s*subgraph {DOT_STRING} {{", line):
            assert found[1].startswith("cluster")
            within.append(None)
        elif re.fullmatch(r"\s*}", line):
            within.pop()
        elif found := re.fullmatch(rf"\s*{DOT_STRING} -> {DOT_STRING};", line):
            edges.append((unquote(found[1]), unquote(found[2])))
        elif found := re.fullmatch(rf"\s*{DOT_STRING} \[(.*), label={DOT_STRING}\];", line):
            nodes[unquote(found[1])] = unquote(found[3])
            plates[unquote(found[1])] = tuple(within)
        else:
            label = re.search(rf"\blabel={DOT_STRING}; labelloc=b", line)
            if label:
                within[-1] = unquote(label[1])
            else:
                assert re.match(r"  (label|node)\b", line), line
    assert not within
    return nodes, edges, plates


def read_mermaid(text):
    first, *lines = text.splitlines()
    assert first == "flowchart TD"
    nodes, edges, kinds = {}, [], {}
    for line in lines:
        if found := re.fullmatch(r'    (n\d+)\W+"([^"]*)"\W+:::(\w+)', line):
            parts = [
                re.sub(r"#(\d+);", lambda m: chr(int(m[1])), part)
                for part in found[2].split("<br>")
            ]
            assert not re.search(r'[<>`&"\\]|#(?!\d+;)', found[2].replace("<br>", ""))
            nodes[found[1]], kinds[parts[0]] = parts[0], found[3]
        elif found := re.fullmatch(r"    (n\d+) --> (n\d+)", line):
            edges.append((nodes[found[1]], nodes[found[2]]))
        else:
            assert re.match(r"    classDef (\w+) fill:", line)[1] in kinds.values()
    return kinds, edges


def test_dot_has_the_same_nodes_and_edges(graph):
    nodes, edges, plates = read_dot(graph.dot())
    assert set(nodes) == {node.name for node in graph.nodes}
    assert tuple(edges) == graph.edges
    for node in graph.nodes:
        dims = node.dims or ()
        sizes = [f"{dim}: {size}" for dim, size in zip(dims, node.shape, strict=False)]
        assert plates[node.name] == tuple(sizes)
        shown = nodes[node.name].removeprefix("●\n").split("\n")
        assert shown[0] == (node.name if dims else node.title)
        assert "\n".join(shown[1:]) == node.content


def test_mermaid_has_the_same_nodes_and_edges(graph):
    kinds, edges = read_mermaid(graph.mermaid())
    titles = {node.name: node.title for node in graph.nodes}
    assert kinds == {node.title: node.kind for node in graph.nodes}
    assert edges == [(titles[parent], titles[child]) for parent, child in graph.edges]


# The figure.


def boxes(figure):
    """Return the boxes of shapes by node, and of all texts, in pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # which puts the legend in its place
    renderer = canvas.get_renderer()
    shapes: dict[str, list[Bbox]] = {}
    for artist in figure.findobj(lambda artist: artist.get_gid() is not None):
        shapes.setdefault(artist.get_gid(), []).append(artist.get_window_extent(renderer))
    written = {
        text: text.get_window_extent(renderer)
        for text in figure.findobj(Text)
        if text.get_text() and text.get_visible()
    }
    return shapes, written


def overlap(one, other):
    both = Bbox.intersection(one, other)
    return both is not None and min(both.width, both.height) > 0.5


def test_nothing_in_the_figure_collides(graph):
    figure = graph.figure()
    shapes, written = boxes(figure)
    assert set(shapes) == {node.name for node in graph.nodes}
    assert {len(found) for found in shapes.values()} == {1}
    places = {name: found[0] for name, found in shapes.items()}
    for (one, a), (other, b) in combinations(places.items(), 2):
        assert not overlap(a, b), (one, other)
    beside = {}
    for text, box in written.items():
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1, text
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1, text
        inside = [n for n, place in places.items() if overlap(place, box)]
        if not inside:
            beside[text] = box
            continue
        (name,) = inside  # a name fits its own shape
        assert text.get_text() == style.name(name)
        assert places[name].x0 < box.x0 < box.x1 < places[name].x1
    for (one, a), (other, b) in combinations(beside.items(), 2):
        assert not overlap(a, b), (one, other)
    for arrow in figure.findobj(FancyArrowPatch):
        for line in (
            arrow.get_transform().transform_path(arrow.get_path()).to_polygons(closed_only=False)
        ):
            points = np.concatenate([np.linspace(a, b, 20) for a, b in pairwise(line)])
            for box in (*places.values(), *beside.values()):
                within = (points > box.min + 2) & (points < box.max - 2)
                assert not within.all(axis=1).any()


def test_distributions_are_shown_while_there_is_room():
    def texts(figure):
        return " ".join(text.get_text() for text in figure.findobj(Text))

    assert "Normal(loc=μ, scale=τ)" in texts(eight_schools().graph().figure())
    assert "distributions not shown" in texts(sixty().figure())
    assert sixty().figure().get_figwidth() < 16


def test_kinds_look_different():
    figure = subjects().graph().figure()
    colours = {a.get_gid(): a.get_facecolor()[0] for a in figure.findobj(lambda a: a.get_gid())}
    assert colours["mu_a"] == colours["speed_missing"] == 1 > colours["choice"] > colours["payoff"]
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert shown == ["latent", "observed", "deterministic", "constant"]


def test_the_figure_of_a_posterior():
    tree = trees.eight_schools(draws=100)
    tree.attrs["graph"] = eight_schools().graph().to_json()
    figure = plots.plot(tree)
    assert set(boxes(figure)[0]) == {"mu", "tau", "theta", "sd", "y"}
    assert any("8 chains" in text.get_text() for text in figure.findobj(Text))


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda: plots.plot(trees.matrix()), "was not recorded"),
        (lambda: Graph("", ()).figure(), "no nodes"),
        (
            lambda: Graph("", tuple(plain(f"x{i}", []) for i in range(1000))).figure(),
            "1,000 nodes (1,000 latent) are too many to draw",
        ),
    ],
)
def test_what_cannot_be_drawn_is_said(made, says, tmp_path):
    figure = made()
    figure.savefig(tmp_path / "figure.png")
    shapes, written = boxes(figure)
    assert not shapes
    (box,) = [box for text, box in written.items() if says in text.get_text()]
    assert 0 <= box.x0 < box.x1 < figure.bbox.x1


def test_parents_are_above_children_and_a_tree_has_no_crossings():
    rng = np.random.default_rng(8)
    names = [f"v{i}" for i in range(40)]
    edges = [(names[rng.integers(i)], names[i]) for i in range(1, 40)]
    made = layers.arrange({name: (1.0, 2.0) for name in names}, edges, 0.5, float("inf"))
    row = {item: at for at, items in enumerate(made.rows) for item in items}
    assert all(row[parent] < row[child] for parent, child in edges)
    assert all(row[lower] - row[upper] == 1 for upper, lower in made.links)
    for items in made.rows:
        assert all(made.x[b] - made.x[a] >= 3.5 - 1e-9 for a, b in pairwise(items))
    for (a, b), (c, d) in combinations(made.links, 2):
        if row[a] == row[c]:
            assert (made.x[a] - made.x[c]) * (made.x[b] - made.x[d]) >= 0


def test_a_row_that_would_be_too_wide_is_broken():
    made = layers.arrange({f"x{i}": (1.0, 1.0) for i in range(10)}, [], 0.0, 6.0)
    assert [len(items) for items in made.rows] == [3, 3, 3, 1]


def test_graphs_are_read_without_jax_or_matplotlib():
    code = (
        "import sys; from bamopipe.graph import Graph;"
        "print([m for m in ('jax', 'matplotlib', 'tensorflow_probability') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
