"""Compare `mmc4viz explain` with what the original loader did to the same shards.

Run the reference over the shards first: it writes one JSON line a sample and threshold, with the
loader's own words as the status. Then

    python tests/upstream/compare_upstream.py --oracle OUT.jsonl --tokenizer TOKENIZER.json
        --coin keep SHARD.tar...

with the same shards in the same order, and the same --min-images, --max-images, --max-tokens and
--coin as the reference; the thresholds are those found in its file. Prints what was compared, by
outcome, and every difference (the first ones in full); exit code 1 if there is any. What explain
promises beyond the loader, such as the statuses of a lost document's images, is counted apart.

The reference settles its coin, explain gives a probability. The loader draws the coin before it
looks whether the single image stands at the end: with `--coin keep` every single image survives the
draw and the second check is seen; with `--coin reject` none does, and what explain calls kept with
one half or single_image_at_end wears the coin's words. A ChatGPT-written document knows neither.
"""

from __future__ import annotations

import argparse
import json
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Record = dict[str, Any]

NO_IMAGES = "ValueError: No images in sample"
TOO_FEW = "ValueError: Fewer than "
COIN = "ValueError: Only one image in sample"
AT_END = "ValueError: Only one image at the end"
FIELDS = {
    "shard",
    "key",
    "outcome",
    "detail",
    "keep_probability",
    "image_tokens",
    "text_tokens",
    "mispaired",
    "images",
    "pairs",
    "token_ids",
}
SINGLE_IMAGE_KEEP = 0.5
IN_FULL = 20


@dataclass(frozen=True)
class Settings:
    """What both sides ran with."""

    coin: str
    min_images: int
    max_images: int
    max_tokens: int
    tokenizer: str


def bits(x: float) -> bytes:
    """Give the double's own bytes, so that −0.0 is not 0.0."""
    return struct.pack("<d", x)


def expected_outcomes(oracle: Record) -> set[str]:
    """Name the outcomes that explain may give to what the loader said."""
    status = oracle["status"]
    if status == "ok":
        return {"kept"}
    if status == NO_IMAGES:  # said in two places: matching happens between them
        return {"below_threshold" if "pairs" in oracle else "no_valid_image"}
    if status.startswith(TOO_FEW):
        return {"too_few_images"}
    if status.startswith(AT_END):
        return {"single_image_at_end"}
    if status == COIN:
        return {"kept", "single_image_at_end"}
    return {"unreadable"}


def of_coin(oracle: Record, settings: Settings) -> Iterator[str]:
    """Yield a word if the reference did not run with the coin that it is said to have run with."""
    status = oracle["status"]
    single = status == "ok" and oracle["n_image_tokens"] == 1 and "pairs" in oracle
    if settings.coin == "keep" and status == COIN:
        yield "the reference lost a document to its coin: it did not run with --coin keep"
    if settings.coin == "reject" and (single or status.startswith(AT_END)):
        yield "the reference kept a single image: it did not run with --coin reject"


def of_verdict(oracle: Record, ours: Record) -> Iterator[str]:
    """Compare outcome and probability."""
    wanted = expected_outcomes(oracle)
    outcome, probability = ours["outcome"], ours["keep_probability"]
    if outcome not in wanted:
        yield f"outcome {outcome}, expected {' or '.join(sorted(wanted))}"
        return
    if outcome != "kept":
        right = 0.0
    elif oracle["status"] == COIN:
        right = SINGLE_IMAGE_KEEP
    else:
        single = oracle["n_image_tokens"] == 1 and "pairs" in oracle
        right = SINGLE_IMAGE_KEEP if single else 1.0
    if probability != right:
        yield f"keep_probability {probability}, expected {right}"
    if oracle["status"] == COIN and ours["image_tokens"] != 1:
        yield f"image_tokens {ours['image_tokens']} where the loader drew its coin"


