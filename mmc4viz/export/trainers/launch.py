"""How training starts on an export: a command, or a few lines of Python."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Final

from mmc4viz.apply.options import corpus_words
from mmc4viz.export.trainers.mds import IMAGES_OF
from mmc4viz.formats.registry import RECOGNISED, InputFormat

_HF: Final = """\
from datasets import load_dataset

dataset = load_dataset("parquet", data_files={files}, split="train", streaming=True)
for row in dataset:
    row["images"], row["texts"]  # aligned: at each position, one of them is None
    row["probability"]  # of keeping the document; below 1 only with a single image
"""
_TORCHTITAN: Final = """\
# In torchtitan, a data source for the processor of OBELICS:
from torchtitan.components.data.sources import HuggingFaceStreamingSource

source = HuggingFaceStreamingSource.Config(
    path={folder}, split="train", load_dataset_kwargs={{"data_files": {{"train": "*.parquet"}}}}
)
# Put it in place of the source of MM_DATASETS["obelics"], in
# torchtitan/hf_datasets/multimodal/mm_datasets.py.
"""
_MDS: Final = """\
from streaming import StreamingDataset

{code}
dataset = StreamingDataset(local={folder}, shuffle=True, batch_size=1)
for sample in dataset:
    images_of(sample), sample["texts"]  # aligned: at each position, one of them is None
    sample["probability"]  # of keeping the document; below 1 only with a single image
"""
_ENERGON: Final = """\
energon prepare --tar-index-only {quoted}

from megatron.energon import WorkerConfig, get_loader, get_train_dataset

dataset = get_train_dataset(
    {folder},
    batch_size=1,
    shuffle_buffer_size=100,
    max_samples_per_sequence=100,
    worker_config=WorkerConfig.default_worker_config(),
)
for sample in get_loader(dataset):
    sample.sequence  # images (tensors) and texts in order
"""


def start_training(trainer: str, out: str) -> str:
    """Return how training on an export starts.

    Parameters
    ----------
    trainer : str
        ``energon``, ``hf``, ``mds`` or ``torchtitan``.
    out : str
        The folder that was written.

    Examples
    --------
    >>> print(start_training("hf", "rows").splitlines()[2])
    dataset = load_dataset("parquet", data_files='rows/*.parquet', split="train", streaming=True)
    """
    if trainer == "hf":
        return _HF.format(files=repr(f"{out.rstrip('/')}/*.parquet"))
    if trainer == "torchtitan":
        return _TORCHTITAN.format(folder=repr(out))
    if trainer == "mds":
        return _MDS.format(folder=repr(out), code=IMAGES_OF)
    return _ENERGON.format(folder=repr(out), quoted=shlex.quote(out))


def export_command(
    trainer: str,
    config: str,
    out: str,
    *,
    shards: Sequence[str] = (),
    index: str | None = None,
    similarity: str | None = None,
    image_dir: str | None = None,
    given: InputFormat = RECOGNISED,
) -> str:
    """Return an ``mmc4viz export --for`` command, quoted for a shell.

    Parameters
    ----------
    trainer : str
        As in `start_training`, or ``webdataset``.
    config : str
        The config file.
    out : str
        The output folder; for ``webdataset`` the manifest.
    shards, index, similarity
        As in `mmc4viz.apply.options.apply_command`.
    image_dir : str, optional
        The folder of images.
    given : InputFormat
        How shards are read.

    Examples
    --------
    >>> export_command("hf", "c.yaml", "my rows", shards=["a/*.tar"])
    "mmc4viz export 'a/*.tar' --config c.yaml --for hf --out 'my rows'"
    """
    words = ["mmc4viz", "export", *corpus_words(shards, index, similarity, given)]
    words += ["--config", config]
    words += [] if image_dir is None else ["--image-dir", image_dir]
    return shlex.join([*words, "--for", trainer, _OUT.get(trainer, "--out"), out])


_OUT: Final = {"webdataset": "--manifest"}
