#!/usr/bin/env python3
"""Makes explain/timm/<case>/ of tests/golden: gradients of one class logit at every place where
`explain` looks, by timm and PyTorch.

    python3.11 -m venv venv
    venv/bin/pip install timm==1.0.31 torch==2.15.0 torchvision==0.29.2 safetensors numpy
    venv/bin/python tools/goldens/explain_timm.py tests/golden

The cases nest_tiny and nest_tiny_jx have weights, images and classes of timm/; nest_tiny_jx_deep is
made here. For relevance/ the attention's weights, LayerNorm's reciprocal deviation and gelu(x)/x
are detached, so that gradient times activation is conserved. The files hold the results of
float64, rounded to float32; the float32 run and the checks are in explain.json. Maps are NCHW."""
import argparse
import contextlib
import json
import shutil
from pathlib import Path

import numpy as np
import timm
import torch
from safetensors.numpy import load_file, save_file
from timm.models import nest

SEED = 20105 + 93
DEEP = {"img_size": 96, "patch_size": 4, "num_levels": 3, "embed_dims": (8, 16, 32),
        "num_heads": (1, 2, 4), "depths": (2, 2, 4), "num_classes": 10}


def build(variant, arguments):
    pad = {"pad_type": "same"} if "_jx" in variant else {}
    return nest._create_nest(variant, drop_path_rate=0.0, **pad, **arguments).eval()


def randomise(model):
    rng = np.random.default_rng(SEED)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = rng.standard_normal(tuple(parameter.shape))
            if name.endswith("pos_embed"):
                noise = 0.4 * noise
            elif parameter.ndim > 1:
                noise = 0.9 * noise / np.sqrt(np.prod(parameter.shape[1:]))
            elif name.endswith("weight"):
                noise = 1 + 0.25 * noise
            else:
                noise = 0.2 * noise
            parameter.copy_(torch.from_numpy(noise.astype(np.float32)))
    return rng


def conservative_norm(norm):
    def forward(x):
        variance = x.var(-1, unbiased=False, keepdim=True)
        scale = torch.rsqrt(variance + norm.eps).detach()
        return (x - x.mean(-1, keepdim=True)) * scale * norm.weight + norm.bias
    return forward


def conservative_gelu(x):
    safe = torch.where(x == 0, torch.ones_like(x), x)
    factor = torch.where(x == 0, torch.full_like(x, 0.5), torch.nn.functional.gelu(safe) / safe)
    return x * factor.detach()


@contextlib.contextmanager
def constant_softmax():
    softmax = torch.Tensor.softmax
    torch.Tensor.softmax = lambda *a, **k: softmax(*a, **k).detach()
    try:
        yield
    finally:
        torch.Tensor.softmax = softmax


def run(variant, arguments, weights, x, classes, dtype, relevance):
    """{name: array} of values and gradients, and {parameter: its share of the logits} of biases and
    position embeddings."""
    model = build(variant, arguments)
    model.load_state_dict(weights)
    model = model.to(dtype)
    for module in model.modules():
        if relevance and isinstance(module, torch.nn.LayerNorm):
            module.forward = conservative_norm(module)
        elif relevance and isinstance(module, torch.nn.GELU):
            module.forward = conservative_gelu
        elif isinstance(module, nest.Attention):
            module.fused_attn = False
    maps = {}

    def keep(name, channels_last=False):
        def hook(module, inputs, output):
            output.retain_grad()
            maps[name] = output, channels_last
        return hook

    for i, level in enumerate(model.levels):
        level.register_forward_hook(keep(f"level_{i}/output"))
        level.pool.register_forward_hook(keep(f"level_{i}/input"))
        if i:
            level.pool.norm.register_forward_hook(keep(f"level_{i}/aggregated", True))
    model.norm.register_forward_hook(keep("final_norm", True))
    image = torch.from_numpy(x).to(dtype).requires_grad_()
    with constant_softmax() if relevance else contextlib.nullcontext():
        logits = model(image)
    logits[torch.arange(len(x)), torch.from_numpy(classes)].sum().backward()
    result = {"logits": logits.detach().numpy(), "input_grad_of_logit": image.grad.numpy()}
    for name, (value, channels_last) in maps.items():
        planes = [value.detach().numpy(), value.grad.numpy()]
        if channels_last:
            planes = [np.moveaxis(p, -1, 1) for p in planes]
        level, _, kind = name.rpartition("/")
        gradient = {"output": "grad_of_class_logit", "input": "grad_at_input"}.get(
            kind, "grad_of_" + kind)
        result[name + "_nchw"] = planes[0]
        result[f"{level}/{gradient}_nchw" if level else f"{gradient}_nchw"] = planes[1]
    shares = {name: float((p.detach() * p.grad).sum()) for name, p in model.named_parameters()
              if name.endswith(("bias", "pos_embed"))}
    return result, shares


def is_gradient(name):
    return "grad" in name


def close(found, expected):
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def after(name, place):
    """Whether the parameter's constant is added after the place (level, "input" or "output")."""
    if name.startswith("patch_embed"):
        return place is None
    if place is None or not name.startswith("levels."):
        return True
    level, inside = int(name.split(".")[1]), ".pool." not in name
    return level > place[0] or (place[1] == "input" and level == place[0] and inside)


