"""Rewrite one shard.

`affected` finds the documents that may need a change from the columns; only these are read and
planned (`plan.plan_document`). Each rewritten document is read again and checked by the reference
walk; if the result is not as planned, the next edit is tried, and finally the document is left out
and reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow.compute as pc

from mmc4viz.apply.edit_json import Edited, edit_json
from mmc4viz.apply.options import Options, RewriteCounts, loader_config
from mmc4viz.apply.plan import Edit, Plan, attempts, plan_document
from mmc4viz.apply.resuming import ShardTask
from mmc4viz.apply.tar import END, Member, Output, Unpacked, contents, header, members, padding
from mmc4viz.apply.tasks import RewriteTask
from mmc4viz.arrays import Bools, Floats, Ints
from mmc4viz.data.columns import BAD_PIXELS, Columns, ImageCheck, Kind, Verify
from mmc4viz.data.index import map_columns, map_set_file
from mmc4viz.data.ingest import read_columns
from mmc4viz.data.scale import Shifts
from mmc4viz.data.shards import OVER_LIMIT, Shard, reason
from mmc4viz.data.similarity_file import put_over
from mmc4viz.formats.format import LIMIT
from mmc4viz.loader.parse import parse_document
from mmc4viz.loader.tokenizer import Tokenizer, load_tokenizer
from mmc4viz.loader.walk import walk
from mmc4viz.slices.attributes import SlicedCorpus
from mmc4viz.slices.thresholds import attribute_of, shifts_of_shard
from mmc4viz.sweep.document_table import verdicts
from mmc4viz.sweep.match import match
from mmc4viz.sweep.statistics import CLASS
from mmc4viz.sweep.sweep import match_corpus
from mmc4viz.types import (
    Document,
    DocumentError,
    LoaderConfig,
    ShardError,
    SliceThresholds,
    Verdict,
)


@dataclass(frozen=True)
class ShardColumns:
    """A shard's columns.

    Attributes
    ----------
    own : Columns
        With the scores in the shard.
    chosen : Columns
        With the scores on which the settings were chosen; usually the same object.
    """

    own: Columns
    chosen: Columns

    @property
    def another(self) -> bool:
        """Whether the settings were chosen on other scores than the shard's own."""
        return self.own is not self.chosen


def shard_columns(task: RewriteTask, plain: Unpacked) -> ShardColumns:
    """Return a shard's columns, from an index or by reading the shard.

    Parameters
    ----------
    task : RewriteTask
    plain : Unpacked
        The shard as a plain tar.

    Raises
    ------
    ShardError
        If nothing can be read, or a document exceeds the size limit.
    """
    if task.index_file is not None:
        return indexed_columns(task)
    tokenizer = load_tokenizer(task.config.tokenizer)
    read = read_columns(Shard(str(plain.path), task.shard.position), tokenizer)
    error = read.error
    if error is not None:
        error = f"{task.shard.path}: {error.removeprefix(f'{plain.path}: ')}"
        error += f" ({plain.error})" if plain.error else ""
    own = checked_columns(replace(read, shard=task.shard, error=error))
    return ShardColumns(own, own)


def indexed_columns(task: ShardTask) -> ShardColumns:
    """Return the columns of an indexed shard, with the scores of its score set put over its own.

    Raises
    ------
    ShardError
        As `shard_columns`.
    """
    assert task.index_file is not None
    batch, origin = map_columns(Path(task.index_file))
    tokenizer = load_tokenizer(task.config.tokenizer)
    own = checked_columns(Columns(task.shard, batch, tokenizer, origin.error))
    if task.set_file is None:
        return ShardColumns(own, own)
    return ShardColumns(own, put_over(own, map_set_file(Path(task.set_file))[0]))


def checked_columns(own: Columns) -> Columns:
    """Return a shard's columns if their outcomes can be known; raises a ShardError otherwise."""
    if own.error is not None and not len(own):
        raise ShardError(own.error)
    if pc.any(pc.match_substring(own.batch.column("detail"), OVER_LIMIT)).as_py():
        raise ShardError(
            f"{own.shard.path}: has documents above the size limit, whose outcome is unknown; "
            f"raise the limit with {LIMIT}"
        )
    return own


