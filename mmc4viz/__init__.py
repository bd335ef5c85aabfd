"""Explore and choose CLIP-similarity thresholds for interleaved image–text corpora.

The same engine serves the command line, the dashboard and notebooks. Streamlit is imported only
by the dashboard.

Examples
--------
>>> import mmc4viz
>>> mmc4viz.LoaderConfig().threshold
0.24
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from mmc4viz.types import (
    ConfigError,
    Document,
    ImageStatus,
    LoaderConfig,
    Mmc4vizError,
    Outcome,
    Pair,
    PairStatus,
    ShardError,
    TokenizerError,
    Verdict,
)

if TYPE_CHECKING:
    from mmc4viz.data.columns import Columns, Verify
    from mmc4viz.data.index import Index, open_index
    from mmc4viz.data.ingest import read_columns
    from mmc4viz.data.scale import scale_of
    from mmc4viz.data.shards import Shard, expand, samples
    from mmc4viz.loader.parse import parse_document
    from mmc4viz.loader.tokenizer import Tokenizer, load_tokenizer
    from mmc4viz.loader.walk import walk
    from mmc4viz.notebook import open
    from mmc4viz.pairs_notebook import open_pairs
    from mmc4viz.sweep.statistics import Curves
    from mmc4viz.sweep.sweep import Matched, match_corpus

_HOMES: Final = {
    "open": "notebook",
    "open_pairs": "pairs_notebook",
    "Columns": "data.columns",
    "Verify": "data.columns",
    "Curves": "sweep.statistics",
    "scale_of": "data.scale",
    "Index": "data.index",
    "open_index": "data.index",
    "read_columns": "data.ingest",
    "Shard": "data.shards",
    "expand": "data.shards",
    "samples": "data.shards",
    "Matched": "sweep.sweep",
    "match_corpus": "sweep.sweep",
    "parse_document": "loader.parse",
    "Tokenizer": "loader.tokenizer",
    "load_tokenizer": "loader.tokenizer",
    "walk": "loader.walk",
}

__all__ = [
    "Columns",
    "ConfigError",
    "Curves",
    "Document",
    "ImageStatus",
    "Index",
    "LoaderConfig",
    "Matched",
    "Mmc4vizError",
    "Outcome",
    "Pair",
    "PairStatus",
    "Shard",
    "ShardError",
    "Tokenizer",
    "TokenizerError",
    "Verdict",
    "Verify",
    "expand",
    "load_tokenizer",
    "match_corpus",
    "open",
    "open_index",
    "open_pairs",
    "parse_document",
    "read_columns",
    "samples",
    "scale_of",
    "walk",
]


def __dir__() -> list[str]:
    """List public names, including those not loaded yet."""
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    """Import public names on first use, which halves a command's start-up time."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found
