#!/usr/bin/env python3
"""Checks the rules of docs/architecture.md that a compiler does not: who may include whom.

Run from anywhere: tools/check_layers.py. Prints every violation and exits 1, or prints what it checked."""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# folder under src/core -> folders, or single headers, that it may include beside itself
MAY_INCLUDE = {
    "base": [],
    "model": ["base"],
    "image": ["base", "model/preprocessing.h"],
    "data": ["base", "image", "model/preprocessing.h"],
    "weights": ["base", "model"],
    "kernels": ["base/half.h", "base/int8.h"],
    "runtime": ["base", "model", "image/image.h", "weights", "kernels"],
    "report": ["base", "image"],
    "hub": ["base"],
    "serve": ["base", "image", "runtime", "report"],
}
CUDA_MAY_INCLUDE = ["base", "cuda", "train/c10d.h", "train/cuda_module.h", "train/replay.h", "train/torch.h"]
TRAIN_MAY_INCLUDE = ["base", "model", "image", "data", "weights", "report", "train"]

# A header of a library, the files that may include it (paths from the root), and why there are so few.
CONFINED = {
    r"torch/|ATen/|c10/": ["src/train/torch.h", "src/train/c10d.h", "src/cuda/torch_cuda.h"],
    r"cuda_runtime|nccl": ["src/cuda/torch_cuda.h"],
    r"immintrin\.h|x86intrin\.h": ["src/core/kernels/"],
    r"yaml-cpp/": ["src/core/base/fields.cpp"],
    r"jpeglib\.h|jerror\.h": ["src/core/image/jpeg.cpp"],
    r"spng\.h": ["src/core/image/png.cpp"],
    r"webp/": ["src/core/image/webp.cpp"],
    r"zlib\.h": ["src/core/data/", "src/core/weights/zip.cpp"],
    r"msgpack": ["src/core/weights/flax_checkpoint.cpp", "src/core/weights/flax_writer.cpp"],
    r"protozero/": ["src/core/data/tfrecord.cpp"],
    r"curl/": ["src/core/hub/http.cpp"],
    r"archive": ["src/core/hub/archive.cpp"],
    r"openssl/": ["src/core/hub/digest.cpp"],
    r"cairo": ["src/core/report/"],
    r"CLI/": ["src/cli/"],
}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]', re.M)


def sources(*folders):
    for folder in folders:
        yield from sorted(p for p in (ROOT / folder).rglob("*") if p.suffix in (".h", ".cpp"))


def allowed(target, rules):
    return any(target == rule or target.startswith(rule + "/") for rule in rules)


def violations():
    for path in sources("src", "include"):
        name = path.relative_to(ROOT).as_posix()
        parts = name.split("/")
        for quote, target in INCLUDE.findall(path.read_text()):
            for pattern, homes in CONFINED.items():
                if re.match(pattern, target) and not any(name.startswith(home) for home in homes):
                    yield f"{name} includes {target}: only {', '.join(homes)} may"
            if quote == "<" or "/" not in target:
                continue
            if parts[:2] == ["src", "core"]:
                if not allowed(target, MAY_INCLUDE[parts[2]] + [parts[2]]):
                    yield f"{name} includes {target}: {parts[2]}/ may include {MAY_INCLUDE[parts[2]] or 'only the standard library'}"
            elif name.startswith("src/train/fused") and target.startswith("kernels/"):
                continue
            elif parts[:2] == ["src", "train"] and not allowed(target, TRAIN_MAY_INCLUDE):
                yield f"{name} includes {target}: src/train may include {TRAIN_MAY_INCLUDE}"
            elif parts[:2] == ["src", "cuda"] and not allowed(target, CUDA_MAY_INCLUDE):
                yield f"{name} includes {target}: src/cuda may include {CUDA_MAY_INCLUDE}"
            elif parts[:2] == ["src", "cli"] and target.startswith("train/") and not re.search(r"nestvit_train|train_command|data_preview|torch_forward", name):
                yield f"{name} includes {target}: only the parts of nestvit-train may"
    for path in sources("src", "include", "tests", "bench"):
        lines = len(path.read_text().splitlines())
        if lines > 600:
            yield f"{path.relative_to(ROOT)} has {lines} lines: 600 at most, aim at 400"
    if len((ROOT / "CMakeLists.txt").read_text().splitlines()) > 150:
        yield "CMakeLists.txt has over 150 lines"


def main():
    found = list(violations())
    print("\n".join(found) if found else f"layers: {sum(1 for _ in sources('src', 'include'))} files keep to the rules")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
