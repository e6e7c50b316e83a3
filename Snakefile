# From an experiment in conf/ to its report. `bamopipe.plan` says which runs there are; every
# stage is one `bamopipe` command, which can be run again by hand.
import atexit
import gc
import shlex

from snakemake.utils import min_version

from bamopipe import locks, outcome
from bamopipe.config import canonical
from bamopipe.plan import freeze, load, or_exit
from bamopipe.plots import COMPARISONS, FIGURES

min_version("9.12")
# Thousands of jobs are millions of objects, all in use; looking for garbage among them as often as
# Python does by itself takes a fifth of a dry run, and once more at the end a twelfth.
gc.set_threshold(100_000, 20, 20)
atexit.register(gc.freeze)


# The system that the pins of pyproject.toml are for; read under --sdm apptainer only.
container: "docker://python:3.12"


report: "report/workflow.rst"


if workflow.is_main_process and not workflow.dryrun:
    LOCK = locks.take_over()  # until Snakemake ends, however that is

PLAN = or_exit(load, config)
HOME = PLAN.home
RUN = f"{HOME}/{{run}}"
FIT = "results/fits/{id}"
DOWNLOADS = "results/data"


def run_title(wildcards):
    """What the report calls a run; one that did not converge is marked."""
    # Snakemake would read {...} as a wildcard, and puts this into a script of the page.
    plain = str.maketrans("{}<", "()‹")
    mark = outcome.mark(f"{HOME}/{wildcards.run}")
    return f"{mark}{PLAN.by_name[wildcards.run].title}".translate(plain)


def about_run(item, caption, category):
    """Where a run's file stands in the report; with two runs, Snakemake makes a switch of them."""
    place = {"category": category, "caption": f"report/{caption}.rst"}
    if len(PLAN.by_name) > 2:
        return {**place, "subcategory": item, "labels": lambda w: {"run": run_title(w)}}
    name = item if callable(item) else lambda w: item
    return {**place, "labels": lambda w: {"item": name(w), "run": run_title(w)}}


def about_all(item, caption="evidence", category="Evidence"):
    """Where a file about the whole experiment stands in the report."""
    place = {"category": category, "labels": {"item": item}}
    return {**place, "caption": f"report/{caption}.rst"}


wildcard_constraints:
    id="[0-9a-f]{8}",
    block=r"\d+(-\d+)?",
    run=r"\w[\w.]*-[0-9a-f]{8}",
    file=r"[0-9a-f]{64}\.(csv|nc)",


localrules:
    all,
    content,
    index,
    fetch,
    failures,
    html,


# What the report shows. Of each job the file that it writes last stands for the others: Snakemake
# looks at every file in a list, thousands of times in an experiment of thousands of runs. For the
# same reason rules get lists from functions.
CONTENT = [
    *expand(f"{RUN}/summary.html", run=PLAN.by_name),
    *expand(f"{RUN}/figures", run=PLAN.by_name),
    *expand(f"{HOME}/{{page}}.html", page=PLAN.pages),
]


rule content:
    input:
        lambda w: CONTENT,


rule all:
    default_target: True
    input:
        # Not the report alone: one that was made although something failed is there already.
        lambda w: CONTENT,
        lambda w: [block for run in PLAN.by_name.values() for block in PLAN.blocks(run)],
        report=f"{HOME}/report.html",


rule index:
    output:
        f"{HOME}/index.csv",
    log:
        f"{HOME}/logs/index.log",
    priority: 1
    params:
        text=lambda w: PLAN.index(),
    shell:
        "(printf '%s\\n' {params.text:q} > {output}.part && mv {output}.part {output}) 2> {log}"


rule fetch:
    output:
        f"{DOWNLOADS}/{{file}}",
    log:
        f"{DOWNLOADS}/{{file}}.log",
    params:
        url=lambda w: PLAN.downloads[f"{DOWNLOADS}/{w.file}"]["url"],
        sha256=lambda w: PLAN.downloads[f"{DOWNLOADS}/{w.file}"]["sha256"],
        name=lambda w: PLAN.downloads[f"{DOWNLOADS}/{w.file}"]["name"],
    shell:
        "bamopipe fetch {params.url:q} --sha256 {params.sha256} --name {params.name:q}"
        " --out {output} > {log} 2>&1"


rule fit:
    input:
        # Their names are hashes of their content, so their age means nothing.
        downloads=lambda w: ancient(list(PLAN.by_id[w.id].downloads)),
        data_and_source=lambda w: PLAN.by_id[w.id].inputs,
    output:
        f"{FIT}/seeds_{{block}}.nc",
    log:
        f"{FIT}/seeds_{{block}}.log",
    threads: 2
    shell:
        # The settings, whose hash is the id, are there since the start: see the end of this file.
        "bamopipe fit $(dirname {output})/config.yaml --seeds {wildcards.block} --out {output}"
        " --threads {threads} > {log} 2>&1"


