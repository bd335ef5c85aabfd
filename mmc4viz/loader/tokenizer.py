"""Load tokenizers as OpenFlamingo's loader sets them up, and count the tokens of sentences.

Sentences can be counted separately if the tokenizer is additive (`additive_pipeline`), except those
named by `Tokenizer.is_exception`. Additive tokenizers split before every space that follows a
visible character, and the tokens after such a split do not depend on the text before it. So a
sentence's count is the sum over its words, each after a space, and only the first word depends on
what precedes the sentence. `SentenceCounter` tokenizes each new word once and caches its count.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import tokenizers
from tokenizers import AddedToken

from mmc4viz.loader.tokenizer_files import (
    END_OF_CHUNK,
    IMAGE,
    LOADERS_TOKENS,
    OPENFLAMINGO_TOKENS,
    built_in,
    find_files,
    load_files,
    one_line,
)
from mmc4viz.types import SentenceCounts, TokenizerError

BUILT_IN = "gpt2"


@dataclass(frozen=True, slots=True)
class Encoded:
    """A tokenized and truncated text.

    Attributes
    ----------
    ids : list of int
        Token ids, at most ``max_tokens``, without padding.
    starts : list of int
        Offset in the text at which each token begins, in characters.
    added : list of bool
        Whether the tokenizer itself added the token (as first or last).
    length : int
        Number of tokens before truncation.
    """

    ids: list[int]
    starts: list[int]
    added: list[bool]
    length: int


class Tokenizer:
    """A tokenizer with the loader's special tokens.

    Parameters
    ----------
    name : str
        As given by the user.
    backend : tokenizers.Tokenizer
        With the special tokens, without truncation and padding.
    end_of_text : str
        The token that closes every sequence.
    special : tuple of str
        The loader's special tokens; it writes ``<|endofchunk|>`` if that is among them.
    image : str
        The one of them that stands for an image.
    """

    def __init__(
        self,
        name: str,
        backend: tokenizers.Tokenizer,
        end_of_text: str,
        special: tuple[str, ...] = OPENFLAMINGO_TOKENS,
        image: str = IMAGE,
    ) -> None:
        self.name = name
        self.end_of_text = end_of_text
        self.special = special
        self.chunks = chunks = END_OF_CHUNK in special
        self.image = image
        self._backend = backend
        self.image_id = _id(backend, image)
        self.end_of_chunk_id = _id(backend, END_OF_CHUNK) if chunks else None
        bare = backend.encode(image)
        given = [n for n, added in enumerate(bare.special_tokens_mask) if not added]
        if [bare.ids[n] for n in given] != [self.image_id]:
            raise TokenizerError(f"does not encode {image} as one token")
        self.n_before, self.n_after = given[0], len(bare.ids) - given[0] - 1
        # Where none is added, the text begins as GPT-2's does: with its end-of-text token.
        self.begin_id = bare.ids[0] if self.n_before else _id(backend, end_of_text)
        last = END_OF_CHUNK if chunks else image
        closing = backend.encode(last + end_of_text, add_special_tokens=False)
        self.n_closing = len(closing.ids) - 1

    def with_special(self, special: tuple[str, ...], image: str = IMAGE) -> Tokenizer:
        """Return the same tokenizer with another loader's special tokens."""
        if (special, image) == (self.special, self.image):
            return self
        return load_tokenizer(self.name, special, image)

    @property  # not cached: the vocabulary takes megabytes
    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = json.loads(self._backend.to_str())
        return settings

    def id_of(self, token: str) -> int:
        """Return the id of a special token."""
        return _id(self._backend, token)

    def description(self) -> str:
        """Return the tokenizer's complete definition, in the format of ``tokenizer.json``."""
        return f"{self.end_of_text}\n{self._backend.to_str()}"

    @property
    def _settings_without_vocabulary(self) -> dict[str, Any]:
        backend = self._backend
        return {
            "model": {
                "type": type(backend.model).__name__,
                "dropout": getattr(backend.model, "dropout", None),
            },
            "normalizer": _component(backend.normalizer),
            "pre_tokenizer": _component(backend.pre_tokenizer),
            "added_tokens": [token.__getstate__() for token in self.added],
        }

    @property
    def added(self) -> list[AddedToken]:
        """The tokens that were added to the vocabulary."""
        return list(self._backend.get_added_tokens_decoder().values())

    @cached_property
    def additive(self) -> bool:
        """Whether token counts of sentences are additive (`additive_pipeline`)."""
        short = self._settings_without_vocabulary  # a vocabulary takes long to write out and read
        bytes_only = (short["pre_tokenizer"] or {}).get("type") == "ByteLevel"
        return additive_pipeline(short if bytes_only else self._settings)

    @cached_property
    def _literals(self) -> re.Pattern[str]:
        """Matches added tokens, and those of any loader, inside a sentence.

        White-space tokens are harmless there.
        """
        contents = dict.fromkeys([*(token.content for token in self.added), *LOADERS_TOKENS])
        visible = [re.escape(text) for text in contents if text.strip()]
        return re.compile("|".join(visible))

    def is_exception(self, sentence: str) -> bool:
        """Whether a sentence's count may differ from its contribution to a joined text.

        So it is for sentences that are empty, have white space at an end, a literal special token,
        a lone surrogate, or a first character that normalization may join to the preceding text.
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
        """Tokenize and truncate a text, including the tokens that the tokenizer itself adds.

        Parameters
        ----------
        text : str
        max_tokens : int or None
            None disables truncation.

        Raises
        ------
        TokenizerError
            When the tokenizer's own tokens alone fill ``max_tokens``.
        UnicodeEncodeError
            For a text with a lone surrogate, which the loader's tokenizer refuses as well.
        """
        text.encode()
        if max_tokens is not None:
            self.check_room(max_tokens)
        with _errors(f"{self.name}: cannot tokenize a text"):
            encoding = self._backend.encode(text)
        ids, starts = encoding.ids, [start for start, _ in encoding.offsets]
        added = [bool(flag) for flag in encoding.special_tokens_mask]
        length = len(ids)
        if max_tokens is None or length <= max_tokens:
            return Encoded(ids, starts, added, length)
        # Truncate as the tokenizer does before it adds its first and last tokens. Its own
        # truncation is shared state that other threads would see; a copy could change token ids.
        cut = slice(max_tokens - self.n_after, length - self.n_after)
        for values in (ids, starts, added):
            del values[cut]
        return Encoded(ids, starts, added, length)

    def check_room(self, max_tokens: int) -> None:
        """Raise a TokenizerError when the tokenizer's own tokens alone fill ``max_tokens``."""
        own = self.n_before + self.n_after
        if max_tokens <= own:
            raise TokenizerError(
                f"max_tokens {max_tokens} is too small: {self.name} itself adds {own} tokens"
            )

    def lengths(self, texts: list[str]) -> list[int]:
        """Return the number of tokens of each text, without those that the tokenizer adds."""
        with _errors(f"{self.name}: cannot tokenize a text"):
            encodings = self._backend.encode_batch_fast(texts, add_special_tokens=False)
        return [len(encoding) for encoding in encodings]

    def count(self, sentences: Sequence[str]) -> SentenceCounts:
        """Count the tokens of sentences, none of which is an exception.

        Parameters
        ----------
        sentences : sequence of str
            In page order.
        """
        if not sentences:
            return SentenceCounts(0, [], [])
        # In one call: after <image>, after a character and a space, and at the start of a text.
        texts = [self.image + text for text in sentences]
        texts += [f"{self.image}. {text}" for text in sentences]
        texts += [sentences[0], f"{self.image}."]
        lengths = self.lengths(texts)
        n, prefix = len(sentences), lengths[-1]
        return SentenceCounts(
            head=lengths[-2],
            first=[length - 1 for length in lengths[:n]],
            rest=[length - prefix for length in lengths[n : 2 * n]],
        )


