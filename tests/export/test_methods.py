"""What a report says for a paper: two sentences in each case, defined terms, a citation."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mmc4viz import LoaderConfig
from mmc4viz.export.methods import DEFINITIONS, citation, methods
from mmc4viz.export.report import (
    BaselineYields,
    Content,
    outline,
    report_content,
    write_report,
)
from mmc4viz.loader.profile import OPENFLAMINGO
from mmc4viz.sweep.sweep import Matched, sweep
from mmc4viz.text import escaped
from mmc4viz.types import ASSIGNMENT_NAMES
from tests.cli.test_cli import Run
from tests.cli.test_slices import hostile_table
from tests.support.hostile import TEXTS
from tests.thresholds.test_compare import SAMPLE, label_file

LOADER = asdict(OPENFLAMINGO.source)
ROOT = Path(__file__).parents[2]
EXACT = {
    "sampled": None,
    "per": 240.0,
    "documents": {"value": 118.5},
    "pairs": {"value": 1},
    "image_tokens": {"value": 249.5},
    "text_tokens": {"value": 23221.0},
}
ESTIMATED = {
    "sampled": 100,
    "seed": 3,
    "per": 1000.0,
    "documents": {"value": 480.0, "low": 400.0, "high": 560.0},
    "pairs": {"value": 1400.0, "low": 1200.0, "high": None},
    "image_tokens": {"value": 1000.0, "low": 900.0, "high": 1100.0},
    "text_tokens": {"value": 90000.0, "low": None, "high": None},
}
CHOSEN: list[tuple[dict[str, Any], str]] = [
    ({"basis": "manual"}, "a threshold chosen manually; "),
    ({"basis": "yield", "target": "documents ≥ 50%"},
     "a threshold chosen by target yield (target: documents ≥ 50%); "),
    ({"basis": "fdr", "target": "FDR ≤ 10%", "estimate": 0.099, "low": 0.069, "high": 0.131},
     "chosen by false-discovery rate, estimated without labels (target: FDR ≤ 10%, estimate: 9.9%, "
     "95% CI 6.9%–13.1%); "),
    ({"basis": "precision", "target": "precision ≥ 80%", "estimate": 0.9, "low": 0.8, "high": 0.95,
      "labels": 1}, "(target: precision ≥ 80%, estimate: 90%, 95% CI 80%–95%, 1 label); "),
]  # fmt: skip
LABELS = {"precision": {"value": 0.842, "low": 0.7, "high": 0.94}, "labels": 51}


def found(yields: dict[str, Any], **more: Any) -> dict[str, Any]:
    documents = None if yields["per"] == 1000 else 240
    return {"version": "0.1.0", "yields": yields, "corpus": {"documents": documents}, **more}


@pytest.mark.parametrize("yields", [EXACT, ESTIMATED], ids=["exact", "estimated"])
@pytest.mark.parametrize(("chosen", "words"), CHOSEN)
@pytest.mark.parametrize("labels", [{}, LABELS], ids=["unlabeled", "labeled"])
@pytest.mark.parametrize("assignment", ASSIGNMENT_NAMES)
def test_every_case_is_two_sentences(
    yields: dict[str, Any],
    chosen: dict[str, Any],
    words: str,
    labels: dict[str, Any],
    assignment: str,
) -> None:
    config = LoaderConfig(threshold=0.25, assignment=assignment, clip_model="ViT-L/14")
    text = methods(config, found(yields, chosen=chosen, labels=labels))
    assert len(re.findall(r"[a-z0-9)]\. (?=[A-Z])|\.$", text)) == 2
    assert text.endswith(".") and text[0].isupper()
    assert not re.search(r"  |\(\)|,,|;;|None|nan|\) \(|\b1 pairs|_", text)
    assert text.count("(") == text.count(")")
    assert words in text
    assert "CLIP similarity (ViT-L/14) below 0.25" in text
    assert LOADER["commit"][:10] in text
    assert ("except for the assignment" in text) == (assignment != "one_to_one")
    said = "an estimated 84.2% of these pairs are correct (95% CI 70%–94%, 51 labels)"
    assert (said in text) == (bool(labels) and chosen["basis"] != "precision")


def test_the_second_sentence_has_the_numbers() -> None:
    text = methods(LoaderConfig(), found(EXACT))
    assert (
        "By the counts of mmc4viz 0.1.0, this kept 118.5 of 240 documents (49.4%), in expectation "
        "over the random drop of single-image documents (keep probability 0.5), with 1 pair at or "
        "above the threshold, 249.5 image tokens and 23,221 text tokens." in text
    )
    assert "CLIP similarity below" in text  # a model that was never named
    text = methods(LoaderConfig(single_image_keep=1, min_kb=-1, max_images=1), found(ESTIMATED))
    assert (
        "As estimated by mmc4viz 0.1.0 from a random sample of 100 documents (seed 3), this kept "
        "480 of every 1,000 documents (48%, 95% CI 40%–56%), with 1,400 pairs (95% CI at least "
        "1,200) at or above the threshold, 1,000 image tokens (95% CI 900–1,100) and 90,000 text "
        "tokens." in text
    )
    assert "expectation" not in text and "bytes" not in text
    assert "at most 1 pair per document" in text
    assert "except for the size limit and single-image keep probability" in text


def test_a_tokenizer_on_this_machine_is_not_placed() -> None:
    for name in ("/home/me/opt/tokenizer.json", "/home/me/opt"):
        assert "(opt tokenizer)" in methods(LoaderConfig(tokenizer=name), found(EXACT))
    text = methods(LoaderConfig(tokenizer="facebook/opt-30b"), found(EXACT))
    assert "(facebook/opt-30b tokenizer)" in text


def test_definitions_are_the_glossary_s() -> None:
    rows = re.findall(r"^\| (?:<a [^>]*></a>)?(.+?) \| (.+) \|$", (ROOT / "docs/glossary.md")
                      .read_text(), re.M)  # fmt: skip
    meanings = {
        re.sub(r"[^a-z0-9]+", " ", name.lower()).strip(): re.sub("`", "", words)
        for name, words in rows
    }
    for term, words in DEFINITIONS.items():
        name = re.sub(r"[^a-z0-9]+", " ", term.lower()).strip()
        name = {"dropped at the cap": "over cap",
                "single image keep probability": "single image keep"}.get(name, name)  # fmt: skip
        assert words.lower() in meanings[name].lower(), term


def test_the_citation_is_that_of_the_repository() -> None:
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    text = citation()
    assert text.startswith("@software{mmc4viz,")
    assert f"version = {{{cff['version']}}}" in text
    assert all(one["name"] in text for one in cff["authors"])


class Checker(HTMLParser):
    """Collects elements; fails if one is closed that is not the last one opened."""

    VOID = ("meta", "link", "img", "br", "line", "rect", "circle", "polyline", "polygon")

    def __init__(self) -> None:
        super().__init__()
        self.open, self.seen = list[str](), list[tuple[str, dict[str, str | None]]]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def checked(text: str) -> Checker:
    """Check that elements nest, and that nothing runs or is fetched."""
    assert text.startswith("<!doctype html>")
    page = Checker()
    page.feed(text)
    assert page.open == []
    tags = [tag for tag, _ in page.seen]
    assert not {"script", "iframe", "object", "embed", "form", "a", "base"} & set(tags)
    assert tags.count("h1") == tags.count("main") == 1
    for tag, attributes in page.seen:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:").startswith("data:"), tag
        if tag == "figure":
            assert attributes == {}
    return page


@pytest.mark.slow
def test_the_whole_report_is_valid_and_numbered(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    report, labels = tmp_path / "r.html", label_file(tmp_path, 100, 0)
    own = ["--clip-model", "sample-a", "--labels", labels, "--threshold", "0.25"]
    run = Run(capsys, "export", SAMPLE, *own, "--report", report)
    text = report.read_text()
    page = checked(text)
    captions = re.findall(r"<figcaption><b>(Figure|Table) (\d+)\.</b> (.*?)</figcaption>", text)
    for kind in ("Figure", "Table"):
        numbers = [int(number) for one, number, _ in captions if one == kind]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) > 5
    assert len(captions) == sum(tag == "figure" for tag, _ in page.seen)
    corpus = "Corpus: n = 240 documents in 2 shards (sample-0000.tar to sample-0001.tar)."
    assert all(words.endswith(corpus) for _, _, words in captions)
    titles = [title.lower() for title in re.findall("<h2>(.*?)</h2>", text)]
    held = outline("0.24", 2, models=True, images=True)
    assert all(words.lower().startswith(title) for words, title in zip(held, titles, strict=True))
    assert LOADER["commit"] in text
    sentences = run.out.splitlines()[1].strip()
    assert f'<pre class="prose">{escaped(sentences)}</pre>' in text
    assert "--mmc4_shards &#x27;/path/to/mmc4/sample-{0000..0001}.tar&#x27; \\\n" in text
    for term in DEFINITIONS:
        assert f"<dt>{term}</dt>" in text


@pytest.mark.slow
def test_slices_are_a_section_of_the_report(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    report, own = tmp_path / "r.html", hostile_table(tmp_path / "own.parquet")
    flags = ["--models", "own", "--no-images", "--report", report, "--labels"]
    flags += [label_file(tmp_path, 300, 0), "--slices", own, "--by", "images", "--by", "said"]
    assert Run(capsys, "export", SAMPLE, *flags).code == 0
    text = report.read_text()
    page = checked(text)
    titles = re.findall("<h2>(.*?)</h2>", text)
    held = outline("0.24", 2, models=False, images=False, slices=True)
    assert [title.lower() for title in titles].index("slices") == held.index("slices")
    section = text.partition("<h2>Slices</h2>")[2].partition("<h2>")[0]
    rows = [
        re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)
        for row in re.findall("<tr>.*?</tr>", section, re.DOTALL)
    ]
    ran = Run(capsys, "slices", SAMPLE, "--slices", own, "--by", "images", "--by", "said",
              "--format", "json")  # fmt: skip
    found = [row for one in json.loads(ran.out) for row in one["slices"]]
    shown = [row for row in rows if len(row) > 5]
    assert [row[2] for row in shown] == [f"{one['kept']:,.10g}" for one in found]
    assert [row[7].partition(" of ")[0] for row in shown] == [
        f"{one['single_image_drop']:,.10g}" for one in found
    ]
    assert [row[9] for row in shown] == [f"{one['images_mean']:.2f}" for one in found]
    assert section.count("<svg") == 4  # each division in two widths
    assert (
        "Of 4 slices by images on the page, pages with 1 image cost most: 16.3 documents fewer"
        in section
    )
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in section
    assert "script" not in {tag for tag, _ in page.seen} and str(tmp_path) not in section


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--by", "images", "--out", "a.yaml"], "--by is for the report: add --report FILE"),
        (["--by", "nothing", "--report", "r.html"], "'nothing' is not something to divide by"),
        (["--slices", "no.parquet", "--report", "r.html"], "cannot be read as a Parquet table"),
    ],
)
def test_slices_that_cannot_be_shown_are_refused_first(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    options: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = Run(capsys, "export", SAMPLE, *options)
    assert ran.code == 2 and said in ran.err and ran.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_every_number_stands_beside_the_baseline_s(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    report = tmp_path / "r.html"
    flags = ["--threshold", "0.25", "--baseline", "0.2", "--models", "own", "--no-images"]
    assert Run(capsys, "export", SAMPLE, *flags, "--report", report).code == 0
    rows = [
        re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall("<tr>.*</tr>",
                                                                      report.read_text())
    ]  # fmt: skip
    cells = {row[0]: row[1:] for row in rows if len(row) == 4}
    out = Run(capsys, "curve", SAMPLE, "--thresholds", "0.2,0.25", "--format", "csv").out
    names, before, now = (line.split(",") for line in out.splitlines())
    words = {"documents": "documents kept (expected)", "pairs": "pairs at or above the threshold",
             "image_tokens": "image tokens (expected)", "text_tokens": "text tokens (expected)",
             "mispaired": "mispaired image tokens (expected)", "kept": "outcome: kept",
             "below_threshold": "outcome: below threshold"}  # fmt: skip
    for name, word in words.items():
        at = names.index(name)
        shown = [float(cell.replace(",", "")) for cell in cells[word][:2]]
        assert shown == [float(now[at]), float(before[at])]
        by = float(now[at]) - float(before[at])
        sign = "−" if by < 0 else "+"
        assert cells[word][2].startswith(f"{sign}{abs(by):,.10g} (" if by else "0")


def test_the_threshold_itself_is_no_baseline(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    report = tmp_path / "r.html"
    assert Run(capsys, "export", SAMPLE, "--no-images", "--report", report).code == 0
    assert '<th scope="col" class="right">baseline' not in report.read_text()


@pytest.mark.parametrize("name", TEXTS)
def test_hostile_names_of_a_corpus_are_text(name: str) -> None:
    config = LoaderConfig(clip_model=name, tokenizer=name)
    shard = {"path": name, "documents": 1, "size": 1, "sha256": name}
    made = found(EXACT, note=name, chosen={"basis": "yield", "target": name, "assumption": name})
    made["corpus"] = {"documents": 1, "shards": [shard], "image_dir": name, "pillow": name}
    made |= {"labels": {"file": name, "sha256": name}, "loader": dict(LOADER)}
    empty = sweep(Matched([], config), config, np.array([0.24]))
    content = Content(config, made, empty, 0, np.array([0.3]), [(name, name, name)],
                      baseline=BaselineYields(name, EXACT))  # fmt: skip
    text = write_report(content)
    checked(text)
    assert "\u202e" not in text and "\x00" not in text


def test_an_estimate_has_intervals_in_its_table() -> None:
    config = LoaderConfig()
    content = report_content(Matched([], config), config, found(ESTIMATED), lambda _: None)
    text = write_report(content)
    checked(text)
    assert '<th scope="col" class="right">95% CI</th>' in text
    assert '<td class="right">480</td><td class="right">400–560</td>' in text
    assert '<td class="right">1,400</td><td class="right">1,200–?</td>' in text
    assert "Estimated from 100 sampled documents, with 95% CIs." in text