def slice_shifts(task: ShardTask, columns: Columns) -> Shifts | None:
    """Return the shifts of a shard's documents; None without slice thresholds."""
    if task.slices is None:
        return None
    attribute = attribute_of(task.slices, verify=False)  # compared once, before all tasks
    corpus = SlicedCorpus(match_corpus([columns], task.config))
    return shifts_of_shard(task.slices, corpus, attribute)


def affected(
    columns: Columns,
    config: LoaderConfig,
    options: Options,
    own: Floats | None = None,
    loader: LoaderConfig | None = None,
) -> Bools:
    """Return which documents may need a change, shape (documents,).

    Parameters
    ----------
    columns : Columns
        One shard's, with the scores in the shard.
    config : LoaderConfig
        The chosen settings.
    options : Options
    own : ndarray of float64, shape (documents,), optional
        The documents' thresholds.
    loader : LoaderConfig, optional
        The unmodified loader's settings, where its threshold is another one.
    """
    starts = columns.offsets("images")
    owner = np.repeat(np.arange(len(columns)), np.diff(starts))
    chosen = _surviving(columns, config, own)
    found: Bools = columns.kind == Kind.LITERAL
    loader = loader or loader_config(config)
    same = (loader.assignment, loader.min_kb) == (config.assignment, config.min_kb)
    if not same or own is not None:
        found[owner[chosen != _surviving(columns, loader)]] = True
    if options.cap == "best" or options.order == "sentence":
        survives = chosen >= 0
        each = np.bincount(owner[survives], minlength=len(columns))
        found |= each > config.max_images
        if options.order == "sentence":
            document, sentence = owner[survives], chosen[survives]
            falls = (document[1:] == document[:-1]) & (sentence[1:] < sentence[:-1])
            found[document[1:][falls]] = True
    status = columns.image("status")[starts[0] : starts[-1]]
    if options.drop_undecodable:
        found[owner[(status == ImageCheck.BAD_ENTRY) | np.isin(status, BAD_PIXELS)]] = True
    if not options.keep_rejected_images:
        found[owner[status != ImageCheck.MISSING]] = True
    return np.asarray(found & (columns.kind != Kind.UNREADABLE))


def _surviving(columns: Columns, config: LoaderConfig, own: Floats | None = None) -> Ints:
    """Return each image's sentence if its pair reaches the threshold, else -1."""
    starts = columns.offsets("images")
    pairs = match(columns, config).pairs
    sentence = np.full(starts[-1] - starts[0], -1, np.int64)
    above = pairs.score >= (config.threshold if own is None else own[pairs.document])
    at = starts[pairs.document[above]] - starts[0] + pairs.image[above]
    sentence[at] = pairs.sentence[above]
    return sentence


def yielded(columns: Columns, loader: LoaderConfig, rows: Ints) -> tuple[int, int]:
    """Count the documents that the unmodified loader keeps always, and with probability 0.5."""
    if not len(rows):
        return 0, 0
    kind = verdicts(match_corpus([columns.take(rows)], loader), loader).kind
    always, sometimes = (kind == CLASS[name] for name in ("kept_always", "kept_single_image"))
    return int(always.sum()), int(sometimes.sum())


class SharedSentenceError(ShardError):
    """A document in which the settings assign several images to one sentence."""


@dataclass(frozen=True)
class ShardSettings:
    """Settings, options and tokenizer.

    Attributes
    ----------
    config : LoaderConfig
    options : Options
    tokenizer : Tokenizer
        The tokenizer named by ``config.tokenizer``.
    slices : SliceThresholds or None
    own : ndarray of float64, shape (documents,), or None
        The documents' thresholds, if there are slice thresholds.
    """

    config: LoaderConfig
    options: Options
    tokenizer: Tokenizer
    slices: SliceThresholds | None = None
    own: Floats | None = None

    @property
    def loader(self) -> LoaderConfig:
        """The settings of the unmodified loader."""
        return loader_config(self.config, self.slices)

    def config_of(self, row: int) -> LoaderConfig:
        """Return the settings of a document."""
        if self.own is None:
            return self.config
        return self.config.with_(threshold=float(self.own[row]))


