"""The menu, the bar, the tour and the page Data, without a browser."""

from __future__ import annotations

import html
import re
import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import mmc4viz
from mmc4viz.cli import main
from mmc4viz.reference_figures import SOURCES, cells
from mmc4viz.text import escaped
from mmc4viz.ui.components.navigation import GROUPS
from mmc4viz.ui.components.tour import _HINTS
from mmc4viz.ui.main import _PAGES
from mmc4viz.ui.start import Roots
from mmc4viz.ui.views.data import openable
from tests.support.hostile import TEXTS, write_hostile
from tests.support.real import DOCUMENTS
from tests.ui.test_pages import SAMPLE, markup, opened


def test_every_page_is_in_the_menu_once() -> None:
    assert [name for _, names in GROUPS for name in names] == list(_PAGES)


@pytest.mark.parametrize("page", ["documents", "near-threshold", "export", "data"])
def test_the_bar_says_what_is_open_and_kept(monkeypatch: pytest.MonkeyPatch, page: str) -> None:
    said = markup(opened(monkeypatch, page, t="0.3"))
    assert "<b>sample_data</b>" in said and ">sample-a</b>" in said
    row = mmc4viz.open(SAMPLE).curves(thresholds=[0.3]).at(0.3)
    documents = row["documents"]
    assert f">{documents / 240:.1%} of all documents ({documents:,.10g})</b>" in said


def test_settings_that_are_not_the_loader_s_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(monkeypatch, "threshold", cap="4", match="greedy")
    words = "Max images 4 (default: 6); Assignment Greedy (default: One-to-one (current loader))."
    assert f"Not the loader&#x27;s defaults: {words}" in markup(app).replace("&#39;", "&#x27;")
    app.button(key="use-defaults").click().run()
    assert app.number_input(key="max_images").value == 6
    assert "Not the loader" not in markup(app)


def test_published_figures_are_shown_when_they_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = opened(monkeypatch, "data", str(DOCUMENTS))
    assert "documents discarded" not in markup(app)
    app.toggle(key="figures").set_value(True).run()
    assert app.query_params["figures"] == "yes"
    rows = re.findall(r"<tr><td>(.+?)</td></tr>", markup(app))
    shown = [row.split("</td><td>") for row in rows]
    found = mmc4viz.open(DOCUMENTS).reference()
    assert [tuple(row) for row in shown if len(row) == 6] == [*map(cells, found.figures)]
    assert "Not computed: documents do not tell" in markup(app)
    for source in SOURCES:
        assert source.name in [one.value for one in app.subheader]
        assert html.escape(source.how, quote=False) in html.unescape(markup(app))


@pytest.mark.parametrize("name", TEXTS[:4])
def test_published_figures_of_a_hostile_model_are_only_text(
    monkeypatch: pytest.MonkeyPatch, name: str, tmp_path: Path
) -> None:
    index = str(tmp_path / "index")
    with pytest.raises(SystemExit) as end:
        main(["index", SAMPLE, "--out", index, "--workers", "1", "--clip-model", name])
    assert end.value.code == 0
    start = {"shards": [], "index": index}
    said = markup(opened(monkeypatch, "data", start=start, figures="yes"))
    assert f"published for ViT-L/14; the scores here are by {escaped(name)}" in said.replace(
        "&#39;", "&#x27;"
    ).replace("&#34;", "&quot;")
    for tag in ("<script", "<iframe", "<a ", "<img src=x", "<svg onload"):
        assert tag not in said


def test_the_tour_ends_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(monkeypatch, "threshold")
    assert f"Hint 1 of {len(_HINTS)}. {_HINTS[0][1]}" in markup(app)
    app.button(key="tour-next").click().run()
    assert f"Hint 2 of {len(_HINTS)}" in markup(app)
    app.button(key="tour-end").click().run()
    assert "Hint" not in markup(app)
    app.run()
    assert "Hint" not in markup(app)


def test_what_can_be_opened_is_found(tmp_path: Path) -> None:
    for name in ("a/deep/er", "b", ".hidden"):
        (tmp_path / name).mkdir(parents=True)
        shutil.copy(f"{SAMPLE}/sample-0000.tar", tmp_path / name / "s.tar")
    (tmp_path / "linked").symlink_to("/usr")
    with pytest.raises(SystemExit):
        main(["index", str(tmp_path / "b"), "--out", str(tmp_path / "index"), "--workers", "1"])
    found, complete = openable(Roots((str(tmp_path),), ()))
    assert complete
    assert [(one.path.removeprefix(f"{tmp_path}/"), one.is_index) for one in found] == [
        ("index", True), ("a/deep/er", False), ("b", False)
    ]  # fmt: skip


def test_a_found_folder_is_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    shutil.copy(f"{SAMPLE}/sample-0000.tar", tmp_path / "mine" / "s.tar")
    monkeypatch.chdir(tmp_path)
    app = opened(monkeypatch, "data")
    buttons = {button.key for button in app.button}
    number = next(n for n in range(9) if f"open-{n}" in buttons and _path(app, n) == "mine")
    app.button(key=f"open-{number}").click().run()
    assert not app.exception
    assert app.text_area(key="shards").value == str(tmp_path / "mine")


def _path(app: AppTest, number: int) -> str:
    return markup(app).split('<span class="mmc-path">')[number + 1].partition("<")[0]


def test_hostile_names_are_text_on_the_page_data(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / TEXTS[0].replace("/", "_")[:60]
    folder.mkdir()
    write_hostile(folder)
    monkeypatch.chdir(tmp_path)
    app = opened(monkeypatch, "data", str(folder), figures="yes")
    assert not app.exception
    for tag in ("<script", "<iframe", "<a ", "<img src=x"):
        assert tag not in markup(app)