rule diagnose:
    input:
        blocks=lambda w: PLAN.blocks(PLAN.by_name[w.run]),
    output:
        config=report(
            f"{RUN}/config.yaml", **about_run("settings", "settings", "Provenance")
        ),
        posterior=f"{RUN}/posterior.nc",
        diagnostics=f"{RUN}/diagnostics.json",
        summary=report(
            f"{RUN}/summary.csv", **about_run("summary (CSV)", "summary", "Posterior")
        ),
        page=report(
            f"{RUN}/summary.html",
            **about_run("checks and summary", "summary", "Diagnostics"),
        ),
    log:
        f"{HOME}/logs/{{run}}.diagnose.log",
    params:
        seeds=",".join(map(str, PLAN.seeds)),
    shell:
        "(cp $(dirname {input.blocks[0]})/config.yaml {output.config}.part"
        " && mv {output.config}.part {output.config}"
        " && bamopipe diagnose {input.blocks}"
        " --seeds {params.seeds} --out {output.posterior}"
        " && bamopipe page summary {output.page}) > {log} 2>&1"


rule plot:
    input:
        posterior=rules.diagnose.output.posterior,
        functions=PLAN.figure_sources,
    output:
        # One folder in place of a file each, which Snakemake would look at for every run.
        report(
            directory(f"{RUN}/figures"),
            patterns=["{figure}.png"],
            **about_run(
                lambda w: w.figure.replace("_", " "),
                "figures",
                lambda w: FIGURES.get(w.figure, "Own figures"),
            ),
        ),
    log:
        f"{HOME}/logs/{{run}}.plot.log",
    params:
        settings=lambda w: PLAN.by_name[w.run].plots_json,
        figures=canonical(PLAN.figures),
        names=[*FIGURES],  # so that they are drawn again when there is one more
    shell:
        "(rm -rf {output}.part"
        " && bamopipe plot {input.posterior} --out {output}.part"
        " --settings {params.settings:q} --figures {params.figures:q}"
        " && mv {output}.part {output}) > {log} 2>&1"


rule compare:
    input:
        index=rules.index.output[0],
        posteriors=lambda w: expand(f"{RUN}/posterior.nc", run=PLAN.by_name),
        summaries=lambda w: expand(f"{RUN}/summary.csv", run=PLAN.by_name),
    output:
        table=report(f"{HOME}/evidence.csv", **about_all("table (CSV)")),
        summary=report(f"{HOME}/summary.csv", **about_all("all summaries (CSV)")),
        page=report(f"{HOME}/overview.html", **about_all("all runs")),
        methods=report(
            f"{HOME}/methods.html", **about_all("methods", "methods", "Provenance")
        ),
        figures=[
            report(f"{HOME}/{f}.png", **about_all(f"{f} (figure)"))
            for f in COMPARISONS
        ],
    log:
        f"{HOME}/logs/compare.log",
    params:
        settings=PLAN.runs[0].plots_json,
    shell:
        "(bamopipe compare {input.posteriors} --out $(dirname {output.table})"
        " --settings {params.settings:q} && bamopipe page overview {output.page}"
        " && bamopipe page methods {output.methods}) > {log} 2>&1"


rule sweep:
    input:
        index=rules.index.output[0],
        table=rules.compare.output.table,
        summary=rules.compare.output.summary,
    output:
        page=report(f"{HOME}/sweep.html", **about_all("all runs", "sweep", "Sweep")),
        table=report(f"{HOME}/sweep.csv", **about_all("table (CSV)", "sweep", "Sweep")),
        figures=[
            report(f"{HOME}/{f}.png", **about_all("figure", f, "Sweep"))
            for f in PLAN.sweep_figures
        ],
    log:
        f"{HOME}/logs/sweep.log",
    params:
        settings=PLAN.runs[0].plots_json,
    shell:
        "bamopipe sweep $(dirname {output.page}) --settings {params.settings:q} > {log} 2>&1"


rule failures:
    input:
        rules.index.output,
    output:
        report(
            f"{HOME}/failures.html", **about_all("failed runs", "failures", "⚠ Failed")
        ),
    log:
        f"{HOME}/logs/failures.log",
    params:
        without=PLAN.without,
    shell:
        "bamopipe page failures {output} > {log} 2>&1"


rule html:
    input:
        lambda w: CONTENT,
    output:
        f"{HOME}/report.html",
    log:
        f"{HOME}/logs/report.log",
    params:
        request=lambda w: PLAN.request,
    shell:
        "bamopipe report --request {params.request:q} --out {output} > {log} 2>&1"


onstart:
    # Without a job for each run, which would make a dry run of thousands take a third longer.
    or_exit(freeze, PLAN)


# A partial report is made by a Snakemake of its own, whose end is not the end.
onsuccess:
    if not PLAN.partial:
        shell("bamopipe status {HOME} || :")


onerror:
    if not PLAN.partial:
        REPORT = f"--request {shlex.quote(PLAN.request)} --out {HOME}/report.html"
        shell("bamopipe report {REPORT} --partial || :")
        shell("bamopipe status {HOME} || :")
