"""Models of transformers and open_clip: equal to the library's own numbers, or refused."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from mmc4viz.cli import main
from mmc4viz.clip.encoder import Embeddings, Encoder, EncoderError
from mmc4viz.clip.models import ModelChoice, open_encoder
from tests.support import torch_models
from tests.support.documents import entry, info, write_tar
from tests.support.torch_models import FAMILIES, SENTENCES, open_clip, pictures, torch, transformers

SAMPLE = Path(__file__).parents[2] / "sample_data" / "encoders" / "sample-b"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for family in FAMILIES:
        torch_models.save_transformers(folder / family, family)
    torch_models.save_open_clip(folder / "open_clip")
    return folder


@pytest.fixture
def copied(saved: Path, tmp_path: Path) -> Path:
    return shutil.copytree(saved, tmp_path / "models")


def opened(model: Path | str, **how: Any) -> Encoder:
    return open_encoder(ModelChoice(str(model), **{"device": "cpu"} | how))


def refused(model: Path | str, *words: str, **how: Any) -> None:
    with pytest.raises(EncoderError) as error:
        opened(model, **how)
    assert all(word in str(error.value) for word in words), str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


def embedded(encoder: Encoder) -> tuple[Embeddings, Embeddings]:
    return encoder.embed_images([encoder.prepare(image) for image in pictures()]), (
        encoder.embed_sentences(SENTENCES)
    )


def clean(sentences: list[str]) -> list[str]:
    return [text.encode("utf-8", "replace").decode() for text in sentences]


@pytest.mark.parametrize("family", FAMILIES)
def test_transformers_s_own_forward_pass(saved: Path, family: str) -> None:
    """One call of the library with all images and texts, as its documentation shows."""
    encoder = opened(saved / family)
    processor = transformers.AutoProcessor.from_pretrained(saved / family)
    model = transformers.AutoModel.from_pretrained(saved / family, dtype=torch.float32)
    inputs = processor(
        text=clean(SENTENCES),
        images=[image.convert("RGB") for image in pictures()],
        padding="max_length",
        truncation=True,
        max_length=12,
        return_tensors="pt",
    )
    with torch.no_grad():
        out = model(**inputs)
    of_images, of_texts = embedded(encoder)
    np.testing.assert_allclose(of_images, out.image_embeds, rtol=0, atol=1e-5)
    np.testing.assert_allclose(of_texts, out.text_embeds, rtol=0, atol=1e-5)
    factor, bias = np.exp(encoder.logit_scale or 0), encoder.logit_bias or 0
    np.testing.assert_allclose(
        factor * of_images @ of_texts.T + bias, out.logits_per_image, rtol=1e-5, atol=1e-4
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_transformers_s_own_preprocessing_bit_for_bit(saved: Path, family: str) -> None:
    encoder = opened(saved / family)
    processor = transformers.AutoImageProcessor.from_pretrained(saved / family)
    for image in pictures():
        found = encoder.prepare(image)
        expected = processor(images=image.convert("RGB"), return_tensors="pt")
        assert found.keys() == expected.keys()
        for name, tensor in expected.items():
            assert torch.equal(found[name], tensor[0])


def test_siglip_s_sentencepiece_tokenizer(tmp_path: Path) -> None:
    """As published: ``spiece.model``, whose end token is the padding, and no mask."""
    sentencepiece, raw = pytest.importorskip("sentencepiece"), io.BytesIO()
    how = {"vocab_size": 40, "hard_vocab_limit": False, "minloglevel": 2}
    ids = {"pad_id": -1, "bos_id": -1, "eos_id": 1, "unk_id": 2}
    lines = iter([*torch_models.WORDS, "a red boat and a lamp"] * 9)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=lines, model_writer=raw, **how, **ids
    )
    folder = torch_models.save_transformers(tmp_path / "siglip", "siglip", vocab_size=64)
    (folder / "tokenizer.json").unlink()
    (folder / "spiece.model").write_bytes(raw.getvalue())
    special = {"pad_token": "</s>", "eos_token": "</s>", "unk_token": "<unk>"}
    fields = {"tokenizer_class": "SiglipTokenizer", "model_max_length": 12, **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(fields))
    texts = ["a red boat", "Fog, and snow!", "two"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    padded = {"padding": "max_length", "truncation": True, "max_length": 12}
    with torch.no_grad():
        model = transformers.AutoModel.from_pretrained(folder)
        found = model.get_text_features(**tokenizer(texts, return_tensors="pt", **padded))
    expected = getattr(found, "pooler_output", found).numpy()
    expected = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    of_texts = opened(folder).embed_sentences(texts)
    np.testing.assert_allclose(of_texts, expected, rtol=0, atol=1e-5)


def test_open_clip_s_own_forward_pass_and_preprocessing(saved: Path) -> None:
    encoder = opened(saved / "open_clip")
    own, _, transform = open_clip.create_model_and_transforms(f"local-dir:{saved / 'open_clip'}")
    tokens = open_clip.get_tokenizer(f"local-dir:{saved / 'open_clip'}")(clean(SENTENCES))
    pixels = [transform(image.convert("RGB")) for image in pictures()]
    for image, expected in zip(pictures(), pixels, strict=True):
        assert torch.equal(encoder.prepare(image)["image"], expected)
    with torch.no_grad():
        image_features, text_features, scale = own.eval()(torch.stack(pixels), tokens)
    of_images, of_texts = embedded(encoder)
    np.testing.assert_allclose(of_images, image_features, rtol=0, atol=1e-5)
    np.testing.assert_allclose(of_texts, text_features, rtol=0, atol=1e-5)
    assert np.exp(encoder.logit_scale or 0) == pytest.approx(float(scale))
    assert encoder.dimension == 12


@pytest.mark.slow
def test_an_open_clip_model_has_several_names(saved: Path, tmp_path: Path) -> None:
    folder = saved / "open_clip"
    names = [folder, f"open_clip:{folder}", f"local-dir:{folder}", f"open_clip:local-dir:{folder}"]
    assert len({opened(name).weights for name in names}) == 1
    assert opened(folder).name == "open_clip"
    shutil.copy(folder / "open_clip_config.json", tmp_path / "tiny.json")
    config = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
    (tmp_path / "tiny-test.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "tiny-test.json")
    file = folder / "open_clip_model.safetensors"
    found = opened(f"open_clip:tiny-test:{file}")
    assert found.weights == opened(folder).weights
    assert found.prepared != opened(folder).prepared  # CLIP's own mean, not the folder's
    refused("open_clip:tiny-test", "a checkpoint is needed", "open_clip:tiny-test:FILE")
    refused("open_clip:tiny-test:none", "no checkpoint 'none'")
    refused("open_clip:ViT-B-32:none", "one of openai, laion400m_e31", "and ")
    refused("open_clip:ViT-B32:openai", "no model 'ViT-B32'", "it has ViT-B-32")


def test_weights_trained_with_another_activation_are_refused(
    monkeypatch: pytest.MonkeyPatch, saved: Path
) -> None:
    def create(*_: Any, **__: Any) -> Any:
        import warnings

        warnings.warn("QuickGELU mismatch between final model config", UserWarning, stacklevel=1)
        return open_clip.create_model_and_transforms(f"local-dir:{saved / 'open_clip'}")

    known = ("list_models", "list_pretrained_tags_by_model", "get_tokenizer")
    fake = SimpleNamespace(
        create_model_and_transforms=create, **{name: getattr(open_clip, name) for name in known}
    )
    monkeypatch.setitem(sys.modules, "open_clip", fake)
    refused("open_clip:ViT-B-32:openai", "QuickGELU", "use open_clip:ViT-B-32-quickgelu:openai")


@pytest.mark.parametrize("family", [*FAMILIES, "open_clip"])
def test_half_precision_is_near(saved: Path, family: str) -> None:
    exact, half = opened(saved / family), opened(saved / family, precision="bfloat16")
    assert exact.weights == half.weights  # the weights as they are stored
    assert exact.prepared.endswith("; float32")
    assert half.prepared.endswith("; bfloat16")
    for one, other in zip(embedded(exact), embedded(half), strict=True):
        assert other.dtype == np.float32
        np.testing.assert_allclose(one, other, rtol=0, atol=0.05)
        np.testing.assert_allclose(np.linalg.norm(other, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("family", [*FAMILIES, "open_clip"])
def test_preparing_in_threads_changes_nothing(saved: Path, family: str) -> None:
    encoder = opened(saved / family)
    before = torch.get_num_threads()
    with encoder.threads() as pool:
        found = list(pool.map(encoder.prepare, pictures() * 3))
    assert torch.get_num_threads() == before
    for fields, image in zip(found, pictures() * 3, strict=True):
        for name, tensor in encoder.prepare(image).items():
            assert torch.equal(fields[name], tensor)


def test_a_batch_that_does_not_fit_is_halved(saved: Path) -> None:
    from dataclasses import replace

    whole = opened(saved / "clip")
    sizes = []

    def little_memory(**fields: Any) -> Any:
        sizes.append(len(fields["pixel_values"]))
        if sizes[-1] > 3:
            raise torch.OutOfMemoryError
        return whole.image_features(**fields)  # type: ignore[attr-defined]

    small = replace(whole, image_features=little_memory)  # type: ignore[type-var]
    np.testing.assert_allclose(embedded(small)[0], embedded(whole)[0], rtol=0, atol=1e-6)
    assert sizes == [10, 5, 2, 3, 5, 2, 3]

    def no_memory(**_: Any) -> Any:
        raise torch.OutOfMemoryError

    with pytest.raises(EncoderError, match="too little free memory for one input"):
        embedded(replace(whole, image_features=no_memory))  # type: ignore[type-var]


def test_devices(saved: Path) -> None:
    refused(saved / "clip", "no device 'nonsense' here; available: cpu", device="nonsense")
    if not torch.cuda.is_available():
        refused(saved / "clip", "no device 'cuda' here", device="cuda")
        assert opened(saved / "clip", device=None).prepared.endswith("float32")
    refused(saved / "clip", "--provider does not apply: use --device", provider="cpu")
    refused(f"open_clip:{saved / 'open_clip'}", "use --device", provider="cpu")
    refused(SAMPLE, "is in ONNX, where --device does not apply: use --provider")
    refused(SAMPLE, "--precision does not apply", device=None, precision="float16")


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("torch", "needs transformers: pip install 'mmc4viz[transformers]'"),
        ("transformers", "needs transformers: pip install 'mmc4viz[transformers]'"),
    ],
)
def test_transformers_not_installed(
    monkeypatch: pytest.MonkeyPatch, saved: Path, module: str, words: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    refused(saved / "clip", words)


def test_open_clip_not_installed(monkeypatch: pytest.MonkeyPatch, saved: Path) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    refused("open_clip:ViT-B-32:openai", "needs open_clip: pip install 'mmc4viz[open_clip]'")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "processor_config.json",
                                  "tokenizer.json"])  # fmt: skip
def test_a_file_that_lacks_or_is_cut(copied: Path, family: str, name: str) -> None:
    path = copied / family / name
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    refused(copied / family, family)
    path.write_bytes(b"")
    refused(copied / family, family)
    path.unlink()
    refused(copied / family, family)


@pytest.mark.parametrize("name", ["open_clip_config.json", "open_clip_model.safetensors"])
def test_a_file_of_open_clip_that_lacks_or_is_cut(copied: Path, name: str) -> None:
    path = copied / "open_clip" / name
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    refused(copied / "open_clip", "open_clip")
    path.unlink()
    refused(copied / "open_clip", "open_clip")
    refused(f"open_clip:{copied / 'open_clip'}", "open_clip")


def test_models_that_cannot_score(copied: Path, tmp_path: Path) -> None:
    text = transformers.CLIPTextModel.from_pretrained(copied / "clip")
    text.save_pretrained(tmp_path / "text")
    refused(tmp_path / "text", "'clip_text_model' cannot score", "supported: clip, siglip, siglip2")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "not a CLIP model: it needs")
    weights = text.state_dict()
    transformers.CLIPModel.from_pretrained(copied / "clip").save_pretrained(
        copied / "clip", state_dict=weights
    )
    refused(copied / "clip", "the weights lack", "of the model's tensors (such as")


def test_sizes_that_differ(copied: Path) -> None:
    config = json.loads((copied / "clip" / "config.json").read_text())
    config["text_config"]["hidden_size"] = 32
    (copied / "clip" / "config.json").write_text(json.dumps(config))
    refused(copied / "clip", "clip cannot be loaded")
    torch_models.save_transformers(copied / "short", "clip", vocab_size=9)
    refused(copied / "short", "the tokenizer has 14 tokens and the model knows 9")
    config = json.loads((copied / "siglip" / "processor_config.json").read_text())
    config["image_processor"]["size"] = {"height": 24, "width": 40}
    (copied / "siglip" / "processor_config.json").write_text(json.dumps(config))
    refused(copied / "siglip", "siglip failed on a batch of 1")


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> Any:
        return (pytest.fail, ("code of a checkpoint was run",))


@pytest.mark.parametrize("family", ["clip", "open_clip"])
def test_pickled_weights_are_tensors_or_refused(copied: Path, family: str) -> None:
    [path] = (copied / family).glob("*.safetensors")
    from safetensors.torch import load_file

    expected = opened(copied / family).weights
    other = "pytorch_model.bin" if family == "clip" else "open_clip_pytorch_model.bin"
    state = load_file(path)
    path.unlink()
    torch.save(state, copied / family / other)
    assert opened(copied / family).weights == expected
    torch.save(state | {"trap": Trap()}, copied / family / other)
    refused(copied / family, "pickle with more than tensors", "convert them to safetensors")
    (copied / family / other).write_bytes(pickle.dumps(Trap()))
    refused(copied / family, family)


def test_code_of_a_model_is_never_run(copied: Path) -> None:
    trap = "raise SystemExit('code of a model was run')"
    (copied / "clip" / "trap.py").write_text(trap)
    for name in ("config.json", "processor_config.json", "tokenizer_config.json"):
        path = copied / "clip" / name
        fields = json.loads(path.read_text())
        kinds = ("AutoConfig", "AutoModel", "AutoProcessor", "AutoImageProcessor")
        fields["auto_map"] = dict.fromkeys(kinds, "trap.Trap")
        path.write_text(json.dumps(fields))
    with suppress(EncoderError):
        opened(copied / "clip")
    config = json.loads((copied / "open_clip" / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["tokenizer_kwargs"] = {"trust_remote_code": True}
    (copied / "open_clip" / "open_clip_config.json").write_text(json.dumps(config))
    refused(copied / "open_clip", "asks for trust_remote_code")


def test_a_repository_s_files_are_those_that_are_used(
    monkeypatch: pytest.MonkeyPatch, copied: Path
) -> None:
    """ONNX first; then safetensors, and pickled weights only without them."""
    from fnmatch import fnmatch

    asked: list[list[str]] = []

    def download(name: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append(allow_patterns)
        source, target = copied / name.split("/")[1], copied / "cache" / name
        target.mkdir(parents=True, exist_ok=True)
        for path in source.iterdir():
            if any(fnmatch(path.name, pattern) for pattern in allow_patterns):
                shutil.copy(path, target)
        return str(target)

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=download))
    assert opened("org/clip").name == "org/clip"
    assert (len(asked), "model*.safetensors" in asked[1]) == (2, True)
    assert opened("org/open_clip").weights == opened(copied / "open_clip").weights


@pytest.mark.parametrize("family", [*FAMILIES, "open_clip"])
def test_the_command_scores_as_the_library_does(
    saved: Path, tmp_path: Path, family: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every image with every sentence, document by document, in one call of the library each."""
    images, texts = pictures()[:3], ["a red boat", "fog and snow", "tree " * 40, "two"]
    entries = []
    for image in images:
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        entries.append(entry(buffer.getvalue()))
    documents = [
        (str(n), info([[0.2] * n] * 3, texts[:n], entries)) for n in range(1, len(texts) + 1)
    ]
    shard, out = write_tar(tmp_path / "s.tar", documents), tmp_path / "b.parquet"
    model = ["--model", str(saved / family), "--device", "cpu", "--batch", "3"]
    with pytest.raises(SystemExit) as end:
        main(["score", str(shard), *model, "--out", str(out)])
    assert end.value.code in (0, None), capsys.readouterr().err
    metadata = pq.read_schema(out).metadata or {}
    assert (metadata[b"clip_model"], metadata[b"scale"]) == (family.encode(), b"cosine")
    for row in pq.read_table(out).to_pylist():
        expected = cosines(saved / family, images, texts[: row["sentences"]])
        found = np.array(row["values"]).reshape(expected.shape)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def cosines(folder: Path, images: list[Any], texts: list[str]) -> Any:
    """Return a model's scores by its library alone."""
    if folder.name == "open_clip":
        model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
        tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(texts)
        with torch.no_grad():
            of_images, of_texts, _ = model.eval()(torch.stack([*map(transform, images)]), tokens)
    else:
        processor = transformers.AutoProcessor.from_pretrained(folder)
        how = {"padding": "max_length", "truncation": True, "max_length": 12}
        inputs = processor(text=texts, images=images, return_tensors="pt", **how)
        with torch.no_grad():
            out = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32)(**inputs)
        of_images, of_texts = out.image_embeds, out.text_embeds
    return (of_images @ of_texts.T).numpy()


def test_what_is_wrong_with_a_model_is_one_line(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copied / "clip" / "model.safetensors").unlink()
    shard = write_tar(tmp_path / "s.tar", [("a", info([[0.2]]))])
    for model in (copied / "clip", "open_clip:none", copied / "nothing"):
        with pytest.raises(SystemExit) as end:
            main(["score", str(shard), "--model", str(model), "--out", str(tmp_path / "b")])
        assert end.value.code == 2
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith("mmc4viz: ")
