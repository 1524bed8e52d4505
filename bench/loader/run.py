#!/usr/bin/env python3
"""Images per second of the whole ImageNet training transform (reading, decoding, random resized
crop, flip, RandAugment, colour jitter, erasing, normalisation) at 224, one worker: nestvit, timm's
loader, torchvision's v2 transforms, in turns, every turn a fresh process. Prints medians, and the
ratios to nestvit of the same round by images per processor second: the peers' main process works
beside their worker, most where timm's prefetcher normalises and erases. FOLDER holds images at any
depth. Run it with the Python of bench/requirements.txt, after building loader_bench with
-DNESTVIT_BENCH=ON.

    bench/loader/run.py BUILD_DIR FOLDER... [--rounds R] [--images N]"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEERS = ["timm", "timm prefetcher", "torchvision v2 tensors", "torchvision v2 PIL"]
IMAGES = {".jpg", ".jpeg", ".png"}


def run(*command):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True,
                            env=environment)
    if result.returncode:
        sys.exit(result.stderr)
    return json.loads(result.stdout.strip().splitlines()[-1])


def class_folders(folder, into):
    """What every loader reads alike: two class folders of links."""
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in IMAGES)
    for i, file in enumerate(files):
        link = into / f"class{i % 2}" / f"{i:06}{file.suffix}"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file.resolve())
    return len(files)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=960)
    args = parser.parse_args()
    for folder in args.folders:
        with tempfile.TemporaryDirectory(prefix="nestvit-loader-") as work:
            print(f"{folder}: {class_folders(folder, Path(work))} images")
            measured = {}
            ours = [args.build / "bin/loader_bench", work, args.images]
            programs = {"nestvit": ours, "nestvit, data.jpeg_scaled": [*ours, "--scaled"]}
            for peer in args.peers:
                programs[peer] = [sys.executable, HERE / "peer.py", peer, work, args.images]
            for _ in range(args.rounds):
                for label, command in programs.items():
                    measured.setdefault(label, []).append(run(*command))
        for label, turns in measured.items():
            speeds = [turn["images_per_s"] for turn in turns]
            line = f"  {label:24} {statistics.median(speeds):8.1f} images/s "
            line += f"({min(speeds):.1f} to {max(speeds):.1f})"
            per_core = [turn["images_per_processor_s"] for turn in turns]
            line += f"  {statistics.median(per_core):8.1f} per processor second"
            if label != "nestvit":
                pairs = zip(measured["nestvit"], per_core, strict=True)
                ratios = sorted(o["images_per_processor_s"] / s for o, s in pairs)
                line += f"  nestvit is {statistics.median(ratios):.2f} x as fast "
                line += f"({ratios[0]:.2f} to {ratios[-1]:.2f})"
            print(line, flush=True)


if __name__ == "__main__":
    main()
