"""Remote indexing: killed runs, a cluster whose worker dies, a web server, an object store."""

from __future__ import annotations

import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mmc4viz import ShardError, expand, samples
from mmc4viz.cli import main
from mmc4viz.data.index import open_index
from tests.support import nasty
from tests.support.disturbed import wait_for_a_file, worker_of

pytestmark = pytest.mark.slow
N_SHARDS = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards that take long enough to be interrupted between two of them."""
    made = tmp_path_factory.mktemp("far")
    for number in range(N_SHARDS):
        nasty.write_tar(made / f"n-{number}.tar", nasty.documents(seed=40 + number, n=120))
    return made


@pytest.fixture
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with the same relative path to the shards as that of `undisturbed`."""
    return tmp_path_factory.mktemp("index")


@pytest.fixture(scope="module")
def undisturbed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("undisturbed")
    assert run("index", folder, "--out", out, "--workers", "1") == 0
    return arrow_files(out)


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return int(end.value.code or 0)


def arrow_files(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.glob("*.arrow"))}


def test_a_killed_run_leaves_complete_files_and_the_next_resumes(
    folder: Path, undisturbed: dict[str, bytes], out: Path
) -> None:
    command = [sys.executable, "-m", "mmc4viz", "index", str(folder), "--out", str(out)]
    process = subprocess.Popen([*command, "--workers", "2"], start_new_session=True)
    wait_for_a_file(out, "*.arrow", process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    left = arrow_files(out)
    assert 0 < len(left) < N_SHARDS
    assert all(undisturbed[name] == content for name, content in left.items())
    assert run("index", folder, "--out", out, "--workers", "2") == 0
    assert arrow_files(out) == undisturbed


def test_a_local_worker_that_dies_costs_its_shard_only(
    folder: Path, undisturbed: dict[str, bytes], out: Path
) -> None:
    command = [sys.executable, "-m", "mmc4viz", "index", str(folder), "--out", str(out)]
    process = subprocess.Popen([*command, "--workers", "2"], stderr=subprocess.PIPE)
    wait_for_a_file(out, "*.arrow", process)
    os.kill(worker_of(process.pid), signal.SIGKILL)
    _, errors = process.communicate()
    assert (process.returncode, errors) == (0, b"")
    assert arrow_files(out) == undisturbed


def test_a_dask_worker_that_dies_costs_its_shard_only(
    folder: Path, undisturbed: dict[str, bytes], out: Path
) -> None:
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        host="127.0.0.1",
        silence_logs=50,
    ) as cluster:
        command = [sys.executable, "-m", "mmc4viz", "index", str(folder), "--out", str(out)]
        process = subprocess.Popen([*command, "--scheduler", cluster.scheduler_address])
        wait_for_a_file(out, "*.arrow", process)
        os.kill(cluster.workers[0].pid, signal.SIGKILL)
        assert process.wait() == 0
    assert arrow_files(out) == undisturbed


def test_a_cluster_without_workers_is_waited_for_and_given_up(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from distributed import LocalCluster

    monkeypatch.setattr("mmc4viz.data.jobs._REPORT_AFTER", 0.5)
    monkeypatch.setattr("mmc4viz.data.jobs._GIVE_UP_AFTER", 3)
    with LocalCluster(n_workers=0, dashboard_address=None, host="127.0.0.1") as cluster:
        address = cluster.scheduler_address
        assert run("index", folder, "--out", tmp_path, "--scheduler", address) == 2
    waiting, given_up = capsys.readouterr().err.splitlines()
    assert f"note: {address}: waiting for workers" in waiting
    assert f"{address}: no workers for" in given_up


def test_a_missing_scheduler_is_reported(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], free_port: int
) -> None:
    address = f"tcp://127.0.0.1:{free_port}"
    assert run("index", folder, "--out", tmp_path, "--scheduler", address) == 2
    assert "no Dask scheduler" in capsys.readouterr().err


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Python's server without a log; refuses one folder, and drops connections in another."""

    def log_message(self, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if self.command == "HEAD" and "/secret/" not in self.path and "/broken/" not in self.path:
            super().do_HEAD()
        elif "/secret/" in self.path:
            self.send_error(403)
        elif "/broken/" in self.path:
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.wfile.write(b"\0" * 100)
        else:
            super().do_GET()


@pytest.fixture
def web(folder: Path) -> Iterator[str]:
    handler = partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_shards_over_http(
    folder: Path, web: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    far, near = f"{web}/n-{{0..1}}.tar", [folder / f"n-{k}.tar" for k in range(2)]
    assert run("curve", far, "--thresholds", "0.2,0.24") == 0
    over_http = capsys.readouterr().out
    assert run("curve", *near, "--thresholds", "0.2,0.24") == 0
    assert capsys.readouterr().out == over_http
    assert run("index", far, "--out", tmp_path / "index", "--workers", "1") == 0
    explain = ("explain", "--format", "jsonl", "--token-ids", "--index")
    capsys.readouterr()
    assert run(*explain, tmp_path / "index") == 0  # texts are fetched again by their places
    from_index = capsys.readouterr().out
    assert run("explain", "--format", "jsonl", "--token-ids", *near) == 0
    assert capsys.readouterr().out == from_index


@pytest.mark.parametrize(
    ("path", "words"),
    [("none.tar", "not found"), ("secret/n.tar", "credentials"), ("broken/n.tar", "")],
)
def test_refusals_of_a_web_server_are_reported(web: str, path: str, words: str) -> None:
    [shard] = expand([f"{web}/{path}"])
    with pytest.raises(ShardError) as error:
        list(samples(shard))
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.fixture
def bucket(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    store = s3fs.S3FileSystem()
    name = f"corpus-{tmp_path.name.replace('_', '-')}"[:60].rstrip("-")
    store.mkdir(name)
    for number in range(2):
        store.put(str(folder / f"n-{number}.tar"), f"{name}/shards/n-{number}.tar")
    yield f"s3://{name}"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def test_shards_and_index_on_an_object_store(
    folder: Path,
    bucket: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    shards, out = f"{bucket}/shards", f"{bucket}/index"
    assert run("index", shards, "--out", out, "--workers", "1") == 0
    assert "read" in capsys.readouterr().out
    assert run("index", shards, "--out", out, "--workers", "1") == 0
    assert "skipped" in capsys.readouterr().out
    assert run("curve", "--index", out, "--thresholds", "0.2,0.24") == 0
    from_store = capsys.readouterr().out
    near = [folder / f"n-{k}.tar" for k in range(2)]
    assert run("curve", *near, "--thresholds", "0.2,0.24") == 0
    assert capsys.readouterr().out == from_store
    [shard, _] = expand([f"{shards}/*.tar"])
    assert [s.raw for s in samples(shard)] == [s.raw for s in samples(expand([str(near[0])])[0])]
    assert open_index(out).n_documents == open_index(out).n_documents > 0


def test_a_missing_bucket_is_reported(bucket: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("curve", "s3://nowhere/n-0.tar") == 2
    assert capsys.readouterr().err.startswith("mmc4viz: s3://nowhere/n-0.tar: ")
