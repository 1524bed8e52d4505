#!/usr/bin/env python3
"""Makes explain/view.json of tests/golden: which rectangle of the original image the S x S input
of a model shows. Resized sides and offsets are those that the other programs' own code passes on.

In the environment of explain_flax.py (the modes "jax"), then in that of explain_timm.py:
    venv/bin/pip install tensorflow==2.17.1 pillow
    venv/bin/python tools/goldens/explain_view.py --nest nest tests/golden
    venv/bin/pip install Pillow==13.0.0
    venv/bin/python tools/goldens/explain_view.py tests/golden

`rectangle` is [x0, y0, x1, y1] in pixels of the original, which a border makes larger than it;
`seen` is its part within the image."""
import argparse
import importlib.machinery
import json
import sys
import types
from pathlib import Path

from PIL import Image

SIZES = [(31, 33), (33, 31), (64, 64), (225, 300), (300, 31), (29, 500), (257, 256), (640, 481)]
JAX = [64, 224, 57]
TIMM = [("center", 224, 0.875), ("center", 64, 0.9), ("squash", 224, 0.875), ("squash", 224, 1.0),
        ("border", 224, 0.875), ("border", 64, 1.0), ("center", 57, 1.0), ("border", 57, 0.95)]


def view(name, size, mode, side, pct, resized, offset):
    """resized: (height, width); offset: (top, left) of the input in the resized image."""
    (width, height), (top, left) = size, offset
    x, y = width / resized[1], height / resized[0]
    rectangle = [left * x, top * y, (left + side) * x, (top + side) * y]
    seen = [max(rectangle[0], 0), max(rectangle[1], 0), min(rectangle[2], width),
            min(rectangle[3], height)]
    return {"image": name, "width": width, "height": height, "mode": mode, "size": side,
            "crop_pct": pct, "resized": list(resized), "rectangle": rectangle, "seen": seen}


def official(checkout, images):
    import numpy as np
    import tensorflow as tf

    class Absent(types.ModuleType):  # the training augmentations' package, which is not needed
        def __getattr__(self, name):
            return None if name.startswith("__") else Absent(name)

    for name in ("tensorflow_addons", "tensorflow_addons.image"):
        sys.modules[name] = Absent(name)
        sys.modules[name].__spec__ = importlib.machinery.ModuleSpec(name, None)
    sys.path.insert(0, checkout)
    from libml import preprocess

    calls = []
    crop = tf.image.crop_to_bounding_box

    def recorded(image, top, left, height, width):
        calls.append((tuple(image.shape[:2]), (int(top), int(left))))
        return crop(image, top, left, height, width)

    tf.image.crop_to_bounding_box = recorded
    views = []
    for name, (width, height) in images:
        for side in JAX:
            pixels = tf.zeros([height, width, 3], tf.uint8)
            out = preprocess.eval_preprocess({"image": pixels, "label": 0}, input_size=side)
            assert np.asarray(out["image"]).shape == (side, side, 3)
            views.append(view(name, (width, height), "jax", side, 0.875, *calls.pop()))
    return {"tensorflow": tf.__version__}, views


def peers(images):
    import timm
    import torch
    import torchvision
    from timm.data import create_transform
    from torchvision.transforms import functional

    torch.set_num_threads(1)
    calls = {}
    crop, pad = functional.crop, functional.pad

    def recorded_crop(image, top, left, height, width):
        calls["crop"] = top, left
        return crop(image, top, left, height, width)

    def recorded_pad(image, padding, *args, **kwargs):
        calls["pad"] = padding[1], padding[0]
        return pad(image, padding, *args, **kwargs)

    functional.crop, functional.pad = recorded_crop, recorded_pad
    views = []
    for name, (width, height) in images:
        for mode, side, pct in TIMM:
            steps = create_transform(input_size=(3, side, side), interpolation="bilinear",
                                     crop_pct=pct, crop_mode=mode).transforms
            calls.clear()
            resized = steps[0](Image.new("RGB", (width, height)))
            assert steps[1](resized).size == (side, side)
            (top, left), (above, before) = calls.get("crop", (0, 0)), calls.get("pad", (0, 0))
            views.append(view(name, (width, height), mode, side, pct, resized.size[::-1],
                              (top - above, left - before)))
    return {"timm": timm.__version__, "torchvision": torchvision.__version__}, views


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nest", help="checkout of the official code")
    parser.add_argument("golden", type=Path, help="tests/golden")
    args = parser.parse_args()
    images = [(p.name, Image.open(p).size) for p in sorted((args.golden / "photos").iterdir())]
    images += [(None, size) for size in SIZES]
    versions, views = official(args.nest, images) if args.nest else peers(images)
    file = args.golden / "explain" / "view.json"
    file.parent.mkdir(exist_ok=True)
    old = json.loads(file.read_text()) if file.exists() else {"versions": {}, "views": []}
    modes = {v["mode"] for v in views}
    rest = [v for v in old["views"] if v["mode"] not in modes]
    views = sorted(rest + views, key=lambda v: (v["mode"] != "jax", v["image"] is None))
    lines = ",\n".join(json.dumps(v) for v in views)
    file.write_text(f'{{"versions": {json.dumps({**old["versions"], **versions})}, "views": [\n'
                    f"{lines}\n]}}\n")
    print(len(views), "views")


if __name__ == "__main__":
    main()
