"""The report on a table of pairs: the commands' numbers, and nothing of the table as markup."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmc4viz.export.pairs import _Steps
from mmc4viz.pairs.layout import ScoreColumn
from tests.cli.test_cli import Run
from tests.support import pairs
from tests.support.hostile import MARK, TEXTS

PASSIVE = """
    html head meta title link style body main h1 h2 h3 p section div b span pre figure figcaption
    table thead tbody tr th td ul li dl dt dd details summary svg line text rect polyline circle
"""


class Tags(HTMLParser):
    """The tags and addresses of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen, self.loaded = set[str](), list[str]()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        active = [n for n, value in attrs if n in ("src", "href") and value != "data:,"]
        self.loaded += [*active, *(name for name, _ in attrs if name.startswith("on"))]


def assert_passive(page: str) -> None:
    """Check that a page has no script and loads nothing."""
    found = Tags(page)
    assert found.seen <= set(PASSIVE.split()) and found.loaded == []
    style = page.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style and "@import" not in style


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("tables")
    pairs.write(pairs.datacomp(3000), found / "datacomp", 2)
    pairs.write(pairs.coyo(2000), found / "coyo")
    pairs.write(pairs.laion(2000), found / "laion")
    return found


class Report:
    """A report that a command wrote: its text, and the cells of its tables."""

    def __init__(self, capsys: pytest.CaptureFixture[str], path: Path, *arguments: Any) -> None:
        self.run = Run(capsys, "export", *arguments, "--report", path, "--overwrite")
        self.html = path.read_text() if path.exists() else ""
        self.text = html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", self.html)))
        self.rows = [
            [html.unescape(cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.S)]
            for row in re.findall(r"<tr>(.*?)</tr>", self.html, re.S)
        ]
        self.pictures = [html.unescape(one) for one in re.findall(r'aria-label="(.*?)"', self.html)]

    def row(self, name: str) -> list[str]:
        [found] = [row for row in self.rows if row and row[0] == name]
        return found


def printed(capsys: pytest.CaptureFixture[str], *arguments: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(Run(capsys, *arguments).out)))


