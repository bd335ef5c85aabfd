"""Scoring: the sample's matrices again, resuming, and every model folder that cannot be used."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto, helper
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from mmc4viz import ConfigError, ShardError, expand, parse_document, samples
from mmc4viz.cli import main
from mmc4viz.clip.encoder import DualEncoder, open_encoder
from mmc4viz.clip.files import EncoderError
from mmc4viz.clip.preprocess import preprocessing_of
from mmc4viz.clip.score import ScoredPart, ScoreTask, score_shards
from mmc4viz.data.build_index import attach
from mmc4viz.data.index import open_index
from mmc4viz.data.shards import Shard
from mmc4viz.loader.walk import walk
from mmc4viz.types import LoaderConfig
from tests.data.test_index import index, statuses
from tests.support import nasty
from tests.support.documents import chatgpt, entry, info, write_tar

SAMPLE = Path(__file__).parents[2] / "sample_data"
MODELS = {"a": SAMPLE / "encoders" / "sample-a", "b": SAMPLE / "encoders" / "sample-b"}
SIGLIP = {
    "image_processor_type": "SiglipImageProcessor",
    "size": {"height": 24, "width": 32},
    "resample": 3,
    "rescale_factor": 1 / 255,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.25, 0.5],
}
CLIP = {
    "feature_extractor_type": "CLIPFeatureExtractor",
    "size": 24,
    "crop_size": 24,
    "do_center_crop": True,
    "resample": 2,
    "image_mean": [0.1, 0.2, 0.3],
    "image_std": [0.5, 0.25, 0.5],
}


def sample_module(name: str) -> Any:
    """Import one of the sample's own modules, which stand in no package."""
    sys.path.insert(0, str(SAMPLE))
    try:
        spec = importlib.util.spec_from_file_location(name, SAMPLE / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(SAMPLE))
    return module


@pytest.fixture(scope="module")
def encoder() -> DualEncoder:
    return open_encoder(str(MODELS["b"]), "cpu")


def score(
    shards: list[Shard], encoder: DualEncoder, out: Path, **how: Any
) -> tuple[list[ScoredPart], dict[str, Any]]:
    done = score_shards(shards, encoder, ScoreTask(str(out), **how))
    rows = pq.read_table(out).to_pylist() if out.exists() else []
    return done, {row["key"]: matrix_of(row) for row in rows}


def matrix_of(row: dict[str, Any]) -> Any:
    return np.array(row["values"], np.float32).reshape(row["images"], row["sentences"])


@pytest.mark.parametrize("name", ["a", "b"])
def test_the_stored_matrices_come_out_again(name: str, tmp_path: Path) -> None:
    """Images without embedding are the missing ones, and the one that was cut after scoring."""
    [shard, _] = expand([str(SAMPLE)])
    _, found = score([shard], open_encoder(str(MODELS[name]), "cpu"), tmp_path / "out.parquet")
    stored = {
        row["key"]: matrix_of(row)
        for row in pq.read_table(SAMPLE / "similarity_b.parquet").to_pylist()
        if row["shard"] == shard.name
    }
    cut, compared = 0, 0
    for sample in samples(shard):
        document = parse_document(sample.key, sample.raw)
        if document.is_gpt:
            assert sample.key not in found
            continue
        matrix = found.pop(sample.key)
        expected = np.array(document.similarity) if name == "a" else stored[sample.key]
        sound = np.array([i.present and i.pixel_error is None for i in document.images])
        cut += sum(image.pixel_error is not None for image in document.images)
        np.testing.assert_allclose(matrix[sound], expected[sound], rtol=0, atol=1e-6)
        assert np.isnan(matrix[~sound]).all()
        assert matrix.shape == expected.shape
        compared += int(sound.sum())
    assert not found
    assert (cut, compared > 300) == (1, True)


