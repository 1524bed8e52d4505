#!/usr/bin/env python3
"""What a GPU gives, in one command. Prints a table and writes it to --output.

Compares with the CPU: logits, gradients and 20 training steps; and on the GPU: short types, layers
computed again, CUDA graphs, PyTorch's AdamW beside ours, a run that is stopped and resumed, one
that exchanges its gradients by NCCL and one that replays a CUDA graph. Then measures images per
second of training and of the forward, beside timm where this Python has it.

Needs a build with -DNESTVIT_BENCH=ON, its libnestvit_cuda.so, and libtorch's CUDA library
(NESTVIT_TORCH_LIB, docs/training.md). --device cpu does the same without timm, and --quick the
smallest part of it, which shows without a GPU that the checks themselves work."""
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
# The largest relative difference of a loss in the resumed run and in those with NCCL and a CUDA
# graph. A GPU may sum in any order, and each step's rounding is the next one's input; in so few
# steps it stays below this. Lost moments, another drop-path or another order of the images make
# several per cent.
RESUMED = 1e-3
RUN = "cifar_small_nest"


def failed(command, code, *texts):
    ends = "\n".join(text[-4000:] for text in texts)
    sys.exit(f"{' '.join(map(str, command))}: exit {code}\n{ends}")


def lines_of(*command):
    """Its JSON lines. Exit code 1 is a missed check if a line says so; any other code but 0 ends
    this program."""
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    lines = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    missed = any(not line.get("good", True) for line in lines)
    if not lines or result.returncode != (1 if missed else 0):
        failed(command, result.returncode, result.stdout, result.stderr)
    return lines