def check(case, x, classes, weights, runs, golden):
    figures = {}
    for bits in (32, 64):
        plain, relevant = runs[bits, False][0], runs[bits, True][0]
        tiny = 1e-13 if bits == 64 else 1e-5
        f = figures[f"f{bits}"] = {}
        f["logits_of_relevance_net"] = close(relevant["logits"], plain["logits"])
        assert f["logits_of_relevance_net"] <= tiny, f
        for name, value in golden.items():
            f[f"{name} against io"] = close(plain[name], value)
            assert f[f"{name} against io"] <= 1e-5, f
        logit = float(plain["logits"][np.arange(len(x)), classes].sum())
        bias = weights["head.bias"].double().numpy()[classes].sum()
        z = float((plain["final_norm_nchw"] * plain["grad_of_final_norm_nchw"]).sum())
        f["sum z g = logit - bias"] = abs(z - (logit - bias)) / abs(logit)
        assert f["sum z g = logit - bias"] <= tiny, f
        conserved, levels = [], sum(k.endswith("output_nchw") for k in plain)
        places = [(None, x, relevant["input_grad_of_logit"])]
        for i in range(levels):
            for kind, gradient in (("input", "grad_at_input"), ("output", "grad_of_class_logit")):
                places.append(((i, kind), relevant[f"level_{i}/{kind}_nchw"],
                               relevant[f"level_{i}/{gradient}_nchw"]))
            if i:
                places.append(((i, "input"), relevant[f"level_{i}/aggregated_nchw"],
                               relevant[f"level_{i}/grad_of_aggregated_nchw"]))
        for place, value, gradient in places:
            h = value * gradient
            later = sum(s for name, s in runs[bits, True][1].items() if after(name, place))
            conserved.append(abs(float(h.sum()) + later - logit) / float(np.abs(h).sum()))
        f["conservation (of sum |u g|)"] = max(conserved)
        assert max(conserved) <= tiny, conserved
        top = f"level_{levels - 1}"
        h = plain[f"{top}/output_nchw"] * plain[f"{top}/grad_of_class_logit_nchw"]
        f["top: |sum_c x g| / sum_c |x g|"] = float((abs(h.sum(1)) / abs(h).sum(1)).max())
        assert f["top: |sum_c x g| / sum_c |x g|"] <= 1e-5, f
    figures["f32 against f64, of the largest entry"] = {
        ("relevance/" if relevance else "") + name: close(runs[32, relevance][0][name], value)
        for relevance in (False, True) for name, value in runs[64, relevance][0].items()
        if is_gradient(name)}
    worst = max(figures["f32 against f64, of the largest entry"].values())
    print(f"{case}: f32 against f64 {worst:.1e}; f64",
          {k: f"{v:.1e}" for k, v in figures["f64"].items()}, flush=True)
    assert worst <= 1e-5, figures
    return figures


def make(folder, variant, arguments, weights, x, classes, golden):
    runs = {(bits, relevance): run(variant, arguments, weights, x, classes, dtype, relevance)
            for bits, dtype in ((32, torch.float32), (64, torch.float64))
            for relevance in (False, True)}
    figures = check(folder.name, x, classes, weights, runs, golden)
    tables = {"explain": {"input": x, "explain_class": classes, **runs[64, False][0]},
              "explain_relevance": {"relevance/" + k: v for k, v in runs[64, True][0].items()
                                    if is_gradient(k)}}
    for name, table in tables.items():
        save_file({k: np.ascontiguousarray(v if v.dtype == np.int64 else v.astype(np.float32))
                   for k, v in table.items()}, folder / f"{name}.safetensors")
    about = {"precision": "float64, rounded to float32", "timm": timm.__version__,
             "torch": torch.__version__, "numpy": np.__version__, "checks": figures}
    about = json.loads(json.dumps(about), parse_float=lambda s: float(f"{float(s):.2g}"))
    (folder / "explain.json").write_text(json.dumps(about, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("golden", type=Path, help="tests/golden")
    golden = parser.parse_args().golden
    torch.set_num_threads(1)
    io = load_file(golden / "timm" / "io.safetensors")
    arguments = json.loads((golden / "timm" / "meta.json").read_text())["args"]
    arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in arguments.items()}
    for variant in ("nest_tiny", "nest_tiny_jx"):
        folder, source = golden / "explain" / "timm" / variant, golden / "timm" / f"hf_{variant}"
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("config.json", "model.safetensors"):
            shutil.copyfile(source / name, folder / name)
        weights = {k: torch.from_numpy(v)
                   for k, v in load_file(source / "model.safetensors").items()}
        known = {k.split("/", 1)[1]: v for k, v in io.items()
                 if k.startswith(variant + "/") and not k.endswith("float64")}
        make(folder, variant, arguments, weights, io["input"], io["explain_class"], known)
    folder = golden / "explain" / "timm" / "nest_tiny_jx_deep"
    model = build("nest_tiny_jx", DEEP)
    rng = randomise(model)
    x = rng.standard_normal((1, 3, DEEP["img_size"], DEEP["img_size"])).astype(np.float32)
    classes = rng.integers(0, DEEP["num_classes"], 1)
    names = [f"class_{chr(97 + i)}" for i in range(DEEP["num_classes"])]
    timm.models.save_for_hf(
        model, folder, safe_serialization=True, model_config={"label_names": names},
        model_args={k: v for k, v in DEEP.items() if k not in ("img_size", "num_classes")})
    make(folder, "nest_tiny_jx", DEEP, model.state_dict(), x, classes, {})


if __name__ == "__main__":
    main()