def of_pairs(oracle: Record, ours: Record, threshold: float, cap: int) -> Iterator[str]:
    """Compare the matched pairs and the images handed over."""
    pairs = ours["pairs"]
    statuses = [image["status"] for image in ours["images"]]
    if [image["image"] for image in ours["images"]] != list(range(len(statuses))):
        yield "images are not numbered in order"
        return
    if ours["outcome"] == "unreadable" or "pairs" not in oracle:
        if pairs:
            yield f"{len(pairs)} pairs, expected none"
        if oracle["status"] == "ok":  # ChatGPT-written
            handed = min(statuses.count("matched"), cap)
            if handed != oracle["n_tensor_images"] or set(statuses) != {"matched"}:
                yield f"{handed} images handed over, expected {oracle['n_tensor_images']}"
        return
    valid = [i for i, status in enumerate(statuses) if status in ("matched", "unmatched")]
    if any(row >= len(valid) for row, _, _ in oracle["pairs"]):
        yield f"{len(valid)} valid images, fewer than the loader matched"
        return
    wanted = [(valid[row], column, bits(s)) for row, column, s in oracle["pairs"]]
    given = [(p["image"], p["sentence"], bits(p["score"])) for p in pairs]
    if given != wanted:
        yield "pairs differ"
        return
    if [i for i, status in enumerate(statuses) if status == "matched"] != [i for i, _, _ in wanted]:
        yield "statuses of images do not agree with the pairs"
    survivors = 0
    for pair in pairs:
        if pair["score"] < threshold:
            right = {"below_threshold"}
        else:
            survivors += 1
            right = {"kept", "truncated"} if survivors <= cap else {"over_cap"}
        if pair["status"] not in right:
            yield f"status {pair['status']} of the pair of image {pair['image']}, expected {right}"
    if survivors != oracle.get("n_kept", 0):
        yield f"{survivors} pairs reach the threshold, expected {oracle.get('n_kept', 0)}"
    if oracle["status"] == "ok" and min(survivors, cap) != oracle["n_tensor_images"]:
        yield f"{min(survivors, cap)} images handed over, expected {oracle['n_tensor_images']}"
    with_token = sum(p["status"] == "kept" for p in pairs)
    if oracle["status"] == "ok" and with_token > ours["image_tokens"]:
        yield f"{with_token} kept pairs but {ours['image_tokens']} image tokens"


def of_promises(ours: Record) -> list[str]:
    """List what explain promises beyond the loader, and breaks."""
    if not set(ours) >= FIELDS:
        return []
    statuses, found = [image["status"] for image in ours["images"]], []
    known = {"missing", "too_small", "matched", "unmatched", "undecodable", "lost_with_document"}
    if not set(statuses) <= known:
        found.append(f"unknown statuses {sorted(set(statuses) - known)}")
    if {"undecodable", "lost_with_document"} & set(statuses) and ours["outcome"] != "unreadable":
        found.append("an image lost the document, yet it is not unreadable")
    if statuses.count("undecodable") > 1:
        found.append("more than one image lost the document")
    if "undecodable" in statuses:
        first = statuses.index("undecodable")
        if "lost_with_document" in statuses[:first]:
            found.append("an image before the undecodable one is lost with the document")
        if set(statuses[first + 1 :]) - {"lost_with_document"}:
            found.append("an image after the undecodable one is not lost with the document")
    if ours["outcome"] == "unreadable" and not ours["detail"]:
        found.append("no words for an unreadable document")
    return found


def of_sequence(oracle: Record, ours: Record, settings: Settings) -> Iterator[str]:
    """Compare token counts and token ids."""
    outcome, count, ids = ours["outcome"], ours["image_tokens"], ours["token_ids"]
    if oracle["status"] == "ok":
        if count != oracle["n_image_tokens"]:
            yield f"image_tokens {count}, expected {oracle['n_image_tokens']}"
        if ids != oracle["ids"]:
            at = next(
                (
                    k
                    for k, (x, y) in enumerate(zip(ids or [], oracle["ids"], strict=False))
                    if x != y
                ),
                min(len(ids or []), len(oracle["ids"])),
            )
            yield f"token ids differ from position {at} ({len(ids or [])} and {len(oracle['ids'])})"
    elif outcome == "too_few_images" and count >= settings.min_images:
        yield f"image_tokens {count} in a document with too few"
    elif outcome == "single_image_at_end" and count != 1:
        yield f"image_tokens {count} in a document with a single image at its end"
    elif outcome in ("unreadable", "no_valid_image", "below_threshold"):
        for name in ("image_tokens", "text_tokens", "mispaired"):
            if ours[name] != 0:
                yield f"{name} {ours[name]} in a document without a sequence"
        if ids:
            yield "token ids in a document without a sequence"


def differences(oracle: Record, ours: Record, threshold: float, settings: Settings) -> list[str]:
    """List all that differs in one document."""
    missing = FIELDS - set(ours) - {"token_ids"}
    if missing:
        return [f"no {', '.join(sorted(missing))} in the output"]
    ours.setdefault("token_ids", None)
    found = list(of_coin(oracle, settings))
    found += of_verdict(oracle, ours)
    found += of_pairs(oracle, ours, threshold, settings.max_images)
    found += of_sequence(oracle, ours, settings)
    return found


