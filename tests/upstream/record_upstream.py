"""Record what the original loader does to the corpora of `recorded.py`, for `test_real.py`.

    python tests/upstream/record_upstream.py [--draw] --upstream-python PY --oracle SCRIPT
        --data-py FILE --tokenizer TOKENIZER.json

The oracle is run as by `compare_rewritten.py`, once a setting; TOKENIZER is the built-in gpt2's.
With --draw the generated corpus is drawn anew before.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from mmc4viz import LoaderConfig
from tests.upstream import recorded
from tests.upstream.compare_rewritten import run_original


def main() -> None:
    """Run the original under every setting, and write what it did."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for name in ("--upstream-python", "--oracle", "--data-py", "--tokenizer"):
        parser.add_argument(name, required=True)
    parser.add_argument("--draw", action="store_true")
    a = parser.parse_args()
    a.coin = "keep"
    if a.draw:
        recorded.draw()
    for corpus in recorded.CORPORA.values():
        with tempfile.TemporaryDirectory() as folder:
            shard = corpus.shard(Path(folder))
            configs = [LoaderConfig(**settings) for settings in recorded.SETTINGS]
            corpus.write([run_original(a, shard, config) for config in configs])


if __name__ == "__main__":
    main()