@dataclass
class Rewritten:
    """The result of rewriting a shard.

    Attributes
    ----------
    counts : RewriteCounts
    left_out : list of str
        Documents that were not written, by key, with the reason.
    shared : str or None
        Describes the first document with several images on one sentence.
    error : str or None
        Where the shard is truncated.
    """

    counts: RewriteCounts = field(default_factory=RewriteCounts)
    left_out: list[str] = field(default_factory=list)
    shared: str | None = None
    error: str | None = None


def rewrite_shard(
    shard: ShardColumns,
    plain: Unpacked,
    out: Output,
    setting: ShardSettings,
    *,
    refuse_shared: bool = True,
) -> Rewritten:
    """Rewrite one shard.

    Parameters
    ----------
    shard : ShardColumns
        The shard's columns.
    plain : Unpacked
        The shard as a plain tar.
    out : Output
        Receives a plain tar. If the columns are truncated, it ends with their last document, even
        if more could be read now, because unchecked documents are never copied.
    setting : ShardSettings
    refuse_shared : bool
        Whether a document with several images on one sentence is an error, or only counted.

    Raises
    ------
    SharedSentenceError
        If a sentence has several images and ``refuse_shared`` is set.
    ShardError
        If the shard does not match its columns, or cannot be read as far as they go.
    """
    work = _Work(shard, setting, Rewritten(error=shard.own.error), refuse_shared)
    walked, todo = work.walked(), work.begin()
    with open(plain.path, "rb") as headers, plain.open() as file:
        cursor, end = 0, 0
        broken: list[str] = []
        breaks = shard.own.error is not None
        for member in () if breaks and not walked else _members_before_break(headers, broken):
            walked.discard(member.data)
            end = member.end
            row = todo.pop(member.data, None)
            new = None if row is None else work.rewrite(row, member, file)
            if new is not None:
                out.copy(file, cursor, member.begin)
                out.write(new)
                cursor = end
            if breaks and not walked:
                break
        if walked:
            what = broken[0] if broken else "has changed since it was indexed"
            raise ShardError(f"{shard.own.shard.path}: {what}")
        if broken:
            work.done.error = shard.own.error or f"{shard.own.shard.path}: {broken[0]}"
        size = file.seek(0, 2)
        out.copy(file, cursor, size if work.done.error is None else min(end, size))
        if work.done.error is not None:
            out.write([padding(out.size), END])
    return work.done


def _members_before_break(file: IO[bytes], broken: list[str]) -> Iterator[Member]:
    """Yield a tar's members; if it is truncated, append the reason to ``broken``."""
    try:
        yield from members(file)
    except Exception as error:  # hostile bytes make tarfile raise nearly anything
        broken.append(reason(error))


