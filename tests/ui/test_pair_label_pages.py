"""Labels of a table of pairs on its pages: blind, and with the engine's numbers."""

from __future__ import annotations

import html
import re
import shlex
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from playwright.sync_api import Browser, expect
from streamlit.testing.v1 import AppTest

from mmc4viz.pairs.labels.estimate import by_precision_of_rows, labels_for
from mmc4viz.pairs.settings import chosen_by
from mmc4viz.thresholds.labels import chosen, queue, store
from mmc4viz.thresholds.labels.sampling import designs
from mmc4viz.thresholds.labels.store import Answer
from mmc4viz.ui.components import label_card
from mmc4viz.ui.pairs import export
from mmc4viz.ui.pairs import label as label_page
from mmc4viz.ui.views import label as shared
from tests.cli.test_cli import Run
from tests.support import pairs
from tests.support.pair_labels import B32, label, population_of, truth_of
from tests.support.serving import serving
from tests.ui.test_browser_pages import Watched
from tests.ui.test_pages import alerts, markup, opened, sent

Labeled = tuple[Path, str]


@pytest.fixture(scope="module")
def labeled(tmp_path_factory: pytest.TempPathFactory) -> Labeled:
    """Return a table and a file with labels of it."""
    folder = tmp_path_factory.mktemp("labeled")
    table, right = truth_of(7, 3000)
    pairs.write(table, folder / "datacomp", 2)
    answers = dict(zip(table["uid"].to_pylist(), right.tolist(), strict=True))
    path = str(folder / "labels.sqlite")
    label(path, population_of([str(folder / "datacomp")]), answers, 150)
    return folder / "datacomp", path


def page_of(
    monkeypatch: pytest.MonkeyPatch, page: str, labeled: Labeled, **address: str
) -> AppTest:
    start: dict[str, Any] = {"labels": labeled[1], "roots": [str(labeled[0].parent)]}
    return opened(monkeypatch, page, str(labeled[0]), start, **address)


def button(app: AppTest, words: str) -> Any:
    return next(one for one in app.button if one.label == words)


def test_labeling_begins_and_shows_pairs_blind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    table = pairs.datacomp(2000)
    path = str(tmp_path / "labels.sqlite")
    where = pairs.write(table, tmp_path / "datacomp", 2), path
    monkeypatch.setattr(label_card, "remembered", lambda: "Ada")
    app = page_of(monkeypatch, "label", where)
    assert not alerts(app) and "Does the text describe the image" in app.text[0].value
    button(app, "Start labeling").click()
    app.run()
    assert not app.exception and not alerts(app)
    (design,) = designs(path)
    assert design.clip_model == B32
    (card,) = sent(app, "mmc4viz.label")
    assert card["noun"] == "text" and card["picture"] is None
    drawn = queue.at(path, design, card["place"])
    assert drawn is not None
    row = table.filter(pa.compute.equal(table["uid"], drawn.pair.key)).to_pylist()[0]
    assert card["sentence"] == row["text"] and card["site"] == [row["url"], "example.org"]
    shown = markup(app).partition("sidebar")[0] + str(card)
    assert str(row[B32]) not in shown and "Kept" not in markup(app)
    # An answer is saved with the pair that it was given for, and can be undone.
    shared.answered(path, design, "Ada", design.clip_model, card["place"], str(Answer.NO))
    (said,) = store.read(path)
    assert (said.pair, said.answer, said.clip_model) == (drawn.pair, Answer.NO, B32)
    app.run()
    assert sent(app, "mmc4viz.label")[0]["place"] != card["place"]
    shared.answered(path, design, "Ada", design.clip_model, 0, "undo")
    assert not store.read(path)


@pytest.mark.slow
def test_the_threshold_page_offers_the_threshold_of_the_labels(
    monkeypatch: pytest.MonkeyPatch, labeled: Labeled
) -> None:
    found = labels_for(labeled[1], population_of([str(labeled[0])]))
    proposal = by_precision_of_rows(found.sample, 0.6)
    assert proposal.threshold is not None
    app = page_of(monkeypatch, "threshold", labeled, **{"l.precision": "0.6"})
    assert not alerts(app)
    assert app.button(key="use-precision").label == f"Use {proposal.threshold:.3f}"
    assert f"{proposal.lower_bound:.1%}" in markup(app)
    app.button(key="use-precision").click().run()
    assert app.query_params[f"t.{B32}"] == f"{proposal.threshold:g}"
    assert app.query_params["reason"] == "precision=60"


