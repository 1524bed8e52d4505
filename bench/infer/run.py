#!/usr/bin/env python3
"""Images per second without gradients by nestvit and by its peers on timm's model, in turns: every
turn is a fresh process, with the same type and threads on the same cores. Prints the medians and
the ratios to nestvit of the same round. Run it with the Python of bench/requirements.txt, after
building with the preset release."""
import argparse
import csv
import io
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEERS = ["openvino", "onnxruntime", "eager", "compile"]
TYPES = {
    "openvino": ["f32", "bf16", "int8"], "onnxruntime": ["f32", "int8"], "eager": ["f32", "bf16"],
    "compile": ["f32", "bf16"]
}


def run(threads, *command):
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    cores = ",".join(map(str, range(threads)))
    result = subprocess.run(["taskset", "-c", cores, *map(str, command)], capture_output=True,
                            text=True, env=environment)
    if result.returncode:
        sys.exit(result.stderr)
    return result.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=Path)
    parser.add_argument("--models", nargs="+", default=["nest_tiny"])
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--threads", nargs="+", type=int, default=[os.cpu_count()])
    parser.add_argument("--dtypes", nargs="+", choices=["f32", "bf16", "int8"], default=["f32"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=5,
                        help="timed runs of a turn; their median counts")
    args = parser.parse_args()

    def ours(model, batch, threads, dtype):
        text = run(threads, args.build / "bin/nestvit", "bench", "--model", model, "--batch", batch,
                   "--threads", threads, "--rounds", args.runs, "--dtype", dtype, "--csv")
        return float(next(csv.DictReader(io.StringIO(text)))["infer_samples_per_sec"])

    with tempfile.TemporaryDirectory() as folder:
        settings = itertools.product(args.models, args.batches, args.threads, args.dtypes)
        for model, batch, threads, dtype in settings:
            onnx_file = Path(folder) / f"{model}-{batch}.onnx"

            peer = [sys.executable, HERE / "peer.py"]
            case = [model, onnx_file, batch, threads, args.runs, dtype]
            if not onnx_file.exists():
                run(threads, *peer, "export", *case)
            speeds = {}
            for _ in range(args.rounds):
                speeds.setdefault("nestvit", []).append(ours(model, batch, threads, dtype))
                for engine in [e for e in args.peers if dtype in TYPES[e]]:
                    line = run(threads, *peer, engine, *case).strip().splitlines()[-1]
                    speeds.setdefault(engine, []).append(json.loads(line)["images_per_s"])
            for label, values in speeds.items():
                line = f"{model} {dtype} batch {batch}, {threads} threads  {label:12} "
                line += f"{statistics.median(values):7.2f} images/s "
                line += f"({min(values):.2f} to {max(values):.2f})"
                if label != "nestvit":
                    ratios = sorted(o / v for o, v in zip(speeds["nestvit"], values, strict=True))
                    line += f"  nestvit is {statistics.median(ratios):.2f} x as fast "
                    line += f"({ratios[0]:.2f} to {ratios[-1]:.2f})"
                print(line, flush=True)


if __name__ == "__main__":
    main()
