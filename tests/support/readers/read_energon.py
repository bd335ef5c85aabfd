"""Print the samples that Megatron-Energon reads from a folder, one JSON object a line."""

import hashlib
import json
import sys

import torch
from megatron.energon import WorkerConfig, get_loader, get_val_dataset

dataset = get_val_dataset(
    sys.argv[1],
    split_part="train",
    batch_size=1,
    worker_config=WorkerConfig(rank=0, world_size=1, num_workers=0),
)
for sample in get_loader(dataset):
    found = [
        part
        if isinstance(part, str)
        else [
            hashlib.sha256(
                (part * 255).round().to(torch.uint8).permute(1, 2, 0).numpy().tobytes()
            ).hexdigest()
        ]
        for part in sample.sequence[0]
    ]
    print(json.dumps([sample.__key__, found]))
