"""Remote stores: transient errors are retried, refusals are explained, secrets are not stored."""

from __future__ import annotations

import importlib
import io
import json
import pickle
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mmc4viz import ShardError, expand, samples
from mmc4viz.cli import main
from mmc4viz.data import storage
from mmc4viz.data.build_index import IndexTask, build, prune
from mmc4viz.data.columns import Verify
from mmc4viz.data.shards import Shard
from tests.support.documents import info, write_tar
from tests.support.webserver import Web, served

CROSSED = info([[0.1, 0.9], [0.8, 0.1]])
KEYS = [f"k{number}" for number in range(6)]


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Record the waits without waiting; forget known secrets afterwards."""
    waited: list[float] = []
    monkeypatch.setattr(storage, "_sleep", waited.append)
    yield waited
    storage._WHOLE.clear()
    storage._USERS.clear()


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("web") / "s.tar"
    return write_tar(path, [(key, CROSSED) for key in KEYS]).read_bytes()


@pytest.fixture
def web(raw: bytes) -> Iterator[Web]:
    with served(Web({"s-0.tar": raw, "s-1.tar": raw, "shard-00403.tar": raw})) as one:
        yield one


def keys(url: str) -> list[str]:
    [shard] = expand([url])
    return [sample.key for sample in samples(shard)]


def refusal(url: str) -> str:
    with pytest.raises(ShardError) as error:
        keys(url)
    assert "\n" not in str(error.value)
    return str(error.value)


# ------------------------------------------------------------ what passes, and what does not


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_transient_errors_are_retried(web: Web, slept: list[float], status: int) -> None:
    web.answers = [(status, {})] * 4  # each try asks twice for the size
    assert keys(web.url("s-0.tar")) == KEYS
    assert slept == [0.5, 1.0]


def test_a_server_sets_the_wait(web: Web, slept: list[float]) -> None:
    waits = ("7", "1e9", "Thu, 01 Jan 1970 00:00:00 GMT", "soon")
    web.answers = [(503, {"Retry-After": text}) for text in waits for _ in range(2)]
    assert keys(web.url("s-0.tar")) == KEYS
    assert slept == [7.0, 60.0, 2.0, 4.0]


@pytest.mark.parametrize(
    ("status", "tries", "words"),
    [(429, 5, "the server returned HTTP 429"), (503, 5, "the server returned HTTP 503"),
     (404, 1, "not found"), (410, 1, "not found"), (401, 1, "access denied (401)"),
     (403, 1, "access denied (403)"), (400, 1, "the server returned HTTP 400"),
     (501, 1, "the server returned HTTP 501")],
)  # fmt: skip
def test_a_refusal_is_reported_with_its_status(
    web: Web, slept: list[float], status: int, tries: int, words: str
) -> None:
    web.answers = [(status, {})] * 99
    assert words in refusal(web.url("shard-00403.tar"))
    assert len(slept) == tries - 1


def test_a_number_in_a_name_is_no_code(web: Web) -> None:
    del web.files["shard-00403.tar"]
    assert refusal(web.url("shard-00403.tar")).endswith("shard-00403.tar: not found")


def test_an_unreachable_server_is_not_a_missing_file(slept: list[float]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        said = refusal(f"http://127.0.0.1:{probe.getsockname()[1]}/s.tar")
    assert said.endswith("s.tar: cannot be reached: connection refused")
    assert len(slept) == 2


@pytest.mark.parametrize("ranges", [True, False])
def test_a_dropped_connection_is_resumed(web: Web, raw: bytes, ranges: bool) -> None:
    web.ranges, web.drops = ranges, [len(raw) // 3, len(raw) // 3]
    with storage.open_for_reading(web.url("s-0.tar")) as file:
        assert file.read() == raw
    asked = [line for line in web.seen if "bytes=" in line and line.startswith("GET")]
    assert len(asked) == 2


def test_a_file_that_changes_meanwhile_is_not_mixed(web: Web, raw: bytes) -> None:
    web.drops, web.replacing = [len(raw) // 3], {"s-0.tar": raw[:-1] + b"\1"}
    with (
        storage.open_for_reading(web.url("s-0.tar")) as file,
        pytest.raises(OSError, match="changed while it was read"),
    ):
        file.read()


def test_a_server_that_drops_every_connection_is_given_up(web: Web, slept: list[float]) -> None:
    web.drops = [20_000] + [0] * 50
    assert refusal(web.url("s-0.tar")).endswith("cannot be read: the connection was dropped")
    assert slept[:4] == [0.5, 1.0, 2.0, 4.0]
    assert len(slept) <= 8  # the second time to see what it looks like


def test_any_store_s_stream_is_read_again(
    monkeypatch: pytest.MonkeyPatch, raw: bytes, slept: list[float]
) -> None:
    class Flaky(io.BytesIO):
        failures = 3

        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 5000 and self.failures:
                self.failures -= 1
                raise ConnectionResetError
            return super().read(size)

    monkeypatch.setattr(storage, "_open_remote", lambda path: Flaky(raw))
    with storage.open_for_reading("s3://bucket/s.tar") as file:
        assert b"".join(iter(lambda: file.read1(4000), b"")) == raw
    assert len(slept) == 3


@pytest.mark.parametrize(
    ("url", "words"),
    [("s3://b/s.tar", "pip install 'mmc4viz[s3]'"), ("gs://b/s.tar", "pip install 'mmc4viz[gcs]'"),
     ("ssh://host/s.tar", "paramiko"), ("abfs://b@c/s.tar", "adlfs")],
)  # fmt: skip
def test_the_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch, url: str, words: str
) -> None:
    known = importlib.import_module("fsspec.registry")._registry
    monkeypatch.delitem(known, url.partition(":")[0], raising=False)
    for name in ("s3fs", "gcsfs", "paramiko", "adlfs", "fsspec.implementations.sftp"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ShardError, match="package for this kind of store is missing") as error:
        storage.fingerprint(url)
    assert words in str(error.value)
    assert ("pip" in words) == ("mmc4viz[" in str(error.value))


def test_only_files_known_to_be_gone_are_pruned(web: Web, tmp_path: Path) -> None:
    shards = expand([web.url("s-{0..1}.tar")])
    jobs = [IndexTask(shard, str(tmp_path), "gpt2", Verify.FULL, None) for shard in shards]
    done = build(jobs, lambda: ThreadPoolExecutor(1), lambda _: None)
    assert [one.status for one in done] == ["read"] * 2
    web.answers = [(503, {})] * 99
    with pytest.raises(ShardError, match="returned HTTP 503"):
        prune(str(tmp_path))
    web.answers = []
    assert prune(str(tmp_path)) == []
    del web.files["s-1.tar"]
    assert prune(str(tmp_path)) == [web.url("s-1.tar")]


# ------------------------------------------------------------ secrets


@pytest.mark.parametrize(
    ("url", "shown"),
    [("https://u:p@h:8/d/a.tar?sig=1&b=2#f", "https://h:8/d/a.tar"),
     ("http://h/a.tar?x", "http://h/a.tar"), ("HTTPS://u@h/a.tar#t", "HTTPS://h/a.tar"),
     ("ftp://u:p@h/a.tar", "ftp://h/a.tar"), ("s3://b/a-?.tar", "s3://b/a-?.tar"),
     ("s3://b/a.tar?X-Amz-Signature=1", "s3://b/a.tar"), ("a.tar?x=1", "a.tar?x=1"),
     ("abfs://box@account/a.tar", "abfs://box@account/a.tar"), ("/d/u:p@h/a.tar", "/d/u:p@h/a.tar"),
     ("github://org:repo@v1/a.tar", "github://org:repo@v1/a.tar"),
     ("zip://a.tar::https://u:p@h/z.zip?s=1", "zip://a.tar::https://h/z.zip"),
     ("hf://datasets/o/n@rev/a.tar", "hf://datasets/o/n@rev/a.tar")],
)  # fmt: skip
def test_what_is_shown_of_a_url(url: str, shown: str) -> None:
    assert storage.without_secrets(url) == storage.remember(url) == shown
    assert storage.whole(shown) == url
    shard = pickle.loads(pickle.dumps(Shard(url, 3)))
    assert shard == Shard(shown, 3)
    assert repr(shard) == f"Shard(path={shown!r}, position=3, name={shard.name!r})"
    storage._WHOLE.clear()
    storage._USERS.clear()
    assert pickle.loads(pickle.dumps(Shard(url))).path == shown
    assert storage.whole(shown) == url


def test_users_are_known_within_their_place() -> None:
    storage.remember("ftp://u:p@h/index")
    assert storage.whole("ftp://h/index/a.arrow") == "ftp://u:p@h/index/a.arrow"
    assert storage.whole("ftp://other/a.arrow") == "ftp://other/a.arrow"


def test_stores_that_do_not_know_their_host_are_listed_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Store:
        def glob(self, pattern: str) -> list[str]:
            return [pattern.replace("*", name) for name in "ba"]

    monkeypatch.setattr(storage, "file_system", lambda path: (Store(), "/d/*.tar"))
    found = storage.listing("ftp://u:p@h/d/*.tar")
    assert found == ["ftp://h/d/a.tar", "ftp://h/d/b.tar"]
    assert storage.whole(found[0]) == "ftp://u:p@h/d/a.tar"


def test_shards_that_differ_in_what_is_not_kept_are_refused(web: Web) -> None:
    urls = [web.url(f"s-0.tar?file={n}") for n in range(2)]
    for named in (urls, [web.url("s-0.tar?file={0..1}")]):
        with pytest.raises(ShardError, match="different users or queries"):
            expand(named)


SECRETS = ("s3cr3t", "5igna%2Fture", "5igna/ture", "bob")


@pytest.mark.slow
def test_no_secret_is_written_or_printed(
    web: Web, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("mmc4viz.cli.index")
    monkeypatch.setattr(module, "processes", lambda _: ThreadPoolExecutor(1))
    monkeypatch.setattr("mmc4viz.data.jobs.get_ready", lambda _: None)
    web.user, web.signature = "bob:s3cr3t", "sig=5igna/ture"
    named = web.url("s-0.tar?sig=5igna%2Fture").replace("//", "//bob:s3cr3t@")

    def run(*arguments: str) -> int:
        with pytest.raises(SystemExit) as end:
            main(arguments)
        return int(end.value.code or 0)

    monkeypatch.chdir(tmp_path)
    assert run("index", named, "--out", "index") == 0
    assert run("curve", named, "--thresholds", "0.2") == 0
    assert run("explain", named, "--format", "jsonl") == 0
    outputs = ["--out", "c.yaml", "--manifest", "m.jsonl", "--report", "r.html"]
    assert run("export", named, *outputs) == 0
    outputs = ["--out", "c2.yaml", "--manifest", "m.parquet"]
    assert run("export", "--index", "index", *outputs) == 0
    assert run("apply", named, "--config", "c.yaml", "--out", "o", "--dry-run") == 0
    assert "s-0.tar" in json.loads(Path("index/manifest.json").read_text())["shards"][0]["path"]
    storage._WHOLE.clear()
    storage._USERS.clear()
    capsys_before = capsys.readouterr()
    assert run("explain", "--index", "index", "--format", "jsonl", "--token-ids") == 2
    said = capsys.readouterr()
    assert "access denied (403); check your credentials and give the complete URL" in said.err
    web.signature = "sig=other"
    assert run("curve", named) == 2
    refused = capsys.readouterr()
    everything = [*capsys_before, *said, *refused]
    for path in tmp_path.rglob("*"):
        everything.append(path.name)
        everything += [path.read_bytes().decode("latin-1")] if path.is_file() else []
    assert not [secret for secret in SECRETS for text in everything if secret in text]


def test_errors_of_stores_are_cleared_of_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: str) -> Any:
        raise OSError(f"no luck with {storage.whole(path)} by me:pa55word, for 'a/b c' and a%2Fb+c")

    monkeypatch.setattr(storage, "file_system", fail)
    storage.remember("https://me:pa55word@h/a.tar?sig=a%2Fb+c&x=long/value")
    with pytest.raises(ShardError) as error:
        storage.size_of("https://h/a.tar")
    assert "pa55word" not in str(error.value)
    assert "a%2Fb" not in str(error.value)
    assert "a/b" not in str(error.value)
