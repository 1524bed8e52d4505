#!/usr/bin/env python3
"""What a GPU gives, in one command: the numbers it shares with the CPU (logits, gradients, 20 training steps), a run that
is stopped and resumed on it, and images per second of training and of the forward, beside timm where this Python has it.
Prints a table and writes it to --output. Needs a build with -DNESTVIT_BENCH=ON and libtorch's CUDA library
(NESTVIT_TORCH_LIB, docs/training.md)."""
import argparse
import importlib.util
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
CASES = [("nest_tiny_s16_32", 192), ("nest_tiny", 128), ("nest_base", 64)]
KEYS = ["model", "dtype", "what"]


def lines_of(*command, check=True):
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    lines = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    if result.returncode and (check or not lines):
        sys.exit(f"{command}: exit {result.returncode}\n{result.stdout[-2000:]}\n{result.stderr[-4000:]}")
    return lines


def cifar_of_noise(folder, images):
    draw = random.Random(1)
    for name, count in [(f"data_batch_{i}.bin", images // 5) for i in range(1, 6)] + [("test_batch.bin", 100)]:
        (folder / name).write_bytes(b"".join(bytes([i % 10]) + draw.randbytes(3072) for i in range(count)))


def losses(workdir):
    rows = [json.loads(line) for line in (workdir / "log.jsonl").read_text().splitlines()]
    return {row["step"]: row["loss"] for row in rows if row["event"] == "train"}


def resume(build, device):
    """The largest relative difference of a loss between a run and the same one stopped half-way and resumed."""
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        data = scratch / "data"
        data.mkdir()
        cifar_of_noise(data, 4000)
        train = [str(build / "bin/nestvit"), "train", "--config", str(HERE.parent / "configs/cifar_small_nest.yaml"), "--data-dir",
                 str(data), "--log-interval", "1", "--epochs", "4", "--warmup-epochs", "1", "--device", device, "--workdir"]
        subprocess.run(train + [str(scratch / "whole")], check=True, capture_output=True)
        cut = subprocess.Popen(train + [str(scratch / "cut")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        log = scratch / "cut/log.jsonl"
        while cut.poll() is None and not (log.exists() and log.read_text().count('"train"') > 40):
            time.sleep(0.02)
        cut.send_signal(signal.SIGTERM)
        cut.wait()
        stopped = max(losses(scratch / "cut"))
        subprocess.run(train + [str(scratch / "cut"), "--resume"], check=True, capture_output=True)
        whole, again = losses(scratch / "whole"), losses(scratch / "cut")
        assert sorted(whole) == sorted(again), "not the same steps"
        worst = max(abs(again[step] - whole[step]) / whole[step] for step in whole)
        return {"model": "cifar_small_nest", "check": f"resumed after step {stopped} of {max(whole)}", "difference": worst, "bound": 2e-2,
                "good": stopped < max(whole) and worst <= 2e-2}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--models", nargs="+", default=[model for model, _ in CASES])
    parser.add_argument("--compile", nargs="*", default=[], help="models that timm also runs compiled, in bf16")
    parser.add_argument("--output", type=Path, default=Path("gpu_check.md"))
    args = parser.parse_args()
    text = []

    def say(line):
        print(line, flush=True)
        text.append(line)
        args.output.write_text("\n".join(text) + "\n")

    say("| model | check | difference | allowed |\n|---|---|---|---|")
    bench = args.build / "bin/gpu_bench"
    checks = lines_of(bench, "parity", "nest_tiny_s16_32", "nest_tiny", "--device", args.device, check=False)
    checks.append(resume(args.build, args.device))
    for check in checks:
        say(f"| {check['model']} | {check['check']} | {check['difference']:.2g} | {check['bound']:.0e}{'' if check['good'] else ' MISSED'} |")

    say("\n| model | batch | type | what | nestvit, images/s | timm eager | timm compiled |\n|---|---|---|---|---|---|---|")
    have_timm = importlib.util.find_spec("timm") is not None
    for model, batch in CASES:
        if model not in args.models:
            continue
        common = [model, "--batch", batch, "--steps", args.steps, "--device", args.device]
        ours = lines_of(bench, "speed", *common)
        peer = {}
        if have_timm:
            for mode in ["eager"] + (["compile"] if model in args.compile else []):
                extra = ["--compile", "--dtype", "bf16"] if mode == "compile" else []
                for line in lines_of(sys.executable, HERE / "gpu_peer.py", *common, *extra):
                    peer[(mode, *[line[key] for key in KEYS])] = line["images_per_s"]
        for line in ours:
            cells = []
            for mode in ["eager", "compile"]:
                speed = peer.get((mode, *[line[key] for key in KEYS]))
                cells.append(f"{speed:.0f} ({line['images_per_s'] / speed:.2f} x)" if speed else "")
            say(f"| {model} | {batch} | {line['dtype']} | {line['what']} | {line['images_per_s']:.0f} | {cells[0]} | {cells[1]} |")
    return 0 if all(check["good"] for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
