#!/usr/bin/env python3
"""Simulates a training step of many processes: who waits for whom, and for how long. Prints the
tables of docs/scaling.md.

  bench/scale/scaling.py                          # both settings of docs/scaling.md
  bench/scale/scaling.py --latency 100e-6 --bandwidth 0.84e9 --devices 1 2 --images-per-s 8.4 \\
      --batch 8 --jitter 0.03

A process computes its batch. Its gradients become ready in the last two thirds of that time, the
last layers first, in the buckets of c10d's reducer (1 MB, then 25 MB). The network takes the
buckets one after the other, each by a ring: 2 (N-1) messages one after the other, 2 (N-1)/N of the
bytes. Then comes the sum of the step's 4 numbers, another ring. Computing times scatter, and the
slowest process decides. Only the standard library."""
import argparse
import random

FIRST_BUCKET, BUCKET = 1 << 20, 25 << 20


def ring(processes, size, latency, bandwidth):
    if processes == 1:
        return 0.0
    return 2 * (processes - 1) * latency + 2 * (processes - 1) / processes * size / bandwidth


def buckets(size):
    left, sizes = size, []
    while left > 0:
        sizes.append(min(left, BUCKET if sizes else FIRST_BUCKET))
        left -= sizes[-1]
    return sizes


def step(processes, case, rng):
    """Seconds of one step."""
    compute = case["batch"] / case["images_per_s"]
    slowest = max(compute * (1 + case["jitter"] * rng.gauss(0, 1)) for _ in range(processes))
    done = 0.0
    filled = 0
    for size in buckets(case["bytes"]):
        filled += size
        ready = slowest * (1 / 3 + 2 / 3 * filled / case["bytes"])  # the forward is a third
        done = max(done, ready) + ring(processes, size, case["latency"], case["bandwidth"])
    return max(done, slowest) + ring(processes, 32, case["latency"], case["bandwidth"])


def table(case, devices, steps):
    rng = random.Random(1)
    print("| processes | step, ms | images/s | of ideal | network, MB a step and process |")
    print("|---|---|---|---|---|")
    for n in devices:
        seconds = sum(step(n, case, rng) for _ in range(steps)) / steps
        rate = n * case["batch"] / seconds
        moved = 2 * (n - 1) / n * case["bytes"] / 1e6
        share = 100 * rate / (n * case["images_per_s"])
        print(f"| {n:,} | {1e3 * seconds:,.0f} | {rate:,.0f} | {share:.0f} % | {moved:.0f} |")


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--latency", type=float, help="seconds of one message, sent and summed")
    p.add_argument("--bandwidth", type=float,
                   help="bytes per second of a process's way to the next, summing included")
    p.add_argument("--images-per-s", type=float, help="one process alone")
    p.add_argument("--batch", type=int, help="images of one process's batch")
    p.add_argument("--bytes", type=int, default=4 * 17_055_000,
                   help="of gradients (NesT-T at 224: 68 MB)")
    p.add_argument("--jitter", type=float, default=0.03,
                   help="scatter of the computing time, as a share of it")
    p.add_argument("--devices", type=int, nargs="+", default=[1, 2, 8, 32, 128, 512, 1024])
    p.add_argument("--steps", type=int, default=50)
    a = p.parse_args()
    if a.latency:
        keys = ("latency", "bandwidth", "images_per_s", "batch", "bytes", "jitter")
        table({key: getattr(a, key) for key in keys}, a.devices, a.steps)
        return
    common = {"bytes": a.bytes, "jitter": a.jitter}
    print("### Servers of 32 cores, batch 128 each, a network as fast as what was measured\n")
    table(common | {"latency": 84e-6, "bandwidth": 0.84e9, "images_per_s": 128, "batch": 128},
          a.devices, a.steps)
    print("\n### One GPU each, batch 128, gradients by way of the CPU\n")
    table(common | {"latency": 84e-6, "bandwidth": 0.84e9, "images_per_s": 2449, "batch": 128},
          a.devices, a.steps)


if __name__ == "__main__":
    main()
