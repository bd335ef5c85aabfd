"""What the dashboard remembers, and what it says of an address that it does not understand."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from mmc4viz.text import escaped
from mmc4viz.thresholds.compare.equivalent import EquivalentThreshold
from mmc4viz.thresholds.compare.roc import evidence, match_by_precision
from mmc4viz.thresholds.labels import store as labels
from mmc4viz.types import ConfigError
from mmc4viz.ui.saved import store
from mmc4viz.ui.saved.store import RecordKind, SavingError
from mmc4viz.ui.start import SETTINGS
from tests.support.documents import info, write_tar
from tests.support.hostile import MARK, TEXTS
from tests.support.serving import serving
from tests.thresholds.test_compare import label_file, sample
from tests.ui.test_app import sent
from tests.ui.test_export_page import exported
from tests.ui.test_pages import SAMPLE, alerts, markup, opened


def accepted(
    monkeypatch: pytest.MonkeyPatch, **start: Any
) -> tuple[dict[str, str], dict[str, Any]]:
    """Accept a suggestion and note something; return the address and what is exported."""
    app = opened(monkeypatch, "", SAMPLE, start, **{"p.documents": "40%"})
    app.button(key="use-yield").click().run()
    app._page_hash = calc_hash("export")
    app.run()
    app.text_input(key="export-note").set_value("For the *pilot*.").run()
    found = exported(app).provenance
    assert found["chosen"]["target"] == "documents ≥ 40%"
    return dict(app.query_params.items()), found


def test_an_accepted_suggestion_and_its_note_reach_everybody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address, found = accepted(monkeypatch)
    assert store.is_id(address["reason"])
    assert store.is_id(address["note"])
    assert len("".join(address.values())) < 40  # the records are not in it
    for _ in range(2):  # a reload, and a colleague's browser
        again = opened(monkeypatch, "export", **address)
        assert exported(again).provenance["chosen"] == found["chosen"]
        assert exported(again).provenance["note"] == found["note"] == "For the *pilot*."
        assert again.text_input(key="export-note").value == "For the *pilot*."
        assert dict(again.query_params.items()) == address
        assert "no longer applies" not in markup(again)
    again.text_input(key="export-note").set_value("Other words.").run()
    other = opened(monkeypatch, "export", **address)  # the first tab's note is as it was
    assert exported(other).provenance["note"] == "For the *pilot*."


def test_a_basis_named_by_hand_survives_too(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(monkeypatch, "export")
    assert not Path(SETTINGS).exists()  # a page that is opened saves nothing
    app.selectbox(key="export-basis").set_value("fdr").run()
    again = opened(monkeypatch, "export", **dict(app.query_params.items()))
    assert exported(again).provenance["chosen"] == {"basis": "fdr"}
    assert again.selectbox(key="export-basis").value == "fdr"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cap": "3"}, "it was made with max images 6, not with max images 3"),
        ({"t": "0.3"}, "it was made for threshold 0.245, not 0.3"),
        ({"model": "sample-b"}, "it was made for sample-a, not sample-b"),
        ({"sample": "100"}, "it was made for all documents, not for a sample of 100 documents"),
    ],
    ids=str,
)
def test_a_suggestion_made_for_something_else_is_void_and_says_why(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, str], words: str
) -> None:
    address, _ = accepted(monkeypatch)
    before = Path(SETTINGS).read_bytes()
    app = opened(monkeypatch, "export", **(address | change))
    assert "The suggestion in this address (documents ≥ 40%) no longer applies" in markup(app)
    assert words in markup(app)
    assert exported(app).provenance["chosen"] == {"basis": "manual"}
    assert exported(app).provenance["note"] == "For the *pilot*."
    assert "reason" not in app.query_params
    assert Path(SETTINGS).read_bytes() == before  # following a link writes nothing
    quiet = opened(monkeypatch, "export", **dict(app.query_params.items()))
    assert "no longer applies" not in markup(quiet)


def test_a_suggestion_for_another_corpus_is_void(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address, _ = accepted(monkeypatch)
    shard = write_tar(tmp_path / "other.tar", [("a", info([[0.3, 0.1], [0.2, 0.4]]))])
    app = opened(monkeypatch, "export", str(shard), **address)
    assert "it was made for sample_data (240 documents)" in markup(app)


@pytest.mark.slow
def test_labels_that_changed_void_a_suggestion_with_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = label_file(tmp_path, 100, 0)
    start = {"labels": path}
    app = opened(monkeypatch, "label", SAMPLE, start, **{"l.precision": "0.8", "l.view": "results"})
    app.button(key="use-precision").click().run()
    address = dict(app.query_params.items())
    again = opened(monkeypatch, "export", SAMPLE, start, **address)
    assert exported(again).provenance["chosen"]["target"] == "precision ≥ 80%"
    n = len(labels.read(path))
    with labels.writing(path) as connection:
        connection.execute("UPDATE judgements SET verdict = 'unsure' WHERE id = 1")
    void = f"it was made from {n} labels, which have changed since (now {n})"
    assert void in markup(opened(monkeypatch, "export", SAMPLE, start, **address))
    assert void in markup(again.run())  # an open page, too
    assert exported(again).provenance["chosen"] == {"basis": "manual"}


def save(app: AppTest, name: str) -> str:
    next(one for one in app.text_input if one.label == "Name").set_value(name)
    next(one for one in app.button if one.label == "Save").click().run()
    assert not app.exception
    return str(app.query_params.get("vs", ""))


def options(app: AppTest) -> list[str]:
    found: list[str] = app.selectbox(key="saved-settings").options
    return found


@pytest.mark.slow
def test_saved_settings_are_renamed_compared_deleted_and_handed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = opened(monkeypatch, "", t="0.3", cap="2")
    second = opened(monkeypatch, "", t="0.2")
    name = save(first, "strict")
    assert options(second.run()) == ["strict (sample-a)"]  # at the next run
    save(second, "loose")
    assert options(first.run()) == ["strict (sample-a)", "loose (sample-a)"]
    assert sent(first)["set"]["value"] == 0.3  # each tab keeps its own settings
    save(second, "strict")  # other values under the same name
    assert "“strict” is saved already" in "".join(alerts(second))
    assert len(options(second)) == 2
    first.text_input(key="saved-settings-name").set_value("<b>very strict")
    first.button(key="saved-rename").click().run()
    assert options(second.run())[0] == "<b>very strict (sample-a)"
    colleague = opened(monkeypatch, "", saved=name)
    assert (sent(colleague)["set"]["value"], colleague.number_input(key="max_images").value) == (
        0.3,
        2,
    )
    assert "Saved settings “&lt;b&gt;very strict” applied: sample-a" in markup(colleague)
    assert colleague.query_params == {"t": "0.3", "cap": "2"}
    second.selectbox(key="saved-settings").set_value(name).run()
    second.button(key="saved-compare").click().run()
    assert sent(second)["compared"]["label"] == "<b>very strict"
    first.button(key="saved-delete").click().run()
    assert sent(second.run())["compared"]["label"] == "0.24"
    gone = opened(monkeypatch, "", saved=name)
    assert "is not the id of settings saved on this server; ignored" in markup(gone)


@pytest.mark.slow
def test_saved_settings_carry_their_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = save(opened(monkeypatch, "", model="sample-b", **{"t.sample-b": "0.5"}), "b")
    app = opened(monkeypatch, "", t="0.3", saved=name)
    assert app.selectbox(key="clip-model").value == "sample-b"
    assert app.query_params == {"model": "sample-b", "t": "0.3", "t.sample-b": "0.5"}
    shard = write_tar(tmp_path / "other.tar", [("a", info([[0.3, 0.1], [0.2, 0.4]]))])
    app = opened(monkeypatch, "", str(shard), saved=name)
    assert "which this corpus has no scores of" in markup(app)
    assert app.button(key="saved-apply").disabled


@pytest.mark.slow
def test_what_cannot_be_written_is_said_once_and_works(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    for hinder in ({"read_only": True}, {"roots": [str(tmp_path / "file" / "x")]}, {}):
        if not hinder:
            Path(SETTINGS).write_text("not ours")
        app = opened(monkeypatch, "", SAMPLE, hinder, **{"p.documents": "40%"})
        assert "Nothing will be remembered" not in markup(app)
        app.button(key="use-yield").click().run()
        assert markup(app).count("Nothing will be remembered") == 2  # once, and in the list
        save(app, "lost")
        assert sent(app)["compared"]["label"] == "lost"
        assert markup(app).count("Nothing will be remembered") == 1
        app._page_hash = calc_hash("export")
        assert exported(app.run()).provenance["chosen"]["target"] == "documents ≥ 40%"
        again = opened(monkeypatch, "export", SAMPLE, hinder, **dict(app.query_params.items()))
        assert "is not a suggestion saved on this server; using basis manual" in markup(again)
    assert Path(SETTINGS).read_text() == "not ours"


WRITER = """
import sys
from mmc4viz.ui.saved.store import RecordKind, add_record, change_file
path, who = sys.argv[1:]
for n in range(40):
    change_file(path, lambda there: add_record(there[RecordKind.NOTE], RecordKind.NOTE,
                                               {"note": f"{who} {n}"}))
