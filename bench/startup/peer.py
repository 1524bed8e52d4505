"""One timed process of bench/startup/run.py: safetensors or torch.load; one JSON line.
"make FOLDER" writes the files that all of them read."""

import json
import resource
import sys
import time

import torch
from safetensors.torch import load_file


def make(folder):
    import timm
    from timm.models import save_for_hf

    torch.manual_seed(0)
    model = timm.create_model("nest_base_jx")
    save_for_hf(model, folder + "/hf", safe_serialization=True)
    torch.save(model.state_dict(), folder + "/hf/model.pth")


def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if sys.argv[1] == "make":
    make(sys.argv[2])
    sys.exit()

kind, path, touch = sys.argv[1:]
torch.set_num_threads(1)
before, start = peak_bytes(), time.perf_counter()
if kind == "safetensors":
    tensors = load_file(path)
else:
    tensors = torch.load(path, weights_only=True, mmap=kind == "torch-mmap")
if touch == "1":
    assert all(bool(t.sum().isfinite()) for t in tensors.values())
took = time.perf_counter() - start
size = sum(t.nbytes for t in tensors.values())
print(json.dumps({"seconds": took, "peak_over_tensors": (peak_bytes() - before) / size}))
