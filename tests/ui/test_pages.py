"""The pages Documents, Near threshold and Loader audit without a browser."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

import mmc4viz
from mmc4viz import LoaderConfig, expand, load_tokenizer, parse_document, samples, walk
from mmc4viz.cli import main
from mmc4viz.sweep import duplicates, query
from mmc4viz.text import escaped
from mmc4viz.types import Document, Outcome, Verdict
from mmc4viz.ui import document_data, html, state
from mmc4viz.ui.components import charts, document_list
from mmc4viz.ui.components.document_filters import CONTAINS, ORDERS, OUTCOMES
from mmc4viz.ui.start import VARIABLE
from mmc4viz.ui.views import documents as find
from tests.support.documents import chatgpt, entry, info, jpeg, write_tar
from tests.support.hostile import DOCUMENTS, MARK, TEXTS, write_hostile, write_hostile_obelics

ROOT = Path(mmc4viz.__file__).parents[1]
SAMPLE = str(ROOT / "sample_data")


def opened(
    monkeypatch: pytest.MonkeyPatch,
    page: str,
    shards: str = SAMPLE,
    start: dict[str, Any] | None = None,
    **address: str,
) -> AppTest:
    """Open one of the pages at an address, as a link does."""
    monkeypatch.setenv(VARIABLE, json.dumps({"shards": [shards]} | (start or {})))
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    app.query_params.update(address)
    app._page_hash = calc_hash(page)  # what the browser asks for; switch_page knows files only
    app.run()
    assert not app.exception, app.exception
    return app


def markup(app: AppTest) -> str:
    return "\n".join(element.proto.body for element in app.get("html"))


def alerts(app: AppTest) -> list[str]:
    return [e.proto.body for e in app.get("html") if 'role="alert"' in e.proto.body]


@cache
def whole_keys() -> dict[str, str]:
    """Return the sample's keys by their forms in the list, which are shortened in the middle."""
    found = [sample.key for shard in expand([SAMPLE]) for sample in samples(shard)]
    short = {document_list._shortened(key): key for key in found}
    assert len(short) == len(found) and all(len(key) < 14 for key in short)
    return short


def sent(app: AppTest, component: str) -> list[dict[str, Any]]:
    """Return what the components of a page were sent."""
    found = [element.proto for element in app.get("bidi_component")]
    return [json.loads(one.json) for one in found if one.component_name == component]


def cells(app: AppTest, column: str) -> list[str]:
    """Return a column of the list, as shown."""
    [shown] = sent(app, "mmc4viz.list") or [{"columns": [], "rows": []}]
    names = [one["name"] for one in shown["columns"]]
    return [row["cells"][names.index(column)][0] for row in shown["rows"]]


def keys(app: AppTest) -> list[str]:
    return [whole_keys().get(key, key) for key in cells(app, "key")]


@pytest.fixture(scope="module")
def walks() -> list[tuple[Document, Verdict]]:
    tokenizer, config = load_tokenizer(), LoaderConfig()
    documents = [
        parse_document(sample.key, sample.raw)
        for shard in expand([SAMPLE])
        for sample in samples(shard)
    ]
    return [(document, walk(document, config, tokenizer)) for document in documents]


def nearest(verdict: Verdict) -> float:
    return min((abs(pair.score - 0.24) for pair in verdict.pairs), default=9.0)


@pytest.mark.slow
def test_documents_closest_to_the_threshold_first(
    monkeypatch: pytest.MonkeyPatch, walks: list[tuple[Document, Verdict]]
) -> None:
    app = opened(monkeypatch, "documents")
    expected = sorted(walks, key=lambda one: nearest(one[1]))
    assert keys(app) == [document.key for document, _ in expected[:50]]
    app = opened(monkeypatch, "documents", **{"f.page": "5"})
    assert keys(app) == [document.key for document, _ in expected[200:]]


