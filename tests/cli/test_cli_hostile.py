"""Every option of every command with invalid values: one line, and no traceback."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from mmc4viz.cli import cli, main
from tests.support.documents import entry, info, jpeg, write_tar

VALUES = [
    "nan", "-inf", "1e400", "1e-320", "-1", "0", "2", "-0.0", "9" * 400, "1_0", "٣", "0x10",
    "", " ", "x", "é", "./x", "../x", "/", "~", "~nobody/x", "\udcff", "-", "=", "a=", "=b", "own",
    "x" * 5000, "%s{0}", "a\nb", "*", "[", "{1..3}", "{a", "x/y", "x//y", "None", "a=/", "a=x",
    "0.1:0.4:1e-320", "-1e308:1e308:1", "::", "0:1:0", "1:0:1", "nan:1:1", ",", "0.2,,", "1,x",
    "0:1e9:1e-9", "documents=0%", "documents=50%", "pairs=sNaN", "pairs=1e999999999", "x=1",
    "documents=", "sNaN", "50%", "1e-99999999%", "-0%",
]  # fmt: skip
# Other arguments that a command needs; the values in braces are from the corpus.
GIVEN = {
    "app": ["{shard}", "--no-browser"],
    "apply": ["{shard}", "--config", "{config}", "--out", "applied"],
    "compare": ["{shard}"],
    "curve": ["{shard}", "--sample", "2"],
    "explain": ["{shard}"],
    "export": ["{shard}", "--out", "c.yaml", "--sample", "2"],
    "formats": [],
    "index": ["{shard}", "--out", "index"],
    "loaders": ["{shard}"],
    "labels export": [],
    "labels import": [],
    "sample": ["{folder}"],
    "score": ["{shard}", "--model", "{folder}", "--out", "s.parquet"],
    "slices": ["{shard}"],
    "reference": ["{shard}"],
    "suggest": ["{shard}", "--keep", "pairs=1"],
    "verify": ["{verified}", "{shard}"],
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Write a corpus of three documents, and invalid files."""
    folder = tmp_path_factory.mktemp("corpus")
    images = [entry(jpeg(), matched_text_index=n, matched_sim=0.3) for n in range(2)]
    documents = [(f"d{n}", info([[0.3, 0.2], [0.1, 0.26]], images=images)) for n in range(3)]
    found = {"shard": str(write_tar(folder / "s.tar", documents)), "folder": str(folder)}
    contents = {
        "config": b"threshold: 0.24\n",
        "wrong.yaml": b"threshold: [1, {a: b}]\n",
        "twice.yaml": b"threshold: 0.1\nthreshold: 0.2\n",
        "bomb.yaml": b"a: &a [1]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        "deep.json": b"[" * 100_000,
        "list.yaml": b"- 1\n",
        "binary": bytes(range(256)) * 9,
        "empty": b"",
        "proposal": b'{"basis": "manual", "threshold": "x"}',
        "provenance.json": b'{"provenance": {"format": 1, "corpus": 5}}',
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        found[name] = str(folder / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmc4viz.cli.index.processes", _Threads)
        patch.setattr("mmc4viz.data.jobs.get_ready", lambda _: None)
        run(["index", found["shard"], "--out", str(folder / "index")])
    run(["export", found["shard"], "--out", str(folder / "verified.yaml")])
    return found | {"index": str(folder / "index"), "verified": str(folder / "verified.yaml")}


class _Threads(ThreadPoolExecutor):
    """Replaces worker processes."""

    def __init__(self, _: int) -> None:
        super().__init__(1)


@pytest.fixture(autouse=True)
def _nothing_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Start no process and no server; work in a temporary folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MMC4VIZ_APP", raising=False)
    monkeypatch.setattr("mmc4viz.ui.start._given", None)  # put back after what `app` gives
    for name in ("index", "apply"):
        monkeypatch.setattr(f"mmc4viz.cli.{name}.processes", _Threads)
    monkeypatch.setattr("mmc4viz.data.jobs.get_ready", lambda _: None)
    monkeypatch.setattr("mmc4viz.ui.server.UvicornRunner.run", lambda _: None)
    monkeypatch.setattr("mmc4viz.ui.server._collect", lambda: None)
    monkeypatch.setattr("streamlit.web.bootstrap.load_config_options", lambda _: None)
    monkeypatch.setattr("gc.freeze", lambda: None)


def run(arguments: list[str]) -> tuple[Any, str]:
    """Run a command; return its exit code and the last line of standard error."""
    with CliRunner().isolation() as (_, err, _), pytest.raises(SystemExit) as end:
        main(arguments)
    return end.value.code, (err.getvalue().decode().splitlines() or [""])[-1]


def commands() -> dict[str, click.Command]:
    context = click.Context(cli)
    found = {name: cli.get_command(context, name) for name in cli.list_commands(context)}
    labels = found.pop("labels")
    assert isinstance(labels, click.Group)
    found |= {f"labels {name}": one for name, one in labels.commands.items()}
    return {name: one for name, one in found.items() if one is not None}


def places() -> list[tuple[str, str]]:
    """Return every command with each option that takes a value, and with its arguments."""
    return [
        (name, param.opts[0] if isinstance(param, click.Option) else "")
        for name, command in commands().items()
        for param in command.params
        if param.name != "scheduler" and not getattr(param, "is_flag", False)
    ]


def check(corpus: dict[str, str], name: str, option: str, value: str) -> None:
    given = [text.format(**corpus) for text in GIVEN[name]]
    words = [*name.split(), *given, *([option] if option else []), value]
    code, last = run(words)
    # `verify` ends with 1 where a number differs: a file of another command may be drawn.
    assert code in ((0, 1, 2) if name == "verify" else (0, 2)), words
    assert code == 0 or last.startswith("mmc4viz: "), words


def drawn(corpus: dict[str, str], seed: int, rounds: int) -> Iterator[tuple[str, str, str]]:
    rng = random.Random(seed)
    for _ in range(rounds):
        for name, option in places():
            yield name, option, rng.choice([*VALUES, *corpus.values()])


@pytest.mark.slow
def test_no_value_ends_in_a_traceback(corpus: dict[str, str]) -> None:
    for name, option, value in drawn(corpus, seed=1, rounds=1):
        check(corpus, name, option, value)


@pytest.mark.slow
def test_no_value_of_many_ends_in_a_traceback(corpus: dict[str, str]) -> None:
    for name, option, value in drawn(corpus, seed=2, rounds=10):
        check(corpus, name, option, value)


@pytest.mark.parametrize(
    "words",
    [
        ["curve", "{shard}", "--grid", "0.1:0.4:1e-320"],
        ["curve", "{shard}", "--grid=-1e308:1e308:1"],
        ["curve", "{shard}", "--sample", "2", "--seed", "-1"],
        ["curve", "{shard}", "--sample", "9" * 400],
        ["suggest", "{shard}", "--fdr", "sNaN"],
        ["suggest", "{shard}", "--keep", "pairs=1", "--documents", "0"],
        ["suggest", "{shard}", "--keep", "pairs=1", "--seed", "-1"],
        ["explain", "{shard}", "--tokenizer", "./x"],
        ["explain", "{shard}", "--tokenizer", "../x"],
        ["explain", "{shard}", "--tokenizer", "é"],
        ["explain", "{shard}", "--tokenizer", "{folder}"],
        ["explain", "{shard}", "--tokenizer", "{binary}"],
        ["explain", "{shard}", "--tokenizer", "{deep.json}"],
        ["explain", "{shard}", "--tokenizer", "/dev/zero"],
        ["explain", "{shard}", "--config", "{bomb.yaml}"],
        ["explain", "{shard}", "--config", "{twice.yaml}"],
        ["explain", "{shard}", "--config", "{folder}"],
        ["index", "{shard}", "--out", ""],
        ["index", "{shard}", "--out", "i", "--workers", "9999999"],
        ["apply", "{shard}", "--config", "{config}", "--out", ""],
        ["export", "{shard}", "--out", ""],
        ["export", "{shard}", "--out", "/nowhere/c.yaml"],
        ["export", "{shard}", "--out", "/nowhere/c.yaml", "--report", "{folder}"],
        ["compare", "{shard}", "--models", "no-such"],
        ["compare", "{shard}", "--similarity", "a="],
        ["labels", "export", "{binary}"],
        ["labels", "import", "new.sqlite", "{binary}"],
        ["score", "{shard}", "--model", "", "--out", "s.parquet"],
    ],
    ids=lambda words: " ".join(words)[:60],
)
def test_a_typing_error_is_one_line_and_writes_nothing(
    corpus: dict[str, str], words: list[str]
) -> None:
    named = [corpus.get(word[1:-1], word) if word[:1] == "{" else word for word in words]
    code, last = run(named)
    assert (code, last[:9]) == (2, "mmc4viz: ")
    assert not [path for path in Path().iterdir() if path.name != "new.sqlite"]


@pytest.mark.parametrize(
    "words",
    [
        ["suggest", "{shard}", "--keep", "pairs=1", "--out", "{shard}"],
        ["suggest", "--index", "{index}", "--keep", "pairs=1", "--out", "{index}/manifest.json"],
        ["export", "{shard}", "--ids", "{shard}"],
        ["export", "--index", "{index}", "--report", "{shard}"],
        ["score", "{shard}", "--model", "{folder}", "--out", "{shard}"],
        ["labels", "export", "{binary}", "{binary}"],
    ],
    ids=" ".join,
)
def test_what_is_read_is_not_written_over(corpus: dict[str, str], words: list[str]) -> None:
    files = [path for path in Path(corpus["folder"]).rglob("*") if path.is_file()]
    before = [path.read_bytes() for path in files]
    code, last = run([word.format(**corpus) for word in words])
    assert code == 2
    assert last.endswith(": is an input and would be overwritten; choose another name")
    assert [path.read_bytes() for path in files] == before
