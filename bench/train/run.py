#!/usr/bin/env python3
"""A training step of NesT-T by nestvit and by timm, eager and compiled, in turns: every turn is a
fresh process that does the same work (forward, cross-entropy on soft targets, backward, AdamW) on
synthetic data, with the same threads and type: f32, or autocast to bf16. Prints the medians and the
ratios to nestvit of the same round. Run it with the Python of bench/requirements.txt, after
building with -DNESTVIT_BENCH=ON."""
import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CASES = {  # timm's drop-path rate is set to that of our variant
    "cifar": {"model": "nest_tiny_s16_32", "batch": 32, "drop_path": 0.1},
    "224": {"model": "nest_tiny", "batch": 8, "drop_path": 0.2},
}
PEERS = ["eager", "compile"]


def run(threads, *command):
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True,
                            env=environment)
    if result.returncode:
        sys.exit(result.stderr)
    return json.loads(result.stdout.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=Path)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS)
    parser.add_argument("--dtypes", nargs="+", choices=["f32", "bf16"], default=["f32"])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8,
                        help="timed steps of a turn; its median counts")
    args = parser.parse_args()

    def ours(case, plain=False):
        flags = ["--plain"] if plain else []
        flags += ["--bf16"] if case["dtype"] == "bf16" else []
        return run(args.threads, args.build / "bin/train_bench", case["model"], "--as-timm",
                   "--batch", case["batch"], "--steps", args.steps, "--threads", args.threads,
                   *flags)

    def peer(case, mode, optimizer, steps=args.steps):
        return run(args.threads, sys.executable, HERE / "peer.py", case["model"], mode, optimizer,
                   case["batch"], steps, 2, args.threads, case["drop_path"], case["dtype"])

    def faster_optimizer(case, mode):
        return max(("foreach", "fused"), key=lambda o: peer(case, mode, o, 3)["images_per_s"])

    for name, dtype in [(name, dtype) for name in args.cases for dtype in args.dtypes]:
        case = CASES[name] | {"dtype": dtype}
        # The peer has the better of torch's two AdamW; the same turns fill the compiler's cache.
        optimizer = {mode: faster_optimizer(case, mode) for mode in args.peers}
        measured = {}
        for _ in range(args.rounds):
            measured.setdefault("nestvit", []).append(ours(case))
            for mode in args.peers:
                label = f"timm {mode}, {optimizer[mode]} AdamW"
                measured.setdefault(label, []).append(peer(case, mode, optimizer[mode]))
            measured.setdefault("nestvit, plain layers", []).append(ours(case, plain=True))
        for label, turns in measured.items():
            speeds = [turn["images_per_s"] for turn in turns]
            line = f"{name:6} {dtype:4} {label:28} {statistics.median(speeds):7.2f} images/s "
            line += f"({min(speeds):.2f} to {max(speeds):.2f})"
            if label == "nestvit":
                line += f"  {statistics.median(t['gflops'] for t in turns):.0f} GFLOP/s"
            else:
                pairs = zip(measured["nestvit"], speeds, strict=True)
                ratios = sorted(o["images_per_s"] / s for o, s in pairs)
                line += f"  nestvit is {statistics.median(ratios):.2f} x as fast "
                line += f"({ratios[0]:.2f} to {ratios[-1]:.2f})"
            print(line, flush=True)


if __name__ == "__main__":
    main()
