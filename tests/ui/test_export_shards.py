"""Filtered shards on the page Export: the command, dry runs and runs, equal to ``apply``."""

from __future__ import annotations

import json
import shlex
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
from streamlit.testing.v1 import AppTest

from mmc4viz.apply.options import Options, apply_command
from mmc4viz.apply.run import Applied, apply_shards, error_messages
from mmc4viz.apply.separate import in_subprocess
from mmc4viz.apply.tasks import ApplyError, tasks_for_shards
from mmc4viz.cli import main
from mmc4viz.data.shards import Shard
from mmc4viz.types import LoaderConfig
from mmc4viz.ui import cache, data, writing
from mmc4viz.ui.start import VARIABLE
from mmc4viz.ui.writing import shards as writing_shards
from mmc4viz.ui.writing.shards import ShardsRequest
from tests.cli.test_cli import Run
from tests.support import nasty
from tests.ui import test_pages
from tests.ui.test_pages import SAMPLE, alerts, markup

pytestmark = pytest.mark.usefixtures("writing_here")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "in $x" / "shards"
    found.mkdir(parents=True)
    for seed in range(2):
        nasty.write_tar(found / f"n-{seed}.tar", nasty.documents(seed=seed, n=40))
    return found


def opened(
    monkeypatch: pytest.MonkeyPatch, shards: Path | str, out: str = "", **address: str
) -> AppTest:
    """Open the page with a root that has shards and outputs in it, and type a folder."""
    start = {"roots": [str(Path(shards).parents[1])]}
    app = test_pages.opened(monkeypatch, "export", str(shards), start, **address)
    return app.text_input(key="write-out").set_value(out).run() if out else app


def wanted(folder: Path, out: Path | str, options: Options | None = None) -> ShardsRequest:
    shards = [Shard(str(path)) for path in sorted(folder.glob("*.tar"))]
    source = data.source_of(shards, "gpt2", None, None)
    return ShardsRequest(source, LoaderConfig(), str(out), options or Options())


def ended(app: AppTest) -> AppTest:
    """Wait for what goes on in the background, and draw the page again."""
    for job in [*cache._JOBS.values(), *(run.job for run in writing._RUNS)]:
        job._thread.join()
    app.run()
    assert not app.exception, app.exception
    return app


def commands(app: AppTest) -> list[str]:
    return [code.value for code in app.code if code.value.startswith("mmc4viz apply")]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.tar")}


OPTIONS = [
    ({}, Options()),
    (
        {"x.order": "sentence", "x.cap": "best", "x.drop": "yes", "x.keep": "no"},
        Options("sentence", "best", drop_undecodable=True, keep_rejected_images=False),
    ),
    ({"x.order": "up", "x.cap": "7", "x.drop": "<b>", "x.keep": ""}, Options()),
]


@pytest.mark.parametrize(("address", "options"), OPTIONS, ids=["none", "all", "nonsense"])
def test_the_command_matches_the_page(
    monkeypatch: pytest.MonkeyPatch, folder: Path, address: dict[str, str], options: Options
) -> None:
    out = str(folder.parent / "out 'put'")
    app = opened(monkeypatch, folder, out, **address)
    [command] = commands(app)
    assert command == apply_command("mmc4viz-config.yaml", out, options, shards=[str(folder)])
    assert shlex.split(command)[2] == str(folder)
    kept = {name: value for name, value in address.items() if options != Options()}
    assert {k: v for k, v in app.query_params.items() if k in address} == kept


@pytest.mark.slow
def test_a_pasted_command_runs_and_writes_what_the_page_writes(
    monkeypatch: pytest.MonkeyPatch, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder.parent)
    out = folder.parent / "page"
    app = opened(monkeypatch, folder, str(out), **OPTIONS[1][0])
    Path("mmc4viz-config.yaml").write_text(app.code[0].value)
    app.button(key="write-start").click().run()
    ended(app)
    assert f"Written to {out} with threshold " in markup(app)
    words = shlex.split(commands(app)[0])[1:]
    words[words.index(str(out))] = str(folder.parent / "pasted")
    with pytest.raises(SystemExit):
        main(words)
    assert contents(out) == contents(folder.parent / "pasted")
    assert len(contents(out)) == 2
    said = capsys.readouterr().out
    assert "written" in said
    app.button(key="write-start").click().run()
    ended(app)
    assert "<td>skipped</td><td>2</td>" in markup(app)


