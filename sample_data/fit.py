"""Fit a dual encoder: fixed filters from image patches, linear maps by canonical correlation.

The training set is generated, never stored: pictures with a sentence each, of which a part (as on
the web) is not about its picture. Constants of the embedding are chosen on other generated pages
so that the scores of assigned pairs have a wanted mean and deviation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from encoders import Array, DualEncoder, Filters, Preprocessor, token_ids
from numpy.lib.stride_tricks import sliding_window_view
from pages import Page
from PIL import Image
from prose import TOPICS, caption, near_miss, prose
from scenes import KINDS, Scene, paint, random_scene
from scipy.optimize import linear_sum_assignment
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

Rng = np.random.Generator

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
MAX_LENGTH = 77
TRAINING_SIZE = (160, 120)
UNKNOWN, PADDING = "[UNK]", "[PAD]"


@dataclass(frozen=True)
class Recipe:
    """How strong an encoder is, and where its scores lie.

    Attributes
    ----------
    n_pairs, mismatched
        Size of the training set, and the share of it whose sentence is about something else.
    size
        Side of the picture that the encoder sees, in pixels.
    filters1, kernel1, stride, pool, filters2, kernel2, grid
        Shape of the convolutions, see `Filters`.
    dimension, ridge_image, ridge_text, power
        Of the canonical correlation: components kept, ridges as shares of the mean variance, and
        the power of the correlation by which a component is weighted.
    mean, deviation
        Wanted of the scores of assigned pairs.
    """

    n_pairs: int
    mismatched: float
    size: int
    filters1: int
    kernel1: int
    stride: int
    pool: int
    filters2: int
    kernel2: int
    grid: int
    dimension: int
    ridge_image: float
    ridge_text: float
    power: float
    mean: float
    deviation: float


RECIPES = {
    "sample-a": Recipe(
        n_pairs=9000,
        mismatched=0.2,
        size=64,
        filters1=32,
        kernel1=6,
        stride=2,
        pool=3,
        filters2=160,
        kernel2=4,
        grid=3,
        dimension=48,
        ridge_image=0.02,
        ridge_text=0.02,
        power=1.0,
        mean=0.243,
        deviation=0.045,
    ),
    "sample-b": Recipe(
        n_pairs=2500,
        mismatched=0.4,
        size=32,
        filters1=16,
        kernel1=5,
        stride=2,
        pool=3,
        filters2=32,
        kernel2=3,
        grid=2,
        dimension=16,
        ridge_image=0.05,
        ridge_text=0.05,
        power=1.0,
        mean=0.5,
        deviation=0.06,
    ),
}


def picture(scene: Scene) -> Image.Image:
    """Paint a training picture."""
    pixels = paint(scene, TRAINING_SIZE)
    grain = np.random.default_rng(scene.seed + 1).normal(0, 6, (*pixels.shape[:2], 1))
    return Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8))


def training_pairs(rng: Rng, recipe: Recipe) -> tuple[Array, list[str]]:
    """Generate pixels, shape (n, 3, size, size), and a sentence for each."""
    preprocess = Preprocessor(recipe.size, MEAN, STD)
    pixels, sentences = [], []
    for _ in range(recipe.n_pairs):
        scene = random_scene(rng, tuple(KINDS))
        pixels.append(preprocess(picture(scene)))
        if rng.random() >= recipe.mismatched:
            sentences.append(caption(rng, scene).text)
        elif rng.random() < 0.3:
            sentences.append(near_miss(rng, scene.kind).text)
        else:
            topic = tuple(TOPICS)[int(rng.integers(len(TOPICS)))]
            sentences.append(prose(rng, topic).text)
    return np.stack(pixels), sentences


# --- filters ------------------------------------------------------------------------------------


def _whitened_patches(rng: Rng, maps: Array, k: int, n_filters: int) -> tuple[Array, Array]:
    """Take patches of the maps as filters: whitened, of equal response, a little above the mean.

    Returns
    -------
    filters of shape (n_filters, channels, k, k), and their biases
    """
    windows = sliding_window_view(maps, (k, k), axis=(2, 3))
    n, channels, height, width = windows.shape[:4]
    where = [rng.integers(limit, size=8000) for limit in (n, height, width)]
    patches = windows[where[0], :, where[1], where[2]].reshape(8000, -1)
    mean = patches.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(patches - mean, rowvar=False))
    whitening = (vectors / (values + 0.02 * values.max())) @ vectors.T
    chosen = patches[rng.choice(8000, n_filters, replace=False)] - mean
    filters = chosen @ whitening
    response = (patches - mean) @ filters.T
    filters = filters / response.std(axis=0)[:, None]
    bias = -filters @ mean - 0.5
    return filters.reshape(n_filters, channels, k, k), bias


def half(x: Array) -> Array:
    """Round to what half precision holds, as stored; zero has no sign."""
    return x.astype(np.float16).astype(np.float64) + 0.0


def fit_filters(rng: Rng, recipe: Recipe, pixels: Array) -> Filters:
    """Choose the two layers of filters from patches of the training pictures."""
    some = pixels[:800]
    conv1, bias1 = _whitened_patches(rng, some, recipe.kernel1, recipe.filters1)
    empty = np.zeros((1, recipe.filters1, 1, 1))
    shape = (recipe.stride, recipe.pool, recipe.grid)
    first = Filters(half(conv1), half(bias1), empty, np.zeros(1), *shape)
    conv2, bias2 = _whitened_patches(rng, first.cells(some), recipe.kernel2, recipe.filters2)
    return Filters(half(conv1), half(bias1), half(conv2), half(bias2), *shape)


# --- words --------------------------------------------------------------------------------------


def fit_tokenizer(sentences: Sequence[str], least: int = 3) -> Tokenizer:
    """Build a word-level tokenizer of the words that occur at least so many times.

    The padding never stands in a sentence, so that its embedding is fitted to zero.
    """
    normalizer = normalizers.Lowercase()
    splitter = pre_tokenizers.Whitespace()
    counts: dict[str, int] = {}
    for sentence in sentences:
        for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(sentence)):
            counts[word] = counts.get(word, 0) + 1
    words = sorted(word for word, count in counts.items() if count >= least)
    vocabulary = {word: k for k, word in enumerate([UNKNOWN, PADDING, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splitter
    return tokenizer


def word_counts(tokenizer: Tokenizer, sentences: Sequence[str]) -> Array:
    """Return how often each word stands in each sentence."""
    counts = np.zeros((len(sentences), tokenizer.get_vocab_size()))
    for row, sentence in zip(counts, sentences, strict=True):
        np.add.at(row, token_ids(tokenizer, sentence, MAX_LENGTH), 1)
    return counts


# --- linear maps --------------------------------------------------------------------------------


def _inverse_root(covariance: Array, ridge: float) -> Array:
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors / np.sqrt(values + ridge * values.mean())) @ vectors.T)


def canonical_maps(x: Array, y: Array, recipe: Recipe) -> tuple[Array, Array, Array]:
    """Fit a canonical correlation with ridges to centred x and y.

    Returns
    -------
    maps of x and of y into the common space, and the weights of its dimensions in each tower
    """
    root_x = _inverse_root(x.T @ x / len(x), recipe.ridge_image)
    root_y = _inverse_root(y.T @ y / len(y), recipe.ridge_text)
    left, correlation, right = np.linalg.svd(root_x @ (x.T @ y / len(x)) @ root_y)
    d = recipe.dimension
    signs = np.sign(left[np.abs(left[:, :d]).argmax(axis=0), np.arange(d)])
    weights = correlation[:d] ** (recipe.power / 2) / np.sqrt(d)
    return root_x @ left[:, :d] * signs, root_y @ right[:d].T * signs, weights


def fit_encoder(rng: Rng, recipe: Recipe) -> DualEncoder:
    """Fit all of an encoder but the constants of its space."""
    pixels, sentences = training_pairs(rng, recipe)
    filters = fit_filters(rng, recipe, pixels)
    batches = [filters.features(pixels[i : i + 64]) for i in range(0, len(pixels), 64)]
    x = np.concatenate(batches)
    tokenizer = fit_tokenizer(sentences)
    y = word_counts(tokenizer, sentences)
    scale = np.maximum(x.std(axis=0), 1e-3)
    to_x, to_y, weights = canonical_maps((x - x.mean(axis=0)) / scale, y - y.mean(axis=0), recipe)
    image_linear = half(to_x / scale[:, None] * weights)
    embedding, text_linear = half(to_y), half(np.diag(weights))
    return DualEncoder(
        preprocessor=Preprocessor(recipe.size, MEAN, STD),
        tokenizer=tokenizer,
        filters=filters,
        image_linear=image_linear,
        image_bias=half(-(x.mean(axis=0) @ image_linear)),
        token_embedding=embedding,
        text_linear=text_linear,
        text_bias=half(-(y.mean(axis=0) @ embedding @ text_linear)),
        max_length=MAX_LENGTH,
    )


# --- the scale ----------------------------------------------------------------------------------


def with_constants(encoder: DualEncoder, shared: float, gap: float) -> DualEncoder:
    """Add three constant dimensions: one alike in both towers, and one of each tower's own."""

    def wider(linear: Array) -> Array:
        return np.concatenate([linear, np.zeros((len(linear), 3))], axis=1)

    return replace(
        encoder,
        image_linear=wider(encoder.image_linear),
        image_bias=half(np.append(encoder.image_bias, (shared, gap, 0.0))),
        text_linear=wider(encoder.text_linear),
        text_bias=half(np.append(encoder.text_bias, (shared, 0.0, gap))),
    )


