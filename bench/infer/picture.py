#!/usr/bin/env python3
"""Draws what bench/infer/run.py printed as bars: picture.py OUT.png LOG... Where several logs
hold a setting, the last counts."""
import re
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

LINE = re.compile(
    r"(\S+) (\S+) batch (\d+), \d+ threads  (\S+) +([\d.]+) images/s \(([\d.]+) to ([\d.]+)\)")
COLOURS = {
    "nestvit": "#1f6f8b", "openvino": "#d98e4a", "onnxruntime": "#a8a8a8", "compile": "#c05a5a",
    "eager": "#e0b0b0"
}

out, *logs = sys.argv[1:]
settings = {}  # (model, batch, type) -> engine -> (median, least, most)
for log in logs:
    for model, dtype, batch, engine, *speeds in LINE.findall(Path(log).read_text()):
        settings.setdefault((model, int(batch), dtype), {})[engine] = tuple(map(float, speeds))

engines = [e for e in COLOURS if any(e in found for found in settings.values())]
MODELS, TYPES = ["nest_tiny", "nest_small", "nest_base"], ["f32", "bf16", "int8"]
order = sorted(settings, key=lambda s: (MODELS.index(s[0]), s[1], TYPES.index(s[2])))
figure, axes = plt.subplots(figsize=(11, 4.2), dpi=110)
width = 0.8 / len(engines)
for i, engine in enumerate(engines):
    bars = [(x + (i - (len(engines) - 1) / 2) * width, *settings[s][engine])
            for x, s in enumerate(order) if engine in settings[s]]
    at, medians, least, most = zip(*bars, strict=True)
    spread = [[bar[1] - bar[2] for bar in bars], [bar[3] - bar[1] for bar in bars]]
    axes.bar(at, medians, width, yerr=spread, color=COLOURS[engine], label=engine,
             error_kw={"elinewidth": 0.8, "ecolor": "#404040"})
    for x, median, _, top in bars:
        axes.text(x, top + 0.5, f"{median:.1f}", ha="center", va="bottom", fontsize=6.5)
axes.set_xticks(range(len(order)),
                [f"{model}\n{dtype}\nbatch {batch}" for model, batch, dtype in order], fontsize=7.5)
axes.set_ylabel("images per second, 2 threads: median, range")
axes.spines[["top", "right"]].set_visible(False)
axes.legend(frameon=False)
figure.tight_layout()
figure.savefig(out)
