#!/usr/bin/env python3
"""Loss at equal steps: a run of nestvit train beside the same network, batches and schedule in
timm.

    curves.py NESTVIT RUN [--steps N] [--csv FILE] [--threads T] [--chunk N]

RUN is the folder of a run from scratch, without drop-path and dropout, so that both sides are
deterministic:
    nestvit train DIR --config my.yaml --drop-path 0 --log-interval 1 --workdir RUN
timm gets the weights that RUN started from and, step by step, the images and labels that it saw
(nestvit data preview --save-batch), and trains with torch's AdamW. Prints both losses and their
largest relative difference; the CSV has every step. Needs requirements.txt, and the data where
RUN's config.yaml says. Exit code 1 means that a first loss differs by more than 1e-4: not the same
network. Later steps may drift apart, as rounding grows under training."""
import argparse
import csv
import functools
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import yaml
from safetensors.torch import load_file


def nestvit(program, *arguments):
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{program} {' '.join(map(str, arguments))}:\n{done.stderr}")


def fresh_weights(program, run, folder):
    """What RUN started from: fresh weights depend on the recipe and its seed alone, and a step of
    rate 0 leaves them."""
    nestvit(program, "train", "--config", run / "config.yaml", "--workdir", folder,
            "--config.num_train_steps=1", "--config.num_epochs=1", "--config.warmup_epochs=0",
            "--config.learning_rate=0", "--config.min_learning_rate=0", "--config.num_eval_steps=1")
    return folder / "last"


def timm_model(folder):
    """timm's Nest of config.json, with its weights. GELU and padding as the model was trained."""
    from timm.models import create_model
    from timm.models.nest import Nest
    config = json.loads((folder / "config.json").read_text())
    arguments, nest = config.get("model_args"), config["nestvit"].get("nest", {})
    if not arguments or "patch_size" not in arguments:
        sys.exit(f"timm has no network like {config['architecture']}: multi-head attention and "
                 "layer norms only")
    drops = ("stochastic_depth_drop", "attn_drop", "proj_drop")
    rates = {key: nest[key] for key in drops if nest[key]}
    if rates:
        sys.exit(f"the run draws random numbers in the network: {rates}; train it with these at 0")
    arguments["act_layer"] = functools.partial(torch.nn.GELU,
                                               approximate=nest["gelu"].replace("erf", "none"))
    if "embed_dims" in arguments:
        if config["architecture"].endswith("_jx"):
            arguments["pad_type"] = "same"
        model = Nest(**arguments)
    else:
        model = create_model(config["architecture"], **arguments)
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model.train()


def optimiser(model, recipe):
    for key, plain in (("optim", "adamw"), ("amp", "none"), ("layer_decay", 1), ("freeze", [])):
        if recipe[key] != plain:
            sys.exit(f"{key} is {recipe[key]}: only {plain or 'none'} is compared")
    ignore = [part.replace("pos_embedding", "pos_embed") for part in recipe["optim_wd_ignore"]]
    groups = {True: [], False: []}
    for name, parameter in model.named_parameters():
        small = recipe["weight_decay_exclude_1d"] and parameter.ndim < 2
        groups[not small and not any(part in name for part in ignore)].append(parameter)
    parameters = [{"params": groups[True], "weight_decay": float(recipe["weight_decay"])},
                  {"params": groups[False], "weight_decay": 0.0}]
    return torch.optim.AdamW(parameters, lr=0.0, betas=tuple(map(float, recipe["opt_betas"])),
                             eps=float(recipe["opt_eps"]))


def timm_losses(program, run, recipe, model, steps, chunk, folder):
    """The loss of every step before its update. Numbers are read with float(): to YAML 1.1, 1e-08
    is a word."""
    optim = optimiser(model, recipe)
    clip = float(recipe["grad_clip_max_norm"])
    for first in range(1, steps + 1, chunk):
        count = min(chunk, steps + 1 - first)
        nestvit(program, "data", "preview", "--config", run / "config.yaml", "--step", first,
                "--steps", count, "--save-batch", folder / "batches.safetensors")
        batches = load_file(folder / "batches.safetensors")
        for k in range(count):
            images, targets = batches[f"images.{first + k}"], batches[f"targets.{first + k}"]
            loss = -(targets * torch.log_softmax(model(images), 1)).sum(1).mean()
            optim.zero_grad()
            loss.backward()
            if clip:
                torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
            for group in optim.param_groups:
                group["lr"] = batches["learning_rate"][k].item()
            optim.step()
            yield loss.item()


def logged(run):
    """(first step, last step, mean loss) of each line of the run's log."""
    events = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    before = 0
    for event in events:
        if event["event"] == "train" and event["step"] > before:
            yield before + 1, event["step"], event["loss"]
            before = event["step"]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nestvit")
    parser.add_argument("run", type=Path)
    parser.add_argument("--steps", type=int, default=0, help="0: all that the run has logged")
    parser.add_argument("--csv", type=Path, default=None)
    parser.add_argument("--threads", type=int, default=0,
                        help="that torch computes with; 0: its own choice")
    parser.add_argument("--chunk", type=int, default=50,
                        help="steps whose batches are in memory at once")
    a = parser.parse_args()
    if a.threads:
        torch.set_num_threads(a.threads)
    recipe = yaml.safe_load((a.run / "config.yaml").read_text())
    if recipe.get("init_checkpoint"):
        sys.exit("the run started from other weights; runs from scratch can be compared")
    windows = [w for w in logged(a.run) if not a.steps or w[1] <= a.steps]
    if not windows:
        sys.exit(f"{a.run} has logged no step that early; train it with --log-interval 1")
    rows, worst, theirs = [], 0.0, []
    with tempfile.TemporaryDirectory(prefix="nestvit-curves-") as scratch:
        model = timm_model(fresh_weights(a.nestvit, a.run, Path(scratch) / "fresh"))
        losses = timm_losses(a.nestvit, a.run, recipe, model, windows[-1][1], a.chunk,
                             Path(scratch))
        print("  step     nestvit        timm    relative")
        for first, last, ours in windows:
            theirs += [next(losses) for _ in range(first, last + 1)]
            mean = sum(theirs[first - 1:last]) / (last + 1 - first)
            difference = abs(ours - mean) / mean
            worst = max(worst, difference)
            rows.append((last, ours, mean, difference))
            print(f"{last:6}  {ours:10.6f}  {mean:10.6f}  {difference:10.2e}", flush=True)
    print(f"{windows[-1][1]} steps: losses differ by at most {worst:.2e} of timm's, "
          f"at the end by {rows[-1][3]:.2e}")
    if a.csv:
        with a.csv.open("w", newline="") as file:
            csv.writer(file).writerows([("step", "nestvit", "timm", "relative_difference"), *rows])
    sys.exit(rows[0][3] > 1e-4)


if __name__ == "__main__":
    main()
