"""Tokenizers of a dozen families give the ids that OpenFlamingo's loader gets from transformers."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmc4viz.data.index import digest
from mmc4viz.loader.tokenizer import Tokenizer, load_tokenizer
from mmc4viz.types import TokenizerError
from tests.cli.test_cli import Run
from tests.support import families
from tests.support.documents import info, write_tar
from tests.support.families import FAMILIES, LIMITS, TEXTS, by_transformers, cases, varied, written

KNOWN: dict[str, str | None] = json.loads(families.RECORD.read_text(encoding="utf-8"))


def ids_of(tokenizer: Tokenizer) -> list[list[int]]:
    """Return the same as `families.by_transformers`, from mmc4viz."""
    closing = f"<|endofchunk|>{tokenizer.end_of_text}"
    rows = [tokenizer.encode(text + closing, limit).ids for text in TEXTS for limit in LIMITS]
    return [[tokenizer.end_of_chunk_id, tokenizer.image_id], *rows]


def ours(folder: str) -> list[list[int]] | None:
    try:
        return ids_of(load_tokenizer(folder))
    except TokenizerError as error:
        assert "\n" not in str(error)
        return None


def check_recorded(folder: Path, named: Callable[[str], bool]) -> None:
    loaded = 0
    for n, (name, files) in enumerate(cases()):
        if named(name) and (expected := KNOWN[name]) is not None:
            assert families.digest(ours(written(folder / str(n), files))) == expected, name
            loaded += 1
    assert loaded > 60


@pytest.mark.slow
def test_ids_equal_those_of_transformers(tmp_path: Path) -> None:
    check_recorded(tmp_path, lambda name: "varied" not in name)


@pytest.mark.slow
def test_ids_equal_those_of_transformers_with_other_settings(tmp_path: Path) -> None:
    check_recorded(tmp_path, lambda name: "varied" in name)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, 2000, 200))
def test_ids_of_tokenizers_varied_at_will(tmp_path: Path, start: int) -> None:
    transformers = pytest.importorskip("transformers", minversion="4.57", exc_type=ImportError)
    if int(transformers.__version__.split(".")[0]) != 4:
        pytest.skip("OpenFlamingo's loader runs with transformers 4")
    for seed in range(start, start + 200):
        folder = written(tmp_path / str(seed), varied(random.Random(seed)))
        if (expected := by_transformers(folder)) is not None:
            assert ours(folder) == expected, seed


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokenizer]:
    folder = tmp_path_factory.mktemp("families")
    return {n: load_tokenizer(written(folder / n, make())) for n, make in FAMILIES.items()}


@pytest.mark.parametrize("name", FAMILIES)
@given(data=st.data())
def test_truncation_equals_the_librarys(
    loaded: dict[str, Tokenizer], name: str, data: st.DataObject
) -> None:
    tokenizer = loaded[name]
    parts = st.sampled_from([*TEXTS, "<image>", "<|endofchunk|>", " a", tokenizer.end_of_text])
    text = "".join(data.draw(st.lists(st.one_of(parts, st.text(st.characters(codec="utf-8"))))))
    least = tokenizer.n_before + tokenizer.n_after + 1
    limit = data.draw(st.integers(least, 40))
    own = tokenizer._backend
    own.enable_truncation(limit)  # of this test alone; no copy, which might renumber tokens
    try:
        expected = own.encode(text)
    finally:
        own.no_truncation()
    found = tokenizer.encode(text, limit)
    assert found.ids == expected.ids
    assert found.starts == [start for start, _ in expected.offsets]
    assert found.added == list(map(bool, expected.special_tokens_mask))


def test_ids_with_holes_stay_where_they_are(loaded: dict[str, Tokenizer]) -> None:
    for name in ("gpt4o", "kimi"):
        tokenizer = loaded[name]
        text = f"<image>A boat.<|endofchunk|>{tokenizer.end_of_text}"
        whole, cut = tokenizer.encode(text, None), tokenizer.encode(text, 3)
        assert cut.ids == whole.ids[:3]
        assert tokenizer.image_id in cut.ids


@pytest.mark.parametrize("name", ["gpt4o", "kimi", "deepseek"])
def test_explain_and_curve_agree(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    folder = written(tmp_path / "t", FAMILIES[name]())
    pages = [[f"A boat and {'more ' * n}words."] * 3 for n in range(12)]
    documents = [(f"d{n}", info([[0.3, 0.1, 0.2]], page)) for n, page in enumerate(pages)]
    shard = write_tar(tmp_path / "s.tar", documents)
    asked = [shard, "--tokenizer", folder, "--max-tokens", "16", "--assignment", "argmax"]
    rows = Run(capsys, "explain", *asked, "--format", "jsonl").rows
    curve = Run(capsys, "curve", *asked, "--thresholds", "0.24", "--format", "json")
    [line] = json.loads(curve.out)
    outcomes = Counter(row["outcome"] for row in rows)
    assert outcomes["kept"] > 5
    assert {one: line[one] for one in outcomes} == outcomes


@pytest.mark.parametrize(
    "settings",
    [
        {"add_bos_token": False},
        {"add_eos_token": True},
        {"add_prefix_space": True},
        {"additional_special_tokens": ["[NEW]"]},
        {"eos_token": "[END]"},
        {"pad_token": "[PAD]"},
    ],
)
def test_an_index_notices_another_setting(tmp_path: Path, settings: dict[str, object]) -> None:
    folders = [
        written(tmp_path / str(n), FAMILIES["cohere"](**s)) for n, s in enumerate([{}, settings])
    ]
    before, after = map(load_tokenizer, folders)
    assert digest(before) != digest(after)


@pytest.mark.parametrize(
    ("family", "settings", "words"),
    [
        ("gpt2", {"tokenizer_class": "BertTokenizer"}, "BertTokenizer"),
        ("gpt2", {"auto_map": {"AutoTokenizer": ["x.Y", None]}}, "auto_map"),
        ("kimi", {"auto_map": ["x.Y", None]}, "auto_map"),
        ("gpt2", {"split_special_tokens": True}, "split_special_tokens"),
        ("qwen", {"truncation_side": "left"}, "truncation_side"),
        ("llama2", {"add_prefix_space": False}, "add_prefix_space"),
        ("llama2_new", {"add_prefix_space": False}, "add_prefix_space"),
        ("t5", {"add_prefix_space": True}, "add_prefix_space"),
        ("gpt2", {"fast_tokenizer_files": ["tokenizer.4.0.0.json"]}, "fast_tokenizer_files"),
        ("gpt2", {"extra_special_tokens": ["a"]}, "extra_special_tokens"),
        ("phi", {"add_bos_token": True}, "add_bos_token"),
        ("llama2", {"bos_token": None}, "no bos_token"),
        ("kimi", {"eos_token": None}, "no end-of-text token"),
        ("gpt2", {"bos_token": ["a"]}, "special token"),
        ("gpt2", {"added_tokens_decoder": [1]}, "cannot be loaded"),
        ("gpt2", {"added_tokens_decoder": {"x": {"content": "y"}}}, "cannot be loaded"),
        ("gpt2", {"additional_special_tokens": {"a": 1}}, "special token"),
        ("t5", {"extra_ids": "many"}, "cannot be loaded"),
        ("mistral", {"legacy": True}, "add_prefix_space"),
    ],
)
def test_unsupported_settings_are_refused_in_one_line(
    tmp_path: Path, family: str, settings: dict[str, object], words: str
) -> None:
    folder = written(tmp_path / "t", FAMILIES[family](**settings))
    with pytest.raises(TokenizerError, match=words) as error:
        load_tokenizer(folder)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"{folder}: ")


def test_merges_with_dropout_are_refused(tmp_path: Path) -> None:
    files = FAMILIES["gpt2"]()
    files["tokenizer.json"]["model"]["dropout"] = 0.1
    with pytest.raises(TokenizerError, match="dropout"):
        load_tokenizer(written(tmp_path / "t", files))


def test_what_fails_on_an_unknown_character_is_refused(tmp_path: Path) -> None:
    files = FAMILIES["t5"]()
    files["tokenizer.json"]["model"]["unk_id"] = None
    with pytest.raises(TokenizerError, match="cannot tokenize a text"):
        load_tokenizer(written(tmp_path / "t", files))


def test_a_runaway_pattern_is_a_one_line_error(tmp_path: Path) -> None:
    files = FAMILIES["gpt4o"]()
    files["tokenizer.json"]["pre_tokenizer"] = families.regex_split("(a+)+$")
    tokenizer = load_tokenizer(written(tmp_path / "t", files))
    for fails in (lambda text: tokenizer.encode(text, 9), lambda text: tokenizer.lengths([text])):
        with pytest.raises(TokenizerError, match=r"cannot tokenize a text: .*retry-limit"):
            fails("a" * 40 + "b")


def test_a_tokenizer_json_alone_is_used_unchanged(tmp_path: Path) -> None:
    files = FAMILIES["deepseek"]()
    alone = written(tmp_path / "t", {"tokenizer.json": files["tokenizer.json"]})
    with pytest.raises(TokenizerError, match="no end-of-text token"):
        load_tokenizer(alone)
    files = FAMILIES["llama2"]()
    tokenizer = load_tokenizer(written(tmp_path / "u", {"tokenizer.json": files["tokenizer.json"]}))
    assert (tokenizer.end_of_text, tokenizer.n_before, tokenizer.n_after) == ("</s>", 1, 0)


def mutated(rng: random.Random, value: object) -> object:
    """Return JSON with one value replaced."""
    if isinstance(value, dict) and value and rng.random() < 0.95:
        name = rng.choice(sorted(value))
        if rng.random() < 0.05:
            return {other: one for other, one in value.items() if other != name}
        return value | {name: mutated(rng, value[name])}
    if isinstance(value, list) and value and rng.random() < 0.9:
        place = rng.randrange(len(value))
        return [*value[:place], mutated(rng, value[place]), *value[place + 1 :]]
    odd: list[object] = [
        None,
        True,
        -1,
        2**32 - 1,
        2**70,
        1e308,
        "",
        "x",
        "(a+)+$",
        "(",
        "\udcff",
        [],
        {},
    ]
    return rng.choice([*odd, [[[[]]]], {"type": "NFC"}, "<image>", " "])


def check_mutated(folder: Path, seeds: range) -> None:
    for seed in seeds:
        rng = random.Random(seed)
        files = FAMILIES[rng.choice(sorted(FAMILIES))]()
        name = rng.choice([name for name in files if name.endswith(".json")])
        changed = files | {name: mutated(rng, files[name])}
        for _ in range(rng.randrange(3)):
            changed[name] = mutated(rng, changed[name])
        if isinstance(changed[name], str):  # which would be written as it is
            changed[name] = [changed[name]]
        try:
            ids_of(load_tokenizer(written(folder / str(seed), changed)))
        except TokenizerError as error:
            assert "\n" not in str(error)


def test_a_file_with_anything_in_it_is_read_or_refused(tmp_path: Path) -> None:
    check_mutated(tmp_path, range(40))


@pytest.mark.slow
def test_files_with_anything_in_them_are_read_or_refused(tmp_path: Path) -> None:
    check_mutated(tmp_path, range(40, 1500))


@pytest.mark.parametrize("content", ["[" * 100_000, '{"a":' * 100_000, "\0", "9" * 5000, "NaN"])
@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_invalid_or_deep_json_is_refused(tmp_path: Path, name: str, content: str) -> None:
    folder = written(tmp_path / "t", FAMILIES["gpt2"]() | {name: content})
    try:
        load_tokenizer(folder)
    except TokenizerError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 1000
    else:
        assert name != "tokenizer.json"  # a number or a list says nothing of settings


def test_what_is_too_large_is_not_read(tmp_path: Path) -> None:
    folder = written(tmp_path / "t", FAMILIES["gpt2"]())
    for name in ("tokenizer.json", "tokenizer_config.json"):
        with (tmp_path / "t" / name).open("r+b") as file:
            file.truncate(1 << 40)
        with pytest.raises(TokenizerError, match="too large for a tokenizer"):
            load_tokenizer(folder)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace Hugging Face: record requests, without network."""
    names: list[str] = []

    def model_info(_: object, name: str, timeout: float) -> None:
        assert timeout < 10
        names.append(name)
        raise OSError("no network\nat all")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", model_info)
    return names


