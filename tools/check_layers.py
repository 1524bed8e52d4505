#!/usr/bin/env python3
"""Checks what no compiler checks: who may include whom, which file may use which library, how large
a file and a folder may be, and that tests mirror the sources. The tables are the rules.

Run from anywhere: tools/check_layers.py. Prints each violation with what to do, and exits 1.
tools/rooms.py draws docs/pictures/rooms.svg from ROOMS."""

import re
import sys
from collections import Counter
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# An #include says a path under the first of these folders that has it: "base/file.h",
# "train/torch.h", <nestvit/error.h>, "bench/train/training_step.h". Rooms are named likewise.
SEARCH = ["src/core", "src", "include", "."]

LIBRARY = "base model image data weights metrics report"  # what takes no forward and no run
RUN = "run run/recipe run/input run/record"
PARTS = "train/device train/group train/network train/optim"
TORCH, C10D, MODULE = "train/torch.h", "train/group/c10d.h", "train/device/cuda_module.h"
# room: (what it may include beside itself: rooms, without the rooms inside them, or single headers;
#        what lives there). A file is in the room with the longest name that fits.
ROOMS = {
    "nestvit": ("", "the public interface"),
    "base": ("", "fields, files, log, random numbers"),
    "model": ("base", "variants, parameter table"),
    "image": ("base model/preprocessing.h", "codecs, resize, augmentation"),
    "data": (
        "base image model/preprocessing.h model/training_record.h",
        "data sets, shards, index, loader",
    ),
    "weights": ("base model", "safetensors, torch, flax"),
    "hub": ("base", "fetches models and data"),
    "metrics": ("base", "accuracy, loss, confusion"),
    "report": ("base image metrics", "tables, pictures, pages"),
    "report/explanation": (
        "base image report explain/explanation.h",
        "cards: boxes, trees, heat",
    ),
    "kernels": ("base kernels/impl kernels/isa", "contracts, reference loops"),
    "kernels/impl": ("kernels", "the loops, for any instruction set"),
    "kernels/isa": ("kernels kernels/impl", "a file for each instruction set"),
    "runtime": ("base model weights kernels", "the forward without libtorch"),
    "explain": ("base model image metrics weights runtime", "trees and maps of why"),
    "explain/score": (
        "base model image metrics weights runtime explain",
        "whether to believe an explanation",
    ),
    "run/recipe": ("base model image data weights", "the keys of a training run"),
    "run/input": ("base image data run/recipe", "order and pixels of the batches"),
    "run/record": (
        "base image data weights metrics report run/recipe",
        "checkpoints, log, the page",
    ),
    "run": (f"{LIBRARY} run/recipe run/input run/record", "setup and launch of a run"),
    "train/device": (f"base run/recipe train/group {TORCH}", "CPU or GPU, CUDA graphs"),
    "train/group": (f"base run {TORCH} {MODULE}", "all-reduce, heartbeat"),
    "train/fused": (f"base model kernels {TORCH}", "an encoder layer by our kernels"),
    "train/optim": (
        f"base model weights run/recipe {TORCH} train/fused/adam.h train/network/tensors.h",
        "optimisers, EMA, autocast",
    ),
    "train/network": (
        f"base model image weights {TORCH} train/fused train/group train/optim/amp.h",
        "NesT and ResNet in libtorch",
    ),
    "train": (f"{LIBRARY} {RUN} {PARTS}", "the training loop"),
    "cuda": (f"{TORCH} {C10D} {MODULE} train/device/graph.h", "NCCL and CUDA graphs"),
    "cli/program": ("base data runtime", "verbs' table, options"),
    "cli/model": (f"{LIBRARY} hub runtime cli/program", "from a model's name to answers"),
    "cli/model/torch_forward.cpp": (
        f"base/system/processors.h cli/model cli/program train/network {TORCH}",
        "by libtorch",
    ),
    "cli/verbs": (f"{LIBRARY} hub runtime kernels cli/program cli/model", "predict, eval, …"),
    "cli/verbs/data": (
        f"{LIBRARY} {RUN} cli/program cli/verbs/verbs.h cli/verbs/train",
        "check, augment, preview",
    ),
    "cli/verbs/explain": (
        f"{LIBRARY} report/explanation explain explain/score runtime cli/program cli/model "
        "cli/verbs/verbs.h",
        "options, table, files, scores",
    ),
    "cli/verbs/train": (
        f"{LIBRARY} {RUN} train train/device train/group cli/program cli/model",
        "train and its processes",
    ),
    "cli": ("runtime cli/program cli/model cli/verbs cli/verbs/data cli/verbs/train", "main()"),
    "api": ("nestvit base explain image weights metrics runtime", "libnestvit.so"),
    "bench": (f"{LIBRARY} {RUN} {PARTS}", "measurements"),
}
EVERYBODY = ["nestvit/error.h", "nestvit/number_type.h"]  # may be included by all rooms

# Rooms whose files see no other foreign headers, not even through ours: what is compiled for an
# instruction set must not hold a copy of an inline function that the linker could give to others.
SEES_ONLY = dict.fromkeys(["kernels/impl", "kernels/isa"], "cstdint stdint.h immintrin.h")