def by_threshold(path: str) -> dict[float, list[bytes]]:
    """Read the reference's lines, still unparsed, by threshold and in their order."""
    lines: dict[float, list[bytes]] = {}
    with open(path, "rb") as file:
        for line in file:
            lines.setdefault(float(json.loads(line)["threshold"]), []).append(line)
    return lines


def explain(shards: list[str], threshold: float, settings: Settings) -> Iterator[Record]:
    """Run the command and yield what it says of each sample."""
    command = [sys.executable, "-m", "mmc4viz", "explain", *shards]
    command += ["--format", "jsonl", "--token-ids", "--assignment", "one_to_one"]
    command += [f"--threshold={threshold!r}", "--tokenizer", settings.tokenizer]
    command += [f"--min-images={settings.min_images}", f"--max-images={settings.max_images}"]
    command += [f"--max-tokens={settings.max_tokens}"]
    command += ["--min-kb=10", f"--single-image-keep={SINGLE_IMAGE_KEEP}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield json.loads(line)
    if process.returncode:
        raise SystemExit(f"explain failed with exit code {process.returncode}: {' '.join(command)}")


def shortened(record: Record) -> str:
    """Write a record with long lists cut."""
    return json.dumps(
        {
            name: [*value[:40], f"… {len(value)} in all"]
            if isinstance(value, list) and len(value) > 40
            else value
            for name, value in record.items()
        },
        ensure_ascii=True,
    )


def parsed(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--oracle", required=True, metavar="OUT.jsonl")
    parser.add_argument("--tokenizer", required=True, metavar="TOKENIZER.json")
    parser.add_argument("--coin", required=True, choices=("keep", "reject"))
    parser.add_argument("--min-images", type=int, default=1)
    parser.add_argument("--max-images", type=int, default=6)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("shards", nargs="+", metavar="SHARD.tar")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Compare everything, print the counts and the differences."""
    a = parsed(argv)
    settings = Settings(a.coin, a.min_images, a.max_images, a.max_tokens, a.tokenizer)
    total, kinds, shown, differing = 0, Counter[str](), 0, 0
    promises = Counter[str]()
    for threshold, lines in by_threshold(a.oracle).items():
        began, outcomes = time.perf_counter(), Counter[str]()
        seen, bad = 0, 0
        for ours in explain(a.shards, threshold, settings):
            if seen == len(lines):
                raise SystemExit(f"explain gives more samples than the reference's {len(lines)}")
            oracle = json.loads(lines[seen])
            seen += 1
            place, wanted = (ours.get("shard"), ours.get("key")), (oracle["shard"], oracle["key"])
            if place != wanted:
                raise SystemExit(
                    f"sample {seen} is {place}, expected {wanted}: not the same shards"
                )
            found = differences(oracle, ours, threshold, settings)
            for promise in of_promises(ours):
                if not promises[promise]:
                    print(f"\nPROMISE {wanted} at {threshold!r}: {promise}")
                    print(f"  ours:   {shortened(ours)}")
                promises[promise] += 1
            outcomes[f"{ours['outcome']} ({ours['keep_probability']:g})"] += 1
            if found:
                bad += 1
                kinds[f"{oracle['key'].partition('-')[2]}: {found[0]}"] += 1
                if shown < IN_FULL:
                    shown += 1
                    print(f"\nDIFFERENCE {wanted} at {threshold!r}: {'; '.join(found)}")
                    print(f"  loader: {shortened(oracle)}")
                    print(f"  ours:   {shortened(ours)}")
        if seen != len(lines):
            raise SystemExit(f"explain gives {seen} samples, the reference has {len(lines)}")
        total, differing = total + seen, differing + bad
        words = ", ".join(f"{name} {n}" for name, n in outcomes.most_common())
        seconds = time.perf_counter() - began
        print(f"threshold {threshold!r}: {seen} compared, {bad} differ ({seconds:.1f} s): {words}")
    print(f"{total} verdicts compared, {differing} differ")
    for kind, n in kinds.most_common():
        print(f"  {n} × {kind}")
    print(f"{promises.total()} promises broken that are not the loader's matter")
    for kind, n in promises.most_common():
        print(f"  {n} × {kind}")
    return 1 if differing or promises or not total else 0


if __name__ == "__main__":
    sys.exit(main())
