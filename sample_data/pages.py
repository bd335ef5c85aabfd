"""Whole pages: which pictures and which sentences stand on one, and in which order."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from prose import TOPICS, Caption, caption, near_miss, prose
from scenes import KINDS, Scene, random_scene

Rng = np.random.Generator


#: chance of a picture to show what another one of its page shows, or another thing of its kind
AGAIN, ALIKE = 0.1, 0.35


@dataclass(frozen=True)
class Page:
    """A page: its pictures, and its sentences in order."""

    topic: str
    scenes: tuple[Scene, ...]
    sentences: tuple[Caption, ...]

    def describing(self, image: int) -> list[int]:
        """Return the sentences that truly describe one of the pictures."""
        scene = self.scenes[image]
        return [j for j, sentence in enumerate(self.sentences) if sentence.describes(scene)]


def _page_scenes(rng: Rng, topic: str, n_images: int) -> tuple[Scene, ...]:
    """Choose pictures that belong together: a topic, often mostly one kind of thing.

    Some are alike, as in a gallery: they show what another one shows, taken again, so that whatever
    describes one describes both, or another thing of its kind.
    """
    kinds = TOPICS[topic]
    if rng.random() < 0.4:
        kinds = (kinds[int(rng.integers(len(kinds)))],) * 3 + kinds
    scenes: list[Scene] = []
    for _ in range(n_images):
        chance = rng.random() if scenes else 1.0
        if chance < AGAIN + ALIKE:
            before = scenes[int(rng.integers(len(scenes)))]
            again = replace(before, seed=int(rng.integers(2**31)))
            scenes.append(again if chance < AGAIN else random_scene(rng, (before.kind,)))
        else:
            scenes.append(random_scene(rng, tuple(KINDS) if rng.random() < 0.12 else kinds))
    return tuple(scenes)


def _page_captions(rng: Rng, topic: str, scenes: tuple[Scene, ...], share: float) -> list[Caption]:
    """Write about most pictures in their order, and about some that are not on the page."""
    captions = []
    for scene in scenes:
        if rng.random() < share:
            captions.append(caption(rng, scene))
        if rng.random() < 0.08:
            captions.append(caption(rng, scene))
    for _ in range(int(rng.poisson(0.35))):
        absent = caption(rng, random_scene(rng, TOPICS[topic]))
        captions.insert(int(rng.integers(len(captions) + 1)), absent)
    return captions


def _other_sentence(
    rng: Rng, topic: str, scenes: tuple[Scene, ...], before: list[Caption]
) -> Caption:
    """Write a sentence that is about no picture and was not on the page before."""
    said = {sentence.text for sentence in before}
    while True:
        if rng.random() < 0.18:
            sentence = near_miss(rng, scenes[int(rng.integers(len(scenes)))].kind)
        else:
            sentence = prose(rng, topic)
        if sentence.text not in said:
            return sentence


def write_page(rng: Rng, n_images: int, n_sentences: int, caption_share: float = 0.62) -> Page:
    """Make up a page.

    Parameters
    ----------
    n_images, n_sentences
        How many of each.
    caption_share
        Chance of a picture to have a sentence about it.
    """
    topic = tuple(TOPICS)[int(rng.integers(len(TOPICS)))]
    scenes = _page_scenes(rng, topic, n_images)
    captions = _page_captions(rng, topic, scenes, caption_share)[:n_sentences]
    places = set(rng.choice(n_sentences, len(captions), replace=False).tolist())
    waiting = iter(captions)
    sentences: list[Caption] = []
    for place in range(n_sentences):
        if place in places:
            sentences.append(next(waiting))
        else:
            sentences.append(_other_sentence(rng, topic, scenes, sentences))
    return Page(topic, scenes, tuple(sentences))


_IMAGE_COUNTS = (0.29, 0.24, 0.17, 0.12, 0.08, 0.05, 0.025, 0.015, 0.01)


def random_page(rng: Rng) -> Page:
    """Make up a page with the usual numbers of pictures and sentences."""
    n_images = 1 + int(rng.choice(9, p=_IMAGE_COUNTS))
    n_sentences = int(np.clip(round(rng.lognormal(2.55, 0.6)) + n_images // 2, 3, 40))
    return write_page(rng, n_images, n_sentences)