@pytest.mark.parametrize("outcome", [str(outcome) for outcome in Outcome])
def test_each_outcome_is_listed_and_opens(
    monkeypatch: pytest.MonkeyPatch, walks: list[tuple[Document, Verdict]], outcome: str
) -> None:
    app = opened(monkeypatch, "documents", **{"f.outcome": outcome, "f.sort": "place"})
    expected = [
        (number, verdict) for number, (_, verdict) in enumerate(walks) if verdict.outcome == outcome
    ]
    assert keys(app) == [walks[number][0].key for number, _ in expected[:50]]
    if not expected:
        assert "No documents match" in markup(app)
        return
    for number, verdict in expected[:3]:
        app = opened(monkeypatch, "documents", doc=f"{number // 120}.{number % 120}")
        assert escaped(verdict.key) in markup(app)
        if verdict.detail:
            assert escaped(verdict.detail) in markup(app)


def test_filters_in_the_address_are_those_of_the_widgets(
    monkeypatch: pytest.MonkeyPatch, walks: list[tuple[Document, Verdict]]
) -> None:
    address = {
        "f.lo": "0.25", "f.hi": "0.3", "f.images": "2", "f.images_to": "4", "f.tokens": "1",
        "f.shard": "0001", "f.url": "example", "f.sort": "best", "f.down": "1",
    }  # fmt: skip
    app = opened(monkeypatch, "documents", **address)
    expected = []
    for number, (document, verdict) in enumerate(walks):
        best = max((pair.score for pair in verdict.pairs), default=-1.0)
        fits = 0.25 <= best <= 0.3 and 2 <= len(document.images) <= 4
        if fits and verdict.text_tokens >= 1 and number >= 120 and "example" in document.url:
            expected.append((best, number, document.key))
    assert keys(app) == [key for *_, key in sorted(expected)][:50]
    assert app.number_input(key="filter-lo").value == 0.25
    assert app.selectbox(key="filter-sort").value == "best"
    assert app.text_input(key="filter-shard").value == "0001"


def test_a_filter_is_kept_in_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(monkeypatch, "documents", **{"f.page": "3"})
    app.selectbox(key="filter-outcome").set_value("unreadable").run()
    assert app.query_params["f.outcome"] == "unreadable"
    assert "f.page" not in app.query_params
    assert set(cells(app, "outcome")) == {"unreadable"}
    app.button(key="filters-clear").click().run()
    assert "f.outcome" not in app.query_params
    assert app.selectbox(key="filter-outcome").value == ""
    assert len(keys(app)) == 50


