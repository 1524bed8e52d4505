#!/usr/bin/env python3
"""Makes tests/golden/augment/timm_ops.{json,safetensors}: timm's RandAugment operations on small
images.

    pip install timm==1.0.31 Pillow==13.0.0 torch safetensors numpy
    python tools/make_timm_goldens.py tests/golden/augment

Keys are <input>/<operation>/<case>; the JSON gives each case's level, sign and resampling, the
argument that timm made of the level, and the fill. Nothing is drawn: timm's coin and its choice of
resampling are replaced by the case's."""
import json
import sys
from pathlib import Path

import numpy as np
import PIL
import timm
from PIL import Image
from safetensors.numpy import save_file
from timm.data import auto_augment as aa

FILL = (124, 116, 104)
RESAMPLE = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def inputs():
    rng = np.random.default_rng(7)
    noise = rng.integers(0, 256, (13, 18, 3), dtype=np.uint8)
    y, x = np.mgrid[0:18, 0:13]
    smooth = np.stack([40 + 9 * x, 30 + 7 * y, 80 + 3 * x + 4 * y], axis=-1).astype(np.uint8)
    return {"0": noise, "1": smooth, "2": noise[:, :, 0].copy()}  # the last is grey


def main(folder):
    tensors, cases = {}, []
    for number, pixels in inputs().items():
        tensors[f"input/{number}"] = np.atleast_3d(pixels)
        image = Image.fromarray(pixels)
        fill = FILL if image.mode == "RGB" else FILL[0]
        for name in dict.fromkeys(aa._RAND_TRANSFORMS + aa._RAND_INCREASING_TRANSFORMS):
            to_argument, operation = aa.LEVEL_TO_ARG[name], aa.NAME_TO_OP[name]
            settings = [(9.0, False, "bicubic"), (3.7, True, "bilinear")]
            for case, (level, negative, how) in enumerate(settings):
                aa._randomly_negate = lambda v, n=negative: -v if n else v
                arguments = to_argument(level, {}) if to_argument else ()
                result = operation(image, *arguments, resample=RESAMPLE[how], fillcolor=fill)
                key = f"{number}/{name}/{case}"
                tensors[key] = np.atleast_3d(np.asarray(result)).copy()
                cases.append({
                    "key": key, "input": number, "op": name, "level": level, "negative": negative,
                    "resample": how, "argument": arguments[0] if arguments else 0,
                    "fill": [fill] if isinstance(fill, int) else list(fill),
                })
                if to_argument is None:
                    break  # one case says it all
    save_file(tensors, folder / "timm_ops.safetensors")
    about = {"timm": timm.__version__, "Pillow": PIL.__version__, "cases": cases}
    (folder / "timm_ops.json").write_text(json.dumps(about, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