"""


@pytest.mark.slow
def test_two_processes_lose_no_record(tmp_path: Path) -> None:
    path = str(tmp_path / SETTINGS)
    command = [sys.executable, "-c", WRITER, path]
    writers = [subprocess.Popen([*command, who], stderr=subprocess.DEVNULL) for who in "ab"]
    assert [writer.wait(120) for writer in writers] == [0, 0]
    found = store.change_file(path, lambda there: list(there[RecordKind.NOTE].values()))
    assert {one["note"] for one in found} == {f"{who} {n}" for who in "ab" for n in range(40)}
    assert sorted(one.name for one in tmp_path.iterdir()) == [SETTINGS, f"{SETTINGS}.lock"]


def test_the_file_stays_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / SETTINGS)
    for kind in RecordKind:
        monkeypatch.setitem(store._MOST, kind, 3)

    def add(kind: RecordKind, words: str) -> str:
        return store.change_file(
            path, lambda there: store.add_record(there[kind], kind, {"w": words})
        )

    names = [add(RecordKind.ACCEPTED, str(n)) for n in range(5)]
    assert add(RecordKind.ACCEPTED, "4") == names[4]  # the same record
    assert list(json.loads(Path(path).read_text())["accepted"]) == names[2:]
    for n in range(3):
        add(RecordKind.SETTINGS, str(n))
    with pytest.raises(ConfigError, match="delete some first"):
        add(RecordKind.SETTINGS, "one more")
    with pytest.raises(ConfigError, match="too long"):
        add(RecordKind.NOTE, "a" * 20_000)
    for content in (b"[", b"[]", b'{"version": 2}', b"\xff", b"[" * 100_000):
        Path(path).write_bytes(content)
        with pytest.raises(SavingError, match="move it away"):
            add(RecordKind.NOTE, "x")
        assert Path(path).read_bytes() == content


def test_settings_saved_by_an_older_version_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    old = {"strict": json.dumps({"threshold": 0.3, "max_images": 2, "model": "sample-a"})}
    Path(SETTINGS).write_text(json.dumps(old))
    app = opened(monkeypatch, "")
    assert options(app) == ["strict (sample-a)"]
    app.button(key="saved-apply").click().run()
    assert app.query_params == {"t": "0.3", "cap": "2"}
    save(app, "again")
    assert options(opened(monkeypatch, "")) == ["strict (sample-a)", "again (sample-a)"]


def test_ids_that_collide_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_ids", lambda _: iter(["aaaaaaaaa2", "aaaaaaaaa3"]))
    there: dict[str, Any] = {}
    names = [store.add_record(there, RecordKind.NOTE, {"note": words}) for words in ("x", "y", "x")]
    assert names == ["aaaaaaaaa2", "aaaaaaaaa3", "aaaaaaaaa2"]


@pytest.mark.parametrize(
    ("page", "name", "value", "expected"),
    [
        ("", "cap", "banana", "a whole number from 1 to 2,147,483,647; using 6."),
        ("", "cap", "0", "a whole number from 1"),
        ("", "keep", "2", "a number from 0 to 1; using 0.5."),
        ("", "match", "best", "one of one_to_one, argmax"),
        ("", "t", "high", "a number; using 0.24."),
        ("", "p.x", "1", "a target; ignored."),
        ("", "view", "{", "a view of these charts; using the usual one."),
        ("", "vs", "abcdefghi2", "a threshold or the id of settings"),
        ("", "model", "ViT-L", "a CLIP model of this corpus; using sample-a."),
        ("", "t.ViT-L", "0.2", "the threshold of a CLIP model of this corpus; ignored."),
        ("documents", "doc", "7.1", "a document of this corpus; ignored."),
        ("documents", "f.outcome", "<b>", "a choice of Outcome; using any outcome."),
        ("documents", "f.lo", "nan", "a number; ignored."),
        ("documents", "f.page", "77", "a whole number from 1 to "),
        ("documents", "f.x", "1", "a filter of this version"),
        ("documents", "d.columns", "key,<b>", "a list of this table's columns; using key."),
        ("near-threshold", "b.view", "x", "one of "),
        ("export", "x.images", "1", "yes or no; using yes."),
        ("export", "reason", "../../etc", "a suggestion saved on this server; using basis manual."),
        ("export", "note", TEXTS[0], "a note saved on this server; ignored."),
    ],
)
def test_what_an_address_says_in_vain_is_told_once(
    monkeypatch: pytest.MonkeyPatch, page: str, name: str, value: str, expected: str
) -> None:
    app = opened(monkeypatch, page, **{name: value})
    said = [part for part in markup(app).split("<div") if "This address has" in part]
    assert len(said) == 1
    assert str(escaped(f"which is not {expected}")) in said[0]
    assert len(value) > 40 or str(escaped(f'"{name}={value}", ')) in said[0]
    assert len(said[0]) < 400
    assert not alerts(app)
    for tag in ("<script", "<iframe", "<a ", "<img src=x"):
        assert tag not in said[0]
    assert app.query_params.get(name) != value
    again = opened(monkeypatch, page, **dict(app.query_params.items()))
    assert "This address has" not in markup(again)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ({"colour": "red"}, '"colour=red", which this version of mmc4viz does not know; ignored.'),
        ({"cap": "a" * 5000}, f'"cap={"a" * 56}…", which is longer than 4,000 characters'),
        ({"cap": "a\0\n\u202eb"}, '"cap=a\\x00 \\u202eb", which is not a whole number'),
    ],
)
def test_strange_names_and_values_are_shown_as_text(
    monkeypatch: pytest.MonkeyPatch, address: dict[str, str], words: str
) -> None:
    assert str(escaped(words)) in markup(opened(monkeypatch, "", **address))


def test_many_things_are_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    strange = {f"x{n}": MARK for n in range(50)}
    app = opened(monkeypatch, "", **strange)
    [said] = [part for part in markup(app).split("<div") if "This address has" in part]
    assert "It also has 47 more that were ignored." in said
    assert "x4" not in app.query_params
    assert "This address has" in markup(app.run())
    app.number_input(key="max_images").set_value(3).run()
    assert "This address has" not in markup(app)


@pytest.mark.slow
def test_another_model_starts_at_equal_precision(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = label_file(tmp_path, 200, 0, 1)
    start = {"labels": path}
    pair = sample()
    found = match_by_precision(*pair, evidence(path, pair), 0.24)
    assert isinstance(found, EquivalentThreshold)
    app = opened(monkeypatch, "", SAMPLE, start)
    app.selectbox(key="clip-model").set_value("sample-b").run()
    assert sent(app)["set"]["value"] == round(found.second, 3)
    assert f"{found.second:.12g} at equal precision, {found.found:.0%}" in markup(app)
    compared = opened(monkeypatch, "compare-models", SAMPLE, start)
    assert f"<td>{found.second:.12g}</td>" in markup(compared).replace("<b>", "").replace(
        "</b>", ""
    )
    app.button(key="equivalent-instead").click().run()
    assert "documents; 0.24 of sample-a keeps" in markup(app)
    assert (
        app.button(key="equivalent-instead").label
        == f"Use {round(found.second, 3):g}: equal precision"
    )
    app.button(key="equivalent-undo").click().run()
    assert sent(app)["set"]["value"] == 0.24
    (tmp_path / "one").mkdir()
    app = opened(monkeypatch, "", SAMPLE, {"labels": label_file(tmp_path / "one", 100, 0)})
    app.selectbox(key="clip-model").set_value("sample-b").run()
    assert "equal precision" not in markup(app)
    assert "documents; 0.24 of sample-a keeps" in markup(app)


# In a browser


@pytest.mark.slow
def test_a_reload_a_second_tab_and_a_link_keep_what_was_accepted(
    browser: Browser, tmp_path: Path
) -> None:
    with serving(tmp_path, SAMPLE) as address:
        page = browser.new_page()
        page.goto(f"{address}/?p.documents=40%25")
        page.get_by_role("button", name="Apply", exact=True).click(timeout=60_000)
        expect(page.get_by_role("button", name="In use")).to_be_visible()
        page.get_by_role("button", name="Save settings").click()
        page.get_by_label("Name", exact=True).fill("pilot")
        page.get_by_role("button", name="Save", exact=True).click()
        link = page.get_by_text("?saved=")
        expect(link).to_be_visible()
        page.get_by_role("link", name="Export", exact=True).click()
        page.get_by_label("Note").fill("For the pilot.")
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile("note="))
        page.reload()
        colleague = browser.new_context().new_page()
        colleague.goto(page.url)
        for one in (page, colleague):
            expect(one.get_by_label("Note")).to_have_value("For the pilot.", timeout=60_000)
            expect(one.get_by_text("Target: documents ≥ 40%.")).to_be_visible()
        name = next(iter(json.loads((tmp_path / SETTINGS).read_text())["settings"]))
        colleague.goto(f"{address}/?saved={name}")
        applied = colleague.get_by_text(
            "Saved settings “pilot” applied: sample-a, threshold 0.245."
        )
        expect(applied).to_be_visible(timeout=60_000)
        expect(colleague).to_have_url(re.compile(r"t=0\.245"))
        expect(colleague).not_to_have_url(re.compile("saved="))
        colleague.goto(f"{address}/?cap=banana&t=0.3")
        expect(colleague.get_by_text("This address has")).to_be_visible(timeout=60_000)
        expect(colleague).not_to_have_url(re.compile("banana"))
        colleague.reload()
        expect(colleague.get_by_text("Documents kept")).to_be_visible(timeout=60_000)
        expect(colleague.get_by_text("This address has")).to_have_count(0)
        page.close()
        colleague.close()