def downloads(
    monkeypatch: pytest.MonkeyPatch, labeled: Labeled, **address: str
) -> tuple[AppTest, dict[str, Any]]:
    """Open the page Export; return it with what its buttons download, by their words."""
    found = dict[str, Any]()
    with monkeypatch.context() as patched:
        patched.setattr(export, "offer", lambda words, _, make, *__: found.update({words: make}))
        app = page_of(patched, "export", labeled, **address)
    return app, found


@pytest.mark.slow
def test_the_export_says_by_which_precision_the_threshold_was_chosen(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    labeled: Labeled,
    tmp_path: Path,
) -> None:
    found = labels_for(labeled[1], population_of([str(labeled[0])]))
    proposal = by_precision_of_rows(found.sample, 0.6)
    address = {f"t.{B32}": f"{proposal.threshold:g}", "reason": "precision=60"}
    app, made = downloads(monkeypatch, labeled, **address)
    assert not alerts(app)
    words = "by precision, estimated from labels (target: precision ≥ 60%"
    assert f"Threshold chosen {words}" in markup(app)
    settings = yaml.safe_load(made["Download settings (YAML)"]())
    assert words in made["Download report (HTML)"]()
    # The commands that the page shows write the same.
    lines = re.findall(r"mmc4viz (?:suggest|export) .*?(?=<)", markup(app))
    monkeypatch.chdir(tmp_path)
    for line in lines:
        ran = Run(capsys, *shlex.split(html.unescape(line))[1:])
        assert ran.code == 0, ran.err
    assert len(lines) == 2
    assert yaml.safe_load(Path("settings.yaml").read_text()) == settings
    assert settings["provenance"]["chosen"] == chosen_by("proposal.json")


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        ("precision=60", "For precision ≥ 60%, "),
        ("yield=30", "For pairs ≥ 30%, "),
        ("precision=nan", "is not yield=PERCENT or precision=PERCENT"),
        ("fdr=10", "is not yield=PERCENT or precision=PERCENT"),
        ("", "Threshold chosen manually."),
    ],
)
def test_a_basis_that_does_not_give_the_threshold_is_not_exported(
    monkeypatch: pytest.MonkeyPatch, labeled: Labeled, reason: str, line: str
) -> None:
    app, made = downloads(monkeypatch, labeled, **{f"t.{B32}": "0.111", "reason": reason})
    assert not alerts(app)
    assert line in html.unescape(markup(app)) and "Threshold chosen manually." in markup(app)
    settings = yaml.safe_load(made["Download settings (YAML)"]())
    assert settings["pairs"]["thresholds"] == [0.111]
    assert "chosen" not in settings["provenance"]


@pytest.mark.parametrize("by", ["original_width", "no such column", ""])
def test_the_report_has_the_slices_of_the_page_slices(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    labeled: Labeled,
    tmp_path: Path,
    by: str,
) -> None:
    address = {f"t.{B32}": "0.28", "s.by": by, "x.slices": "yes"}
    app, made = downloads(monkeypatch, labeled, **address)
    assert not alerts(app)
    report = made["Download report (HTML)"]()
    line = html.unescape(re.findall(r"mmc4viz export .*?(?=<)", markup(app))[0])
    monkeypatch.chdir(tmp_path)
    ran = Run(capsys, *shlex.split(line)[1:])
    assert ran.code == 0, ran.err
    written = Path("report.html").read_text()
    sections = [
        re.sub(r"(Table|Figure) \d+", r"\1", re.findall("<h2>Slices</h2>.*?(?=<h2)", one, re.S)[0])
        for one in (report, written)
    ]
    assert sections[0] == sections[1]
    assert f"--by {by if by == 'original_width' else 'site'}" in line
    app, made = downloads(monkeypatch, labeled, **(address | {"x.slices": "no"}))
    assert "--by" not in markup(app) and "Slices</h2>" not in made["Download report (HTML)"]()


