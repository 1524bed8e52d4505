#!/usr/bin/env python3
"""Loads nest_base (270 MB) by nestvit, safetensors and torch.load in turns, every program in a fresh process; prints
medians, ratios with their spread, and peak memory. Needs the modules of tools/interop/requirements.txt.

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


def run(*command):
    return json.loads(subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout.strip().splitlines()[-1])


with tempfile.TemporaryDirectory(prefix="nestvit-load-") as folder:
    folder = Path(folder)
    subprocess.run([sys.executable, PEER, "make", folder], check=True)
    files = {"safetensors": folder / "hf/model.safetensors", "pth": folder / "hf/model.pth"}
    subprocess.run([build / "bin/nestvit", "convert", folder / "hf", folder / "flax", "--to", "flax"], check=True, capture_output=True)
    ours = {"safetensors": files["safetensors"], "pth": files["pth"], "flax": folder / "flax/ckpt-1.flax"}
    peers = {"safetensors": [("safetensors", "0"), ("safetensors", "1")], "pth": [("torch", "0"), ("torch", "1"), ("torch-mmap", "1")]}
    measured = {}
    for _ in range(rounds):  # interleaved, so that all meet the same machine
        for kind, path in ours.items():
            measured.setdefault(("nestvit", kind, "all values checked"), []).append(run(build / "bin/startup_bench", path))
            if kind in peers:
                measured.setdefault(("nestvit", kind, "loaded only"), []).append(run(build / "bin/startup_bench", path, "--only"))
            for peer, touch in peers.get(kind, []):
                label = "all values checked" if touch == "1" else "loaded only"
                measured.setdefault((peer, kind, label), []).append(run(sys.executable, PEER, peer, path, touch))
    for (program, kind, label), runs in measured.items():
        seconds = [r["seconds"] for r in runs]
        line = f"{program:12} {kind:12} {label:20} {statistics.median(seconds) * 1000:8.1f} ms   peak {max(r['peak_over_tensors'] for r in runs):.2f} x tensors"
        if program != "nestvit":
            ratios = sorted(s / o["seconds"] for s, o in zip(seconds, measured["nestvit", kind, label]))
            line += f"   takes {statistics.median(ratios):.2f} x nestvit's time ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(line)
