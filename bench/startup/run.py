#!/usr/bin/env python3
"""Loads nest_base (270 MB) by nestvit, safetensors and torch.load in turns, every program in a
fresh process; prints medians, ratios with their spread, and peak memory. Needs the modules of
tools/interop/requirements.txt.

    bench/startup/run.py BUILD_DIR [ROUNDS]"""
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

if len(sys.argv) < 2:
    sys.exit(__doc__)
build, rounds = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 11

PEER = Path(__file__).resolve().with_name("peer.py")
CHECKED, ONLY = "all values checked", "loaded only"


def run(*command):
    done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


with tempfile.TemporaryDirectory(prefix="nestvit-load-") as folder:
    folder = Path(folder)
    subprocess.run([sys.executable, PEER, "make", folder], check=True)
    files = {"safetensors": folder / "hf/model.safetensors", "pth": folder / "hf/model.pth"}
    convert = [build / "bin/nestvit", "convert", folder / "hf", folder / "flax", "--to", "flax"]
    subprocess.run(convert, check=True, capture_output=True)
    ours = files | {"flax": folder / "flax/ckpt-1.flax"}
    peers = {
        "safetensors": [("safetensors", "0"), ("safetensors", "1")],
        "pth": [("torch", "0"), ("torch", "1"), ("torch-mmap", "1")],
    }
    measured = {}
    for _ in range(rounds):  # interleaved, so that all meet the same machine
        for kind, path in ours.items():
            turns = {("nestvit", kind, CHECKED): [build / "bin/startup_bench", path]}
            if kind in peers:
                turns["nestvit", kind, ONLY] = [build / "bin/startup_bench", path, "--only"]
            for peer, touch in peers.get(kind, []):
                label = CHECKED if touch == "1" else ONLY
                turns[peer, kind, label] = [sys.executable, PEER, peer, path, touch]
            for key, command in turns.items():
                measured.setdefault(key, []).append(run(*command))
    for (program, kind, label), runs in measured.items():
        seconds = [r["seconds"] for r in runs]
        peak = max(r["peak_over_tensors"] for r in runs)
        line = f"{program:12} {kind:12} {label:20} {statistics.median(seconds) * 1000:8.1f} ms"
        line += f"   peak {peak:.2f} x tensors"
        if program != "nestvit":
            turns = zip(seconds, measured["nestvit", kind, label], strict=True)
            ratios = sorted(s / o["seconds"] for s, o in turns)
            line += f"   takes {statistics.median(ratios):.2f} x nestvit's time "
            line += f"({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(line)
