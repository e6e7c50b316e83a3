"""Data that have a URL and a hash: fetched once, checked, or taken from a folder of copies."""

import contextlib
import hashlib
import http.server
import os
import socket
import threading
from pathlib import Path

import pytest

import project
from bamopipe import cli, config, datafiles, plan
from bamopipe.errors import UserError

CONTENT = Path("data/eight_schools.csv").read_bytes()
HASH = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server():
    """A server on this machine that has one file, and counts how often it is asked."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            if self.path == "/loop/a.csv":
                self.send_response(302)
                self.send_header("Location", "file:///etc/passwd")
                self.end_headers()
                return
            found = self.path.partition("?")[0] in ("/eight.csv", "/cut.csv", "/1234")
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            if found:
                self.wfile.write(CONTENT if self.path != "/cut.csv" else CONTENT[:50])

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{httpd.server_address[1]}", asked
        finally:
            httpd.shutdown()
            thread.join()


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.delenv(datafiles.COPIES, raising=False)
    with contextlib.chdir(tmp_path):
        yield tmp_path


def entry(url, sha256=HASH, **more):
    return config.data_file({"url": url, "sha256": sha256, **more}, "data.files.schools")


def files(folder):
    return [str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()]


def test_a_file_is_fetched_once_and_checked(place, server):
    url, asked = server
    for _ in range(2):
        path = datafiles.ready("data.files.schools", entry(f"{url}/eight.csv?download=1"))
        assert path == Path(f"results/data/{HASH}.csv")
        assert path.read_bytes() == CONTENT
    assert asked == ["/eight.csv?download=1"]
    assert files(place) == [f"results/data/{HASH}.csv"]
    path.write_text("changed")
    with pytest.raises(UserError, match="was changed after it was fetched; delete it"):
        datafiles.ready("data.files.schools", entry(f"{url}/eight.csv"))


@pytest.mark.parametrize(
    ("path", "sha256", "message"),
    [
        ("eight.csv", "0" * 64, f"has sha256 {HASH}, not 0000"),
        ("none.csv", HASH, r"cannot be fetched \(Not Found\)"),
        ("cut.csv", HASH, "has sha256"),
        ("loop/a.csv", HASH, "cannot be fetched"),
    ],
)
def test_what_is_not_the_file_leaves_nothing_behind(place, server, path, sha256, message):
    with pytest.raises(UserError, match=message) as raised:
        datafiles.ready("data.files.schools", entry(f"{server[0]}/{path}", sha256))
    assert str(raised.value).startswith("data.files.schools: ")
    assert files(place) == []


def test_without_a_network_it_says_what_to_do(place):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/eight.csv"
    with pytest.raises(UserError, match=r"put eight\.csv into a folder and name that in BAMOPIPE_"):
        datafiles.ready("data.files.schools", entry(url))


@pytest.mark.parametrize("name", ["eight.csv", f"{HASH}.csv"])
@pytest.mark.parametrize("way", ["environment", "config"])
def test_copies_come_first(place, monkeypatch, server, name, way):
    url, asked = server
    (place / "copies").mkdir()
    (place / "copies" / name).write_bytes(CONTENT)
    if way == "environment":
        monkeypatch.setenv(datafiles.COPIES, "copies")
    else:
        (place / "conf").mkdir()
        (place / "conf" / "config.yaml").write_text("data_copies: copies\n")
    assert datafiles.ready("k", entry(f"{url}/eight.csv")).read_bytes() == CONTENT
    assert asked == []


def test_a_copy_that_is_another_file_is_told(place, monkeypatch):
    (place / "eight.csv").write_text("something else")
    monkeypatch.setenv(datafiles.COPIES, ".")
    with pytest.raises(UserError, match=r"the content of eight\.csv has sha256"):
        datafiles.ready("k", entry("http://localhost/eight.csv"))
    monkeypatch.setenv(datafiles.COPIES, "nowhere")
    with pytest.raises(UserError, match="the folder of copies of data, nowhere, is not there"):
        datafiles.ready("k", entry("http://localhost/eight.csv"))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("https://example.org/a.csv", "a URL needs the hash of its content"),
        ({"url": "https://example.org/a.csv"}, "sha256 is missing"),
        ({"url": "ftp://example.org/a.csv", "sha256": HASH}, "must begin with https://"),
        ({"url": "file:///etc/passwd", "sha256": HASH}, "must begin with https://"),
        ({"url": "https://example.org/a.csv", "sha256": "abc"}, "64 hexadecimal digits"),
        ({"url": "https://example.org/1234", "sha256": HASH}, "files.a.name must be that of"),
        ({"url": "https://example.org/a.csv", "sha256": HASH, "name": "../a.csv"}, "name must be"),
        ({"url": "https://example.org/%2e%2e%2fa.csv", "sha256": HASH, "nme": "a.csv"}, "nme"),
        (3, "must be a path or {url: ..., sha256: ...}, got 3"),
    ],
)
def test_entries_are_checked(value, message):
    with pytest.raises(UserError, match=message):
        config.data_file(value, "data.files.a")


def test_the_id_knows_the_content_and_not_where_it_is_from():
    def of(file):
        frozen = {"inference": {"name": "smc"}, "data": {"files": {"schools": file}}}
        return config.fit_id(frozen)

    here, there = entry("https://a.org/x.csv"), entry("http://b.org/1", HASH.upper(), name="y.csv")
    assert of(here) == of(there)
    assert of(here) != of(entry("https://a.org/x.csv", "0" * 64))
    assert of("data/x.csv") != of("data/y.csv")


def test_the_pipeline_fetches_and_another_url_fits_nothing_again(place, server):
    url, asked = server
    folder = project.make(place / "project")
    data = folder / "conf" / "data" / "eight_schools.yaml"
    data.write_text(f"files:\n  schools: {{url: {url}/eight.csv, sha256: {HASH}}}\n")
    with contextlib.chdir(folder):
        run, _ = plan.load({}).runs
    assert run.inputs == ("bamopipe/models/eight_schools.py",)
    wanted = f"results/fits/{run.id}/seeds_0-1.nc"
    stub = folder / "bin" / "bamopipe"  # of the stages, this one is the real one
    stub.write_text(stub.read_text().replace('("status",', '("fetch", "status",'))
    done = project.snakemake(folder, "--cores", "1", wanted)
    assert done.returncode == 0, done.stderr
    assert (folder / "results" / "data" / f"{HASH}.csv").read_bytes() == CONTENT
    assert asked == ["/eight.csv"]
    data.write_text(f"files:\n  schools: {{url: {url}/1234, sha256: {HASH}, name: eight.csv}}\n")
    os.utime(folder / "results" / "data" / f"{HASH}.csv")
    dry = project.snakemake(folder, "-n", wanted)
    assert dry.returncode == 0, dry.stderr
    assert "fit" not in project.jobs(dry.stdout + dry.stderr)


@pytest.mark.slow
def test_a_wrong_hash_stops_the_pipeline_with_a_sentence(place, server):
    folder = project.make(place / "project")
    data = folder / "conf" / "data" / "eight_schools.yaml"
    data.write_text(f"files:\n  schools: {{url: {server[0]}/eight.csv, sha256: {'f' * 64}}}\n")
    stub = folder / "bin" / "bamopipe"
    stub.write_text(stub.read_text().replace('("status",', '("fetch", "status",'))
    run = project.snakemake(folder, "--cores", "2")
    assert run.returncode == 1
    assert f"bamopipe: eight.csv: the content of {server[0]}/eight.csv has sha256" in run.stderr
    assert not list((folder / "results" / "data").glob("*.csv"))


def test_fetch_by_hand(place, server, capsys):
    words = ["fetch", f"{server[0]}/eight.csv", "--sha256", HASH, "--out", "a.csv"]
    assert cli.main(words) == 0
    assert (place / "a.csv").read_bytes() == CONTENT
    words[3] = "0" * 64
    assert cli.main(words) == 2
    assert "has sha256" in capsys.readouterr().err