def test_the_sample_is_what_its_script_writes() -> None:
    """Its first documents, made anew from seed and stored weights, to the byte."""
    make = sample_module("make_sample")
    versions = json.loads((SAMPLE / "versions.json").read_text())
    if any(version(name) != versions[name] for name in make.RECORDED):
        pytest.skip("made with other versions of what it is drawn with")
    own = make.DualEncoder.load(MODELS["a"])
    stored = samples(expand([str(SAMPLE)])[0])
    for draft, sample in islice(zip(make.drafts(), stored, strict=False), 5):
        matrix = own.similarity(draft.jpegs, draft.texts)
        order = make.as_listed(draft, matrix)
        document = make.mmc4_document(draft.listed(order), matrix[order])
        assert (draft.key, json.dumps(document).encode()) == (sample.key, sample.raw)


def test_the_sample_lists_images_as_mmc4_does() -> None:
    """By their best sentences, all but a page in a hundred; several images often share one."""
    best = [
        np.argmax(document["similarity_matrix"], axis=1)
        for shard in expand([str(SAMPLE)])
        for document in (json.loads(sample.raw or b"") for sample in samples(shard))
        if "similarity_matrix" in document
    ]
    assert sum((np.diff(sentences) < 0).any() for sentences in best) == 2
    assert sum(len(set(sentences.tolist())) < len(sentences) for sentences in best) > 80


def test_the_sample_s_models_are_what_its_weights_make(tmp_path: Path) -> None:
    export = sample_module("export")
    for folder in MODELS.values():
        shutil.copytree(folder, tmp_path / folder.name)
        shutil.rmtree(tmp_path / folder.name / "onnx")
        export.export(tmp_path / folder.name)
        for name in ("vision_model.onnx", "text_model.onnx"):
            made = (tmp_path / folder.name / "onnx" / name).read_bytes()
            assert made == (folder / "onnx" / name).read_bytes()


def test_embeddings_are_those_of_the_sample_s_own_code(encoder: DualEncoder) -> None:
    own = sample_module("encoders").DualEncoder.load(MODELS["b"])
    rng = np.random.default_rng(0)
    shapes = [(100, 120), (33, 200), (31, 31), (1, 3), (700, 20)]
    images = [Image.fromarray(rng.integers(0, 256, (*s, 3), dtype=np.uint8)) for s in shapes]
    found = encoder.embed_pixels([encoder.preprocessing(image) for image in images])
    np.testing.assert_allclose(found, own.embed_pictures(images), rtol=0, atol=1e-6)
    texts = ["", "a red boat", "nonsense zzz", "two lamps, and a tree. " * 60]
    found = encoder.embed_sentences(texts)
    np.testing.assert_allclose(found, own.embed_texts(texts), rtol=0, atol=1e-6)


def picture(width: int, height: int, mode: str = "RGB") -> Image.Image:
    rng = np.random.default_rng(width)
    image = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
    return image.convert(mode)


def normal(image: Image.Image, config: dict[str, Any]) -> Any:
    pixels = np.asarray(image, np.float64) / 255
    return ((pixels - config["image_mean"]) / config["image_std"]).transpose(2, 0, 1)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "CMYK"])
def test_a_fixed_size_is_taken_whatever_the_shape(mode: str) -> None:
    image = picture(50, 41, mode)
    expected = normal(image.convert("RGB").resize((32, 24), Image.Resampling.BICUBIC), SIGLIP)
    found = preprocessing_of(SIGLIP)(image)
    assert (found.shape, found.dtype) == ((3, 24, 32), np.float32)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(("size", "resized"), [((50, 41), (29, 24)), ((41, 50), (24, 29))])
def test_the_short_side_is_resized_and_the_centre_cut_out(
    size: tuple[int, int], resized: tuple[int, int]
) -> None:
    image = picture(*size).resize(resized, Image.Resampling.BILINEAR)
    left, top = (resized[0] - 24) // 2, (resized[1] - 24) // 2
    expected = normal(image.crop((left, top, left + 24, top + 24)), CLIP)
    np.testing.assert_allclose(preprocessing_of(CLIP)(picture(*size)), expected, atol=1e-6)


def test_around_an_image_smaller_than_the_crop_there_is_black() -> None:
    config = CLIP | {"do_resize": False, "do_normalize": False, "crop_size": 6}
    found = preprocessing_of(config)(picture(4, 3))
    assert found.shape == (3, 6, 6)
    expected = np.asarray(picture(4, 3), np.float64).transpose(2, 0, 1) / 255
    np.testing.assert_allclose(found[:, 2:5, 1:5], expected, atol=1e-6)
    assert found.sum() == pytest.approx(expected.sum(), abs=1e-4)