@pytest.mark.parametrize("name", [name for name in CONTAINS if name])
def test_every_contains_filter(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    app = opened(monkeypatch, "documents", **{"f.has": name})
    assert app.selectbox(key="filter-has").value == name


@pytest.mark.parametrize("name", ORDERS)
def test_every_order(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    app = opened(monkeypatch, "documents", **{"f.sort": name, "f.down": "1"})
    assert len(keys(app)) == 50


@pytest.mark.parametrize(
    "address",
    [
        {"doc": "99.1"}, {"doc": "0.120"}, {"doc": "-1.0"}, {"doc": "a"}, {"doc": "0.٣"},
        {"f.outcome": "<b>"}, {"f.has": "x"}, {"f.sort": "__class__"}, {"f.lo": "nan"},
        {"f.lo": "1e999"}, {"f.images": "1e400"}, {"f.images": "-3"}, {"f.page": "0"},
        {"f.page": "9" * 30}, {"f.page": "77"}, {"f.url": TEXTS[0]}, {"b.view": "x"},
        {"b.n": "-1"}, {"b.other": "one_to_one"}, {"f.tokens": "9" * 40},
    ],
    ids=str,
)  # fmt: skip
def test_invalid_addresses_are_ignored(
    monkeypatch: pytest.MonkeyPatch, address: dict[str, str]
) -> None:
    for page in ("documents", "near-threshold"):
        app = opened(monkeypatch, page, **address)
        assert not alerts(app)


def test_next_and_previous(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(monkeypatch, "documents", **{"f.sort": "key", "f.down": "1"})
    order = keys(app)
    assert app.button(key="way-previous").disabled
    for expected in order[:2]:
        app.button(key="way-next").click().run()
        assert escaped(expected) in markup(app)
    app.button(key="way-previous").click().run()
    assert escaped(order[0]) in markup(app)
    place = links_place(app)
    app = opened(monkeypatch, "documents", doc=place, **{"f.sort": "key", "f.page": "1"})
    assert "240 of 240" in [text.value for text in app.text]
    assert app.button(key="way-next").disabled


def links_place(app: AppTest) -> str:
    place: str = app.query_params["doc"]
    return place


def test_next_turns_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(monkeypatch, "documents", **{"f.sort": "place", "doc": "0.49"})
    app.button(key="way-next").click().run()
    assert app.query_params["doc"] == "0.50"
    assert app.query_params["f.page"] == "2"
    assert len(keys(app)) == 50


def test_the_open_document_s_page_follows_the_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(monkeypatch, "documents", doc="0.7", **{"f.sort": "nearest"})
    for threshold in (0.2, 0.3):
        app.number_input(key="threshold").set_value(threshold).run()
        assert app.query_params["doc"] == "0.7"
        assert "The open document is not in this list." not in [t.value for t in app.text]
        [shown] = sent(app, "mmc4viz.list")
        row = [one["id"] for one in shown["rows"]].index(shown["open"])
        assert keys(app)[row] in markup(app)


def test_search_runs_on_demand(
    monkeypatch: pytest.MonkeyPatch, walks: list[tuple[Document, Verdict]]
) -> None:
    app = opened(monkeypatch, "documents", **{"f.text": "HARBOUR", "f.sort": "place"})
    assert keys(app) == []
    assert app.button(key="find-start").label == "Search 240 documents"
    app.button(key="find-start").click().run()
    expected = [
        document.key
        for document, _ in walks
        if "harbour" in "\n".join(document.sentences or [document.example or ""]).casefold()
    ]
    assert expected
    assert keys(app) == expected[:50]
    assert f"Searched all 240 documents: {len(expected)} found" in [t.value for t in app.text]
    app.text_input(key="filter-text").set_value("zzz harbour").run()  # typing starts the search
    assert "Searched all 240 documents: 0 found" in [text.value for text in app.text]


def test_an_interrupted_search_is_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(monkeypatch, "documents", **{"f.text": "harbour"})
    read: list[int] = []

    def broken_off(matched: Any, documents: Any, words: str) -> Any:
        for document in documents.tolist()[:100]:
            read.append(document)
            yield document, document % 2 == 0
        raise mmc4viz.ShardError("gone.tar: is gone")

    monkeypatch.setattr(find, "search", broken_off)
    app.button(key="find-start").click().run()
    assert any("gone.tar: is gone" in alert for alert in alerts(app))
    assert len(keys(app)) == 50
    assert any(text.value == "Stopped at 100 of 240 documents: 50 found" for text in app.text)
    app.button(key="find-start").click().run()
    assert len(set(read)) == len(read) == 200


def test_a_missing_shard_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = write_tar(tmp_path / "one.tar", [("a", info([[0.3, 0.1]])), ("b", info([[0.2]]))])
    app = opened(monkeypatch, "documents", str(path))
    path.write_bytes(path.read_bytes()[:512])
    app.button(key="way-next").click().run()
    assert not app.exception
    assert len(alerts(app)) == 1


def hostile_pages(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[AppTest]:
    path = str(write_hostile(folder))
    pages = [opened(monkeypatch, "documents", path, doc=f"0.{row}") for row in range(DOCUMENTS)]
    pages += [opened(monkeypatch, "threshold", path), opened(monkeypatch, "compare-models", path)]
    views = ("around", "lost", "kept", "between")
    pages += [opened(monkeypatch, "near-threshold", path, **{"b.view": view}) for view in views]
    return [*pages, opened(monkeypatch, "loader-audit", path)]


@pytest.mark.slow
def test_hostile_text_is_text_everywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    offered = csvs_of(monkeypatch)
    pages = hostile_pages(monkeypatch, tmp_path)
    assert all(escaped(text) in markup(pages[0]) for text in TEXTS)
    assert sum(MARK in escaped(markup(page)) for page in pages) >= 4
    for page in pages:
        assert_text_only(page)
    assert_no_formulas(offered)


def test_hostile_obelics_is_text(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = str(write_hostile_obelics(tmp_path))
    pages = [opened(monkeypatch, "documents", path, doc=f"0.{row}") for row in range(4)]
    for page in pages:
        assert_text_only(page)
    assert escaped(TEXTS[0]) in markup(pages[0])
    assert "metadata is not valid JSON" in markup(pages[2])


def assert_text_only(page: AppTest) -> None:
    """Check that hostile text is neither markup nor a link."""
    body = markup(page)
    links = re.findall(r"<a ([^>]*)>", body)
    assert all(re.search(r' href="https?://[^"]+" target="_blank" rel="no', a) for a in links)
    for tag in ("<script", "<iframe", "<svg", "<img src=x", 'onerror="', "onload='"):
        assert tag not in body
    for kind in ("markdown", "caption", "title", "header", "subheader", "error", "warning"):
        assert all(not is_hostile(element.value) for element in getattr(page, kind)), kind
    assert not is_hostile("".join(chart.proto.spec for chart in page.get("plotly_chart")))
    labels = [widget.label for widget in (*page.button, *page.selectbox, *page.text_input)]
    assert not any(map(is_hostile, labels))


def is_hostile(text: str) -> bool:
    return MARK in text or "hostile=1" in text or any(one in text for one in TEXTS)


def csvs_of(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Gather the CSV of every page that is drawn from now on, by its name."""
    offered: dict[str, str] = {}

    def offer(name: str, head: Any, rows: Any, what: str = "") -> None:
        offered[name] = html.csv_text(head, rows())

    monkeypatch.setattr(html, "csv_button", offer)
    return offered


def assert_no_formulas(offered: dict[str, str]) -> None:
    assert {"documents", "similarity", "states", "tokens", "audit", "yields", "sensitivity"} <= set(
        offered
    )
    assert "'=1+1;=2" in offered["documents"]
    for name, text in offered.items():
        for row in csv.reader(io.StringIO(text)):
            for cell in row:
                assert cell[:1] not in ("=", "+", "@", "\t", "\r"), name
                assert not cell.startswith("-") or cell == f"{float(cell)!r}" or float(cell) < 0
        strings = [cell for row in csv.reader(io.StringIO(text)) for cell in row if ";" in cell]
        assert all(f'"{cell}"' in text.replace('""', '"') for cell in strings), name


def test_raw_json_is_short_and_inert(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_tar(
        tmp_path / "a.tar",
        [
            ("a", info([[0.3]], [TEXTS[0]], [entry(jpeg(20_000))])),
            ("b", b"{ no json <script>"),
            ("c", chatgpt("_!_IMAGE1_!_ text", 1)),
            ("d.txt", b"nothing"),
        ],
    )
    source = document_data.data.source_of(expand([str(tmp_path)]), "gpt2", None, None)
    texts = [document_data.raw_json(source, 0, row) for row in range(4)]
    assert len(texts[0]) < 1500
    assert TEXTS[0] in texts[0]
    assert "… (26,668 characters)" in texts[0]
    assert texts[1] == "{ no json <script>"
    assert "… (1,336 characters)" in texts[2]
    assert texts[3] == "This document has no JSON."


def galleries(app: AppTest) -> list[dict[str, Any]]:
    """Return what the galleries of a page were sent."""
    return sent(app, "mmc4viz.gallery")


@pytest.mark.parametrize("view", ["around", "lost", "kept", "between"])
def test_near_threshold_names_documents(monkeypatch: pytest.MonkeyPatch, view: str) -> None:
    app = opened(monkeypatch, "near-threshold", **{"b.view": view, "cap": "5"})
    sent = galleries(app)
    cards = [card for one in sent for group in one["groups"] for card in group["cards"]]
    assert len(cards) >= 12
    for card in (cards[0], cards[-1]):
        address = sent[0]["address"] | {"doc": card["doc"]}
        assert address["cap"] == "5" and not any(name.startswith("b.") for name in address)
        document = opened(monkeypatch, "documents", **address)
        assert card["words"][:60] in markup(document).replace("&#39;", "'").replace("&#34;", '"')
        assert dict(card["facts"])["Key"] in markup(document)


def test_near_threshold_moves_with_the_threshold(
    monkeypatch: pytest.MonkeyPatch, walks: list[tuple[Document, Verdict]]
) -> None:
    scores = sorted(pair.score for _, verdict in walks for pair in verdict.pairs)
    for threshold, page in ((0.24, 1), (0.3, 1), (0.3, 2)):
        first = 12 * (page - 1)
        address = {"t": f"{threshold:g}", "b.below": str(page), "b.above": str(page)}
        below, above = galleries(opened(monkeypatch, "near-threshold", **address))[0]["groups"]
        kept = [score for score in scores if score >= threshold]
        dropped = [score for score in scores if score < threshold][::-1]
        for half, wanted in ((below, dropped), (above, kept)):
            assert [card["score"] for card in half["cards"]] == wanted[first : first + 12]
            assert half["first"] == first + 1 and half["pages"] == -(-len(wanted) // 12)


@pytest.mark.parametrize(
    ("low", "high"), [("0.2", "0.21"), ("0.235", "0.245"), ("0.33", None), (None, "0.18")]
)
def test_a_range_of_scores(
    monkeypatch: pytest.MonkeyPatch, walks: list[tuple[Document, Verdict]],
    low: str | None, high: str | None,
) -> None:  # fmt: skip
    ends = {"b.from": low, "b.to": high, "b.n": "48"}
    address = {name: end for name, end in ends.items() if end is not None}
    app = opened(monkeypatch, "near-threshold", **address)
    wanted = [
        pair.score
        for _, verdict in walks
        for pair in verdict.pairs
        if float(low or -9) <= pair.score < float(high or 9)
    ]
    shown = [card["score"] for half in galleries(app)[0]["groups"] for card in half["cards"]]
    assert 0 < len(wanted) < 96 and sorted(shown) == sorted(wanted)
    assert any(text.value.startswith(f"{len(wanted)} pairs scoring") for text in app.text)
    next(button for button in app.button if button.label == "Show all scores").click().run()
    assert not {"b.from", "b.to"} & set(app.query_params)
    assert not any("pairs scoring" in text.value for text in app.text)


@pytest.mark.parametrize(
    ("low", "high"), [("x", "y"), ("0.3", "0.2"), ("nan", ""), ("0.3", "0.3"), ("<b>", "inf")]
)
def test_an_invalid_range_is_ignored(monkeypatch: pytest.MonkeyPatch, low: str, high: str) -> None:
    app = opened(monkeypatch, "near-threshold", **{"b.from": low, "b.to": high})
    assert app.query_params.get("b.from") is None
    assert sum(len(half["cards"]) for half in galleries(app)[0]["groups"]) == 24


def test_the_lack_of_pairs_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = write_tar(tmp_path / "one.tar", [("a", info([[0.3]], images=[entry(jpeg(9000))]))])
    app = opened(monkeypatch, "near-threshold", str(path))
    assert "No image is matched to a sentence" in alerts(app)[0]
    app = opened(monkeypatch, "loader-audit", str(path))
    assert not app.exception


def findings(app: AppTest) -> dict[str, str]:
    """Return the audit's numbers by description."""
    found = {}
    for element in app.get("html"):
        body = element.proto.body
        if "mmc-doc mmc-finding" in body:
            number = body.split('mmc-num">')[1].split("<")[0]
            found[body.split("<p>")[1].split("</p>")[0]] = number
    return found


def test_the_audit_s_numbers(
    monkeypatch: pytest.MonkeyPatch, walks: list[tuple[Document, Verdict]]
) -> None:
    found = findings(opened(monkeypatch, "loader-audit"))
    kept = [verdict for _, verdict in walks if verdict.outcome is Outcome.KEPT]
    odds = sum(verdict.keep_probability for verdict in kept)
    share = sum(verdict.keep_probability * (verdict.mispaired > 0) for verdict in kept) / odds
    assert found["of kept sequences have a mispaired image token"] == f"{share:.1%}"
    small = sum(
        image.n_bytes is not None and 10_000 <= image.n_bytes <= 10_999
        for document, _ in walks
        for image in document.images
    )
    assert found["images of 10,000 to 10,999 bytes dropped"] == f"{small:,}"
    statuses = [str(pair.status) for _, verdict in walks for pair in verdict.pairs]
    assert found["image tokens truncated at 256 tokens"] == f"{statuses.count('truncated'):,}"


def test_duplicates_are_found_once_for_all_thresholds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = str(write_tar(tmp_path / "s.tar", [(one, info([[0.3]], url="u")) for one in "abc"]))
    found, real = [], duplicates.find
    for module in (duplicates, query):
        monkeypatch.setattr(module, "find", lambda *given: found.append(given) or real(*given))
    for t in ("0.2", "0.4"):
        app = opened(monkeypatch, "documents", path, t=t, **{"f.has": "same_url"})
        assert len(cells(app, "key")) == 3
    opened(monkeypatch, "loader-audit", path)
    assert len(found) == 1


def test_duplicates_are_counted_and_both_documents_open(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    documents = [("a", info([[0.5]], url="u")), ("b", info([[0.5]], url="v")),
                 ("c", info([[0.4]], url="u"))]  # fmt: skip
    path = write_tar(tmp_path / "s.tar", documents)
    app = opened(monkeypatch, "loader-audit", str(path))
    found = findings(app)
    assert found["documents with the URL of an earlier document"] == "1"
    assert found["images with the same bytes as an earlier image"] == "2"
    assert (
        found["documents whose matrix differs from that of an earlier one with the same URL"] == "1"
    )
    assert found["kept documents if each URL counts once"] == "1"
    keys = [button.key for button in app.button if button.label == "Open duplicate"]
    app.button(key=keys[0]).click().run()
    assert app.query_params["doc"] in ("0.2", ["0.2"])


@pytest.mark.slow
def test_each_finding_leads_to_its_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(monkeypatch, "loader-audit")
    ways = [button.key for button in app.button if button.key and button.key.startswith("all-")]
    assert len(ways) >= 6
    for way in ways:
        app = opened(monkeypatch, "loader-audit")
        app.button(key=way).click().run()
        assert not app.exception
        assert keys(app), way
        app = opened(monkeypatch, "loader-audit")
        app.button(key=way.replace("all-", "example-")).click().run()
        assert not app.exception
        assert "mmc-facts" in markup(app), way


def test_a_threshold_that_cannot_fit_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = write_tar(tmp_path / "one.tar", [("a", info([[25.0, 20.0], [19.0, 30.0]]))])
    app = opened(monkeypatch, "loader-audit", str(path), t="1")
    assert any(">Threshold " in alert for alert in alerts(app))
    assert findings(app)["is the score scale, recognized from the values"] == "×100"


def test_csv_has_no_formulas() -> None:
    rows = [("=1+1", "+2", "-3", "@x", "\tx", "plain", -0.5, 'a"b,c\nd', " =1", "＝1", "\r=1", "")]
    text = html.csv_text(tuple("abcdefghijkl"), rows)
    [head, cells] = list(csv.reader(io.StringIO(text)))
    assert head[0] == "a"
    wanted = ["'=1+1", "'+2", "'-3", "'@x", "'\tx", "plain", "-0.5", 'a"b,c\nd']
    assert cells == [*wanted, "' =1", "'＝1", "\\r=1", ""]
    assert ';"=1' not in html.csv_text(("a",), [("x;=1",)])  # where cells are parted otherwise
    assert html.csv_text(("a",), [("x;=1",)]).endswith('"x;=1"\r\n')


def test_names_of_filters_are_whole() -> None:
    assert set(OUTCOMES) >= {str(outcome) for outcome in Outcome}
    assert charts.STILL["displayModeBar"] is False
    assert state.FILTER == "f."


def test_the_columns_of_the_list_are_chosen_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(monkeypatch, "documents", **{"d.columns": "url,key,<b>"})
    assert columns_of(app) == ["key", "url"]
    app.session_state["documents-columns"] = ["outcome", "image"]
    app.run()
    assert columns_of(app) == ["image", "outcome"]


def columns_of(app: AppTest) -> list[str]:
    [shown] = sent(app, "mmc4viz.list")
    return [column["name"] for column in shown["columns"]]


def test_the_list_and_its_csv_have_the_same_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    offered = csvs_of(monkeypatch)
    app = opened(monkeypatch, "documents", **{"f.sort": "place"})
    head, *rows = list(csv.reader(io.StringIO(offered["documents"])))
    assert ["image", *head] == columns_of(app) and len(rows) == 240
    for name in ("key", "pairs", "images", "shard"):
        listed = keys(app) if name == "key" else cells(app, name)
        assert [row[head.index(name)] for row in rows[:50]] == listed
    [shown] = sent(app, "mmc4viz.list")
    sorts = {column["name"]: column["sort"] for column in shown["columns"]}
    assert sorts["shard"] == "ascending" and sorts["key"] == "none"
    assert [c["name"] for c in shown["columns"] if c["number"]] == [
        "pairs", "best", "nearest", "images", "matched", "image_tokens", "text_tokens", "mispaired",
    ]  # fmt: skip


def test_images_of_the_list_are_read_when_they_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = opened(monkeypatch, "documents", **{"f.sort": "place"})
    [before] = sent(app, "mmc4viz.list")
    documents = [parse_document(s.key, s.raw) for s in samples(expand([SAMPLE])[0])][:50]
    app.session_state["documents-wanted"] = ["x", None, [0], 200, *range(5, 20)]
    app.run()
    [found] = [one["told"] for one in sent(app, "mmc4viz.relay") if one["name"] == "pictures"]
    assert list(found) == [str(number) for number in range(5, 20)]  # none that is not listed
    for number, document in enumerate(documents[5:20], 5):
        if document.error is None:
            there = any(i.present and i.pixel_error is None for i in document.images[:3])
            assert isinstance(found[str(number)], str) == there
    shown = [one for one in found.values() if one is not None]
    assert shown and all(one.startswith("data:image/jpeg;base64,") for one in shown)
    again = sent(opened(monkeypatch, "documents", **{"f.sort": "place"}), "mmc4viz.list")[0]
    assert [row["picture"] for row in again["rows"][5:20]] == list(found.values())
    assert before["columns"] == again["columns"]


def test_mispaired_tokens_are_drawn_with_both_images(
    monkeypatch: pytest.MonkeyPatch, walks: list[tuple[Document, Verdict]]
) -> None:
    numbers = [n for n, (_, verdict) in enumerate(walks[:120]) if verdict.mispaired][:3]
    assert numbers
    for number in numbers:
        document, verdict = walks[number]
        said = markup(opened(monkeypatch, "documents", doc=f"0.{number}"))
        rows = said.split('<div class="mmc-swap">')[1:]
        pairs = {pair.image: pair for pair in verdict.pairs}
        wrong = [one for one in verdict.binding if one.mispaired]
        assert len(rows) == len(wrong) == verdict.mispaired
        for row, one in zip(rows, wrong, strict=True):
            assert f"own image {one.pair_image + 1}<" in row
            assert f"gets image {one.bound_image + 1}<" in row
            sentence = pairs[one.pair_image].sentence
            assert escaped(f"{sentence + 1}. {document.sentences[sentence]}") in row


def test_documents_of_a_shard_that_is_gone_are_listed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shard = tmp_path / "s.tar"
    shutil.copy(f"{SAMPLE}/sample-0000.tar", shard)
    with pytest.raises(SystemExit):
        main(["index", str(shard), "--out", str(tmp_path / "index"), "--workers", "1"])
    shard.unlink()
    start = {"shards": [], "index": str(tmp_path / "index")}
    app = opened(monkeypatch, "documents", start=start)
    assert len(keys(app)) == 50 and not alerts(app)


def test_a_part_of_the_list_is_not_drawn_alone_when_the_page_has_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A press that arrives with one in a part of the page is not lost."""

    class _RedrawnError(Exception):
        pass

    def redraw() -> None:
        raise _RedrawnError

    chosen = {"t": "0.24", "f.by": "images", "f.slice": "1"}
    session: dict[str, Any] = {"chosen": chosen}
    faked = SimpleNamespace(session_state=session, rerun=redraw)
    monkeypatch.setattr(find, "st", faked)
    monkeypatch.setattr(state, "st", faked)
    monkeypatch.setattr(state, "write_address", lambda: None)
    session["documents-drawn"] = {"page": find._state_of("page")}
    for name, value in (("f.page", "2"), ("d.columns", "key")):  # a part's own choices
        chosen[name] = value
        with find._part("list"):
            pass
    del chosen["f.slice"]
    with pytest.raises(_RedrawnError), find._part("list"):
        pass