@pytest.mark.parametrize(
    "name",
    ["./x", "../x", "x", "é", "a/b/c", "/no/where", "~/nowhere", "~nobody/x", "x.json", "o/x.json",
     "a/../b", "tests/no-such", "a b/c", "a/b ", "é/b", "http://x/y", "x" * 5000, "a\0b", "\udcff",
     "-a/b", "a//b", "a/", "/"],
)  # fmt: skip
def test_a_mistyped_name_is_never_asked_for(
    asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "tests").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TokenizerError) as error:
        load_tokenizer(name)
    assert "\n" not in str(error.value)
    assert not asked


def test_an_id_is_asked_for_once(asked: list[str]) -> None:
    with pytest.raises(TokenizerError, match="no network at all"):
        load_tokenizer("nobody/no-tokenizer")
    assert asked == ["nobody/no-tokenizer"]


def test_a_cached_id_needs_no_network(
    asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(written(tmp_path / "t", FAMILIES["neox"]()))

    def cached(_: str, file: str) -> str | None:
        return str(folder / file) if (folder / file).exists() else None

    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", cached)
    assert ids_of(load_tokenizer("owner/cached")) == ids_of(load_tokenizer(str(folder)))
    (folder / "tokenizer_config.json").unlink()  # its settings are not known then
    with pytest.raises(TokenizerError, match="no network"):
        load_tokenizer("owner/half-cached")
    assert asked == ["owner/half-cached"]
