"""Print the rows that Hugging Face datasets reads from a folder, one JSON object a line."""

import hashlib
import json
import sys

import datasets

folder, streaming = sys.argv[1], len(sys.argv) > 2
files = f"{folder}/*.parquet"
rows = datasets.load_dataset(
    "parquet", data_files=files, split="train", streaming=streaming, cache_dir=f"{folder}/../cache"
)
for row in rows:
    pixels = [
        None if image is None else hashlib.sha256(image.convert("RGB").tobytes()).hexdigest()
        for image in row["images"]
    ]
    print(json.dumps([row["shard"], row["key"], pixels, row["texts"], row["probability"]]))