def test_an_endless_image_takes_no_endless_memory() -> None:
    stripe = Image.new("RGB", (200_000, 2), (10, 20, 30))
    found = preprocessing_of(CLIP | {"do_normalize": False})(stripe)
    assert found[:, 0, 0] * 255 == pytest.approx([10, 20, 30])


def test_steps_left_out_are_left_out() -> None:
    config = SIGLIP | {"do_rescale": False, "do_normalize": False, "resample": 0}
    found = preprocessing_of(config)(picture(32, 24))
    np.testing.assert_array_equal(found, np.asarray(picture(32, 24)).transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"do_pad": True}, "do_pad"),
        ({"image_mean": [0.5]}, "three numbers"),
        ({"size": {"height": 0, "width": 4}}, "no length"),
        ({"size": {"width": 4}}, "no 'height'"),
        ({"resample": 17}, "17"),
        ({"size": {"shortest_edge": 4}}, "different sizes"),
        (["a"], ""),
    ],
)
def test_preprocessing_that_cannot_be_done_is_said(model: Path, changes: Any, words: str) -> None:
    config = SIGLIP | changes if isinstance(changes, dict) else changes
    (model / "preprocessor_config.json").write_text(json.dumps(config))
    refused(model, words, "preprocessor_config.json: no preprocessing that can be done")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return shutil.copytree(MODELS["b"], tmp_path / "model")


def refused(model: Path | str, *words: str, **options: Any) -> None:
    with pytest.raises(EncoderError) as error:
        open_encoder(str(model), **options)
    assert all(word in str(error.value) for word in words), str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name",
    [
        "onnx/vision_model.onnx",
        "onnx/text_model.onnx",
        "tokenizer.json",
        "preprocessor_config.json",
    ],
)
def test_a_needed_file_that_lacks_or_is_cut_is_said(model: Path, name: str) -> None:
    raw = (model / name).read_bytes()
    (model / name).write_bytes(raw[: len(raw) // 2])
    refused(model, name)
    (model / name).write_bytes(b"")
    refused(model, name)
    (model / name).unlink()
    refused(model, f"no {name} in this folder")


def test_encoders_of_different_dimension_are_refused(model: Path) -> None:
    shutil.copy(MODELS["a"] / "onnx" / "text_model.onnx", model / "onnx")
    shutil.copy(MODELS["a"] / "tokenizer.json", model)
    refused(model, "have 19 dimensions, of text 51", "not of one model")


def test_a_tokenizer_that_is_not_the_model_s_is_refused(model: Path) -> None:
    shutil.copy(MODELS["a"] / "tokenizer.json", model)
    refused(model, "tokenizer.json: its token 902", "the tokenizer is not the model's")


def test_an_image_size_that_is_not_the_model_s_is_refused(model: Path) -> None:
    shutil.copy(MODELS["a"] / "preprocessor_config.json", model)
    refused(model, "vision_model.onnx: fails", "3 × 64 × 64: preprocessor_config.json")


def test_a_text_length_that_nothing_tells_is_asked_for(model: Path) -> None:
    (model / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 1e30}))
    refused(model, "write model_max_length into tokenizer_config.json")
    (model / "config.json").write_text(json.dumps({"model_type": "siglip2"}))
    assert open_encoder(str(model)).text_input.length == 64
    text = {"max_position_embeddings": 5, "pad_token_id": 1}
    (model / "config.json").write_text(json.dumps({"model_type": "clip", "text_config": text}))
    assert open_encoder(str(model)).text_input.length == 5


def test_what_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    refused(tmp_path / "none", "no such folder")
    refused(MODELS["b"], "no provider 'cuda'; it has: cpu", provider="cuda")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    refused("org/clip", "pip install 'mmc4viz[hf]'")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    refused(MODELS["b"], "pip install 'mmc4viz[score]'")