def test_a_yield_is_exported_as_the_basis(
    monkeypatch: pytest.MonkeyPatch, labeled: Labeled
) -> None:
    app = page_of(monkeypatch, "threshold", labeled)
    app.number_input(key="pairs-target").set_value(20.0).run()
    app.button(key="use-target").click().run()
    address = {name: value for name, value in app.query_params.items() if name != "page"}
    _, made = downloads(monkeypatch, labeled, **address)
    found = yaml.safe_load(made["Download settings (YAML)"]())["provenance"]["chosen"]
    assert found["basis"] == "yield" and found["target"] == "pairs ≥ 20%"
    assert f"{found['threshold']:.12g}" == address[f"t.{B32}"]
    assert 600 <= found["kept"]["pairs"] < 700


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ({"with": "and"}, "not of two thresholds together"),
        ({"with": "sum"}, "No labels yet"),
        ({"score": "clip_l14_similarity_score"}, "No labels yet"),
        ({"where": "original_width>=200"}, "No labels yet"),
    ],
)
def test_labels_of_another_score_or_pool_do_not_count(
    monkeypatch: pytest.MonkeyPatch, labeled: Labeled, address: dict[str, str], line: str
) -> None:
    app = page_of(monkeypatch, "threshold", labeled, **address)
    assert not alerts(app) and line in markup(app)


@pytest.mark.slow
def test_the_frontier_has_both_scores(monkeypatch: pytest.MonkeyPatch, labeled: Labeled) -> None:
    app = page_of(monkeypatch, "compare-models", labeled)
    assert not alerts(app)
    assert "Both from the same 150 labels" in markup(app)
    for model in ("ViT-B/32", "ViT-L/14"):
        assert f"{model} at " in markup(app)


def test_results_say_what_the_labels_say(monkeypatch: pytest.MonkeyPatch, labeled: Labeled) -> None:
    app = page_of(monkeypatch, "label", labeled, **{"l.view": "results"})
    assert not alerts(app) and "150 of" in markup(app)
    assert set(label_page.RULE) == set(store.RULE)


def test_a_chosen_row_is_labeled_apart(
    monkeypatch: pytest.MonkeyPatch, labeled: Labeled, tmp_path: Path
) -> None:
    monkeypatch.setattr(label_card, "remembered", lambda: "Ada")
    path = str(tmp_path / "labels.sqlite")
    saved = list[Any]()
    with monkeypatch.context() as patched:
        patched.setattr(label_card, "show", lambda *given: saved.append(given))
        app = page_of(patched, "label", (labeled[0], path), **{"l.pair": "1.7"})
    assert not alerts(app) and "You chose this pair" in markup(app)
    file = sorted(labeled[0].iterdir())[1]
    row = pq.read_table(file).slice(7, 1).to_pylist()[0]
    ((card, person, _, _, answered),) = saved
    assert (card.sentence, card.url, person) == (row["text"], row["url"], "Ada")
    assert row["uid"] not in markup(app) and str(row[B32]) not in markup(app)
    app.run()
    with monkeypatch.context() as patched:  # answers are saved while no page is drawn
        patched.setattr(shared, "_leave_chosen", lambda: None)
        answered(card.place, str(Answer.NO))
    (said,) = chosen.read(path)
    assert (said.pair.shard, said.pair.key, said.pair.number) == (file.name, row["uid"], 7)
    assert (said.person, said.answer, said.clip_model) == ("Ada", Answer.NO, B32)
    assert said.score == pytest.approx(row[B32]) and not store.read(path)


@pytest.mark.parametrize("pair", ["1.999999999", "2.0", "0", "0.1.0.0", "x", "-1.0"])
def test_a_row_that_is_not_there_costs_a_line(
    monkeypatch: pytest.MonkeyPatch, labeled: Labeled, pair: str
) -> None:
    monkeypatch.setattr(label_card, "remembered", lambda: "Ada")
    app = page_of(monkeypatch, "label", labeled, **{"l.pair": pair})
    assert not alerts(app) and "which is not a pair of this table; ignored" in markup(app)


@pytest.mark.slow
def test_a_card_leads_to_the_page_label(browser: Browser, tmp_path: Path) -> None:
    pairs.write(pairs.datacomp(500), tmp_path / "table")
    with serving(tmp_path, str(tmp_path / "table")) as address:
        watched = Watched(browser, address)
        page = watched.open("near-threshold", ".card")
        card = page.locator(".half.above .card").first
        words = card.locator(".words").inner_text()
        card.get_by_role("button", name="Label").click()
        page.get_by_label("Your name").fill("Ada")
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_text(words)).to_be_visible()
        page.keyboard.press("y")
        expect(page.get_by_text("Saved. It does not count")).to_be_visible()
        watched.assert_quiet()
    (said,) = chosen.read(str(tmp_path / "mmc4viz-labels.sqlite"))
    assert (said.person, said.answer) == ("Ada", Answer.YES)
