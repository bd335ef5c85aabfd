"""See, exactly, what a similarity threshold costs before a model is trained.

One engine for the command line, the dashboard and notebooks; importing it never loads Streamlit.

Examples
--------
>>> import mmc4viz
>>> mmc4viz.LoaderConfig().threshold
0.24
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from mmc4viz.model import (
    ConfigError,
    Document,
    Fate,
    ImageFate,
    LoaderConfig,
    Mmc4vizError,
    Outcome,
    Pair,
    ShardError,
    TokenizerError,
    Verdict,
)

if TYPE_CHECKING:
    from mmc4viz.corpus.columns import Columns, Verify
    from mmc4viz.corpus.curves import Curves
    from mmc4viz.corpus.index import Index, open_index
    from mmc4viz.corpus.ingest import read_columns
    from mmc4viz.corpus.scales import scale_of
    from mmc4viz.corpus.shards import Shard, expand, samples
    from mmc4viz.corpus.sweep import Matched, match_corpus, sweep
    from mmc4viz.loader.parse import parse_document
    from mmc4viz.loader.tokens import Tokenizer, load_tokenizer
    from mmc4viz.loader.walk import walk

_HOMES: Final = {
    "Columns": "corpus.columns",
    "Verify": "corpus.columns",
    "Curves": "corpus.curves",
    "scale_of": "corpus.scales",
    "Index": "corpus.index",
    "open_index": "corpus.index",
    "read_columns": "corpus.ingest",
    "Shard": "corpus.shards",
    "expand": "corpus.shards",
    "samples": "corpus.shards",
    "Matched": "corpus.sweep",
    "match_corpus": "corpus.sweep",
    "sweep": "corpus.sweep",
    "parse_document": "loader.parse",
    "Tokenizer": "loader.tokens",
    "load_tokenizer": "loader.tokens",
    "walk": "loader.walk",
}

__all__ = [
    "Columns",
    "ConfigError",
    "Curves",
    "Document",
    "Fate",
    "ImageFate",
    "Index",
    "LoaderConfig",
    "Matched",
    "Mmc4vizError",
    "Outcome",
    "Pair",
    "Shard",
    "ShardError",
    "Tokenizer",
    "TokenizerError",
    "Verdict",
    "Verify",
    "expand",
    "load_tokenizer",
    "match_corpus",
    "open_index",
    "parse_document",
    "read_columns",
    "samples",
    "scale_of",
    "sweep",
    "walk",
]


def __dir__() -> list[str]:
    """Name what is not loaded yet as well."""
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    """Load what is asked for, and no more: a command starts in half the time."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found