@pytest.mark.parametrize(
    "options",
    [
        "datacomp --score b32 --threshold 0.281",
        "datacomp --threshold 0.28123",
        "datacomp --score l14 --and b32=0.22 --threshold 0.2",
        "datacomp --score b32 --or l14=0.2137 --threshold 0.3 --where original_width>=300",
        "coyo --score b32 --sum l14 --strict --threshold 0.5",
        "coyo --score b32 --sum l14 --threshold 0.51234",
        "coyo --score aesthetic --threshold 5",
        "laion --threshold 0.3 --where NSFW=UNLIKELY",
    ],
)
def test_numbers_of_the_report_are_those_of_curve(
    options: str, folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    name, *rest = options.split()
    found = Report(capsys, tmp_path / "r.html", folder / name, *rest)
    assert found.run.code == 0
    curve = printed(capsys, "curve", folder / name, *rest)[0]
    kept, share = int(curve["pairs"]), float(curve["share"])
    assert f"{kept:,} {'pairs kept'}" in found.text and f"{share:.2%}" in found.text
    assert found.row("kept")[1] == f"{kept:,}"
    counts = [row[1].replace(",", "") for row in found.rows if len(row) == 3]
    lost = sum(int(one[1:]) for one in counts if one.startswith("−"))
    assert int(found.row("all rows")[1].replace(",", "")) - lost == kept
    [drawn] = {one for one in found.pictures if one.startswith("share of pairs kept")}
    assert f": {100 * share:.3g}% at " in drawn
    if "--and" not in rest and "--or" not in rest:
        histograms = [one for one in found.pictures if " at or above" in one]
        assert histograms and all(f" {kept:,} at or above" in one for one in histograms)
    assert_passive(found.html)
    assert str(folder) not in found.html


def test_two_scores_are_those_of_compare(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found = Report(capsys, tmp_path / "r.html", folder / "datacomp", "--threshold", "0.25")
    [row] = printed(capsys, "compare", folder / "datacomp", "--threshold", "0.25", "--format",
                    "csv")  # fmt: skip
    assert found.row("threshold")[1:] == [row["first_threshold"], row["second_threshold"]]
    assert found.row("kept by both")[1] == f"{int(row['pairs_both']):,}"
    only = found.row("kept by this score only")[1:]
    assert only == [f"{int(row[f'pairs_only_{one}']):,}" for one in ("first", "second")]
    assert f"Pair overlap (IoU): {float(row['pairs_jaccard']):.1%}." in found.text


def test_both_thresholds_are_those_of_curve(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = folder / "datacomp", "--score", "b32"
    found = Report(capsys, tmp_path / "r.html", *arguments, "--or", "l14=0.2", "--threshold", "0.3")
    [head] = [row for row in found.rows if row and "↓" in row[0]]
    at = next(n for n, row in enumerate(found.rows) if row == head)
    for row in found.rows[at + 1 : at + 4]:
        for second, cell in zip(head[1:4], row[1:4], strict=True):
            [one] = printed(capsys, "curve", *arguments, "--or", f"l14={second}", "--threshold",
                            row[0])  # fmt: skip
            assert cell == f"{float(one['share']):.1%}"


def test_slices_are_those_of_the_command(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    given = folder / "laion", "--threshold", "0.33", "--by", "NSFW"
    found = Report(capsys, tmp_path / "r.html", *given)
    for row in printed(capsys, "slices", *given, "--format", "csv"):
        assert found.row(row["slice"])[3] == f"{int(row['kept']):,}"
    refused = Run(capsys, "export", *given, "--out", tmp_path / "s.yaml")
    assert refused.code == 2 and "--by is for the report: add --report FILE" in refused.err
    files = "--out", tmp_path / "s.yaml", "--report", tmp_path / "s.html"
    refused = Run(capsys, "export", *given, "--by", "nothing", *files)
    assert refused.code == 2 and "'nothing'" in refused.err
    assert [one.name for one in tmp_path.iterdir()] == ["r.html"]


def test_an_index_gives_the_same_report(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    index = tmp_path / "index"
    Run(capsys, "index", folder / "datacomp", "--out", index)
    options = "--score", "b32", "--threshold", "0.25"
    one = Report(capsys, tmp_path / "a.html", "--index", index, *options)
    other = Report(capsys, tmp_path / "b.html", folder / "datacomp", *options)
    assert one.row("kept") == other.row("kept")
    named = "clip_b32_similarity_score"
    assert one.row(named) == other.row(named)
    assert "mmc4viz export --index index --score b32 --threshold 0.25" in one.text


def test_a_proposal_and_a_note_are_the_rationale(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    table, proposal = folder / "datacomp", tmp_path / "p.json"
    Run(capsys, "suggest", table, "--score", "b32", "--keep", "pairs=30%", "--out", proposal)
    [suggested] = json.loads(proposal.read_text())
    found = Report(capsys, tmp_path / "r.html", table, "--score", "b32", "--proposal", proposal,
                   "--note", "for <the> pilot")  # fmt: skip
    assert "Threshold chosen by target yield (target: pairs ≥ 30%)." in found.text
    assert "for &lt;the&gt; pilot" in found.html
    assert f"≥ {suggested['threshold']!r}" in found.text


def test_what_is_odd_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "t").mkdir()
    table = pairs.laion(100)
    pq.write_table(table, tmp_path / "t" / "a.parquet")
    (tmp_path / "t" / "b.parquet").write_bytes(b"PAR1 no more")
    found = Report(capsys, tmp_path / "r.html", tmp_path / "t", "--threshold", "0.3")
    assert found.run.code == 2
    odd = found.html.partition("What is odd</h2>")[2].partition("</section>")[0]
    assert "b.parquet: damaged or only partly downloaded" in odd
    assert str(tmp_path) not in found.html


def test_texts_of_a_table_are_never_markup(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    score, kind = f"<script>{MARK.replace('=', '(1)')}</script>", '"><svg><iframe></script>'
    path = tmp_path / "<b>x\u202e.parquet"
    rng = np.random.default_rng(0)
    texts = [text.encode("utf-8", "replace").decode() for text in TEXTS]
    table = pa.table(
        {
            score: rng.uniform(0.1, 0.4, len(TEXTS) * 20),
            "b": rng.uniform(0.1, 0.4, len(TEXTS) * 20),
            kind: texts * 20,
            "url": [f"https://a.org/{text}" for text in texts] * 20,
            "text": texts * 20,
        }
    )
    pq.write_table(table, path)
    found = Report(
        capsys, tmp_path / "r.html", path, "--score", f"{score}=<b>model</b>", "--and", "b=0.2",
        "--score", "b=<i>B</i>", "--threshold", "0.2", "--where", "text!=<u>", "--by", kind,
        "--by", "site", "--note", TEXTS[0],
    )  # fmt: skip
    assert found.run.code == 0, found.run.err
    assert_passive(found.html)
    for tag in ("<b>x", "<b>model", "<i>", "<u>", "\u202e", "<svg>"):
        assert tag not in found.html
    assert all(one in found.text for one in (score, "<b>model</b>", kind))


def test_a_table_without_rows_has_a_report(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pq.write_table(pairs.datacomp(10).slice(0, 0), tmp_path / "empty.parquet")
    found = Report(capsys, tmp_path / "r.html", tmp_path / "empty.parquet", "--threshold", "0.3")
    assert found.row("kept")[1] == "0"
    few = Report(capsys, tmp_path / "r.html", tmp_path / "empty.parquet", "--threshold", "0.3",
                 "--and", "l14=0.2", "--by", "original_width")  # fmt: skip
    assert few.row("kept")[1] == "0"


@pytest.mark.parametrize("threshold", [-3.0, -1.0, 0.25, 0.2503, 1.0, 7.0])
def test_a_step_is_split_at_the_threshold(threshold: float) -> None:
    scores = np.random.default_rng(1).uniform(-1, 1, 500)
    scale = ScoreColumn("a", "").scale
    codes = np.searchsorted(scale.thresholds(), scores, "right")
    histogram = np.bincount(codes, minlength=len(scale.thresholds()) + 1)
    kept = int((scores >= threshold).sum())
    values, counts = _Steps.of(scale, histogram, 0).split(threshold, kept)
    assert counts.sum() == 500 and (counts >= 0).all() and (np.diff(values) > 0).all()
    assert counts[values >= threshold].sum() == kept
