"""Pages of the report: what Snakemake's report would only offer for download, as plain HTML."""

import csv
import json
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from bamopipe import outcome
from bamopipe.files import atomic_write

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2933; margin: 2rem; max-width: 75rem; }
h1 { font-size: 1.4rem; margin: 0 0 .3rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
table { border-collapse: collapse; } th, td { padding: .25rem .9rem .25rem 0; text-align: left; }
td:first-child, td:nth-child(3) { white-space: nowrap; }
th { border-bottom: 2px solid #cbd2d9; font-weight: 600; } td { border-bottom: 1px solid #e4e7eb; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.good { color: #0b6e4f; font-weight: 600; } .bad { color: #b42318; font-weight: 600; }
.warned { color: #b54708; font-weight: 700; } h2, li { max-width: 60rem; }
pre { background: #f5f7fa; padding: .8rem 1rem; overflow-x: auto; font-size: 13px; }
"""

# Columns of sweep.csv that are no settings; the names of settings are shown as they are written.
SWEEP = ("arm", "log_evidence", "log_evidence_se", "ess", "r_hat", "seconds", "verdict")

PASSED = "<span class='good'>✓</span>"
WARNED = "<span class='warned'>!</span>"
FAILED = "<span class='bad'>✗</span>"


def main(kind: str, out: Path) -> None:
    """Write one page.

    Parameters
    ----------
    kind : str
        ``summary`` of a run, or ``overview``, ``methods``, ``sweep`` or ``failures`` of an
        experiment.
    out : pathlib.Path
        The HTML file, in the folder that it is about.
    """
    write = {
        "summary": _summary,
        "overview": _overview,
        "methods": _methods,
        "sweep": _sweep,
        "failures": _failures,
    }[kind]
    body = "\n".join(write(out.parent))
    with atomic_write(out) as temporary:
        temporary.write_text(
            f"<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><title>{kind}</title>"
            f"<style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n",
            encoding="utf-8",
        )


def _summary(folder: Path) -> Iterable[str]:
    """Show the checks, posterior summary and settings of a run."""
    diagnostics = outcome.read_diagnostics(folder / "diagnostics.json")
    yield f"<h1>{escape(folder.name.rpartition('-')[0])}</h1>"
    yield f"<p>{_verdict(diagnostics.get('converged', False))}</p>"
    yield "<h2>Checks</h2>"
    checks: list[tuple[str, ...]] = [("check", "value", "wanted", "", "")]
    for check in diagnostics.get("checks", []):
        mark = PASSED if check["ok"] else FAILED if check.get("required", True) else WARNED
        wanted = check.get("threshold", "")
        if isinstance(wanted, list):
            wanted = "–".join(map(str, wanted))
        cells = (check["name"].replace("_", " "), check.get("value", ""), wanted)
        checks.append((*map(_cell, cells), mark, escape(check.get("message") or "")))
    yield _table(checks)
    yield "<h2>Posterior</h2>"
    yield _csv_table(folder / "summary.csv")
    yield "<h2>Settings</h2>"
    yield f"<pre>{escape((folder / 'config.yaml').read_text())}</pre>"


def _overview(home: Path) -> Iterable[str]:
    """Show all runs of an experiment side by side."""
    with (home / "evidence.csv").open(newline="") as file:
        evidence = {row["run"]: row for row in csv.DictReader(file)}
    columns = ("log_bayes_factor", "log_bayes_factor_se", "model_probability", "note")
    head = ("run", "settings", "seeds", "log evidence", "seconds", "verdict")
    rows: list[tuple[str, ...]] = [(*head, *(c.replace("_", " ") for c in columns))]
    remarks = []
    for run in outcome.read(home):
        if run.name not in evidence:
            continue
        colour = "good" if run.verdict == "converged" else "bad"
        seeds = ", ".join(map(str, run.row.seeds))
        cells = (run.label, run.row.varied, seeds, run.evidence, run.seconds)
        numbers = (_cell(evidence[run.name].get(c, "")) for c in columns)
        verdict = f"<span class='{colour}'>{run.verdict.lower()}</span>"
        rows.append((*map(escape, cells), verdict, *numbers))
        remarks += [f"<li>{escape(f'{run.title}: {check}')}</li>" for check in run.failed_checks]
    yield "<h1>All runs</h1>"
    yield _table(rows)
    if remarks:
        yield f"<h2>Remarks</h2><ul>{''.join(remarks)}</ul>"


def _methods(home: Path) -> Iterable[str]:
    """Say how the posteriors were made, in words for a paper, and on what."""
    import xarray as xr

    from bamopipe import methods

    texts: dict[str, list[str]] = {}
    places: dict[tuple[str, ...], list[str]] = {}
    cited: set[str] = set()
    for run in outcome.read(home):
        path = home / run.name / "posterior.nc"
        if not path.is_file():
            continue
        with xr.open_datatree(path, engine="netcdf4") as tree:
            attrs: dict[str, Any] = {str(k): v for k, v in tree.attrs.items()}
        found = methods.describe(attrs)
        texts.setdefault(found.text, []).append(run.title)
        places.setdefault(_environment(attrs), []).append(run.title)
        cited.update(found.works)
    yield "<h1>Methods, to be pasted into a paper</h1>"
    for text, titles in texts.items():
        yield from ([f"<h2>{escape('; '.join(titles))}</h2>"] if len(texts) > 1 else [])
        yield f"<p>{escape(text)}</p>"
    works = {key: methods.WORKS[key] for key in sorted(cited)}
    yield "<h2>References</h2>"
    yield f"<ul>{''.join(f'<li>{escape(work.entry)}</li>' for work in works.values())}</ul>"
    yield "<h2>The same for BibTeX</h2>"
    yield f"<pre>{escape(chr(10).join(work.bibtex(key) for key, work in works.items()))}</pre>"
    yield "<h2>What made the fits, and of what</h2>"
    for lines, titles in places.items():
        yield from ([f"<h2>{escape('; '.join(titles))}</h2>"] if len(places) > 1 else [])
        yield f"<pre>{escape(chr(10).join(lines))}</pre>"


def _environment(attrs: dict[str, Any]) -> tuple[str, ...]:
    """List commit, versions, machine and data of a posterior, a line each."""
    parts = {
        "git commit": {"": attrs.get("git_commit", "unknown")},
        "version": json.loads(attrs.get("versions", "{}")),
        "machine": json.loads(attrs.get("machine", "{}")),
        "sha256 of data": json.loads(attrs.get("data_sha256", "{}")),
    }
    return tuple(
        f"{f'{what} {name}'.strip():28} {value}"
        for what, part in parts.items()
        for name, value in part.items()
        if value != ""
    )


def _sweep(home: Path) -> Iterable[str]:
    """Show the runs with a column for each setting that varies."""
    with (home / "sweep.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    yield "<h1>The settings that vary</h1>"
    yield (
        "<p>Of all scalars of a run, the smallest effective sample size (<code>ess</code>) and the "
        "largest <code>r_hat</code>. Only runs on the same data have evidences that compare.</p>"
    )
    table = [[name.replace("_", " ") if name in SWEEP else escape(name) for name in head]]
    for row in rows:
        *cells, verdict = row
        colour = "good" if verdict == "converged" else "bad"
        table.append([*map(_cell, cells), f"<span class='{colour}'>{escape(verdict)}</span>"])
    yield _table(table)


def _failures(home: Path) -> Iterable[str]:
    """Say what failed, with the end of each log."""
    runs = outcome.read(home)
    failed = [run for run in runs if run.state in ("FAILED", "not made")]
    yield f"<h1 class='bad'>{len(failed)} of {len(runs)} runs failed</h1>"
    for run in failed:
        yield f"<h2>{escape(run.title)}</h2>"
        yield f"<p>{escape(run.last_line)}</p>"
        if run.log:
            tail = "\n".join(run.log.read_text(errors="replace").splitlines()[-30:])
            yield f"<p>The end of <code>{escape(str(run.log))}</code>:</p>"
            yield f"<pre>{escape(tail)}</pre>"
    compared = home / "logs" / "compare.log"
    if not (home / "evidence.csv").is_file() and compared.is_file():
        yield f"<h2>Evidence</h2><pre>{escape(compared.read_text(errors='replace'))}</pre>"


def _verdict(converged: bool) -> str:
    return (
        "<span class='good'>All checks passed.</span>"
        if converged
        else "<span class='bad'>Not converged: use these numbers with care.</span>"
    )


def _csv_table(path: Path) -> str:
    with path.open(newline="") as file:
        return _table([[_cell(field) for field in row] for row in csv.reader(file)])


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Lay out rows of HTML, the first being the headings; drop empty columns, align numbers."""
    columns = list(zip(*rows, strict=True))
    kept = [i for i, column in enumerate(columns) if any(column[1:]) or len(rows) == 1]
    head, *body = [[row[i] for i in kept] for row in rows]
    numeric = [
        all(_is_number(row[i]) or row[i] in ("", "–") for row in body) for i in range(len(head))
    ]

    def line(tag: str, row: Sequence[str]) -> str:
        style = [" class='number'" if number else "" for number in numeric]
        cells = (f"<{tag}{s}>{c}</{tag}>" for s, c in zip(style, row, strict=True))
        return f"<tr>{''.join(cells)}</tr>"

    return "\n".join(["<table>", line("th", head), *(line("td", row) for row in body), "</table>"])


def _cell(value: object) -> str:
    """Write a value for people: numbers to four digits, nothing as a dash."""
    text = str(value)
    if not _is_number(text):
        return escape(text)
    number = float(text)
    if number != number:
        return "–"
    return text if number.is_integer() and "." not in text else f"{number:.4g}".replace("-", "−")


def _is_number(text: str) -> bool:
    try:
        float(text.replace("−", "-"))
    except ValueError:
        return False
    return True