def assigned_scores(similarity: Array) -> Array:
    """Return the scores of the optimal one-to-one assignment."""
    return np.asarray(similarity[linear_sum_assignment(-similarity)])


def place(encoder: DualEncoder, recipe: Recipe, calibration: Sequence[Page]) -> DualEncoder:
    """Choose the constants so that assigned pairs have the wanted mean and deviation.

    With a shared constant of square s and own constants of square g the cosine of images x and
    sentences y is (x.y + s) / sqrt((x.x + s + g) (y.y + s + g)): s raises all scores, g narrows
    them. Both are found by alternating corrections.
    """
    products = [_inner_products(encoder, page) for page in calibration]
    gain, offset = recipe.deviation, recipe.mean
    for _ in range(30):
        shared = offset / gain
        total = 1.0 / gain
        cosines = [
            assigned_scores((xy + shared) / np.sqrt(np.outer(xx + total, yy + total)))
            for xy, xx, yy in products
        ]
        scores = np.concatenate(cosines)
        gain *= recipe.deviation / float(scores.std())
        offset += recipe.mean - float(scores.mean())
    shared, total = offset / gain, 1.0 / gain
    return with_constants(encoder, float(np.sqrt(shared)), float(np.sqrt(total - shared)))


def _inner_products(encoder: DualEncoder, page: Page) -> tuple[Array, Array, Array]:
    """Return x.y, x.x and y.y of a page's pictures and sentences, before normalisation."""
    pixels = np.stack([encoder.preprocessor(picture(scene)) for scene in page.scenes])
    features = encoder.filters.features(pixels)
    x = features @ encoder.image_linear + encoder.image_bias
    counts = word_counts(encoder.tokenizer, [s.text for s in page.sentences])
    y = counts @ encoder.token_embedding @ encoder.text_linear + encoder.text_bias
    return x @ y.T, (x**2).sum(axis=1), (y**2).sum(axis=1)