def test_a_model_by_its_id_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(name: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((name, revision))
        if name == "org/none":
            raise OSError("404\nnot found")
        return str(MODELS["b"])

    hub = ModuleType("huggingface_hub")
    hub.snapshot_download = download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert open_encoder("org/clip@v1").name == "org/clip@v1"
    refused("org/none", "nor downloaded: 404 not found")
    assert asked == [("org/clip", "v1"), ("org/none", None)]


def text_model(path: Path, inputs: list[str], width: int | str, output: str) -> None:
    """Write a model whose vector is the first and the last token, as 64-bit ids make them."""
    nodes = [
        helper.make_node("Gather", ["input_ids", "first"], ["begin"], axis=1),
        helper.make_node("Gather", ["input_ids", "last"], ["end"], axis=1),
        helper.make_node("Concat", ["begin", "end"], ["both"], axis=1),
        helper.make_node("Cast", ["both"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["numbers", "weight"], [output]),
    ]
    given = [helper.make_tensor_value_info(n, TensorProto.INT64, ["n", width]) for n in inputs]
    made = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", 19])
    weight = np.zeros((2, 19), np.float32)
    weight[0, 0] = weight[1, 1] = 1
    constants = [
        onnx.numpy_helper.from_array(np.array([0]), "first"),
        onnx.numpy_helper.from_array(np.array([-1]), "last"),
        onnx.numpy_helper.from_array(weight, "weight"),
    ]
    graph = helper.make_graph(nodes, "text", given, [made], constants)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=opset), path)


@pytest.mark.parametrize(
    ("inputs", "width", "filled"),
    [(["input_ids"], "s", True), (["input_ids", "attention_mask"], "s", False),
     (["input_ids", "attention_mask"], 9, True)],
)  # fmt: skip
def test_text_is_filled_up_to_the_full_length_unless_there_is_a_mask(
    model: Path, inputs: list[str], width: int | str, filled: bool
) -> None:
    """A model without a mask, as SigLIP, looks at the last place: there the padding must be."""
    text_model(model / "onnx" / "text_model.onnx", inputs, width, "pooler_output")
    found = open_encoder(str(model))
    ids = found.text_input.tokenizer.encode("a red boat").ids
    last = 1 if filled else ids[-1]
    vector = np.array([ids[0], last]) / np.hypot(ids[0], last)
    np.testing.assert_allclose(found.embed_sentences(["a red boat"])[0, :2], vector, atol=1e-6)
    length = width if isinstance(width, int) else 77
    cut = found.text_input.fields(["a red boat " * 60])["input_ids"]
    assert cut.shape == (1, length)
    assert set(cut[0]) == set(ids)


def test_cutting_leaves_the_model_s_special_tokens(model: Path) -> None:
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.post_processor = TemplateProcessing(
        single="! $A .", special_tokens=[("!", 2), (".", 5)]
    )
    tokenizer.save(str(model / "tokenizer.json"))
    (model / "tokenizer_config.json").write_text('{"model_max_length": 5, "pad_token": "[PAD]"}')
    found = open_encoder(str(model)).text_input.fields(["a red boat and a lamp", "a"])
    assert found["input_ids"][0, [0, -1]].tolist() == [2, 5]
    assert found["input_ids"][1].tolist()[3:] == [1, 1]
    assert found["attention_mask"].tolist() == [[1] * 5, [1, 1, 1, 0, 0]]


def test_a_model_that_gives_no_vector_is_refused(model: Path) -> None:
    text_model(model / "onnx" / "text_model.onnx", ["input_ids"], "s", "last_hidden_state")
    assert open_encoder(str(model)).text.output == "last_hidden_state"  # the only vector
    text_model(model / "onnx" / "text_model.onnx", ["input_ids", "pixel_mask"], "s", "text_embeds")
    refused(model, "takes input_ids (tensor(int64)), pixel_mask")
    shutil.copy(model / "onnx" / "text_model.onnx", model / "onnx" / "vision_model.onnx")
    refused(model, "vision_model.onnx: takes")


def odd_folder(folder: Path, n: int = 150) -> list[Shard]:
    for number in range(2):
        documents = nasty.documents(seed=80 + number, n=n)
        nasty.write_tar(folder / f"n-{number}.tar", documents, random.Random(number))
    return expand([str(folder)])


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory, encoder: DualEncoder) -> tuple[list[Shard], Path]:
    folder = tmp_path_factory.mktemp("odd")
    shards = odd_folder(folder)
    done, _ = score(shards, encoder, folder / "b.parquet", decoys=str(folder / "d.parquet"))
    assert [part.status for part in done] == ["scored", "scored"]
    return shards, folder