def test_a_dry_run_is_the_command_s(
    monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    app = opened(monkeypatch, folder, **{"x.order": "sentence"})
    assert app.button(key="write-start").disabled
    app.button(key="write-preview").click().run()
    said = markup(ended(app))
    config = tmp_path / "c.yaml"
    config.write_text(app.code[0].value)
    dry = [folder, "--config", config, "--out", tmp_path / "no", "--order", "sentence"]
    run = Run(capsys, "apply", *dry, "--dry-run")
    lines = [line.rsplit(maxsplit=1) for line in run.out.splitlines() if line.strip()]
    counts = {
        title.strip(): number for title, number in lines if number.isdigit() and ":" not in title
    }
    assert counts["documents"] == "80"
    for title, number in counts.items():
        assert f"<td>{title}</td><td>{int(number):,}</td>" in said
    assert f"will be written to {folder}-chosen (" in said
    assert not Path(f"{folder}-chosen").exists()
    app.segmented_control(key="shards-order").set_value("page").run()
    assert "Dry run:" not in markup(app)


@pytest.mark.slow
def test_shards_made_with_other_settings_are_replaced_where_that_is_ticked(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    out = folder.parent / "out"
    app = opened(monkeypatch, folder, str(out))
    app.button(key="write-start").click().run()
    ended(app)
    assert not app.checkbox
    before = contents(out)
    app.segmented_control(key="shards-order").set_value("sentence").run()
    app.button(key="write-start").click().run()
    assert "2 of 2 shards in" in alerts(ended(app))[-1]
    assert contents(out) == before
    app.checkbox(key="write-overwrite").check().run()
    app.button(key="write-start").click().run()
    ended(app)
    assert "<td>written</td><td>2</td>" in markup(app)
    assert contents(out) != before


def test_what_the_loader_has_no_means_for_is_one_line(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    app = opened(monkeypatch, folder, keep="0.3")
    assert "single_image_keep is 0.3, but the loader&#x27;s is fixed at 0.5" in alerts(app)[-1]
    assert not [button for button in app.button if (button.key or "").startswith("write-")]
    app = opened(monkeypatch, SAMPLE, model="sample-b")
    assert "take it into an index, mmc4viz index --out DIR" in alerts(app)[-1]


@pytest.mark.slow
def test_never_in_place_and_errors_are_one_line(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    before = contents(folder)
    app = opened(monkeypatch, folder, str(folder))
    app.button(key="write-start").click().run()
    assert "shards are never changed in place" in alerts(ended(app))[-1]
    app.button(key="write-preview").click().run()
    ended(app)
    assert "shards are never changed in place" in "".join(alerts(ended(app)))
    assert contents(folder) == before
    foreign = folder.parent / "foreign"
    foreign.mkdir()
    (foreign / "n-0.tar").write_bytes(b"mine")
    app.text_input(key="write-out").set_value(str(foreign)).run()
    app.button(key="write-start").click().run()
    assert "already exists and was not written by apply" in alerts(ended(app))[-1]
    assert (foreign / "n-0.tar").read_bytes() == b"mine"
    app.text_input(key="write-out").set_value(str(foreign / "n-0.tar" / "<b>")).run()
    app.button(key="write-start").click().run()
    assert "Not everything was written" in alerts(ended(app))[-1]
    app.text_input(key="write-out").set_value(str(foreign / "\0<b>")).run()
    assert any("outside the folders" in alert for alert in alerts(app))
    assert "write-start" not in [button.key for button in app.button]


@pytest.mark.parametrize("shard", ["zz.pth", "a.py", "__init__.tar.py", "tar", "a.tar\n.pth"])
def test_only_tar_names_are_written(folder: Path, tmp_path: Path, shard: str) -> None:
    (folder / "n-0.tar").rename(folder / shard)
    source = data.source_of([Shard(str(folder / shard))], "gpt2", None, None)
    out = tmp_path / "out"
    tasks = tasks_for_shards([Shard(str(folder / shard))], str(out), LoaderConfig(), Options())
    with pytest.raises(ApplyError, match="not named like a tar"):
        apply_shards(tasks, lambda: ThreadPoolExecutor(1), lambda _: None)
    with pytest.raises(ApplyError, match="not named like a tar"):
        ShardsRequest(source, LoaderConfig(), str(out), Options()).tasks(dry_run=False)
    assert not out.exists()


def test_the_page_does_not_write_into_foreign_folders(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    assert wanted(folder, out).tasks(dry_run=False)
    (out / "sitecustomize.py").write_text("")
    with pytest.raises(ApplyError, match="contains files that apply did not write"):
        wanted(folder, out).tasks(dry_run=False)
    (out / "n-7.tar.apply.json").write_text("{}")
    assert wanted(folder, out).tasks(dry_run=False)


def test_read_only_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
) -> None:
    start = {"roots": [str(tmp_path)], "read_only": True}
    app = test_pages.opened(monkeypatch, "export", str(folder), start)
    app.text_input(key="write-out").set_value(str(tmp_path / "out")).run()
    keys = [button.key for button in app.button]
    assert "write-preview" in keys
    assert "write-start" not in keys
    with pytest.raises(ApplyError, match="--read-only"):
        writing.begin(wanted(folder, tmp_path / "out"))
    app = test_pages.opened(monkeypatch, "label", str(folder), start)
    assert "Start labeling" not in [button.label for button in app.button]
    assert "labels cannot be imported" in markup(app)


@pytest.mark.slow
def test_missing_shards_are_reported(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    app = opened(monkeypatch, folder / "*.tar", f"{folder}-x")
    (folder / "n-1.tar").unlink()
    for key in ("write-preview", "write-start"):
        app.button(key=key).click().run()
        ended(app)
        assert not app.exception
    assert alerts(app)


@pytest.mark.slow
def test_a_stopped_run_is_resumed(
    monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
) -> None:
    held, go = Event(), Event()
    apply_shards = writing_shards.apply_shards

    def slow(tasks, make, told):  # type: ignore[no-untyped-def]
        def after_the_first(applied):  # type: ignore[no-untyped-def]
            held.set()
            go.wait(30)
            told(applied)

        return apply_shards(tasks, make, after_the_first)

    monkeypatch.setattr(writing_shards, "apply_shards", slow)
    out = tmp_path / "out"
    app = opened(monkeypatch, folder, str(out))
    app.button(key="write-start").click().run()
    assert held.wait(30)
    app.run()
    assert app.button(key="write-start").disabled
    app.button(key="write-stop").click().run()
    go.set()
    ended(app)
    assert "Stopped after 1 of 2 shards" in markup(app)
    monkeypatch.setattr(writing_shards, "apply_shards", apply_shards)
    app.button(key="write-start").click().run()
    ended(app)
    assert f"Written to {out}" in markup(app)
    [run] = writing._RUNS
    assert {one.status for one in run.done} <= {"skipped", "written"}
    assert not error_messages(run.done)
    assert len(contents(out)) == 2


def test_one_run_at_a_time(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = Event()
    monkeypatch.setattr(writing_shards, "apply_shards", lambda *_: go.wait(30))
    monkeypatch.setenv(VARIABLE, json.dumps({"roots": [str(tmp_path)]}))
    run = writing.begin(wanted(folder, tmp_path / "a"))
    with pytest.raises(ApplyError, match=r"another run is writing to .*/a: wait for it"):
        writing.begin(wanted(folder, tmp_path / "b"))
    go.set()
    run.job._thread.join()
    assert writing.begin(wanted(folder, tmp_path / "b")) is writing.last_run()


@pytest.mark.slow
def test_another_process_does_the_same_and_is_stopped(folder: Path, tmp_path: Path) -> None:
    asked = wanted(folder, tmp_path / "aside", Options("sentence", "best"))
    tasks = asked.tasks(dry_run=False)

    def stop(_: Applied) -> None:
        raise cache.AbandonedError

    with pytest.raises(cache.AbandonedError):
        in_subprocess(apply_shards, tasks, 1, stop)
    told: list[Applied] = []
    done = in_subprocess(apply_shards, tasks, 1, told.append)
    here = replace(asked, out=str(tmp_path / "here")).tasks(dry_run=False)
    expected = apply_shards(here, lambda: ThreadPoolExecutor(1), lambda _: None)
    assert done[0].status == "skipped"
    assert [one.counts for one in done] == [one.counts for one in expected]
    assert sorted(one.shard for one in told) == [one.shard for one in done]
    assert contents(tmp_path / "aside") == contents(tmp_path / "here")


@pytest.mark.slow
def test_another_process_s_troubles_come_back(folder: Path) -> None:
    tasks = wanted(folder, f"{folder}-x").tasks(dry_run=False)
    with pytest.raises(ApplyError, match="never changed in place"):
        in_subprocess(
            apply_shards, [replace(task, out=str(folder)) for task in tasks], 1, lambda _: None
        )
    with pytest.raises(ApplyError, match="the process that writes shards died"):
        in_subprocess(apply_shards, [None], 1, lambda _: None)  # type: ignore[list-item]