def pattern(draw):
    """A colour in each quarter of the image, which shifts and flips leave recognisable."""
    colours = draw.randbytes(12)
    places = ((c, y, x) for c in range(3) for y in range(32) for x in range(32))
    return bytes(colours[4 * c + 2 * (y // 16) + x // 16] for c, y, x in places)


def cifar_of_patterns(folder, images):
    """Each class is a pattern of its own under noise that is as strong."""
    draw = random.Random(1)
    patterns = [pattern(draw) for _ in range(10)]
    files = {f"data_batch_{i}.bin": images // 5 for i in range(1, 6)} | {"test_batch.bin": 100}
    for name, count in files.items():
        records = []
        for i in range(count):
            label = i % 10
            noise = draw.randbytes(3072)
            pixels = bytes((a + b) // 2 for a, b in zip(patterns[label], noise, strict=True))
            records.append(bytes([label]) + pixels)
        (folder / name).write_bytes(b"".join(records))


def losses(workdir):
    rows = [json.loads(line) for line in (workdir / "log.jsonl").read_text().splitlines()]
    return {row["step"]: row["loss"] for row in rows if row["event"] == "train"}


def run_to_the_end(command):
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        failed(command, result.returncode, result.stdout, result.stderr)


def run_and_stop(command, log, lines, output):
    """SIGTERM after so many training lines."""
    with open(output, "w") as file:
        run = subprocess.Popen(command, stdout=file, stderr=file)
    while run.poll() is None and not (log.exists() and log.read_text().count('"train"') >= lines):
        time.sleep(0.01)
    run.send_signal(signal.SIGTERM)
    if run.wait() != 128 + signal.SIGTERM:
        failed(command, run.returncode, output.read_text())


def difference(whole, again):
    """The largest relative difference of a loss between two runs of the same steps."""
    assert sorted(whole) == sorted(again), "not the same steps"
    return max(abs(again[step] - whole[step]) / whole[step] for step in whole)


def row(check, worst, good):
    return {"model": RUN, "check": check, "difference": worst, "bound": RESUMED, "good": good}


def resumed(train, whole, scratch, steps):
    """The same run stopped early and resumed."""
    cut = train + ["--workdir", str(scratch / "cut")]
    run_and_stop(cut, scratch / "cut/log.jsonl", steps // 3, scratch / "cut.txt")
    stopped = max(losses(scratch / "cut"))
    run_to_the_end(cut + ["--resume"])
    first, last = whole[min(whole)], whole[max(whole)]
    worst = difference(whole, losses(scratch / "cut"))
    print(f"resume: losses fell from {first:.3f} to {last:.3f}", file=sys.stderr)
    # A run that learns nothing, or was not cut, says nothing.
    good = worst <= RESUMED and last < 0.95 * first and stopped < max(whole)
    check = f"losses of a run resumed after step {stopped} of {max(whole)}"
    return row(check, worst, good)


def same_run(train, whole, workdir, what, flags):
    """The same run with `flags`, which are to change nothing."""
    run_to_the_end(train + ["--workdir", str(workdir), *flags])
    worst = difference(whole, losses(workdir))
    return row(f"losses of a run {what}", worst, worst <= RESUMED)


def variations(build, device):
    """(what, flags, why it is left out or None) of runs that are to be as the plain one."""
    module = build / "bin/libnestvit_cuda.so"
    missing = None
    if not module.exists():
        missing = f"{module} was not built: configure with -DNESTVIT_CUDA=ON"
    if device == "cpu":
        yield "that exchanges with itself by Gloo", ["--dist-backend", "gloo"], None
        missing = "needs a GPU"
    yield "that exchanges with itself by NCCL", ["--dist-backend", "nccl"], missing
    yield "with --cuda-graph", ["--cuda-graph"], missing


def runs(build, device, quick):
    """Whole runs of nestvit train, each against the plain one."""
    batch, steps = (32, 24) if quick else (128, 60)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        data = scratch / "data"
        data.mkdir()
        cifar_of_patterns(data, batch * steps // 2)
        train = [
            str(build / "bin/nestvit"), "train", "--config",
            str(HERE.parent.parent / "configs/cifar_small_nest.yaml"), "--data-dir",
            str(data), "--log-interval", "1", "--epochs", "2", "--warmup-epochs", "0.5",
            "--drop-path", "0.2", "--smoothing", "0", "--lr", "2e-3", "--batch-size",
            str(batch), "--device", device, "--config.eval_per_epochs=2"
        ]
        train += ["--config.nest.embedding_dim=16"] if quick else []
        run_to_the_end(train + ["--workdir", str(scratch / "whole")])
        whole = losses(scratch / "whole")
        yield resumed(train, whole, scratch, steps)
        for what, flags, left_out in variations(build, device):
            if left_out:
                yield {"model": RUN, "check": f"losses of a run {what}", "note": left_out}
            else:
                yield same_run(train, whole, scratch / flags[-1].strip("-"), what, flags)


def table_row(check):
    """A check with a note was left out."""
    if "note" in check:
        return f"| {check['model']} | {check['check']} | not checked: {check['note']} | |"
    least = f"{check['least']:.1e} to " if check.get("least") else ""
    missed = "" if check["good"] else " MISSED"
    allowed = f"{least}{check['bound']:.1e}{missed}"
    return f"| {check['model']} | {check['check']} | {check['difference']:.2g} | {allowed} |"


def speeds(bench, args, say):
    say("\n| model | batch | type | what | nestvit, images/s | timm eager | timm compiled |")
    say("|---|---|---|---|---|---|---|")
    on_gpu = args.device != "cpu"
    have_timm = on_gpu and importlib.util.find_spec("timm") is not None
    for model, batch in CASES:
        if model not in args.models:
            continue
        common = [model, "--batch", batch, "--steps", args.steps, "--device", args.device]
        ours = lines_of(bench, "speed", *common, "--dtype",
                        "f32,tf32,bf16" if on_gpu else "f32,bf16")
        peer = {}
        if have_timm:
            for mode in ["eager"] + (["compile"] if model in args.compile else []):
                extra = ["--compile", "--dtype", "bf16"] if mode == "compile" else []
                for line in lines_of(sys.executable, HERE / "peer.py", *common, *extra):
                    peer[(mode, *[line[key] for key in KEYS])] = line["images_per_s"]
        for line in ours:
            cells = []
            for mode in ["eager", "compile"]:
                speed = peer.get((mode, *[line[key] for key in KEYS]))
                cells.append(f"{speed:.0f} ({line['images_per_s'] / speed:.2f} x)" if speed else "")
            rate = f"{line['images_per_s']:.0f}"
            cells = [model, batch, line["dtype"], line["what"], rate, *cells]
            say("| " + " | ".join(map(str, cells)) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--models", nargs="*", default=[model for model, _ in CASES],
                        help="to time")
    parser.add_argument("--compile", nargs="*", default=[],
                        help="models that timm also runs compiled, in bf16")
    parser.add_argument("--quick", action="store_true",
                        help="one model, one image, two steps; nothing is timed")
    parser.add_argument("--output", type=Path, default=Path("gpu_check.md"))
    args = parser.parse_args()
    text = []

    def say(line):
        print(line, flush=True)
        text.append(line)
        args.output.write_text("\n".join(text) + "\n")

    say("| model | check | difference | allowed |\n|---|---|---|---|")
    bench = args.build / "bin/gpu_bench"
    parity = ["nest_tiny_s16_32", "nest_tiny"]
    if args.quick:
        parity = ["nest_tiny_s16_32", "--batch", 1, "--steps", 2]
    checks = []
    for check in lines_of(bench, "parity", *parity, "--device", args.device):
        checks.append(check)
        say(table_row(check))
    for check in runs(args.build, args.device, args.quick):
        checks.append(check)
        say(table_row(check))
    if not args.quick:
        speeds(bench, args, say)
    return 0 if all(check.get("good", True) for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