def test_every_document_that_can_be_matched_is_scored_in_its_shape(
    odd: tuple[list[Shard], Path], tmp_path: Path
) -> None:
    shards, folder = odd
    index(shards, tmp_path / "index")
    for name in ("b", "d"):
        done = attach(str(tmp_path / "index"), name, str(folder / f"{name}.parquet"), print)
        assert [one.status for one in done.shards] == ["read", "read"]
        assert done.unused == 0
    listed = open_index(str(tmp_path / "index")).sets[1:]
    assert [(s.name, s.model, s.scale) for s in listed] == [
        ("b", "sample-b", "cosine"),
        ("d", "sample-b (decoys)", "cosine"),
    ]
    assert listed[0].weights == listed[1].weights != ""
    assert "short side resized to 32" in listed[0].preprocessing


def test_missing_and_broken_images_change_no_verdict(
    odd: tuple[list[Shard], Path], tmp_path: Path
) -> None:
    """With NaN in their rows or any other number: the loader drops them or loses the document."""
    shards, folder = odd
    index(shards, tmp_path)
    attach(str(tmp_path), "b", str(folder / "b.parquet"), lambda _: None)
    config, seen = LoaderConfig(threshold=-1.0, min_kb=0), 0
    columns = open_index(str(tmp_path), similarity="b").columns
    for part in columns:
        for row in range(len(part)):
            document = part.document(row)
            if document.error is not None or document.is_gpt:
                continue
            matrix = np.array(document.similarity, np.float64)
            if matrix.ndim != 2 or not np.isnan(matrix).any():
                continue
            seen += 1
            other = replace(document, similarity=np.nan_to_num(matrix, nan=0.3))
            one, two = (walk(d, config, part.tokenizer) for d in (document, other))
            assert (one.outcome, one.pairs) == (two.outcome, two.pairs)
    assert seen > 20


def test_decoys_are_the_next_document_s_sentences(encoder: DualEncoder, tmp_path: Path) -> None:
    image = entry(picture_bytes(1))
    texts = {"a": ["a red boat", "a lamp"], "b": ["snow"], "c": ["a tree", "two cars", "fog"]}
    members = [(k, info([[0.2] * len(t)], t, [image])) for k, t in texts.items()]
    shards = expand([str(write_tar(tmp_path / "s.tar", members))])
    out = tmp_path / "d.parquet"
    score(shards, encoder, tmp_path / "b.parquet", decoys=str(out))
    found = {row["key"]: matrix_of(row)[0] for row in pq.read_table(out).to_pylist()}
    pixels = encoder.preprocessing(Image.open(io.BytesIO(picture_bytes(1))))
    of_image = encoder.embed_pixels([pixels])[0]

    def cosines(*texts: str) -> Any:
        return encoder.embed_sentences(texts) @ of_image

    np.testing.assert_allclose(found["a"], cosines("a tree", "two cars"), atol=1e-6)
    np.testing.assert_allclose(found["b"], cosines("a tree"), atol=1e-6)
    np.testing.assert_allclose(found["c"], cosines("a red boat", "a lamp", "snow"), atol=1e-6)
    alone = expand([str(write_tar(tmp_path / "t.tar", members[:1]))])
    score(alone, encoder, tmp_path / "c.parquet", decoys=str(out))
    assert np.isnan(pq.read_table(out)["values"].to_pylist()).all()


