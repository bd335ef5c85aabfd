"""Links reproduce a view, set nothing harmful and break no page."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import fsspec
import pytest
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from mmc4viz.ui import document_data, start
from mmc4viz.ui.cache import Memo
from mmc4viz.ui.html import error_message
from mmc4viz.ui.start import VARIABLE
from mmc4viz.ui.state import TYPED
from mmc4viz.ui.views import export
from tests.support.documents import info, write_tar
from tests.support.slowly import slow
from tests.ui import test_pages
from tests.ui.test_app import indexed
from tests.ui.test_pages import SAMPLE, alerts, markup

PAGES = (
    "threshold", "documents", "near-threshold", "label", "compare-models", "loader-audit", "slices",
    "loaders", "export",
)  # fmt: skip
NAMES = (
    "t", "t.sample-b", "loader", "o.kept", "o.lost", "min", "cap", "len", "kb", "match", "keep",
    "tok", "model", "shards",
    "index", "image_dir", "sample", "vs", "view", "s.x", "s.by", "s.slice", "s.table",
    "p.documents", "p.pairs", "p.image_tokens",
    "p.text_tokens", "p.fdr", "l.precision", "l.view", "l.goal", "l.width", "l.focus", "doc",
    "f.outcome", "f.has", "f.lo", "f.hi", "f.images", "f.images_to", "f.tokens", "f.tokens_to",
    "f.shard", "f.url", "f.by", "f.slice", "f.text", "f.sort", "f.down", "f.page", "b.view", "b.n",
    "b.other",    "b.from", "b.to", "b.below", "b.above", "l.pair",
    "m.other", "m.by", "x.order", "x.cap", "x.drop", "x.keep", "x.images", "x.models",
    "x.slices", "x.out", "x.dataset", "x.for",
    "reason", "note", "saved", TYPED, "unknown",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    "", "nan", "inf", "1e400", "-1e308", "1e308", "5e-324", "0", "-1", "1", "10", "1.5", "0x10",
    "1_000", "9" * 30, str(2**31 - 1), str(2**53), str(2**63), "\u0661", "true", "null", "[1,2]",
    '{"a":[1]}', "<b>", "\0", "é", "../x", "/etc/passwd", "{1..99999999999}.tar", "a" * 5000, "{a",
    "0.0", "1.119", "99.99", "gpt2", "sample-b", "50%", "101%", "argmax", "yes", "kept", "results",
    "http://127.0.0.1:1/a.tar", "zip://a::http://127.0.0.1:1/a.zip", ["1", "2"], ["", ""], [],
    '{"model":"sample-a","max_images":[1]}', '{"model":"sample-a","single_image_keep":1e400}',
    '{"model":"sample-a","threshold":"x"}', '{"model":"sample-a","min_images":NaN}',
)  # fmt: skip


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the stores that are asked for anything."""
    found: list[str] = []
    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda url, **_: found.append(url))
    return found


def linked(
    monkeypatch: pytest.MonkeyPatch, page: str, address: dict[str, Any], **started: Any
) -> AppTest:
    """Follow a link to a page."""
    monkeypatch.setenv(VARIABLE, json.dumps({"shards": [SAMPLE]} | started))
    app = AppTest.from_file(str(test_pages.ROOT / "app.py"), default_timeout=60)
    app.query_params.update(address)
    app._page_hash = calc_hash(page)
    app.run()
    assert not app.exception, (page, address, app.exception)
    return app


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, *slow(*range(1, 60))])
def test_no_address_breaks_a_page(
    monkeypatch: pytest.MonkeyPatch, fetched: list[str], seed: int
) -> None:
    rng = random.Random(seed)
    for page in rng.sample(PAGES, 2):
        names = rng.sample(NAMES, rng.choice([1, 3, 8, 20]))
        address = {name: rng.choice(VALUES) for name in names}
        said = markup(linked(monkeypatch, page, address))
        assert not fetched
        for sign in ("This page failed", "Out of memory"):
            assert sign not in said, (page, address)


def small(folder: Path) -> str:
    return str(write_tar(folder / "small.tar", [("a", info([[0.3, 0.1], [0.2, 0.4]]))]))


HARM = {
    "index": "/srv/index",
    "tok": "/srv/tokenizer.json",
    "x.out": "/usr/lib/python3/site-packages",
    "shards": "http://127.0.0.1:1/zz.pth",
    "image_dir": "/srv",
}


@pytest.mark.parametrize(
    ("page", "name", "value"),
    [
        ("export", "shards", HARM["shards"]),
        ("export", "x.out", HARM["x.out"]),
        *slow(*[(page, *item) for page in PAGES for item in HARM.items()]),
        *slow(("documents", "tok", "someone/tokenizer")),
    ],
)
def test_a_link_sets_nothing_that_does_harm(
    monkeypatch: pytest.MonkeyPatch, fetched: list[str], page: str, name: str, value: str
) -> None:
    app = linked(monkeypatch, page, {name: value, "t": "0.21"})
    assert not fetched
    said = markup(app)
    assert "The link asks for " in said
    assert value in said
    assert not alerts(app)
    assert app.text_area(key="shards").value == SAMPLE
    assert app.text_input(key="index").value == ""
    assert app.query_params == {"t": "0.21"}
    if page == "export":
        assert app.text_input(key="write-out").value == ""
        assert app.button(key="write-start").disabled
    app.run()
    assert "The link asks for" in markup(app)
    app.number_input(key="max_images").set_value(3).run()
    app.run()
    assert "The link asks for" not in markup(app)


