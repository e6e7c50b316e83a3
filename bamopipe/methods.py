"""A paragraph for the methods section of a paper, and the works that it cites."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple


class Work(NamedTuple):
    """Something to cite.

    Attributes
    ----------
    authors
        "Family, Given" each, joined by " and ", as BibTeX has it; a group in braces.
    year, title, where, link
        `where` is a journal with volume and pages, or what kind of thing it is.
    """

    authors: str
    year: int
    title: str
    where: str
    link: str

    @property
    def short(self) -> str:
        """Name it in a sentence, such as "Hoffman and Gelman 2014"."""
        names = [author.split(",")[0].strip("{}") for author in self.authors.split(" and ")]
        many = len(names) > 2 or "others" in names
        who = f"{names[0]} et al." if many else " and ".join(names)
        return f"{who} {self.year}"

    @property
    def entry(self) -> str:
        """Name it in a list of references."""
        *others, last = [author.strip("{}") for author in self.authors.split(" and ")]
        joined = "; ".join(others)
        who = (
            last
            if not others
            else f"{joined} et al."
            if last == "others"
            else f"{joined} and {last}"
        )
        return f"{who} ({self.year}). {self.title}. {self.where}. {self.link}"

    def bibtex(self, key: str) -> str:
        """Write it for BibTeX."""
        return (
            f"@misc{{{key},\n  author = {{{self.authors}}},\n  year = {{{self.year}}},\n"
            f"  title = {{{{{self.title}}}}},\n  howpublished = {{{self.where}}},\n"
            f"  url = {{{self.link}}},\n}}"
        )


WORKS = {
    "bourabee2024": Work(
        "Bou-Rabee, Nawaf and Carpenter, Bob and Marsden, Milo", 2024,
        "GIST: Gibbs self-tuning for locally adaptive Hamiltonian Monte Carlo",
        "arXiv:2404.15253", "https://arxiv.org/abs/2404.15253",
    ),
    "bradbury2018": Work(
        "Bradbury, James and others", 2018,
        "JAX: composable transformations of Python+NumPy programs",
        "Software", "https://github.com/jax-ml/jax",
    ),
    "cabezas2024": Work(
        "Cabezas, Alberto and Corenflos, Adrien and Lao, Junpeng and Louf, Rémi", 2024,
        "BlackJAX: composable Bayesian inference in JAX",
        "arXiv:2402.10797", "https://arxiv.org/abs/2402.10797",
    ),
    "chopin2002": Work(
        "Chopin, Nicolas", 2002,
        "A sequential particle filter method for static models",
        "Biometrika 89(3), 539-552", "https://doi.org/10.1093/biomet/89.3.539",
    ),
    "dau2022": Work(
        "Dau, Hai-Dang and Chopin, Nicolas", 2022,
        "Waste-free sequential Monte Carlo",
        "Journal of the Royal Statistical Society B 84(1), 114-148",
        "https://doi.org/10.1111/rssb.12475",
    ),
    "delmoral2006": Work(
        "Del Moral, Pierre and Doucet, Arnaud and Jasra, Ajay", 2006,
        "Sequential Monte Carlo samplers",
        "Journal of the Royal Statistical Society B 68(3), 411-436",
        "https://doi.org/10.1111/j.1467-9868.2006.00553.x",
    ),
    "duane1987": Work(
        "Duane, Simon and Kennedy, Anthony D. and Pendleton, Brian J. and Roweth, Duncan", 1987,
        "Hybrid Monte Carlo",
        "Physics Letters B 195(2), 216-222", "https://doi.org/10.1016/0370-2693(87)91197-X",
    ),
    "gelman1992": Work(
        "Gelman, Andrew and Rubin, Donald B.", 1992,
        "Inference from iterative simulation using multiple sequences",
        "Statistical Science 7(4), 457-472", "https://doi.org/10.1214/ss/1177011136",
    ),
    "geman1984": Work(
        "Geman, Stuart and Geman, Donald", 1984,
        "Stochastic relaxation, Gibbs distributions, and the Bayesian restoration of images",
        "IEEE Transactions on Pattern Analysis and Machine Intelligence 6(6), 721-741",
        "https://doi.org/10.1109/TPAMI.1984.4767596",
    ),
    "girolami2011": Work(
        "Girolami, Mark and Calderhead, Ben", 2011,
        "Riemann manifold Langevin and Hamiltonian Monte Carlo methods",
        "Journal of the Royal Statistical Society B 73(2), 123-214",
        "https://doi.org/10.1111/j.1467-9868.2010.00765.x",
    ),
    "hastings1970": Work(
        "Hastings, W. K.", 1970,
        "Monte Carlo sampling methods using Markov chains and their applications",
        "Biometrika 57(1), 97-109", "https://doi.org/10.1093/biomet/57.1.97",
    ),
    "hoffman2014": Work(
        "Hoffman, Matthew D. and Gelman, Andrew", 2014,
        "The No-U-Turn sampler: adaptively setting path lengths in Hamiltonian Monte Carlo",
        "Journal of Machine Learning Research 15, 1593-1623",
        "https://jmlr.org/papers/v15/hoffman14a.html",
    ),
    "hoffman2021": Work(
        "Hoffman, Matthew D. and Radul, Alexey and Sountsov, Pavel", 2021,
        "An adaptive-MCMC scheme for setting trajectory lengths in Hamiltonian Monte Carlo",
        "AISTATS, PMLR 130, 3907-3915", "https://proceedings.mlr.press/v130/hoffman21a.html",
    ),
    "horowitz1991": Work(
        "Horowitz, Alan M.", 1991,
        "A generalized guided Monte Carlo algorithm",
        "Physics Letters B 268(2), 247-252", "https://doi.org/10.1016/0370-2693(91)90812-5",
    ),
    "jasra2011": Work(
        "Jasra, Ajay and Stephens, David A. and Doucet, Arnaud and Tsagaris, Theodoros", 2011,
        "Inference for Lévy-driven stochastic volatility models via adaptive sequential Monte "
        "Carlo",
        "Scandinavian Journal of Statistics 38(1), 1-22",
        "https://doi.org/10.1111/j.1467-9469.2010.00723.x",
    ),
    "karamanis2024": Work(
        "Karamanis, Minas and Seljak, Uroš", 2024,
        "Persistent sampling: enhancing the efficiency of sequential Monte Carlo",
        "arXiv:2407.20722", "https://arxiv.org/abs/2407.20722",
    ),
    "lee2018": Work(
        "Lee, Anthony and Whiteley, Nick", 2018,
        "Variance estimation in the particle filter",
        "Biometrika 105(3), 609-625", "https://doi.org/10.1093/biomet/asy028",
    ),
    "livingstone2022": Work(
        "Livingstone, Samuel and Zanella, Giacomo", 2022,
        "The Barker proposal: combining robustness and efficiency in gradient-based MCMC",
        "Journal of the Royal Statistical Society B 84(2), 496-523",
        "https://doi.org/10.1111/rssb.12482",
    ),
    "metropolis1953": Work(
        "Metropolis, Nicholas and Rosenbluth, Arianna W. and Rosenbluth, Marshall N. and "
        "Teller, Augusta H. and Teller, Edward", 1953,
        "Equation of state calculations by fast computing machines",
        "Journal of Chemical Physics 21(6), 1087-1092", "https://doi.org/10.1063/1.1699114",
    ),
    "molder2021": Work(
        "Mölder, Felix and others", 2021,
        "Sustainable data analysis with Snakemake",
        "F1000Research 10, 33", "https://doi.org/10.12688/f1000research.29032.2",
    ),
    "murray2010": Work(
        "Murray, Iain and Adams, Ryan P. and MacKay, David J. C.", 2010,
        "Elliptical slice sampling",
        "AISTATS, PMLR 9, 541-548", "https://proceedings.mlr.press/v9/murray10a.html",
    ),
    "neal2003": Work(
        "Neal, Radford M.", 2003,
        "Slice sampling",
        "Annals of Statistics 31(3), 705-767", "https://doi.org/10.1214/aos/1056562461",
    ),
    "robnik2023": Work(
        "Robnik, Jakob and De Luca, G. Bruno and Silverstein, Eva and Seljak, Uroš", 2023,
        "Microcanonical Hamiltonian Monte Carlo",
        "Journal of Machine Learning Research 24, 1-34",
        "https://jmlr.org/papers/v24/22-1450.html",
    ),
    "roberts1996": Work(
        "Roberts, Gareth O. and Tweedie, Richard L.", 1996,
        "Exponential convergence of Langevin distributions and their discrete approximations",
        "Bernoulli 2(4), 341-363", "https://doi.org/10.2307/3318418",
    ),
    "vehtari2021": Work(
        "Vehtari, Aki and Gelman, Andrew and Simpson, Daniel and Carpenter, Bob and "
        "Bürkner, Paul-Christian", 2021,
        "Rank-normalization, folding, and localization: an improved R-hat for assessing "
        "convergence of MCMC",
        "Bayesian Analysis 16(2), 667-718", "https://doi.org/10.1214/20-BA1221",
    ),
    "yu2011": Work(
        "Yu, Yaming and Meng, Xiao-Li", 2011,
        "To center or not to center: that is not the question - an ancillarity-sufficiency "
        "interweaving strategy (ASIS) for boosting MCMC efficiency",
        "Journal of Computational and Graphical Statistics 20(3), 531-570",
        "https://doi.org/10.1198/jcgs.2011.203main",
    ),
}  # fmt: skip

# What the text of an update says -> what to cite for it; the first that fits.
KERNELS = {
    "full conditional": "geman1984",
    "elliptical slice": "murray2010",
    "elliptical_slice": "murray2010",
    "slice": "neal2003",
    "nuts": "hoffman2014",
    "gist": "bourabee2024",
    "rmhmc": "girolami2011",
    "ghmc": "horowitz1991",
    "dynamic_hmc": "hoffman2021",
    "hmc": "duane1987",
    "mclmc": "robnik2023",
    "mala": "roberts1996",
    "barker": "livingstone2022",
    "irmh": "hastings1970",
    "one up or down": "hastings1970",
    "carries": "yu2011",
    "random walk": "metropolis1953",
}

SCHEMES = {
    "standard": ("", ()),
    "waste_free": (", keeping the particles of all moves", ("dau2022",)),
    "persistent": (", weighting the particles of all temperatures together", ("karamanis2024",)),
}
MOST_VARIABLES = 12


class Paragraph(NamedTuple):
    """How a posterior was made.

    Attributes
    ----------
    text
        One paragraph; citations are by author and year.
    works
        Keys in `WORKS` of what it cites, in alphabetic order.
    """

    text: str
    works: tuple[str, ...]


def describe(attrs: Mapping[str, Any]) -> Paragraph:
    """Say how a posterior was made, for a paper.

    Parameters
    ----------
    attrs : mapping
        The attributes of a posterior that `bamopipe fit` wrote: its record.

    Returns
    -------
    Paragraph
        The text, and what it cites.

    Examples
    --------
    >>> from bamopipe.methods import describe
    >>> inference = dict(name="mcmc", num_chains=4, num_warmup=1000, num_samples=1000,
    ...                  num_burn=0, num_thin=1)
    >>> config = dict(inference=inference, precision="float64")
    >>> updates = {"mu, tau": "nuts that tunes itself"}
    >>> attrs = {"config": json.dumps(config), "updates": json.dumps(updates), "seeds": "[0]"}
    >>> found = describe(attrs)
    >>> print(found.text)  # doctest: +ELLIPSIS
    Its posterior was sampled by 4 Markov chains, of 1,000 draws each after 1,000 steps of ...
    >>> found.works
    ('bradbury2018', 'cabezas2024', 'hoffman2014', 'molder2021', 'vehtari2021')
    """
    config = json.loads(attrs["config"])
    writer = _Writer()
    say = _tempered if config["inference"]["name"] == "smc" else _chains
    sentences = [
        *_model(json.loads(attrs.get("graph", "{}"))),
        *say(config["inference"], len(json.loads(attrs["seeds"])), writer),
        *_updates(json.loads(attrs.get("updates", "{}")), writer),
        *_software(attrs, config["precision"], writer),
    ]
    return Paragraph(" ".join(sentences), tuple(sorted(writer.cited)))


class _Writer:
    """Keeps what was cited."""

    def __init__(self) -> None:
        self.cited: set[str] = set()

    def cite(self, *keys: str) -> str:
        self.cited.update(keys)
        return f"({'; '.join(WORKS[key].short for key in keys)})"


def _model(graph: dict[str, Any]) -> list[str]:
    nodes = graph.get("nodes", [])
    spelt = {
        kind: [
            f"{n['name']}{_shape(n['shape'])} ~ {n['formula'] or n['distribution']}"
            for n in nodes
            if n["kind"] == kind
        ]
        for kind in ("latent", "observed")
    }
    if not spelt["latent"]:
        return []
    latent, observed = (len(spelt[kind]) for kind in ("latent", "observed"))
    name = f"The model \u201c{graph['name']}\u201d"
    if len(nodes) > MOST_VARIABLES:
        counts = f"{_count(latent, 'latent variable')} and {_count(observed, 'observed variable')}"
        return [f"{name} has {counts}."]
    latent_variables = "latent variable" if latent == 1 else "latent variables"
    seen = f"; observed: {', '.join(spelt['observed'])}" if observed else ""
    return [f"{name} has the {latent_variables} {', '.join(spelt['latent'])}{seen}."]


def _shape(shape: list[int]) -> str:
    return f" ({' x '.join(map(str, shape))})" if shape else ""


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def _tempered(inference: dict[str, Any], num_seeds: int, writer: _Writer) -> list[str]:
    words, works = SCHEMES[inference.get("scheme", "standard")]
    samplers = _count(inference["num_chains"] * num_seeds, "independent sampler")
    particles = _count(inference["num_particles"], "particle")
    moves = inference["num_mutations"]
    fixed = inference.get("temperatures")
    target = inference.get("target_ess", 0.5)
    if fixed:
        schedule = f"at the temperatures {', '.join(f'{t:g}' for t in fixed)}"
    else:
        schedule = (
            f"at temperatures chosen so that the effective sample size was {target:g} times "
            f"the number of particles {writer.cite('jasra2011')}"
        )
    if inference.get("data_blocks", 1) > 1:
        schedule += (
            f"; the observations came in {inference['data_blocks']} parts, one after the other "
            f"{writer.cite('chopin2002')}"
        )
    forgotten = "until the particles had forgotten where they started"
    most = inference.get("max_mutations")
    how_often = f"{forgotten}, at most {most} times" if moves == "auto" else f"{moves} times"
    return [
        "Its posterior was sampled by sequential Monte Carlo "
        f"{writer.cite('delmoral2006', *works)}, with {samplers} of {particles}{words}, from the "
        f"prior to the posterior {schedule}.",
        f"After {inference.get('resampling', 'systematic')} resampling, all particles moved "
        f"{how_often} at each temperature.",
        "The standard error of the log evidence is the larger of what the genealogy of the "
        f"particles {writer.cite('lee2018')} and the spread of the samplers say, and R-hat "
        f"{writer.cite('gelman1992')} compared the samplers.",
    ]


def _chains(inference: dict[str, Any], num_seeds: int, writer: _Writer) -> list[str]:
    chains = _count(inference["num_chains"] * num_seeds, "Markov chain")
    draws = _count(inference["num_samples"], "draw")
    burn = inference["num_burn"] and f" and {inference['num_burn']:,} that were left out"
    thin = inference["num_thin"] > 1 and f", of which every {inference['num_thin']}th was kept"
    return [
        f"Its posterior was sampled by {chains}, of {draws} each after "
        f"{_count(inference['num_warmup'], 'step')} of warm-up{burn or ''}{thin or ''}.",
        "Convergence was judged by split R-hat and the effective sample size of bulk and tails "
        f"{writer.cite('vehtari2021')}.",
    ]


def _updates(updates: dict[str, str], writer: _Writer) -> list[str]:
    said = []
    for variables, update in updates.items():
        keys = next(([key] for word, key in KERNELS.items() if word in update), [])
        said.append(f"{variables}: {update}{' ' + writer.cite(*keys) if keys else ''}")
    return [f"A move had these updates: {'; '.join(said)}."] if said else []


def _software(attrs: Mapping[str, Any], precision: str, writer: _Writer) -> list[str]:
    versions = json.loads(attrs.get("versions", "{}"))
    machine = json.loads(attrs.get("machine", "{}"))

    def named(name: str, package: str) -> str:
        return f"{name} {versions[package]}" if package in versions else name

    where = machine.get("device") if machine.get("device") != "cpu" else machine.get("cpu")
    arithmetic = {"float64": "double", "float32": "single"}[precision]
    return [
        f"Computations were made in {arithmetic} precision"
        f"{f' on {where}' if where else ''} with {named('bamopipe', 'bamopipe')}, "
        f"{named('BlackJAX', 'blackjax')} {writer.cite('cabezas2024')} and "
        f"{named('JAX', 'jax')} {writer.cite('bradbury2018')}, in a workflow by Snakemake "
        f"{writer.cite('molder2021')}."
    ]