def picture_bytes(seed: int, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    picture(40 + seed, 50).save(buffer, format=kind)
    return buffer.getvalue()


@pytest.mark.parametrize("batch", [1, 7, 500])
def test_the_size_of_a_batch_changes_nothing(
    encoder: DualEncoder, tmp_path: Path, batch: int
) -> None:
    members = [
        (f"d{n}", info([[0.2, 0.3]] * 3, images=[entry(picture_bytes(n + i)) for i in range(3)]))
        for n in range(9)
    ]
    shards = expand([str(write_tar(tmp_path / "s.tar", members))])
    _, expected = score(shards, encoder, tmp_path / "a.parquet", batch=32)
    _, found = score(shards, encoder, tmp_path / "b.parquet", batch=batch)
    for key, matrix in expected.items():
        np.testing.assert_allclose(found[key], matrix, rtol=0, atol=1e-6)


def test_a_run_that_is_killed_goes_on_and_gives_the_same_bytes(
    odd: tuple[list[Shard], Path], encoder: DualEncoder, tmp_path: Path
) -> None:
    shards, folder = odd
    out, decoys = tmp_path / "b.parquet", tmp_path / "d.parquet"
    task, left = ScoreTask(str(out), str(decoys)), [200]

    def die(n: int) -> None:
        left[0] -= n
        if left[0] < 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_shards(shards, encoder, task, die)
    assert not out.exists()
    for expected in (["skipped", "scored"], ["skipped", "skipped"]):
        assert statuses(score_shards(shards, encoder, task)) == expected  # type: ignore[arg-type]
        assert out.read_bytes() == (folder / "b.parquet").read_bytes()
        assert decoys.read_bytes() == (folder / "d.parquet").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.parquet", "d.parquet"]


def test_what_has_changed_is_scored_again(encoder: DualEncoder, tmp_path: Path) -> None:
    for number in range(2):
        write_tar(tmp_path / f"s-{number}.tar", [("a", info([[0.2]]))])
    shards, out = expand([str(tmp_path / "s-*.tar")]), tmp_path / "b.parquet"
    assert [p.status for p in score(shards, encoder, out)[0]] == ["scored"] * 2
    assert [p.status for p in score(shards, encoder, out)[0]] == ["skipped"] * 2
    write_tar(tmp_path / "s-1.tar", [("b", info([[0.2, 0.3]]))])
    assert set(score(shards, encoder, out)[1]) == {"a", "b"}
    other = open_encoder(str(MODELS["a"]))
    assert [p.status for p in score(shards, other, out)[0]] == ["scored"] * 2


def test_a_shard_that_fails_or_breaks_off_leaves_the_others(
    encoder: DualEncoder, tmp_path: Path
) -> None:
    members = [(f"d{n}", info([[0.2]], images=[entry(picture_bytes(n))])) for n in range(6)]
    for number in range(3):
        write_tar(tmp_path / f"s-{number}.tar", members)
    raw = (tmp_path / "s-1.tar").read_bytes()
    (tmp_path / "s-1.tar").write_bytes(raw[: len(raw) // 2])
    (tmp_path / "s-2.tar").write_bytes(b"no tar" * 300)
    shards, out = expand([str(tmp_path / "s-*.tar")]), tmp_path / "b.parquet"
    done, _ = score(shards, encoder, out)
    assert [part.status for part in done] == ["scored", "broken off", "failed"]
    assert 6 < pq.read_metadata(out).num_rows < 12
    write_tar(tmp_path / "s-2.tar", members)
    done, _ = score(shards, encoder, out)
    assert [part.status for part in done] == ["skipped", "broken off", "scored"]
    assert 12 < pq.read_metadata(out).num_rows < 18


@pytest.mark.parametrize("documents", [[], [("c", chatgpt("a", 1))], [("u", {"odd": 1})]])
def test_nothing_to_score_is_said(
    encoder: DualEncoder, tmp_path: Path, documents: list[tuple[str, Any]]
) -> None:
    for number in range(2):
        write_tar(tmp_path / f"s-{number}.tar", documents)
    shards, out = expand([str(tmp_path / "s-*.tar")]), tmp_path / "b.parquet"
    for some, words in ((shards, "2 shards have no"), (shards[:1], "s-0.tar has no")):
        with pytest.raises(ConfigError, match=f"nothing to write: .*{words} document that the"):
            score(some, encoder, out)
    assert not out.exists()
    write_tar(tmp_path / "s-1.tar", [("a", info([[0.2]]))])
    done, found = score(shards, encoder, out)
    assert [part.documents for part in done] == [0, 1]
    assert list(found) == ["a"]


def test_the_runtime_writes_no_device_id_and_calls_nobody(tmp_path: Path) -> None:
    """It does so by itself from 1.29 on, unless a variable is set before it is loaded."""
    code = (
        "import sys; from mmc4viz.clip.encoder import open_encoder;"
        f"assert 'onnxruntime' not in sys.modules; open_encoder({str(MODELS['b'])!r}, 'cpu')"
    )
    ours = {name: value for name, value in os.environ.items() if name != "CI"}
    homes = {name: str(tmp_path) for name in ("HOME", "XDG_CACHE_HOME", "TMPDIR")}
    subprocess.run([sys.executable, "-c", code], env=ours | homes, check=True)
    assert list(tmp_path.iterdir()) == []


def test_shards_without_images_are_refused(encoder: DualEncoder, tmp_path: Path) -> None:
    document = info([[0.2]], images=[{"image_name": "a.jpg"}])
    (tmp_path / "s.jsonl").write_text(json.dumps(document) + "\n")
    shards, out = expand([str(tmp_path / "s.jsonl")]), tmp_path / "b.parquet"
    [part], _ = score(shards, encoder, out)
    assert (part.status, "--image-dir" in str(part.reason)) == ("failed", True)
    (tmp_path / "images").mkdir()
    picture(60, 50).save(tmp_path / "images" / "a.jpg")
    [part], found = score(shards, encoder, out, image_dir=str(tmp_path / "images"))
    assert (part.status, part.lacking) == ("scored", 0)
    assert all(np.isfinite(matrix).all() for matrix in found.values())


def test_the_model_s_own_scale(model: Path, tmp_path: Path, encoder: DualEncoder) -> None:
    image = entry(picture_bytes(1))
    write_tar(tmp_path / "s.tar", [("a", info([[0.2, 0.1]], images=[image]))])
    shards = expand([str(tmp_path / "s.tar")])
    with pytest.raises(ConfigError, match="has no logit_scale"):
        score(shards, encoder, tmp_path / "x.parquet", scale="model")
    _, cosines = score(shards, encoder, tmp_path / "x.parquet")
    for bias, scale in ((-16.5, "unknown"), (0.0, "×100")):
        config = {"logit_scale": float(np.log(100)), "logit_bias": bias}
        (model / "config.json").write_text(json.dumps(config))
        out = tmp_path / f"y{bias}.parquet"
        _, logits = score(shards, open_encoder(str(model)), out, scale="model")
        np.testing.assert_allclose(logits["a"], 100 * cosines["a"] + bias, atol=1e-4)
        assert (pq.read_schema(out).metadata or {})[b"scale"].decode() == scale


def test_a_place_that_cannot_be_written_is_said(encoder: DualEncoder, tmp_path: Path) -> None:
    shards = expand([str(write_tar(tmp_path / "s.tar", [("a", info([[0.2]]))]))])
    (tmp_path / "file").write_text("")
    for out in (str(tmp_path / "file" / "b.parquet"), "s3://bucket/b.parquet"):
        with pytest.raises(ConfigError):
            score_shards(shards, encoder, ScoreTask(out))
    with pytest.raises(ConfigError, match="two files"):
        score_shards(shards, encoder, ScoreTask("b", "b"))
    with pytest.raises(ShardError, match="named twice"):
        score_shards(shards * 2, encoder, ScoreTask(str(tmp_path / "b.parquet")))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    members = [("a", info([[0.2]])), ("b", info([[0.1]], images=[entry()])), ("c", chatgpt("a", 1))]
    shard = write_tar(tmp_path / "s.tar", members)
    out = tmp_path / "b.parquet"

    def run(*arguments: str | Path) -> int:
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        return int(end.value.code or 0)

    score: Callable[..., int] = lambda *more: run("score", *more, "--out", out, "--provider", "cpu")  # noqa: E731
    assert score(shard, "--model", MODELS["b"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["scored", "1", "2", "2", "2", "1"]
    for wrong in ((shard, "--model", tmp_path / "none"), ("--model", MODELS["b"])):
        assert score(*wrong) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2
    shard.write_bytes(b"no tar" * 300)
    assert score(shard, "--model", MODELS["b"]) == 2
    assert "not a tar" in capsys.readouterr().err
