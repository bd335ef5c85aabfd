"""Print the samples that MosaicML Streaming reads from a folder, one JSON object a line.

Its package loads torchvision for datasets of images that are not read here, so that a stand-in is
enough where torchvision does not fit the installed torch.
"""

import hashlib
import json
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

try:
    import torchvision  # noqa: F401
except (ImportError, RuntimeError):
    for name in ("torchvision", "torchvision.datasets", "torchvision.transforms.functional"):
        sys.modules[name] = ModuleType(name)
        sys.modules[name].__spec__ = ModuleSpec(name, None)
    sys.modules["torchvision.datasets"].VisionDataset = object
    sys.modules["torchvision.datasets"].CIFAR10 = object
    sys.modules["torchvision.transforms.functional"].to_tensor = None

from streaming import StreamingDataset

sys.path.insert(0, sys.argv[2])  # of mds_code.py, the code that is printed for users
from mds_code import images_of

for sample in StreamingDataset(
    local=sys.argv[1], shuffle=False, batch_size=1, validate_hash="xxh3_128"
):
    digests = [
        None if image is None else hashlib.sha256(image).hexdigest() for image in images_of(sample)
    ]
    found = [sample["shard"], sample["key"], digests, sample["texts"], sample["probability"]]
    print(json.dumps(found))