@contextmanager
def _errors(before: str) -> Iterator[None]:
    """Turn the library's exceptions and panics into a TokenizerError."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, TokenizerError):
        raise
    except BaseException as error:
        raise TokenizerError(f"{before}: {one_line(error)}") from None


def _id(backend: tokenizers.Tokenizer, token: str) -> int:
    number = backend.token_to_id(token)
    if number is None:
        raise TokenizerError(f"the tokenizer does not accept {token} as a special token")
    return number


def additive_pipeline(settings: dict[str, Any]) -> bool:
    """Whether token counts of sentences are additive, according to a tokenizer's definition.

    This holds for two kinds. GPT-2's byte-level split cuts before every space that follows a
    character, so no token spans two sentences. Metaspace (SentencePiece) cuts before every ``▁``;
    so do merges in which no token has ``▁`` after another character.

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


def _component(part: Any) -> Any:
    """Return a part of a tokenizer as ``tokenizer.json`` has it."""
    return None if part is None else json.loads(part.__getstate__())


def _harmless(token: dict[str, Any]) -> bool:
    """Whether an added token can neither span two sentences nor absorb the space between them."""
    content = token["content"]
    inside = any(c.isspace() for c in content) and bool(content.strip())
    return not (inside or token.get("lstrip") or token.get("rstrip") or token.get("single_word"))


def _no_token_spans_a_space(model: dict[str, Any]) -> bool:
    if model["type"] != "BPE" or model.get("ignore_merges"):
        return False  # ignore_merges looks up whole texts
    if model.get("fuse_unk") and "▁" not in model["vocab"]:
        return False
    return not any(re.search("[^▁]▁", token) for token in model["vocab"])


def _is_llama_normalizer(normalizer: dict[str, Any] | None) -> bool:
    steps = (normalizer or {}).get("normalizers", [])
    prepend = {"type": "Prepend", "prepend": "▁"}
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    return steps in ([prepend, replace], [replace])