@dataclass
class _Work:
    """The state of rewriting a shard, document by document."""

    shard: ShardColumns
    setting: ShardSettings
    done: Rewritten
    refuse_shared: bool

    def walked(self) -> set[int]:
        """Return the offsets of all documents that have one."""
        places = self.shard.own.numbers("offset")
        return set(places[places >= 0].tolist())

    def begin(self) -> dict[int, int]:
        """Count the unaffected documents; return the rows of the others by offset."""
        own, setting = self.shard.own, self.setting
        mask = affected(own, setting.config, setting.options, setting.own, setting.loader)
        if self.shard.another:
            mask = own.kind != Kind.UNREADABLE
        if own.error is not None:  # nothing is copied after the last document with an offset
            own = own.take(
                np.arange(1 + np.flatnonzero(own.numbers("offset") >= 0).max(initial=-1))
            )
            mask = mask[: len(own)]
        counts, rows = self.done.counts, np.flatnonzero(mask)
        counts.documents = len(own)
        counts.carried_over = len(own) - len(rows)
        found = yielded(own, setting.loader, np.flatnonzero(~mask))
        counts.always_yielded, counts.sometimes_yielded = found
        places = own.numbers("offset")[rows].tolist()
        return dict(zip(places, rows.tolist(), strict=True))

    def rewrite(self, row: int, member: Member, file: IO[bytes]) -> list[bytes | memoryview] | None:
        """Return a member's replacement; None if it is unchanged."""
        document = self._measured(self.shard.chosen, row, member, file)
        if document.is_gpt:
            self.done.counts.chatgpt += 1
            self._carry_over(walk(document, self.setting.loader, self.setting.tokenizer))
            return None
        own = self._measured(self.shard.own, row, member, file) if self.shard.another else None
        setting = self.setting
        config = setting.config_of(row)
        plan = plan_document(
            document, config, setting.options, setting.tokenizer, own, setting.loader.threshold
        )
        self.done.counts.other_odds += plan.other_odds
        if plan.shared is not None:
            self._share(f"document {document.key!r} has {plan.shared}")
        if plan.shared is not None or plan.is_right:
            self._carry_over(plan.expected)
            return None
        try:
            edited, edit, verdict = self._edited(plan, document, member, file)
        except DocumentError as error:
            if plan.rejected_anyway:
                self._carry_over(None)
                return None
            self.done.counts.left_out += 1
            self.done.left_out.append(f"document {document.key!r}: {error}")
            return []
        self._count(plan, edit, verdict)
        size = edited.size
        return [header(file, member, size), *edited.raw, padding(size)]

    def _measured(self, columns: Columns, row: int, member: Member, file: IO[bytes]) -> Document:
        """Return a document with validated images."""
        document = columns.document(row)
        if columns.verify is Verify.FULL:
            return document
        read = parse_document(document.key, contents(file, member))
        return replace(read, similarity=document.similarity) if self.shard.another else read

    def _edited(
        self, plan: Plan, document: Document, member: Member, file: IO[bytes]
    ) -> tuple[Edited, Edit, Verdict]:
        """Carry out a plan by the first edit with which the loader does what was planned."""
        if plan.impossible is not None:
            raise DocumentError(plan.impossible)
        raw = contents(file, member)
        loader = self.setting.loader
        for edit in attempts(plan, document, loader):
            edited = edit_json(raw, edit)
            verdict = walk(_read_again(document, edited, edit), loader, self.setting.tokenizer)
            if plan.holds(verdict, edit.order):
                return edited, edit, verdict
        raise DocumentError("no edit makes the loader select the chosen pairs")

    def _share(self, words: str) -> None:
        if self.refuse_shared:
            raise SharedSentenceError(
                f"{self.shard.own.shard.path}: {words}, but the loader assigns one image per "
                "sentence; use the assignment one_to_one or greedy"
            )
        self.done.counts.shared += 1
        self.done.shared = self.done.shared or words

    def _carry_over(self, verdict: Verdict | None) -> None:
        self.done.counts.carried_over += 1
        self._count_yielded(verdict)

    def _count(self, plan: Plan, edit: Edit, verdict: Verdict) -> None:
        counts = self.done.counts
        counts.changed += 1
        counts.reordered += bool(edit.order)
        counts.lowered += edit.lowered > 0
        counts.rescored += bool(plan.edit.scores)
        counts.rescued += plan.rescued
        counts.emptied += plan.expected is None and not plan.rejected_anyway
        counts.spaced += plan.spaced > 0
        counts.spaced_tokens += plan.spaced
        counts.dropped_images += len(edit.drop)
        self._count_yielded(verdict)

    def _count_yielded(self, verdict: Verdict | None) -> None:
        if verdict is not None and verdict.keep_probability > 0:
            always = verdict.keep_probability == 1
            self.done.counts.always_yielded += always
            self.done.counts.sometimes_yielded += not always


def _read_again(document: Document, edited: Edited, edit: Edit) -> Document:
    """Return a document as in its edited JSON, with the known image measurements."""
    info = edited.info
    order = edit.order or range(len(document.images))
    images = []
    for image, entry in zip(order, info["image_info"], strict=True):
        measured = document.images[image]
        if image in edit.drop and measured.present:
            measured = replace(measured, present=False, entry_error=None, pixel_error=None)
        if isinstance(entry, dict) and ("image_base64" in entry) != measured.present:
            raise DocumentError("its images are not at their expected positions")
        images.append(measured)
    return replace(
        document,
        images=tuple(images),
        sentences=None if document.counts is not None else info["text_list"],
        similarity=info["similarity_matrix"],
    )
