#!/usr/bin/env python3
"""What each type of `nestvit run` makes of timm's model with random weights, against PyTorch in
double precision: the root mean square and the largest error of the logits, relative to the logits'
own. Run it with the Python of bench/requirements.txt:
  venv/bin/python bench/infer/accuracy.py build/release/bin/nestvit FOLDER_OF_IMAGES"""
import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy
import safetensors.torch
import timm
import torch
from PIL import Image

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def pixels(file):
    """[3, 224, 224], normalised."""
    picture = numpy.asarray(
        Image.open(file).convert("RGB").resize((224, 224)), dtype=numpy.float32) / 255
    return torch.from_numpy((picture - numpy.float32(MEAN)) / numpy.float32(STD)).permute(2, 0, 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("nestvit", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--model", default="nest_tiny")
    parser.add_argument("--count", type=int, default=48)
    args = parser.parse_args()

    files = sorted(f for f in args.images.rglob("*")
                   if f.suffix.lower() in (".jpeg", ".jpg", ".png"))
    chosen = [files[i] for i in numpy.random.default_rng(1).permutation(len(files))[:args.count]]
    batch = torch.stack([pixels(f) for f in chosen]).contiguous()
    torch.manual_seed(0)
    model = timm.create_model(args.model).eval()
    with tempfile.TemporaryDirectory() as folder:
        names = ("model.safetensors", "in.safetensors", "out.safetensors")
        weights, images, logits = (Path(folder) / name for name in names)
        safetensors.torch.save_file(model.state_dict(), weights)
        safetensors.torch.save_file({"input": batch}, images)
        with torch.no_grad():
            model.double()
            wanted = torch.cat([model(part.double()) for part in batch.split(8)])
        print(f"{args.model}, {len(batch)} images")
        for dtype in ("f32", "bf16", "int8"):
            command = [args.nestvit, "run", "--model", weights, "--variant", args.model]
            command += ["--input", images, "--output", logits, "--dtype", dtype]
            subprocess.run(command, check=True, capture_output=True)
            error = safetensors.torch.load_file(logits)["logits"].double() - wanted
            rms = error.square().mean().sqrt() / wanted.square().mean().sqrt()
            largest = error.abs().max() / wanted.abs().max()
            print(f"{dtype:4}  root mean square {rms:.1e}, largest {largest:.1e}", flush=True)


if __name__ == "__main__":
    main()
