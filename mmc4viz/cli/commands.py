"""The commands as people see them: names, options, help. Loads next to nothing.

Each runs the function of the same name in the command's module, which is imported only then, so
that help and complaints about options come at once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any, Final

import click

from mmc4viz.cli.options import (
    INDEX,
    SEED,
    SHARDS,
    SIMILARITY,
    WORKERS,
    ManyModels,
    Positive,
    Share,
    output_format,
    with_budget,
    with_format,
    with_pairs,
    with_sections,
    with_settings,
)

# Values that the core defines in modules that are slow to import; a test compares them.
BASES: Final = ("manual", "yield", "fdr", "decoys", "precision", "combined")
CAPS: Final = ("first", "best")
ORDERS: Final = ("page", "sentence")
PROVIDERS: Final = (
    "cpu", "cuda", "tensorrt", "rocm", "migraphx", "openvino", "coreml", "directml",
)  # fmt: skip
PRECISIONS: Final = ("float32", "float16", "bfloat16")
SCALES: Final = ("cosine", "model")
SLICES_BY: Final = (
    "site", "images", "sentences", "language", "script", "area", "aspect", "format", "bytes",
    "position", "sentence-length", "faces",
)  # fmt: skip
SLICES_SORTED: Final = ("cost", "size", "share", "difference", "order")
TRAINERS: Final = ("energon", "hf", "mds", "openflamingo", "torchtitan", "webdataset")
VERIFY: Final = ("full", "header", "none")
YIELDS: Final = ("documents", "pairs", "image_tokens", "text_tokens")


def _runs(
    module: str, *, pairs: bool = False
) -> Callable[[Callable[[], None]], Callable[..., Any]]:
    """Run the function of the same name in a module of `mmc4viz.cli`.

    With ``pairs``, of `mmc4viz.cli.pairs.run` instead if what is given is a table of pairs.
    """

    def decorate(described: Callable[[], None]) -> Callable[..., Any]:
        @wraps(described)
        def run(**given: Any) -> Any:
            name, place = described.__name__, module
            if pairs:
                place, given = import_module("mmc4viz.cli.pairs").place_of(module, name, given)
            return getattr(import_module(f"mmc4viz.cli.{place}"), name)(**given)

        return run

    return decorate


@click.command(context_settings={"ignore_unknown_options": False})
@SHARDS
@click.option("--config", "config_file", metavar="FILE", help="Initial settings (YAML or JSON).")
@click.option("--image-dir", metavar="DIR", help="Image folder for MMC4's .jsonl shards.")
@with_format
@with_pairs("score", "where", "strict")
@INDEX
@SIMILARITY
@click.option(
    "--sample", type=int, metavar="N", help="Estimate from a random sample of N documents (95% CI)."
)
@click.option(
    "--labels", metavar="FILE", help="File that stores the labels. [mmc4viz-labels.sqlite]"
)
@click.option(
    "--root",
    "roots",
    metavar="DIR",
    multiple=True,
    help="Restrict the dashboard to files in DIR, a folder or a remote address; repeatable. "
    "[folders given here, and the current one]",
)
@click.option("--read-only", is_flag=True, help="Do not let the dashboard write shards or labels.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    envvar="STREAMLIT_SERVER_ADDRESS",
    help="Address to listen on.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    envvar="STREAMLIT_SERVER_PORT",
    help="Port to listen on. [8501, or the next free one]",
)
@click.option(
    "--allow-host",
    "allowed",
    metavar="NAME",
    multiple=True,
    help="Host name, besides localhost and --host, under which browsers may open the dashboard; "
    "repeatable.",
)
@click.option(
    "--base-path",
    metavar="PATH",
    envvar="STREAMLIT_SERVER_BASE_URL_PATH",
    help="URL path under which a reverse proxy serves the dashboard, such as /mmc4viz.",
)
@click.option("--browser/--no-browser", default=None, help="Whether to open a browser window. [on]")
@_runs("app", pairs=True)
def app() -> None:
    """Open the dashboard on the sample, on SHARDs or on an index.

    Other Streamlit options can be set by environment variables (STREAMLIT_...).
    """


@click.command()
@SHARDS
@INDEX
@SIMILARITY
@click.option(
    "--config",
    "config_file",
    metavar="FILE",
    required=True,
    help="Settings to apply (YAML or JSON), as written by mmc4viz export.",
)
@click.option("--out", required=True, metavar="DIR", help="Output folder, local or remote.")
@click.option(
    "--order",
    type=click.Choice(ORDERS),
    default="page",
    show_default=True,
    help="Image order. page: unchanged; sentence: by sentence, so that every image token gets its "
    "own image.",
)
@click.option(
    "--cap",
    type=click.Choice(CAPS),
    default="first",
    show_default=True,
    help="Which pairs to keep over the cap: the first in image order, or the highest-scoring.",
)
@click.option(
    "--drop-undecodable",
    is_flag=True,
    help="Remove undecodable images, which would otherwise cost the whole document.",
)
@click.option(
    "--keep-rejected-images",
    type=click.Choice(["yes", "no"]),
    default="yes",
    show_default=True,
    help="no: remove the bytes of all images outside the selection, for smaller shards.",
)
@WORKERS
@click.option(
    "--scheduler", metavar="ADDRESS", help="Use the Dask cluster at ADDRESS instead of --workers."
)
@click.option("--dry-run", is_flag=True, help="Print the counts without writing anything.")
@click.option("--overwrite", is_flag=True, help="Replace shards written with different settings.")
@_runs("apply")
def apply() -> None:
    """Write filtered shards for the stock OpenFlamingo loader.

    On these shards, the unmodified loader with the flags printed at the end yields exactly the
    selected documents and pairs. Documents that need no change are copied byte for byte. Finished
    shards are skipped, so an interrupted run can be resumed with the same command.
    """


@click.command(cls=ManyModels)
@SHARDS
@with_settings
@INDEX
@click.option(
    "--models",
    multiple=True,
    metavar="A B ...",
    help="Models to compare, the first with each of the others; own is the scores in the shards. "
    "[all]",
)
@click.option(
    "--similarity",
    "files",
    metavar="NAME=FILE",
    multiple=True,
    help="Similarity file of another model; repeatable. [similarity_*.parquet next to the SHARDs]",
)
@click.option(
    "--labels",
    "labels_file",
    metavar="FILE",
    help="Label file: adds thresholds of equal precision, and how well each model separates "
    "correct from incorrect pairs.",
)
@click.option(
    "--fdr",
    is_flag=True,
    help="Add thresholds of equal false-discovery rate, estimated without labels. Assumes one "
    "correct sentence per image and independent noise; this failed on real MMC4 pages.",
)
@click.option(
    "--thresholds", metavar="T,T,...", help="Thresholds of the first model. [--threshold]"
)
@click.option(
    "--frontier",
    type=click.Choice(YIELDS),
    help="Print what is kept against how good it is at each threshold of every model instead: "
    "precision with --labels, 1 − FDR with --fdr, else the overlap at equal yield.",
)
@with_pairs("score", "scores", "where", "strict")
@output_format("table", "json", "csv")
@_runs("compare", pairs=True)
def compare() -> None:
    """Find equivalent thresholds between CLIP models.

    --threshold is the first model's threshold. Each row gives the other model's threshold that
    keeps the same number of documents, pairs, image tokens or text tokens, or has the same
    estimated false-discovery rate or precision, and how much the two selections overlap.

    Of a table of image–text pairs: two of its scores, named with --models or --score.
    """


@click.command()
@SHARDS
@with_settings
@INDEX
@SIMILARITY
@output_format("table", "jsonl")
@click.option("--token-ids", is_flag=True, help="Add the token ids of each sequence (jsonl only).")
@click.option("--key", metavar="KEY", help="Show only documents with this key.")
@with_pairs()
@click.option(
    "--first", type=click.IntRange(1), metavar="N",
    help="Of a table of pairs: show the first N rows. [20]",
)  # fmt: skip
@click.option(
    "--near", type=click.IntRange(2), metavar="N",
    help="Of a table of pairs: show the N rows nearest to the threshold instead.",
)  # fmt: skip
@_runs("curve", pairs=True)
def explain() -> None:
    """Show the loader's decision for every document, with the reason.

    Of a table of image–text pairs: its first rows, or those nearest to the threshold.
    """


@click.command()
@SHARDS
@with_settings
@INDEX
@SIMILARITY
@click.option("--thresholds", metavar="T,T,…", help="Thresholds to evaluate.")
@click.option("--grid", metavar="START:STOP:STEP", help="Evenly spaced thresholds, including STOP.")
@click.option(
    "--sample", type=int, metavar="N", help="Estimate from a random sample of N documents (95% CI)."
)
@SEED
@with_budget
@click.option(
    "--shape", is_flag=True, help="Add images per sequence, lengths, and text around the images."
)
@with_pairs()
@output_format("csv", "json")
@_runs("curve", pairs=True)
def curve() -> None:
    """Print what each threshold keeps and drops.

    One row per threshold: documents, pairs, tokens and the number of documents per outcome. Without
    --thresholds or --grid, a grid that suits the scale of the scores is used. With --sample, the
    numbers are estimated rates per document with their 95% CI (columns NAME_low and NAME_high).

    With --shape, what sequences look like, in expectation over the single-image drop: the share
    with one image (before and after that drop), mean and median number of images, mean text tokens
    before the first image and between two images, the share of images with text before the next
    one, the share of truncated sequences, sequences by number of images (sequences_N), and
    by length (length_N: up to N eighths of the token limit, not truncated).

    With --budget, the column passes says how often each kept document is then seen; it is empty
    where nothing is kept.

    Of a table of image–text pairs, one row per score and threshold: the rows kept, and their share
    of all. With --and or --or without T, one row per two thresholds.
    """


@click.command(cls=ManyModels)
@SHARDS
@with_settings
@INDEX
@with_sections
@click.option(
    "--for",
    "trainer",
    type=click.Choice(TRAINERS),
    help="Write the chosen documents for a trainer into the folder --out, and print how training "
    "starts: energon, hf (Hugging Face datasets), mds (MosaicML Streaming) or torchtitan; or print "
    "it for openflamingo, or for webdataset with a --manifest.",
)
@click.option(
    "--out",
    metavar="PATH",
    help="Write the settings with their provenance to a config file, .yaml or .json; with --for, "
    "the folder to write to.",
)
@click.option("--note", help="Your note on the choice, stored in the config.")
@click.option(
    "--chosen-by", type=click.Choice(BASES), help="How the threshold was chosen. [manual]"
)
@click.option(
    "--proposal",
    metavar="FILE",
    help="Use the threshold and the basis of a proposal, as written by mmc4viz suggest --out.",
)
@click.option(
    "--manifest",
    "manifest_file",
    metavar="FILE",
    help="Write what happens to every document and pair, .parquet or .jsonl.",
)
@click.option(
    "--rows",
    type=click.Choice(["documents", "pairs"]),
    default="documents",
    show_default=True,
    help="What each row of the manifest is.",
)
@click.option(
    "--ids",
    "ids_file",
    metavar="FILE",
    help="Write the sorted 128-bit ids of kept documents, .npy (u8,u8).",
)
@click.option("--report", "report_file", metavar="FILE", help="Write a self-contained HTML report.")
@click.option(
    "--images/--no-images", default=True, help="Whether the report shows thumbnails. [on]"
)
@click.option(
    "--baseline",
    type=float,
    metavar="THRESHOLD",
    help="Threshold that the report compares with. [0.24, OpenFlamingo's]",
)
@click.option(
    "--sample",
    type=int,
    metavar="N",
    help="Estimate the yields from a random sample of N documents (95% CI).",
)
@SEED
@WORKERS
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="With --for, use the Dask cluster at ADDRESS instead of --workers.",
)
@click.option(
    "--overwrite",
    is_flag=True,
    help="With --for, replace what was written with different settings; of a table of pairs, "
    "replace files.",
)
@with_pairs()
@_runs("export", pairs=True)
def export() -> None:
    """Export settings, manifest, ids and report, or the chosen documents for a trainer.

    Also prints two sentences for a paper's methods section, the flags for OpenFlamingo's train.py,
    settings that no flag can express, and, with a Parquet manifest, code for a WebDataset pipeline.

    With --for, finished shards are skipped, so an interrupted run can be resumed with the same
    command. Documents with one image are written with their keep probability. Images whose token
    would be truncated are left out, and so are ChatGPT-generated documents.

    Of a table of image–text pairs: --out, --manifest (.parquet, .jsonl or .csv: the kept rows),
    --ids (DataComp's list of kept uids) and --report, with slices by --by.
    """


@click.command()
@SHARDS
@click.option("--out", required=True, metavar="DIR", help="Folder of the index, local or remote.")
@click.option(
    "--tokenizer", help="gpt2 (built in), a tokenizer.json, a folder or a Hugging Face id. [gpt2]"
)
@click.option("--image-dir", metavar="DIR", help="Image folder for MMC4's .jsonl shards.")
@with_format
@click.option(
    "--verify",
    type=click.Choice(VERIFY),
    default="full",
    show_default=True,
    help="Image validation: full decode, header only, or none.",
)
@click.option(
    "--describe",
    metavar="WORDS",
    help="Also record, comma-separated: language (of each document, and its script), image-hash "
    "(a perceptual hash of each image). Needs mmc4viz[describe].",
)
@WORKERS
@click.option(
    "--scheduler", metavar="ADDRESS", help="Use the Dask cluster at ADDRESS instead of --workers."
)
@click.option(
    "--prune", "pruning", is_flag=True, help="Remove entries for shards that no longer exist."
)
@click.option(
    "--similarity",
    "sidecars",
    metavar="NAME=FILE",
    multiple=True,
    help="Add another model's similarity file (Parquet) as the score set NAME; repeatable.",
)
@click.option(
    "--clip-model",
    metavar="NAME",
    help="Name of the CLIP model that produced the shards' scores, as used by labels and reports.",
)
@click.option(
    "--config", "config_file", metavar="FILE", help="Take the tokenizer from a config file."
)
@with_pairs("score", "where", "strict")
@_runs("index", pairs=True)
def index() -> None:
    """Build an index, so that shards are read only once.

    Finished shards are skipped and changed shards are read again, so an interrupted run can be
    resumed with the same command. Without SHARDs, --clip-model, --similarity and --prune modify an
    existing index.

    The column "not parsed" counts documents without valid JSON or without MMC4's fields. Documents
    that the loader drops because of an image or a matrix are counted by mmc4viz curve.

    Of a table of image–text pairs: histograms of its scores and other numbers, file by file.
    """


@click.command()
@SHARDS
@click.option(
    "--config", "config_file", metavar="FILE", help="Take tokenizer and CLIP model from a config."
)
@click.option(
    "--tokenizer", help="gpt2 (built in), a tokenizer.json, a folder or a Hugging Face id."
)
@click.option("--clip-model", metavar="NAME", help="CLIP model that produced the scores.")
@click.option("--image-dir", metavar="DIR", help="Image folder for MMC4's .jsonl shards.")
@with_format
@INDEX
@SIMILARITY
@output_format("table", "csv", "json")
@_runs("curve")
def reference() -> None:
    """Compare a corpus with the published figures of MMC4 and others.

    Each figure is computed the way its source did, with that source's assignment and settings, and
    both have their 95% CI where there is one. So this reproduces appendix B of OpenFlamingo's
    report on MMC4. What the corpus cannot tell is listed with the reason.
    """


@click.command()
@SHARDS
@with_settings
@INDEX
@SIMILARITY
@click.option(
    "--with",
    "names",
    multiple=True,
    metavar="NAME",
    help="Loader to compare with, or a profile of your own as module:NAME; repeatable. [all]",
)
@click.option(
    "--documents",
    "documents_file",
    metavar="FILE",
    help="Write the documents that not all loaders keep alike, with the probability that each "
    "keeps them, .csv.",
)
@output_format("table", "csv", "json")
@_runs("curve")
def loaders() -> None:
    """Show what is left of a corpus under the loader of each training code.

    For each: what it keeps at the threshold at hand and at its own, and the threshold at which it
    keeps as many documents as --loader does. Each has its own other settings, --loader those given.
    Then how many documents one keeps that another loses.
    """


@click.group(no_args_is_help=True)
def labels() -> None:
    """Export or import labels as CSV."""


@labels.command("export")
@click.argument("file")
@click.argument("csv", default="-")
@_runs("transfer")
def export_labels() -> None:
    """Export all labels of FILE with their history to CSV.

    The default, -, is standard output.
    """


@labels.command("import")
@click.argument("file")
@click.argument("csv")
@_runs("transfer")
def import_labels() -> None:
    """Import labels from CSV into FILE, which is created if needed.

    - is standard input.
    """


@click.command()
@click.argument("folder", metavar="DIR")
@click.option("--overwrite", is_flag=True, help="Replace files of the same names in DIR.")
@_runs("transfer")
def sample() -> None:
    """Write the sample to a folder, to try the other commands on.

    240 drawn documents in two shards, scored by the CLIP model sample-a; the scores of a weaker
    one, sample-b (similarity_b.parquet); both as ONNX models (encoders/); which pairs are correct
    (truth.parquet); and a README that describes them.
    """


@click.command()
@SHARDS
@click.option(
    "--model",
    required=True,
    metavar="MODEL",
    help="CLIP or SigLIP model: a folder or Hugging Face id, in ONNX or of transformers; or "
    "open_clip:NAME:CHECKPOINT, with a checkpoint's name or file; open_clip:FOLDER; "
    "open_clip:ORG/NAME.",
)
@click.option("--out", required=True, metavar="FILE", help="Similarity file to write (Parquet).")
@click.option(
    "--decoys",
    metavar="FILE",
    help="Also write decoy scores (each document's images with another document's sentences), for "
    "mmc4viz suggest --decoys.",
)
@click.option(
    "--embeddings",
    metavar="FILE|DIR",
    help="Also keep the embeddings of images and sentences, in half precision: in one .parquet "
    "file, or in a folder with one file per shard.",
)
@click.option(
    "--batch",
    type=click.IntRange(1, 65536),
    help="Images or sentences per batch. [256 on a GPU, else 32]",
)
@click.option(
    "--device",
    metavar="NAME",
    help="PyTorch device of a model that is not in ONNX: cpu, cuda, cuda:1, mps. [GPU if "
    "available, else cpu]",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    help="Precision of a model that is not in ONNX. [float16 on a GPU, else float32]",
)
@click.option(
    "--provider",
    type=click.Choice(list(PROVIDERS)),
    help="ONNX Runtime execution provider of a model in ONNX. [GPU if available, else cpu]",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 1024),
    default=1,
    show_default=True,
    help="Number of worker processes. With --device cuda, each takes the next GPU.",
)
@click.option(
    "--scale",
    type=click.Choice(SCALES),
    default="cosine",
    show_default=True,
    help="Scale of the scores: cosine similarities, or the model's own logits.",
)
@click.option("--image-dir", metavar="DIR", help="Image folder for MMC4's .jsonl shards.")
@with_format
@_runs("score")
def score() -> None:
    """Score every image and sentence with a CLIP model.

    Add the resulting file to an index with mmc4viz index --similarity NAME=FILE. An interrupted run
    can be resumed with the same command; at most the last minutes are scored again.
    """


@click.command()
@SHARDS
@with_settings
@INDEX
@SIMILARITY
@click.option(
    "--by",
    "names",
    metavar="WHAT",
    multiple=True,
    help=f"What to divide by, repeatable: {', '.join(SLICES_BY[:5])} (of documents), "
    f"{', '.join(SLICES_BY[5:])} (of images), or a column of --slices; of a table of pairs, site "
    "or any column. [site, or every column of --slices]",
)
@click.option(
    "--slices",
    "table_file",
    metavar="FILE",
    help="Your own table (Parquet; a glob for several): columns key, shard unless keys are unique, "
    "and image (position on the page, from 0) in a table of images; any other column divides "
    "documents or images.",
)
@click.option(
    "--most",
    type=click.IntRange(1, 1000),
    default=30,
    show_default=True,
    metavar="N",
    help="Values that are slices of their own, the largest first; all others are one slice.",
)
@click.option(
    "--sort",
    type=click.Choice(SLICES_SORTED),
    default="cost",
    show_default=True,
    help="Order of the slices. cost: how many more would be kept at the whole's kept share; order: "
    "the values' own.",
)
@click.option("--labels", "labels_file", metavar="FILE", help="Label file: adds precision.")
@click.option(
    "--propose",
    type=click.Choice(("share", "precision")),
    help="Propose a threshold for each slice of documents: share: it keeps the same share as the "
    "whole; precision: it has the --precision according to --labels.",
)
@click.option(
    "--precision",
    type=Share("--precision"),
    metavar="SHARE",
    help="Minimum precision of each slice, such as 0.9 or 90%, for --propose precision.",
)
@click.option(
    "--out",
    metavar="FILE",
    help="Write the settings with the proposed slice thresholds as a config (.yaml or .json), "
    "for --config of curve, explain, suggest, export, verify and apply.",
)
@with_pairs()
@output_format("table", "csv", "json")
@_runs("slices", pairs=True)
def slices() -> None:
    """Show for which sites, pages or images one threshold does not fit.

    Documents, or matched pairs by their images, are divided into slices. For each slice: what is
    kept, how its kept share differs from the whole's (simultaneous 95% CI), and what that costs.

    Of a table of image–text pairs: its rows are divided by site or by any column; all counts are
    exact.
    """


@click.command()
@SHARDS
@with_settings
@INDEX
@SIMILARITY
@click.option(
    "--keep",
    multiple=True,
    metavar="WHAT=AMOUNT",
    help="Keep at least this much, such as documents=50% or pairs=1000000. WHAT is one of "
    f"{', '.join(YIELDS)}; if repeated, all targets are met together.",
)
@click.option(
    "--fdr", multiple=True, type=Share("--fdr"), metavar="RATE",
    help="Maximum false-discovery rate (share of incorrect pairs), such as 0.1 or 10%, estimated "
    "without labels; repeatable. Assumes one correct sentence per image and independent noise: "
    "correct on simulated corpora, but it failed on real MMC4 pages.",
)  # fmt: skip
@click.option(
    "--decoys", metavar="FILE",
    help="Decoy scores from mmc4viz score --decoys: --fdr then measures the noise instead of "
    "assuming it.",
)  # fmt: skip
@click.option(
    "--precision", multiple=True, type=Share("--precision"), metavar="SHARE",
    help="Minimum precision (share of correct pairs) from --labels, such as 0.9 or 90%; "
    "repeatable.",
)  # fmt: skip
@click.option("--labels", "labels_file", metavar="FILE", help="Label file for --precision.")
@click.option(
    "--passes", type=Positive("--passes"), metavar="N",
    help="Maximum number of passes over the data in --budget, such as 4.",
)  # fmt: skip
@with_budget
@click.option(
    "--single-image", type=Share("--single-image"), metavar="SHARE",
    help="Maximum share of single-image sequences among kept ones, such as 40%.",
)  # fmt: skip
@click.option(
    "--documents", type=click.IntRange(1, 2**31 - 1), default=10_000, show_default=True,
    metavar="N",
    help="Documents sampled at random from a larger corpus for --fdr.",
)  # fmt: skip
@SEED
@with_pairs()
@click.option(
    "--fraction", type=Share("--fraction"), multiple=True, metavar="SHARE",
    help="Of a table of pairs: the threshold of DataComp's --fraction, such as 0.3; repeatable.",
)  # fmt: skip
@click.option(
    "--out", metavar="FILE", help="Also write the result as JSON, for mmc4viz export --proposal."
)
@output_format("table", "json")
@_runs("suggest", pairs=True)
def suggest() -> None:
    """Suggest thresholds for a target yield, FDR or precision, and for all targets at once.

    Each suggestion comes with the yields at the threshold, the estimate with its 95% CI and its
    assumptions, or with the reason why the target cannot be reached. Targets of several kinds are
    also met all at once, by the highest threshold that can, with the targets that bind; if none
    can, with the nearest threshold and the targets that contradict each other.

    Of a table of image–text pairs: --keep pairs=AMOUNT, --fraction, and --precision with --labels.
    """


@click.command()
@click.argument("config_file", metavar="CONFIG")
@SHARDS
@INDEX
@SIMILARITY
@click.option("--image-dir", metavar="DIR", help="Image folder for MMC4's .jsonl shards.")
@with_format
@click.option("--tokenizer", metavar="NAME", help="Tokenizer to use. [the config's]")
@click.option("--labels", "labels_file", metavar="FILE", help="Label file to compare.")
@_runs("export", pairs=True)
def verify() -> None:
    """Recompute what a config records, and say what differs.

    CONFIG is a file written by mmc4viz export --out. Its yields are computed again on SHARDs or an
    index under its settings, and compared: exactly, or with the 95% CI of a sample. The contents of
    shards, labels, scores and tokenizer are compared by digest; of an index, with the digests that
    it recorded when it read the shards. The exit code is 1 if a number or content differs.

    Of a table of image–text pairs: the rows kept, all rows and the names of the files.
    """


@click.command()
@output_format("table", "csv", "json")
@_runs("index")
def formats() -> None:
    """List the formats of corpora that are read, with an example of each."""


COMMANDS: Final = (
    app,
    apply,
    compare,
    explain,
    curve,
    export,
    formats,
    index,
    labels,
    loaders,
    reference,
    sample,
    score,
    slices,
    suggest,
    verify,
)
