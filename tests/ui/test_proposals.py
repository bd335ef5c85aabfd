"""Suggested thresholds on the page Threshold, without a browser."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.util import calc_hash

from mmc4viz import LoaderConfig, expand, load_tokenizer, match_corpus, read_columns
from mmc4viz.cli import main
from mmc4viz.text import escaped
from mmc4viz.thresholds.by_yield import steps_of_scores
from mmc4viz.thresholds.fdr.estimate import by_fdr, estimate_fdr
from mmc4viz.thresholds.fdr.matrices import stack_of
from mmc4viz.types import ConfigError
from mmc4viz.ui import cache, proposals
from tests.support.hostile import TEXTS
from tests.thresholds.test_compare import label_file
from tests.ui.test_app import sent
from tests.ui.test_export_page import started
from tests.ui.test_pages import SAMPLE, alerts, markup, opened

CONFIG = LoaderConfig()


@pytest.fixture(scope="module")
def matched() -> Any:
    return match_corpus([read_columns(s, load_tokenizer()) for s in expand([SAMPLE])], CONFIG)


def test_nothing_is_suggested_without_a_target(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(monkeypatch, "")
    assert sent(app)["proposals"] == []
    assert app.query_params == {"t": "0.24"}
    assert not [button for button in app.button if button.label == "Apply"]


@pytest.mark.slow
def test_a_yield_is_the_highest_step_that_leaves_enough(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], matched: Any
) -> None:
    app = opened(monkeypatch, "")
    app.text_input(key="target-p.documents").set_value("40%")
    app.text_input(key="target-p.text_tokens").set_value("15000").run()
    assert app.query_params["p.documents"] == "40%"
    steps = steps_of_scores(matched, CONFIG)

    def left(threshold: float) -> dict[str, float]:
        return steps.at(int(np.searchsorted(steps.threshold, threshold)))

    [mark] = sent(app)["proposals"]
    found = float(mark["label"])
    enough = [
        left(k / 1000)["documents"] >= 96 and left(k / 1000)["text_tokens"] >= 15_000
        for k in range(round(found * 1000), 380)
    ]
    assert enough == [True, *[False] * (len(enough) - 1)]
    kept = left(found)["documents"]
    assert f"{kept:,.10g} documents, {kept / 240:.1%} of all documents (target 96)" in markup(app)
    targets = ["--keep", "documents=40%", "--keep", "text_tokens=15000"]
    with pytest.raises(SystemExit):
        main(["suggest", SAMPLE, *targets, "--format", "json"])
    [said] = json.loads(capsys.readouterr().out)
    assert (said["threshold"], said["kept"]) == (found, left(found))  # the command's number
    app.button(key="use-yield").click().run()
    assert sent(app)["set"]["value"] == found
    app.text_input(key="target-p.documents").set_value("").run()
    assert "p.documents" not in app.query_params


def test_a_proposal_in_use_survives_a_reload(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(monkeypatch, "", **{"p.documents": "40%"})
    app.button(key="use-yield").click().run()
    address = dict(app.query_params.items())
    taken = app.session_state["taken-proposal"]
    assert taken.reasons["basis"] == "yield"
    assert taken.name in address["reason"]
    again = opened(monkeypatch, "export", **address)
    assert again.session_state["taken-proposal"] == taken
    for lie in ({"t": "0.3"}, {"cap": "3"}, {"reason": "abcdefghi2"}, {"reason": "<b>"}):
        other = opened(monkeypatch, "export", **(address | lie))
        assert "taken-proposal" not in other.session_state


def at_once(waiting: Sequence[proposals.Waiting]) -> None:
    """Run the background computations now."""
    for one in waiting:
        cache.ask(one.key, one.work)._thread.join(60)
        assert one.ready()
        cache.forget(one.key)


@pytest.mark.slow
def test_a_rate_comes_from_the_background(monkeypatch: pytest.MonkeyPatch, matched: Any) -> None:
    app = opened(monkeypatch, "", **{"p.fdr": "20%", "kb": "11"})
    assert "Estimating the false-discovery rate" in markup(app)
    assert sent(app)["proposals"] == []
    with monkeypatch.context() as patched:
        patched.setattr(proposals, "_wait", at_once)
        app = opened(monkeypatch, "", **{"p.fdr": "20%"}).run()
    expected = by_fdr(estimate_fdr(stack_of(matched)), 0.2)
    [mark] = sent(app)["proposals"]
    assert float(mark["label"]) == expected.threshold
    assert f"{expected.estimate:.1%} of kept pairs are incorrect" in markup(app)
    assert expected.assumption in mark["source"]
    app = opened(monkeypatch, "", **{"p.fdr": "1%", "cap": "3"})  # these do not change the estimate
    assert "No threshold for FDR ≤ 1" in markup(app)
    assert sent(app)["proposals"] == []


@pytest.mark.slow
def test_labels_propose_on_both_pages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = label_file(tmp_path, 100, 0)
    monkeypatch.setattr(proposals, "_wait", at_once)
    app = started(monkeypatch, "", labels=path).run()
    app.text_input(key="target-precision").set_value("80 %").run()
    assert app.query_params["l.precision"] == "0.8"
    [mark] = sent(app.run())["proposals"]
    assert mark["name"] == "precision ≥ 80%"
    [words] = [part for part in re.split("</?p>", markup(app)) if part.startswith("Lowest")]
    for part in ("one-sided 95% lower bound", "two-sided 95% CI", "just above it"):
        assert part in words
    app.session_state["chosen"] |= {"l.view": "results"}
    app._page_hash = calc_hash("label")
    assert words in markup(app.run())


@pytest.mark.parametrize("text", ["-1", "200%", "x", "<b>", "nan", "1e999", TEXTS[0][:30]])
def test_invalid_targets_give_one_line(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    targets = {"p.documents": text, "p.fdr": text, "l.precision": text, "l.goal": text}
    app = opened(monkeypatch, "", **targets)
    assert not alerts(app)
    assert sent(app)["proposals"] == []
    assert re.search("enter a percent or a count|the target must be", markup(app))
    assert f"{escaped(repr(text))} is not a share" in markup(app)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        proposals.share(text)


@pytest.mark.slow
def test_no_fdr_from_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(monkeypatch, "", **{"p.documents": "40%", "p.fdr": "10%", "sample": "100"})
    assert "Not available for a sample" in markup(app)
    [mark] = sent(app)["proposals"]
    assert "Estimated from 100 randomly sampled documents" in mark["source"]


def test_an_invalid_label_file_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "labels.sqlite"
    path.write_text("no labels at all" * 100)
    app = started(monkeypatch, "", labels=str(path))
    assert "No suggestion from labels: " in markup(app)
    assert "is not a label file" in markup(app)
    assert not alerts(app)
    app._page_hash = calc_hash("export")
    app.run()
    app.selectbox(key="export-basis").set_value("precision").run()
    assert "is not a label file" in "".join(alerts(app))


def test_all_targets_are_met_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {"p.documents": "30%", "p.passes": "2", "p.single": "40%", "corpus": "101.2M"}
    app = opened(monkeypatch, "", **asked)
    with pytest.raises(SystemExit):
        main(["suggest", SAMPLE, "--keep", "documents=30%", "--passes", "2", "--budget", "60M",
              "--corpus-size", "101.2M", "--single-image", "40%", "--format", "json"])  # fmt: skip
    wanted = json.loads(capsys.readouterr().out)[-1]
    marks = {mark["basis"]: mark for mark in sent(app)["proposals"]}
    assert set(marks) == {"yield", "combined"}
    assert float(marks["combined"]["label"]) == wanted["threshold"]
    assert marks["combined"]["name"] == "all targets"
    shown = markup(app)
    assert f"Above it, {escaped(wanted['binds_above'][0])} is missed." in shown
    for target in wanted["targets"]:
        assert escaped(f"{target['words']} ({target['target']})") in shown
    app.button(key="use-combined").click().run()
    assert app.query_params["t"] == f"{wanted['threshold']:g}"
    assert app.button(key="use-combined").label == "In use"
    assert proposals_reasons(app)["binds_above"] == wanted["binds_above"]


def proposals_reasons(app: Any) -> dict[str, Any]:
    return dict(app.session_state["taken-proposal"].reasons)


def test_targets_that_contradict_each_other_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(monkeypatch, "", **{"p.documents": "70%", "p.single": "10%"})
    assert escaped("documents ≥ 70% contradicts single-image sequences ≤ 10%") in markup(app)
    assert "nearest is 0." in markup(app)
    assert not [one for one in app.button if one.key == "use-combined"]


@pytest.mark.slow
def test_precision_is_met_as_well_if_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    start = {"labels": label_file(tmp_path, 200, 0)}
    address = {"p.documents": "10%", "l.precision": "0.5"}
    app = opened(monkeypatch, "", start=start, **address)
    assert "precision ≥ 50% (" not in markup(app) and "also met all at once" in markup(app)
    app.toggle(key="target-precise").set_value(True).run()
    assert app.query_params["p.precision"] == "yes"
    assert re.search(r"[\d.]+% \(precision ≥ 50%\)", markup(app))


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("p.passes", "0", "is not a number of passes"),
        ("p.passes", "1e999", "is not a number of passes"),
        ("p.passes", "<b>", "is not a number of passes"),
        ("p.single", "140%", "is not a share between 0 and 1"),
    ],
)
def test_a_limit_that_says_nothing_is_one_line(
    monkeypatch: pytest.MonkeyPatch, field: str, text: str, said: str
) -> None:
    app = opened(monkeypatch, "")
    app.text_input(key=f"target-{field}").set_value(text).run()
    assert said in markup(app) and "<b>'" not in markup(app)
    assert not app.exception and sent(app)["proposals"] == []
