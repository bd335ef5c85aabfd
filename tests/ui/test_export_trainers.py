"""Exports to trainers on the page Export: equal to ``mmc4viz export --for``."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from threading import Event
from typing import Any

import pyarrow.parquet as pq
import pytest
from streamlit.testing.v1 import AppTest

from mmc4viz import LoaderConfig, Shard
from mmc4viz.cli import main
from mmc4viz.cli.commands import TRAINERS
from mmc4viz.export.trainers.launch import start_training
from mmc4viz.formats.registry import InputFormat
from mmc4viz.formats.sentences import TextUnit
from mmc4viz.ui import data, writing
from mmc4viz.ui.writing import trainers
from mmc4viz.ui.writing.trainers import request_for
from tests.export.test_trainers import check
from tests.support.documents import chatgpt, entry, info, write_tar
from tests.ui import test_pages
from tests.ui.test_export_shards import contents, ended
from tests.ui.test_pages import SAMPLE, alerts, markup

ROWS = ["hf", "torchtitan", "mds"]


pytestmark = pytest.mark.usefixtures("writing_here")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "in $x" / "shards"
    found.mkdir(parents=True)
    documents = [
        ("two", info([[0.9, 0.1], [0.1, 0.8]], ["a", "b"])),
        ("single", info([[0.3, 0.1]])),
        ("none", info([[0.1, 0.2]])),
        ("gpt", chatgpt("a _!_IMAGE1_!_ b", 1)),
    ]
    for n in range(2):
        write_tar(found / f"n-{n}.tar", [(f"{key}{n}", one) for key, one in documents])
    return found


def opened(
    monkeypatch: pytest.MonkeyPatch, shards: Path | str, trainer: str, out: str = "", **more: str
) -> AppTest:
    """Open the page with a root that has shards and outputs in it."""
    start = {"roots": [str(Path(shards).parents[1])]}
    address = {"x.for": trainer, **more}
    app = test_pages.opened(monkeypatch, "export", str(shards), start, **address)
    return app.text_input(key="write-out").set_value(out).run() if out else app


def pressed(app: AppTest, key: str) -> AppTest:
    return ended(app.button(key=key).click().run())


def command(app: AppTest) -> list[str]:
    [found] = [code.value for code in app.code if code.value.startswith("mmc4viz export")]
    return shlex.split(found)


def run_command(words: list[str]) -> int:
    with pytest.raises(SystemExit) as left:
        main(words)
    return int(left.value.code or 0)


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_the_page_offers_every_trainer_of_the_command_line() -> None:
    assert sorted(trainers.NAMES) == sorted(TRAINERS)


@pytest.mark.parametrize("trainer", ROWS)
def test_a_pasted_command_writes_what_the_page_writes(
    monkeypatch: pytest.MonkeyPatch, folder: Path, trainer: str
) -> None:
    monkeypatch.chdir(folder.parent)
    out = folder.parent / "page"
    app = opened(monkeypatch, folder, trainer, str(out))
    Path("mmc4viz-config.yaml").write_text(app.code[0].value)
    pressed(app, "write-start")
    said = markup(app)
    name = trainers.NAMES[trainer]
    assert f"Written to {out} with threshold 0.24, for {name}." in said
    assert "<td>documents</td><td>4</td>" in said
    assert "<td>documents with one image</td><td>2</td>" in said
    assert "<td>ChatGPT-generated (not exported)</td><td>2</td>" in said
    assert start_training(trainer, str(out)).strip() in [code.value.strip() for code in app.code]
    words = command(app)[1:]
    words[words.index(str(out))] = str(folder.parent / "pasted")
    assert run_command(words) == 0
    assert files(out).keys() == files(folder.parent / "pasted").keys()
    written = {name: data for name, data in files(out).items() if not name.startswith(".")}
    pasted = files(folder.parent / "pasted")
    assert written == {name: pasted[name] for name in written}
    assert written
    assert run_command(command(app)[1:]) == 0
    assert files(out).keys() == pasted.keys()
    pressed(app, "write-start")
    assert "<td>skipped</td><td>2</td>" in markup(app)


@pytest.mark.slow
def test_the_rows_are_what_the_walk_keeps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "in" / "shards"
    folder.mkdir(parents=True)
    paths = [Path(SAMPLE) / f"sample-000{n}.tar" for n in range(2)]
    for path in paths:
        (folder / path.name).write_bytes(path.read_bytes())
    app = opened(monkeypatch, folder, "hf", str(tmp_path / "out"), loader="vila")
    pressed(app, "write-start")
    config = writing.last_run().request.config  # type: ignore[union-attr]
    assert config.loader == "vila"
    assert check(paths, tmp_path / "out", config) > 100


@pytest.mark.slow
def test_the_size_is_told_beforehand_and_what_is_written_already(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    app = opened(monkeypatch, folder, "hf")
    assert app.button(key="write-start").disabled
    pressed(app, "write-preview")
    assert f"will be written to {folder}-hf (" in markup(app)
    assert not Path(f"{folder}-hf").exists()
    out = folder.parent / "out"
    app.text_input(key="write-out").set_value(str(out)).run()
    assert "will be written" not in markup(app)
    pressed(app, "write-preview")
    pressed(app, "write-start")
    assert "will be written" not in markup(app)
    pressed(app, "write-preview")
    assert f"All 2 shards are in {out} already." in markup(app)


@pytest.mark.slow
def test_rows_of_other_settings_are_replaced_where_that_is_ticked(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    out = folder.parent / "out"
    pressed(opened(monkeypatch, folder, "hf", str(out)), "write-start")
    before = files(out)
    app = opened(monkeypatch, folder, "hf", str(out), t="0.35")
    assert "write-overwrite" not in [box.key for box in app.checkbox]
    for key in ("write-preview", "write-start"):
        pressed(app, key)
        assert "was written with different settings (threshold 0.24, now 0.35)" in alerts(app)[-1]
        assert files(out) == before
    app.checkbox(key="write-overwrite").check().run()
    pressed(app, "write-start")
    assert "<td>written</td><td>2</td>" in markup(app)
    assert pq.read_table(out / "n-0.parquet")["key"].to_pylist() == ["two0"]


@pytest.mark.slow
def test_one_folder_holds_one_format(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    out = folder.parent / "out"
    app = opened(monkeypatch, folder, "hf", str(out))
    pressed(app, "write-start")
    before = files(out)
    app.segmented_control(key="write-for").set_value("mds").run()
    pressed(app, "write-start")
    assert "the shards were written there as parquet; choose another --out" in alerts(app)[-1]
    app.segmented_control(key="write-for").set_value("openflamingo").run()
    pressed(app, "write-start")
    assert "contains files that apply did not write" in alerts(app)[-1]
    assert files(out) == before


@pytest.mark.parametrize("trainer", [*ROWS, "energon", "webdataset"])
def test_a_loader_that_draws_is_one_line(
    monkeypatch: pytest.MonkeyPatch, folder: Path, trainer: str
) -> None:
    app = opened(monkeypatch, folder, trainer, loader="mm-interleaved")
    assert "the loader mm-interleaved draws images at random" in alerts(app)[-1]
    assert not [one for one in app.button if (one.key or "").startswith("write-")]
    assert not [code for code in app.code if code.value.startswith("mmc4viz export")]
    app = opened(monkeypatch, SAMPLE, trainer, model="sample-b")
    assert "take it into an index, mmc4viz index --out DIR" in alerts(app)[-1]


@pytest.mark.slow
def test_missing_images_and_foreign_folders_are_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shards = tmp_path / "in" / "docs_shard_0.jsonl"
    shards.parent.mkdir()
    one = info([[0.9, 0.1], [0.1, 0.8]], images=[entry(), entry()])
    shards.write_text(json.dumps(one) + "\n")
    app = test_pages.opened(
        monkeypatch, "export", str(shards), {"roots": [str(tmp_path)]}, **{"x.for": "hf"}
    )
    app.text_input(key="write-out").set_value(str(tmp_path / "out")).run()
    pressed(app, "write-start")
    assert "has no image bytes, so there is nothing to train on" in alerts(app)[-1]
    assert not list((tmp_path / "out").glob("*.parquet"))
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "sitecustomize.py").write_text("")
    app.text_input(key="write-out").set_value(str(tmp_path / "foreign")).run()
    for key in ("write-preview", "write-start"):
        pressed(app, key)
        assert "contains files that export did not write" in "".join(alerts(app))
    assert len(files(tmp_path / "foreign")) == 1


def test_a_stopped_export_is_resumed(
    monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
) -> None:
    held, go = Event(), Event()
    export_shards = trainers.export_shards

    def slow(tasks: Any, make: Any, told: Any) -> Any:
        def after_the_first(one: Any) -> None:
            held.set()
            go.wait(30)
            told(one)

        return export_shards(tasks, make, after_the_first)

    monkeypatch.setattr(trainers, "export_shards", slow)
    out = tmp_path / "out"
    app = opened(monkeypatch, folder, "mds", str(out))
    app.button(key="write-start").click().run()
    assert held.wait(30)
    app.run()
    assert app.button(key="write-start").disabled
    assert "for MosaicML Streaming. This continues when you leave the page." in markup(app)
    app.button(key="write-stop").click().run()
    go.set()
    ended(app)
    assert "Stopped after 1 of 2 shards" in markup(app)
    assert not (out / "index.json").exists()
    monkeypatch.setattr(trainers, "export_shards", export_shards)
    pressed(app, "write-start")
    assert "<td>skipped</td><td>1</td>" in markup(app)
    assert "<td>written</td><td>1</td>" in markup(app)
    assert (out / "index.json").exists()


@pytest.mark.slow
def test_energon_is_the_command_s(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.chdir(folder.parent)
    shards = contents(folder)
    app = opened(monkeypatch, folder, "energon")
    Path("mmc4viz-config.yaml").write_text(app.code[0].value)
    assert command(app)[-2:] == ["--out", str(folder)]
    pressed(app, "write-start")
    said = markup(app)
    assert f"Written to {folder} with threshold 0.24, for Megatron-Energon." in said
    assert "4 of 8 documents with 6 images; 4 entries in exclude; no shard was changed." in said
    page = files(folder / ".nv-meta")
    assert run_command(command(app)[1:]) == 0
    assert files(folder / ".nv-meta") == page
    assert contents(folder) == shards
    app = opened(monkeypatch, folder, "energon", t="0.35")
    pressed(app, "write-start")
    assert "already exists and was written with different settings" in alerts(app)[-1]
    assert files(folder / ".nv-meta") == page
    app.checkbox(key="write-overwrite").check().run()
    pressed(app, "write-start")
    assert "2 of 8 documents with 4 images" in markup(app)
    app.text_input(key="write-dataset").set_value(str(folder.parent / "else")).run()
    pressed(app, "write-start")
    assert "Energon reads shards below its dataset&#x27;s folder" in alerts(app)[-1]


def test_a_stopped_energon_export_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    held, go = Event(), Event()
    write_energon = trainers.write_energon

    def slow(*given: Any, advance: Any, **more: Any) -> Any:
        held.set()
        go.wait(30)
        return write_energon(*given, advance=advance, **more)

    monkeypatch.setattr(trainers, "write_energon", slow)
    app = opened(monkeypatch, folder, "energon")
    app.button(key="write-start").click().run()
    assert held.wait(30)
    app.run()
    app.button(key="write-stop").click().run()
    go.set()
    ended(app)
    assert f"Stopped: nothing was written to {folder} with threshold" in markup(app)
    assert not files(folder / ".nv-meta")


def test_webdataset_gets_the_manifest_and_its_pipeline(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.chdir(folder.parent)
    app = opened(monkeypatch, folder, "webdataset")
    Path("mmc4viz-config.yaml").write_text(app.code[0].value)
    assert run_command(command(app)[1:]) == 0
    assert Path("manifest.parquet").exists()
    compile(app.code[-1].value, "pipeline", "exec")
    assert "write-start" not in [button.key for button in app.button]


def test_read_only_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
) -> None:
    start = {"roots": [str(tmp_path)], "read_only": True}
    for trainer in ("hf", "energon"):
        address = {"x.for": trainer}
        app = test_pages.opened(monkeypatch, "export", str(folder), start, **address)
        assert "write-start" not in [button.key for button in app.button]
        assert command(app)


@pytest.mark.slow
def test_another_process_writes_the_same(
    monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
) -> None:
    app = opened(monkeypatch, folder, "hf", str(tmp_path / "here"))
    pressed(app, "write-start")
    request = writing.last_run().request  # type: ignore[union-attr]
    monkeypatch.setattr(writing, "_QUICK", 0)
    there = trainers.request_for("hf", request.source, request.config, str(tmp_path / "there"))
    run = writing.WriteRun(there)
    told: list[int] = []
    there.write(run, told.append)
    assert sum(told) == run.size
    assert [one.status for one in sorted(run.done, key=lambda one: one.shard)] == ["written"] * 2
    for name in ("n-0.parquet", "n-1.parquet"):
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()


@pytest.mark.parametrize("trainer", ["hf", "openflamingo"])
def test_the_command_reads_shards_as_the_page_does(
    monkeypatch: pytest.MonkeyPatch, folder: Path, trainer: str
) -> None:
    start = {"roots": [str(folder.parent)], "input_format": "mmc4-members", "unit": "paragraph"}
    app = test_pages.opened(monkeypatch, "export", str(folder), start, **{"x.for": trainer})
    [words] = [shlex.split(one.value) for one in app.code if one.value.startswith("mmc4viz ")]
    assert words[2:7] == [str(folder), "--input-format", "mmc4-members", "--unit", "paragraph"]


def test_shards_are_written_as_they_were_opened(tmp_path: Path) -> None:
    given = InputFormat("obelics", TextUnit.PARAGRAPH)
    shards = [Shard(str(tmp_path / name)) for name in ("a/0.parquet", "b/0.parquet")]
    key = data.source_of(shards, "gpt2", None, None, given)
    found = request_for("hf", key, LoaderConfig(), str(tmp_path)).shards()
    assert [(one.path, one.position, one.name) for one in found] == [
        (shards[0].path, 0, "0.parquet"), (shards[1].path, 1, "0.parquet")
    ]  # fmt: skip
    assert {(one.format, one.unit) for one in found} == {(given.name, given.unit)}