def test_a_link_may_name_shards_within_the_roots(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    for folder in (inside, outside):
        folder.mkdir()
        write_tar(folder / "a.tar", [("inside" if folder is inside else "outside", info([[0.3]]))])
    (inside / "b.tar").symlink_to(outside / "a.tar")
    roots = [str(inside)]
    app = linked(monkeypatch, "documents", {"shards": str(inside / "a.tar")}, roots=roots)
    assert test_pages.keys(app) == ["inside"]
    assert app.query_params["shards"] == str(inside / "a.tar")
    for path in (outside / "a.tar", inside / ".." / "out" / "a.tar", inside / "b.tar"):
        app = linked(monkeypatch, "documents", {"shards": str(path)}, roots=roots)
        assert "The link asks for shards" in markup(app)
        assert "outside" not in test_pages.keys(app)


def test_typed_values_stay_in_the_session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    index, out = indexed(tmp_path, shards=small(tmp_path)), str(tmp_path / "out")
    roots = [str(tmp_path)]
    app = linked(monkeypatch, "export", {}, roots=roots)
    app.text_input(key="index").set_value(index).run()
    app.text_input(key="write-out").set_value(out).run()
    assert not app.exception
    assert app.text_input(key="index").value == index
    assert app.query_params[TYPED] == "index"
    assert not [values for values in app.query_params.values() if str(tmp_path) in values]
    app.session_state["written"] = ({}, 0.0)  # as when the person goes back
    app.query_params.clear()
    app.query_params["t"] = "0.3"
    app.run()
    assert app.text_input(key="index").value == index
    assert app.text_input(key="write-out").value == out
    again = linked(monkeypatch, "export", {TYPED: "index nonsense"}, roots=roots)
    assert "This view used an index entered on the page" in markup(again)
    assert again.text_input(key="index").value == ""


def test_an_index_is_opened_only_with_all_that_it_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "own").mkdir()
    index = indexed(tmp_path / "own", shards=small(tmp_path))
    app = linked(monkeypatch, "documents", {}, roots=[str(tmp_path / "own")])
    app.text_input(key="index").set_value(index).run()
    assert "small.tar: outside the folders" in alerts(app)[-1]
    assert not test_pages.keys(app)
    app = linked(monkeypatch, "documents", {}, shards=[], index=index)
    assert test_pages.keys(app) == ["a"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("shards", "s3://bucket/a.tar"), ("index", "/srv"), ("tokenizer", "../x"),
        *slow(("shards", "/etc/passwd"), ("index", "http://127.0.0.1:1"), ("tokenizer", "/srv/t")),
    ],
)  # fmt: skip
def test_what_is_typed_stays_within_the_roots(
    monkeypatch: pytest.MonkeyPatch, fetched: list[str], key: str, value: str
) -> None:
    app = linked(monkeypatch, "documents", {})
    field = app.text_area(key=key) if key == "shards" else app.text_input(key=key)
    field.set_value(value).run()
    assert len(alerts(app)) == 1
    assert "--root" in alerts(app)[0]
    assert not fetched


def test_an_unexpected_error_gives_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any) -> None:
        raise KeyError(None)

    monkeypatch.setattr(export, "current", failing)
    app = linked(monkeypatch, "threshold", {})
    assert "This page failed (KeyError)" in alerts(app)[-1]
    assert "9.0 GiB" in error_message(MemoryError("Reading the shards: Unable to allocate 9.0 GiB"))


def test_a_document_too_big_for_memory_gives_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(document_data, "_read_whole", full)
    monkeypatch.setattr(document_data.opened, "_memo", Memo())
    app = linked(monkeypatch, "documents", {"doc": "0.3"})
    assert "document 4 does not fit into memory" in alerts(app)[-1]


def test_the_page_writes_only_within_the_roots(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fetched: list[str]
) -> None:
    app = linked(monkeypatch, "export", {}, roots=[str(tmp_path / "in")])
    for out in (tmp_path, tmp_path / "in" / ".." / "x", "s3://bucket/x", "a::b"):
        app.text_input(key="write-out").set_value(str(out)).run()
        assert "write-start" not in [button.key for button in app.button]
        assert alerts(app)
    app.text_input(key="write-out").set_value(str(tmp_path / "in" / "x")).run()
    assert not app.button(key="write-start").disabled
    assert not fetched


def test_a_start_of_many_shards_is_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(start, "_given", None)
    shards = [f"/srv/{number:05}.tar" for number in range(3000)]
    start.give({"shards": shards, "roots": ["/srv"]})
    assert list(start.read_start().shards) == shards
    assert max(map(len, os.environ.values())) < 60_000


def test_a_shard_of_which_a_sample_has_nothing_is_audited(monkeypatch: pytest.MonkeyPatch) -> None:
    app = linked(monkeypatch, "loader-audit", {"sample": "10"})
    assert not alerts(app)


def test_a_component_of_a_page_that_was_left_asks_nothing() -> None:
    def script() -> None:
        import streamlit as st

        from mmc4viz.ui import state

        st.session_state["there"] = {"asked": 3}
        st.write([state.asked("there", "asked"), state.asked("gone", "asked")])

    assert AppTest.from_function(script).run().json[0].value == "[3, null]"