def _may_join(character: str) -> bool:
    """Whether normalization may join a character to the preceding one."""
    return unicodedata.category(character).startswith("M") or "\u1160" <= character <= "\u11ff"


@lru_cache(maxsize=16)
def load_tokenizer(
    name: str = BUILT_IN, special: tuple[str, ...] = OPENFLAMINGO_TOKENS, image: str = IMAGE
) -> Tokenizer:
    """Load a tokenizer and give it the loader's special tokens.

    Parameters
    ----------
    name : str
        ``"gpt2"`` (built in), a ``tokenizer.json``, a folder, or a Hugging Face id.
    special : tuple of str
        The loader's special tokens, in its order.
    image : str
        The one of them that stands for an image.

    Returns
    -------
    Tokenizer

    Raises
    ------
    TokenizerError
        When it cannot be loaded, or has no end-of-text token.

    Examples
    --------
    >>> load_tokenizer().count(["A boat.", "The sea."]).rest
    [3, 3]
    """
    if name == BUILT_IN:
        return Tokenizer(name, built_in(special), "<|endoftext|>", special, image)
    files = find_files(name)
    try:
        with _errors("cannot be loaded"):
            tokenizer = Tokenizer(name, *load_files(files, special), special, image)
    except TokenizerError as error:
        raise TokenizerError(f"{name}: {error}") from None
    tokenizer.encode("\ue0ff\U0010fffd \u0378", None)  # fails here if it cannot encode the unknown
    return tokenizer


_MOST_CACHED = 1_500_000  # characters: some 150,000 words, 20 MB with their counts


@dataclass(frozen=True, slots=True)
class _Known:
    """Token counts of words by what precedes them."""

    after_space: dict[str, int] = field(default_factory=dict)
    after_image: dict[str, int] = field(default_factory=dict)
    at_start: dict[str, int] = field(default_factory=dict)


@lru_cache(maxsize=4)
def counter_of(tokenizer: Tokenizer) -> SentenceCounter:
    """Return this process's counter for a tokenizer."""
    return SentenceCounter(tokenizer)


class SentenceCounter:
    """Counts sentences' tokens and caches the counts of their words; safe to share among threads.

    Parameters
    ----------
    tokenizer : Tokenizer
        Must be additive.

    Examples
    --------
    >>> from mmc4viz.loader.tokenizer import load_tokenizer
    >>> SentenceCounter(load_tokenizer()).count([["A boat.", "The sea."]])
    [SentenceCounts(head=3, first=[3, 3], rest=[3, 3])]
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._known = _Known()
        self._cached = 0

    def count(self, pages: Sequence[Sequence[str]]) -> list[SentenceCounts]:
        """Count the tokens of several documents' sentences, none of which is an exception.

        Parameters
        ----------
        pages : sequence of sequences of str
            Each document's sentences in page order.
        """
        split = [[_words(sentence) for sentence in page] for page in pages]
        known = self._learn(split)
        return [_sum(page, known) for page in split]

    def _learn(self, split: Sequence[Sequence[Sequence[str]]]) -> _Known:
        """Tokenize unknown words, in one call."""
        if self._cached > _MOST_CACHED:
            self._known, self._cached = _Known(), 0
        known = self._known
        anywhere = _new((w for page in split for words in page for w in words), known.after_space)
        first = _new((words[0] for page in split for words in page), known.after_image)
        opening = _new((page[0][0] for page in split if page), known.at_start)
        image = self._tokenizer.image
        # Any visible character can precede the space before a word.
        texts = [f". {word}" for word in anywhere] + [image + word for word in first] + opening
        *lengths, dot = self._tokenizer.lengths([*texts, "."])
        found = iter(lengths)
        known.after_space.update((word, next(found) - dot) for word in anywhere)
        known.after_image.update((word, next(found) - 1) for word in first)
        known.at_start.update((word, next(found)) for word in opening)
        self._cached += sum(map(len, texts))
        return known


def _sum(page: list[list[str]], known: _Known) -> SentenceCounts:
    """Add up the words of one document's sentences."""
    if not page:
        return SentenceCounts(0, [], [])
    rest = [sum(map(known.after_space.__getitem__, words)) for words in page]
    first = [
        total - known.after_space[words[0]] + known.after_image[words[0]]
        for total, words in zip(rest, page, strict=True)
    ]
    opening = page[0][0]
    head = rest[0] - known.after_space[opening] + known.at_start[opening]
    return SentenceCounts(head, first, rest)


def _new(words: Iterable[str], known: dict[str, int]) -> list[str]:
    """Return the unknown words without repeats, in a reproducible order."""
    return sorted(set(words).difference(known))


def _words(sentence: str) -> list[str]:
    """Split a sentence at its spaces if every space is certain to be a token boundary.

    That requires visible characters only, so that no other white space is next to a space, and no
    ``▁``, which represents a space in SentencePiece's vocabularies.
    """
    if sentence.isprintable() and "  " not in sentence and "▁" not in sentence:
        return sentence.split(" ")
    return [sentence]
