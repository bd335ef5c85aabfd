"""The pages of a table of image–text pairs: the commands' numbers, and nothing from the web."""

from __future__ import annotations

import csv
import io
import json
import random
import re
import struct
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Browser, expect
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from mmc4viz.pairs.rows.manifest import write_uids
from mmc4viz.pairs.selection import PairSelection
from mmc4viz.pairs.table import open_table
from mmc4viz.types import ConfigError, ShardError
from mmc4viz.ui import cache
from mmc4viz.ui.pairs import export
from mmc4viz.ui.start import VARIABLE
from tests.cli.test_cli import Run
from tests.support import pairs
from tests.support.documents import jpeg
from tests.support.hostile import MARK, TEXTS
from tests.support.serving import serving
from tests.support.slowly import slow
from tests.ui.test_browser_pages import Watched
from tests.ui.test_pages import ROOT, alerts, markup, opened
from tests.ui.test_state import VALUES

PAGES = ("data", "threshold", "near-threshold", "slices", "compare-models", "label", "export")
B32, L14 = "clip_b32_similarity_score", "clip_l14_similarity_score"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables in the columns of DataComp and LAION."""
    found = tmp_path_factory.mktemp("tables")
    pairs.write(pairs.datacomp(3000), found / "datacomp", 2)
    pairs.write(pairs.laion(2000), found / "laion")
    return found


def page_of(
    monkeypatch: pytest.MonkeyPatch, page: str, table: Path, start: Any = None, **address: str
) -> AppTest:
    roots = {"roots": [str(table if table.is_dir() else table.parent)]}
    return opened(monkeypatch, page, str(table), roots | (start or {}), **address)


def control_of(app: AppTest) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """Return what the control was sent: its header, and its arrays by name."""
    [found] = [
        one.proto for one in app.get("bidi_component")
        if one.proto.component_name == "mmc4viz.control"
    ]  # fmt: skip
    data = found.bytes
    (length,) = struct.unpack("<I", data[:4])
    header = json.loads(data[4 : 4 + length])
    values = np.frombuffer(data[4 + length :], "<f8").reshape(len(header["arrays"]), -1)
    return header, dict(zip(header["arrays"], values, strict=True))


@pytest.mark.parametrize(
    "address",
    [
        {},
        {"with": "and", f"t.{L14}": "0.22"},
        {"with": "or", f"t.{L14}": "0.3"},
        {"with": "sum"},
        {"where": "original_width>=500\naspect<=3"},
        {"strict": "yes"},
        {"score": L14},
    ],
)
def test_the_control_has_the_counts_of_the_command(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    folder: Path,
    address: dict[str, str],
) -> None:
    app = page_of(monkeypatch, "threshold", folder / "datacomp", **address)
    assert not alerts(app)
    header, arrays = control_of(app)
    score = address.get("score", B32)
    options = ["--score", score]
    if (word := address.get("with")) is not None:
        second = f"={address[f't.{L14}']}" if word != "sum" else ""
        options += [f"--{word}", f"{L14}{second}"]
    for line in address.get("where", "").splitlines():
        options += ["--where", line]
    options += ["--strict"] if address.get("strict") else []
    at = [0.2, 0.25, 0.281, 0.3]
    thresholds = ",".join(map(str, at))
    ran = Run(capsys, "curve", str(folder / "datacomp"), *options, "--thresholds", thresholds)
    said = [int(row["pairs"]) for row in csv.DictReader(io.StringIO(ran.out))]
    steps = [round(one / header["step"]) - header["first"] for one in at]
    assert arrays["pairs"][steps].tolist() == said
    # Those above a threshold and those below it are all that it decides about.
    others = arrays["pairs"][-1] - arrays["counts"][-1]
    for step in steps:
        assert arrays["counts"][step:].sum() + others == arrays["pairs"][step]
    assert arrays["counts"].sum() + others == header["all_pairs"]


def test_the_two_models_are_compared_as_by_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    app = page_of(monkeypatch, "compare-models", folder / "datacomp", **{f"t.{B32}": "0.27"})
    assert not alerts(app)
    ran = Run(
        capsys, "compare", str(folder / "datacomp"), "--score", B32, "--score", L14,
        "--threshold", "0.27", "--format", "csv",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    said = next(csv.DictReader(io.StringIO(ran.out)))
    [row] = re.findall(r"<tbody><tr>(.*?)</tr>", markup(app), re.DOTALL)
    cells = [re.sub("<.*?>", "", one) for one in re.findall(r"<td>(.*?)</td>", row)]
    names = ("first_threshold", "second_threshold", "first_value", "second_value", "pairs_both",
             "pairs_only_first", "pairs_only_second")  # fmt: skip
    assert [float(one.replace(",", "")) for one in cells[:-1]] == [float(said[n]) for n in names]


@pytest.mark.parametrize("with_", ["one", "and", "or", "sum"])
def test_cards_are_on_the_side_that_the_rule_says(
    monkeypatch: pytest.MonkeyPatch, folder: Path, with_: str
) -> None:
    app = page_of(
        monkeypatch, "near-threshold", folder / "datacomp", **{"with": with_, f"t.{L14}": "0.22"}
    )
    [found] = [
        json.loads(one.proto.json) for one in app.get("bidi_component")
        if one.proto.component_name == "mmc4viz.gallery"
    ]  # fmt: skip
    threshold = found["strip"]["threshold"]
    for group in found["groups"]:
        assert len(group["cards"]) == 12
        for card in group["cards"]:
            assert (card["score"] >= threshold) == (group["side"] == "above")
            assert card["site"][1] == "example.org" and card["picture"] is None


def test_the_exported_uids_are_those_of_the_command(
    monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
) -> None:
    chosen = list[Any]()
    with monkeypatch.context() as patched:
        patched.setattr(export, "_downloads", chosen.append)
        page_of(patched, "export", folder / "datacomp", **{f"t.{B32}": "0.3"})
    table = open_table([str(folder / "datacomp")])
    selection = PairSelection(table.scores[:1], (0.3,), rule=table.layout.rule)
    write_uids(str(tmp_path / "uids.npy"), table, selection, [])
    assert export._file(chosen[0], "uids.npy") == (tmp_path / "uids.npy").read_bytes()
    kept = pd.read_parquet(io.BytesIO(export._file(chosen[0], "kept.parquet")))
    assert len(kept) == len(np.load(tmp_path / "uids.npy")) == chosen[0].n_kept
    assert "--threshold 0.3 --out" in export.commands(chosen[0])[1]
    report = export._report(chosen[0], export._facts(chosen[0], "a <note>", {}))
    assert f"<b>{len(kept):,}</b><span>pairs kept (of 3,000)</span>" in report
    assert "a &lt;note&gt;" in report and "Two scores</h2>" in report
    assert str(folder) not in report and "<script" not in report


def damage(path: Path) -> None:
    """Overwrite the middle of a file, as a failing disk would."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 4)
        file.write(b"\xff" * (size // 2))


@pytest.mark.parametrize("harm", [Path.unlink, damage, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("name", ["uids.npy", "kept.parquet", "kept.csv"])
def test_a_file_that_breaks_after_opening_costs_a_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, harm: Any, name: str
) -> None:
    pairs.write(pairs.datacomp(2000), tmp_path / "table", 2)
    chosen = list[Any]()
    with monkeypatch.context() as patched:
        patched.setattr(export, "_downloads", chosen.append)
        page_of(patched, "export", tmp_path / "table")
    broken = sorted((tmp_path / "table").iterdir())[1]
    harm(broken)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with pytest.raises(ShardError) as raised:
        export._file(chosen[0], name)
    line = str(raised.value)
    assert line.startswith(f"{broken}: ") and "restore the file" in line and "\n" not in line
    assert [one.name for one in tmp_path.iterdir()] == ["table"]


def test_a_table_that_has_changed_is_not_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pairs.write(pairs.datacomp(2000), tmp_path)
    chosen = list[Any]()
    with monkeypatch.context() as patched:
        patched.setattr(export, "_downloads", chosen.append)
        page_of(patched, "export", tmp_path)
    pairs.write(pairs.datacomp(1000), tmp_path)
    with pytest.raises(ConfigError, match="the table has changed or is damaged; open it again"):
        export._file(chosen[0], "kept.csv")


@pytest.mark.slow
def test_the_page_says_why_a_download_failed(browser: Browser, tmp_path: Path) -> None:
    pairs.write(pairs.datacomp(2000), tmp_path / "table", 2)
    button = "button:has-text('Kept pairs (CSV)')"
    with serving(tmp_path, str(tmp_path / "table")) as address:
        watched = Watched(browser, address)
        page = watched.open("export", button)
        broken = sorted((tmp_path / "table").iterdir())[1]
        content = broken.read_bytes()
        broken.unlink()
        page.click(button)
        problem = page.get_by_text(f"{broken}: not found. Nothing was written: restore the file")
        expect(problem).to_be_visible()
        broken.write_bytes(content)
        page = watched.open("export", button)
        with page.expect_download() as download:
            page.click(button)
        assert len(pd.read_csv(download.value.path())) > 100
        expect(problem).to_have_count(0)
    assert "Traceback" not in (tmp_path / "app.log").read_text()


def test_an_index_opens_with_the_same_counts(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    folder: Path,
    tmp_path: Path,
) -> None:
    index = tmp_path / "index"
    Run(capsys, "index", str(folder / "datacomp"), "--out", str(index), "--workers", "1")
    of_table = control_of(page_of(monkeypatch, "threshold", folder / "datacomp"))[1]
    start = {"shards": [], "index": str(index), "roots": [str(tmp_path), str(folder)]}
    app = page_of(monkeypatch, "threshold", folder / "datacomp", start)
    assert not alerts(app)
    of_index = control_of(app)[1]
    assert all((of_index[name] == of_table[name]).all() for name in of_table)
    app = page_of(monkeypatch, "threshold", folder / "datacomp", start, where="aspect<=3")
    assert any("open the table itself for other conditions" in one for one in alerts(app))


def test_what_is_odd_is_said(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    app = page_of(monkeypatch, "data", folder / "laion")
    assert "1 row outside -1 to 1" in markup(app) and "6016" in markup(app)


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ({"where": "no_such>=1"}, "no column"),
        ({"where": "nonsense"}, "expected COLUMN&gt;=NUMBER"),
        ({"score": "no_such"}, ""),
        ({"with": "xor"}, ""),
        ({f"t.{B32}": "9e99"}, ""),
    ],
)
def test_a_wrong_address_costs_a_line(
    monkeypatch: pytest.MonkeyPatch, folder: Path, address: dict[str, str], line: str
) -> None:
    app = page_of(monkeypatch, "threshold", folder / "datacomp", **address)
    assert line in " ".join(alerts(app))
    assert line or control_of(app)[0]["all_pairs"] == 3000


@pytest.mark.parametrize("seed", [0, *slow(*range(1, 20))])
def test_no_address_breaks_a_page_of_a_table(
    monkeypatch: pytest.MonkeyPatch, folder: Path, seed: int
) -> None:
    rng = random.Random(seed)
    names = ("score", "with", "second", "where", "strict", "number", "m.quadrant", "s.by", "t",
             f"t.{B32}", f"t.{L14}", f"t.{B32} + {L14}", "b.from", "b.to", "b.below", "b.n",
             "view", "note", "shards", "index")  # fmt: skip
    values = (*VALUES, B32, L14, "sum", "and", "aspect", "both", "original_width>=1")
    for page in rng.sample(PAGES, 3):
        address = {name: rng.choice(values) for name in rng.sample(names, rng.choice([1, 4, 12]))}
        address = {name: value for name, value in address.items() if isinstance(value, str)}
        monkeypatch.setenv(VARIABLE, json.dumps({"shards": [str(folder / "datacomp")]}))
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        app.query_params.update(address)
        app._page_hash = calc_hash(page)
        app.run()
        assert not app.exception, (page, address)
        assert "This page failed" not in markup(app), (page, address)


def hostile_table(path: Path) -> None:
    """Write a table whose texts, ids and addresses are hostile."""
    texts = [*TEXTS, *TEXTS]
    rng = np.random.default_rng(0)
    pq.write_table(
        pa.table(
            {
                "uid": [f"<b>{MARK}</b>{n}" for n in range(len(texts))],
                "url": ["javascript:alert(1)", 'https://a.org/"><script>'] * len(TEXTS),
                "text": [text.encode("utf-8", "replace").decode() for text in texts],
                B32: rng.uniform(0.1, 0.4, len(texts)),
                L14: rng.uniform(0.1, 0.4, len(texts)),
            }
        ),
        path,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [
        "",
        "near-threshold",
        "compare-models?m.quadrant=neither",
        "slices",
        "data",
        "export",
        "label",
    ],
)
def test_hostile_tables_are_data_in_the_browser(
    browser: Browser, hostile_address: str, page: str
) -> None:
    watched = Watched(browser, hostile_address)
    shown = watched.open(page, "[data-testid=stMain] h1")
    expect(shown.locator("[data-testid=stMain] h1").first).to_be_visible()
    assert not shown.locator(f"b:text-is('{MARK}')").count()
    assert not shown.locator("a[href^=javascript]").count()
    watched.assert_quiet()
    shown.close()


@pytest.fixture(scope="module")
def hostile_address(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("hostile")
    hostile_table(folder / "table.parquet")
    with serving(folder, str(folder / "table.parquet")) as address:
        yield address


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    ["near-threshold?t.similarity=0.25", "compare-models?t.similarity=0.5&m.quadrant=neither"],
)
def test_images_come_from_the_tar_beside_and_never_from_the_web(
    browser: Browser, tmp_path: Path, page: str
) -> None:
    rows = [
        {"key": f"{n:09}", "caption": f"number {n}", "url": f"https://example.org/{n}.jpg",
         "status": "success", "similarity": 0.2 + n / 100, "other": 0.3 + n / 1000}
        for n in range(10)
    ]  # fmt: skip
    pd.DataFrame(rows).to_parquet(tmp_path / "00000.parquet")
    with tarfile.open(tmp_path / "00000.tar", "w") as tar:
        for row in rows[:9]:
            for suffix, data in (
                ("jpg", jpeg()), ("txt", b"x"), ("json", json.dumps(row).encode()),
            ):  # fmt: skip
                info = tarfile.TarInfo(f"{row['key']}.{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    scores = ("--score", "similarity=ViT-B/32", "--score", "other=ViT-L/14")
    with serving(tmp_path, str(tmp_path), *scores) as address:
        watched = Watched(browser, address)
        shown = watched.open(page, ".card")
        expect(shown.locator(".card")).to_have_count(10)
        expect(shown.locator(".card .picture img")).to_have_count(9)
        shown.locator(".card .picture:has(img)").first.click()
        expect(shown.locator("dialog [data-large=true] img")).to_be_visible()
        expect(shown.locator("dialog .sentence")).to_contain_text("number ")
        watched.assert_quiet()


@pytest.mark.slow
def test_the_threshold_is_dragged_on_a_table(browser: Browser, folder: Path) -> None:
    table = open_table([str(folder / "datacomp")])
    known = pd.concat([pd.read_parquet(path) for path in table.paths])[B32]
    with serving(folder, str(folder / "datacomp")) as address:
        watched = Watched(browser, address)
        page = watched.open("?t.clip_b32_similarity_score=0.27", ".handle[aria-valuetext]")
        handle = page.locator(".handle")
        handle.focus()
        handle.press("PageUp")
        value = 0.28
        kept = int((known >= np.float32(value)).sum())
        share = f"{100 * kept / len(known):.1f}%"
        expect(handle).to_have_attribute(
            "aria-valuetext", f"{value:.3f}: {kept:,} pairs, {share} of all"
        )
        expect(page.locator(".mmc-bar")).to_contain_text(f"({kept:,})")
        page.wait_for_url(f"**score={value:g}*")
        page.goto(f"{address}/compare-models?{page.url.partition('?')[2]}")
        expect(page.locator("table").first).to_contain_text(f"{kept:,}")
        watched.assert_quiet()


@pytest.mark.slow
def test_the_rest_of_a_page_follows_once_its_beginning_is_shown(
    browser: Browser, folder: Path
) -> None:
    table = folder / "datacomp"
    known = pd.concat([pd.read_parquet(path) for path in open_table([str(table)]).paths])[B32]
    low = int((known < 0.25).sum())
    wanted = [low, len(known) - low]
    with serving(folder, str(table)) as address:
        watched = Watched(browser, address)
        page = watched.open(f"compare-models?t.{B32}=0.25", ".st-key-scores-second .total")
        words = [f"{n:,} {what}" for n, what in zip(wanted, ("dropped", "kept"), strict=True)]
        first = page.locator(".st-key-scores-first svg")
        expect(first.locator(".total")).to_have_text(words)
        bars = [re.findall(r"[\d,]+(?= dropped| kept)", one)
                for one in first.locator("title").all_text_contents()]  # fmt: skip
        assert (
            np.sum([[int(n.replace(",", "")) for n in bar] for bar in bars], 0).tolist() == wanted
        )
        expect(page.locator(".st-key-joint .js-plotly-plot")).to_be_visible()
        expect(page.locator(".st-key-rest-of-page")).to_have_count(0)
        page.get_by_role("link", name="Threshold", exact=True).click()
        page.wait_for_selector(".handle")
        page.get_by_role("link", name="Compare models").click()
        expect(page.locator(".st-key-joint .js-plotly-plot")).to_be_visible()
        watched.assert_quiet()


def test_the_cache_forgets_nothing_of_another_table(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file that is written anew is counted anew."""
    path = tmp_path / "table.parquet"
    totals = []
    for rows in (100, 200):
        pq.write_table(pairs.datacomp(rows), path)
        header, _ = control_of(page_of(monkeypatch, "threshold", path))
        totals.append(header["wholes"]["pairs"])
    assert totals == [100, 200]
    assert cache.BUDGET.held > 0