# (headers, or folders of headers, of a library; the files or folders that may include them)
CONFINED = [
    ("torch ATen c10", "src/train/torch.h src/train/group/c10d.h src/cuda/torch_cuda.h"),
    ("train/group/c10d.h", "src/train/group src/train/device/cuda_module.h src/cuda"),
    ("cuda.h cuda_runtime.h cuda_runtime_api.h nccl.h", "src/cuda/torch_cuda.h"),
    ("immintrin.h x86intrin.h", "src/core/kernels"),
    ("yaml-cpp", "src/core/base/fields.cpp"),
    ("jpeglib.h jerror.h", "src/core/image/codecs/jpeg.cpp"),
    ("spng.h", "src/core/image/codecs/png.cpp"),
    ("utf8proc.h", "src/core/base/unicode.cpp"),
    ("webp", "src/core/image/codecs/webp.cpp"),
    ("zlib.h", "src/core/data/formats/idx.cpp src/core/weights/torch/zip.cpp"),
    ("msgpack.hpp", "src/core/weights/flax/checkpoint.cpp src/core/weights/flax/writer.cpp"),
    ("protozero", "src/core/data/shards/tfrecord.cpp"),
    ("curl", "src/core/hub/http.cpp"),
    ("archive.h archive_entry.h", "src/core/hub/archive.cpp"),
    ("openssl", "src/core/hub/digest.cpp"),
    ("cairo.h cairo-ft.h fontconfig", "src/core/report/canvas.cpp"),
    ("CLI", "src/cli bench"),
]

MOST_LINES, MOST_FILES = 600, 20  # of a source, where 400 are aimed at; of a folder
MIRRORED = {"tests/core": "src/core", "tests/train": "src/train", "tests/bench": "bench"}
DATA = ["tests/golden", "tests/fuzz/corpus"]  # folders of data, of any size

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]', re.M)


def is_in(path, homes):
    return any(path == home or path.startswith(home + "/") for home in homes)


@cache
def found(name):
    """The path from the root of what an #include or a table names, or None where it is not ours."""
    paths = [f"{folder}/{name}".removeprefix("./") for folder in SEARCH]
    return next((path for path in paths if (ROOT / path).exists()), None)


@cache
def room_of(path):
    fitting = [room for room in ROOMS if found(room) and is_in(path, [found(room)])]
    return max(fitting, key=len, default=None)


def files(*folders):
    """Paths from the root, data and what Python compiled left out."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            name = path.relative_to(ROOT).as_posix()
            if path.is_file() and path.suffix != ".pyc" and not is_in(name, DATA):
                yield name


def stale_rows():
    rooms = [name for may, _ in ROOMS.values() for name in may.split()]
    homes = [home for _, homes in CONFINED for home in homes.split()]
    for name in [*ROOMS, *rooms, *EVERYBODY, *SEES_ONLY, *MIRRORED, *MIRRORED.values(), *homes]:
        if not found(name):
            yield f"tools/check_layers.py names {name}, which does not exist: mend its row"


def forbidden_includes(path, includes):
    room = room_of(path)
    if not room:
        yield f"{path} is in no room: give its folder a row in ROOMS of tools/check_layers.py"
    may = ROOMS[room][0].split() if room else []
    for quote, target in includes:
        ours = found(target)
        for headers, homes in CONFINED:
            if is_in(target, headers.split()) and not is_in(path, homes.split()):
                yield f"{path} includes {target}: only {homes} may. Use what they declare"
        if quote == '"' and not ours and not target.endswith(".inc"):
            yield f"{path} includes {target}: write it with its folder, from one of {SEARCH}"
        if ours and target not in may + EVERYBODY and room_of(ours) not in [room, *may]:
            yield (
                f"{path} includes {target}, but {room} may include only {', '.join(may)}: "
                "move what it needs there, or extend its row in tools/check_layers.py and say why"
            )


def forbidden_sights(sources):
    for room, allowed in SEES_ONLY.items():
        seen = [path for path in sources if room_of(path) == room]
        for path in seen:  # grows
            for _, target in sources[path]:
                ours = found(target)
                if ours and ours not in seen:
                    seen.append(ours)
                elif not ours and target not in allowed.split():
                    yield f"{path} includes {target}, but {room} sees it: it may see only {allowed}"


def sizes(names):
    for name in names:
        lines = (ROOT / name).read_text().count("\n")
        if name.endswith((".h", ".cpp", ".py")) and lines > MOST_LINES:
            yield f"{name} has {lines} lines, {MOST_LINES} at most: divide it by what it does"
    for folder, count in Counter(name.rpartition("/")[0] for name in names).items():
        if count > MOST_FILES:
            yield f"{folder} has {count} files, {MOST_FILES} at most: make folders of its parts"


def strangers():
    for tests, sources in MIRRORED.items():
        for folder in sorted({name.rpartition("/")[0] for name in files(tests)}):
            twin = sources + folder.removeprefix(tests)
            if not (ROOT / twin).is_dir():
                yield f"{folder} mirrors {twin}, which does not exist: name it as a sources' folder"


def main():
    names = [name for name in files("src", "include", "bench") if name.endswith((".h", ".cpp"))]
    sources = {name: INCLUDE.findall((ROOT / name).read_text()) for name in names}
    violations = [*stale_rows(), *forbidden_sights(sources), *strangers()]
    violations += sizes(list(files("src", "include", "tests", "bench", "tools", "scripts")))
    for path, includes in sources.items():
        violations += forbidden_includes(path, includes)
    print("\n".join(dict.fromkeys(violations)) or f"layers: {len(sources)} files keep to the rules")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
