#!/usr/bin/env python3
"""Makes flax/<case>/explain*.{safetensors,json} of tests/golden: gradients of one class logit at
every place where `explain` looks, by the official NesT code; and the whole cases of NEW_CASES.

    git clone https://github.com/google-research/nested-transformer nest   # commit 59c0d6a
    python3.9 -m venv venv
    venv/bin/pip install flax==0.3.4 clu==0.0.3 jax==0.4.13 jaxlib==0.4.13 ml_collections==0.1.1 \\
        scipy==1.10 numpy==1.24.3 safetensors
    export XLA_FLAGS="--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    venv/bin/python tools/goldens/explain_flax.py --nest nest tests/golden/flax

(The flags shorten compiling, which is nearly all of the 4 minutes.)

The official code runs unchanged; what is replaced from outside:
- a zero is added where a gradient is wanted (the argument of PositionEmbedding, the branch before
  a level's last sum, the norms' outputs), and the derivative of that zero is taken;
- relevance/: softmax, the reciprocal deviation of LayerNorm and GroupNorm, and gelu(x)/x are held
  constant, so that gradient times activation is conserved;
- float64: flax 0.3.4 and the official code name float32 in some places; these get float64.
The files hold the results of float64, rounded to float32. The float32 run and the checks are in
explain.json beside them.
"""
import argparse
import contextlib
import json
import os
import sys
import types
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jax import lax
from jax.interpreters import xla
from safetensors.numpy import load_file, save_file

jax.config.update("jax_enable_x64", True)
# flax 0.3.4 uses two names that newer jax moved.
if not hasattr(xla, "DeviceArray"):
    xla.DeviceArray = jax.Array
if not hasattr(jax, "api"):
    jax.api = types.SimpleNamespace(device_put_sharded=jax.device_put_sharded)

SEED = 20105  # of the older cases; the n-th case adds 1000 n
NEW_CASES = {
    "gn_wide": (4, {  # two channels in a group: gn_mini has one, and its gradients are all zero
        "model_name": "nest_tiny_s16_32", "image": 8, "classes": 5, "batch": 2,
        "nest": {"norm_type": "GN", "attn_type": "local_multi_head",
                 "num_layers_per_block": [1, 1], "embedding_dim": 64, "num_heads": 4,
                 "qkv_bias": True, "mlp_ratio": 2}}),
    "odd": (5, {  # blocks of 3 x 3 tokens: the quadrants share the middle row and column
        "model_name": "nest_tiny_s196_224", "image": 24, "classes": 7, "batch": 2,
        "nest": {"patch_size": 3, "num_layers_per_block": [1, 1], "embedding_dim": 16,
                 "num_heads": 2}}),
}
DEGENERATE = ["gn_mini"]  # one channel in a group: its logits do not depend on the image


def flatten(tree, prefix=""):
    result = {}
    for key in sorted(tree):
        inner = hasattr(tree[key], "keys")
        result.update(flatten(tree[key], f"{prefix}{key}/") if inner
                      else {prefix + key: np.asarray(tree[key])})
    return result


def unflatten(flat):
    tree = {}
    for path, value in flat.items():
        *parents, leaf = path.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = jnp.asarray(value)
    return tree


def save(path, table):
    save_file({key: np.ascontiguousarray(value) for key, value in table.items()}, path)


class Names:
    """A module with some names replaced."""

    def __init__(self, module, **replaced):
        self.module, self.replaced = module, replaced

    def __getattr__(self, name):
        return self.replaced[name] if name in self.replaced else getattr(self.module, name)


@contextlib.contextmanager
def replaced(*changes):
    """Sets (object, name, value) for a while."""
    before = [(where, name, getattr(where, name)) for where, name, _ in changes]
    for where, name, value in changes:
        setattr(where, name, value)
    try:
        yield
    finally:
        for where, name, value in before:
            setattr(where, name, value)


class Probes:
    """Adds probes[place] at every place of the network, and keeps the sum in values[place]."""

    def __init__(self, depths):
        self.last_layers = {block: level for level, block in enumerate(np.cumsum(depths) - 1)}
        self.probes, self.values, self.branches = {}, {}, 0

    def at(self, place, x):
        if place in self.probes:
            x = x + self.probes[place]
        self.values[place] = x
        return x

    def drop_path(self, rate, deterministic):
        """DropPath is an identity in evaluation; the second one of a layer ends its MLP branch."""
        del rate, deterministic
        layer, branch = divmod(self.branches, 2)
        self.branches += 1
        level = self.last_layers.get(layer) if branch else None
        place = f"level_{level}/branch"
        return (lambda x: x) if level is None else (lambda x: self.at(place, x))

    def before_position(self, call):
        def probed(module, x):
            level = int(module.name.split("_")[-1])
            return call(module, self.at(f"level_{level}/input", x))
        return probed

    def after_norm(self, call):
        def probed(module, x):
            y, parent = call(module, x), module.parent.name
            if parent is None:  # the network itself
                return self.at("final_norm", y)
            if parent.startswith("ConvPool"):
                return self.at(f"level_{int(parent.split('_')[-1]) + 1}/aggregated", y)
            return y
        return probed


def constant(function):
    return lambda *args, **kwargs: lax.stop_gradient(function(*args, **kwargs))


def conservative_gelu(x):
    """x times gelu(x)/x, the second factor being constant; at 0 that is one half."""
    safe = jnp.where(x == 0, 1, x)
    return x * lax.stop_gradient(jnp.where(x == 0, 0.5, nn.gelu(safe) / safe))


def run(spec, params, stats, x, classes, wide, relevance):
    """Logits, values by place, and the gradients of the class logits by place, at the input and
    at every parameter and running mean."""
    from flax.linen import normalization
    from libml import attn_utils, self_attention
    from models import nest_net

    config = ml_collections.ConfigDict({"nest": {"stochastic_depth_drop": 0.0, **spec["nest"]}})
    make = nest_net.create_model(spec["model_name"], config)
    dtype = jnp.float64 if wide else jnp.float32
    model = make(num_classes=spec["classes"], train=False, dtype=dtype,
                 activation_fn=conservative_gelu if relevance else nn.gelu)
    probes = Probes(model.config.num_layers_per_block)
    changes = [(attn_utils, "DropPath", probes.drop_path)]
    position = self_attention.PositionEmbedding
    changes.append((position, "__call__", probes.before_position(position.__call__)))
    for norm in (nn.LayerNorm, nn.BatchNorm, nn.GroupNorm):
        changes.append((norm, "__call__", probes.after_norm(norm.__call__)))
    if wide:
        changes.append((normalization, "jnp", Names(jnp, float32=jnp.float64)))
        changes.append((attn_utils, "jnp", Names(jnp, float32=jnp.float64)))
    if relevance:
        changes.append((normalization, "lax", Names(lax, rsqrt=constant(lax.rsqrt))))
        changes.append((self_attention, "nn", Names(nn, softmax=constant(nn.softmax))))

    def cast(tree):
        return jax.tree_util.tree_map(lambda v: jnp.asarray(v, dtype), tree)

    def forward(inputs):
        probes.probes, probes.values, probes.branches = inputs["probes"], {}, 0
        variables = {"params": flax.core.freeze(inputs["params"])}
        if stats:
            variables["batch_stats"] = flax.core.freeze(inputs["stats"])
        logits = model.apply(variables, inputs["x"], mutable=False)
        assert probes.branches == 2 * sum(model.config.num_layers_per_block)
        return logits, dict(probes.values)

    def picked(inputs):
        logits, values = forward(inputs)
        return jnp.sum(logits[jnp.arange(len(classes)), classes]), (logits, values)

    inputs = {"probes": {}, "params": cast(unflatten(params)), "stats": cast(unflatten(stats)),
              "x": jnp.asarray(x, dtype)}
    with replaced(*changes):
        _, values = jax.eval_shape(forward, inputs)
        inputs["probes"] = {k: jnp.zeros(v.shape, v.dtype) for k, v in values.items()}
        grads, (logits, values) = jax.jit(jax.grad(picked, has_aux=True))(inputs)
    assert all(v.dtype == dtype for v in jax.tree_util.tree_leaves((grads, logits, values)))
    return types.SimpleNamespace(
        logits=np.asarray(logits), values={k: np.asarray(v) for k, v in values.items()},
        at={k: np.asarray(v) for k, v in grads["probes"].items()}, x=np.asarray(grads["x"]),
        params=flatten(grads["params"]), stats=flatten(grads["stats"]))


def plain_outputs(spec, params, stats, x, wide):
    """Logits and level outputs of the official code, nothing replaced (but float64's names)."""
    from flax.linen import normalization
    from libml import attn_utils
    from models import nest_net

    config = ml_collections.ConfigDict({"nest": {"stochastic_depth_drop": 0.0, **spec["nest"]}})
    dtype = jnp.float64 if wide else jnp.float32
    model = nest_net.create_model(spec["model_name"], config)(
        num_classes=spec["classes"], train=False, dtype=dtype)
    changes = [(m, "jnp", Names(jnp, float32=jnp.float64)) for m in (normalization, attn_utils)]
    variables = {"params": params, **({"batch_stats": stats} if stats else {})}
    variables = {k: unflatten({p: np.asarray(a, dtype) for p, a in v.items()})
                 for k, v in variables.items()}
    with replaced(*(changes if wide else [])):
        logits, captured = jax.jit(lambda v, a: model.apply(
            v, a, capture_intermediates=True, mutable=["intermediates"]))(
                flax.core.freeze(variables), jnp.asarray(x, dtype))
    layers = captured["intermediates"]
    outputs = [layers[f"EncoderNDBlock_{n}"]["__call__"][0]
               for n in np.cumsum(model.config.num_layers_per_block) - 1]
    return np.asarray(logits), [np.asarray(v) for v in outputs], layers, model


def close(found, expected):
    """The largest difference, in units of the largest entry expected."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def level_of(path, depths):
    """Where a parameter adds its constant: position embedding and layers of level i at i, pool i
    at i + 0.5, final norm and head last."""
    module = path.split("/")[0]
    kind, _, number = module.rpartition("_")
    if kind == "PatchEmbedding":
        return -1
    if kind == "PositionEmbedding":
        return int(number)
    if kind == "EncoderNDBlock":
        return int(np.searchsorted(np.cumsum(depths), int(number), side="right"))
    if kind == "ConvPool":
        return int(number) + 0.5
    return len(depths)


def constants(result, params, stats, depths):
    """(place, share of the logits) of every bias, position embedding and running mean."""
    shares = [(level_of(k, depths), float((params[k].astype(np.float64) * g).sum()))
              for k, g in result.params.items() if k.endswith(("bias", "pos_embedding"))]
    return shares + [(level_of(k, depths), float((stats[k].astype(np.float64) * g).sum()))
                     for k, g in result.stats.items() if k.endswith("mean")]


def pool_gap(plane):
    """The smallest distance of the two largest values in a window of the max-pool (SAME)."""
    side = plane.shape[1]
    after = max((-(-side // 2) - 1) * 2 + 3 - side, 0)
    before, after = after // 2, after - after // 2
    padded = np.pad(plane, ((0, 0), (before, after), (before, after), (0, 0)),
                    constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::2, ::2]
    values = np.sort(windows.reshape(windows.shape[:4] + (9,)), axis=-1)
    return float((values[..., -1] - values[..., -2]).min()), values


def check(case, io, x, explain, params, stats, spec, results, norm_type):
    """Everything that must hold; returns the figures."""
    depths = list(results["depths"])
    top = len(depths) - 1
    figures = {}
    for bits, wide in ((32, False), (64, True)):
        plain, relevant = results[bits, False], results[bits, True]
        official, outputs, _, _ = plain_outputs(spec, params, stats, x, wide)
        tiny = 1e-13 if wide else 1e-5
        figures[f"f{bits}"] = f = {}
        f["logits_of_probed_net"] = close(plain.logits, official)
        f["logits_of_relevance_net"] = close(relevant.logits, official)
        assert max(f.values()) <= tiny, f
        f["logits_against_io"] = close(plain.logits, io["logits"])
        assert f["logits_against_io"] <= 1e-5, f
        for i in range(top + 1):
            name = f"level_{i}/grad_of_class_logit"
            if name in io:
                f[f"{name} against io"] = close(plain.at[f"level_{i}/branch"], io[name])
                assert f[f"{name} against io"] <= 1e-5, f
            assert close(outputs[i], io[f"level_{i}/output"]) <= 1e-5
        logit = float(official[np.arange(len(x)), explain].sum())
        head = params["Dense_0/bias"][explain].astype(np.float64).sum()
        z = float((plain.values["final_norm"] * plain.at["final_norm"]).sum())
        f["sum z g = logit - bias"] = abs(z - (logit - head)) / abs(logit)
        assert f["sum z g = logit - bias"] <= tiny, f
        shares = constants(relevant, params, stats, depths)
        conserved = {}
        places = [("input", -2, np.asarray(x) * relevant.x)]
        for i in range(top + 1):
            u = relevant.values[f"level_{i}/input"] * relevant.at[f"level_{i}/input"]
            places.append((f"level_{i}/input", i - 0.5 + 1e-9, u))
            places.append((f"level_{i}/output", i, outputs[i] * relevant.at[f"level_{i}/branch"]))
            if i:
                v = relevant.values[f"level_{i}/aggregated"] * relevant.at[f"level_{i}/aggregated"]
                places.append((f"level_{i}/aggregated", i - 0.5 + 1e-9, v))
                assert abs(v.sum() - u.sum()) <= tiny * np.abs(v).sum()
        for name, place, h in places:
            later = sum(share for at, share in shares if at > place)
            conserved[name] = abs(float(h.sum()) + later - logit) / float(np.abs(h).sum())
        f["conservation (of sum |u g|)"] = max(conserved.values())
        assert f["conservation (of sum |u g|)"] <= (1e-13 if wide else 1e-5), conserved
        h = outputs[top] * plain.at[f"level_{top}/branch"]
        f["top: |sum_c x g| / sum_c |x g|"] = float((abs(h.sum(-1)) / abs(h).sum(-1)).max())
        if norm_type == "LN":
            assert f["top: |sum_c x g| / sum_c |x g|"] <= 1e-5, f
    ties = []
    for i in range(1, top + 1):
        name = f"level_{i}/aggregated"
        gap, wide_windows = pool_gap(results[64, False].values[name])
        ties.append(gap)
        pooled = results[64, False].values[f"level_{i}/input"]
        assert np.isclose(np.sort(pooled.ravel()), np.sort(wide_windows[..., -1].ravel())).all()
    figures["smallest gap in a window of a pool"] = min(ties)
    figures["f32 against f64, of the largest entry"] = {
        ("relevance/" if relevance else "") + name: close(narrow, wide)
        for relevance in (False, True)
        for name, narrow, wide in
        [("input", results[32, relevance].x, results[64, relevance].x)] +
        [(k, results[32, relevance].at[k], v) for k, v in results[64, relevance].at.items()]}
    worst = max(figures["f32 against f64, of the largest entry"].values())
    assert worst <= 1e-5, figures
    print(f"{case}: f32 against f64 {worst:.1e}; smallest gap {min(ties):.1e}; f64", {
        k: f"{v:.1e}" for k, v in figures["f64"].items()}, flush=True)
    return figures


def tables(results, outputs):
    """What is written: explain.safetensors and explain_relevance.safetensors."""
    plain, relevant = results[64, False], results[64, True]
    values, shares = {"logits": plain.logits, "input_grad_of_logit": plain.x}, {
        "relevance/input_grad_of_logit": relevant.x}
    rename = {"input": "grad_at_input", "branch": "grad_of_class_logit",
              "aggregated": "grad_of_aggregated"}
    for place, value in plain.values.items():
        if place == "final_norm":
            names = place, "grad_of_final_norm"
        else:
            level, kind = place.split("/")
            names = place.replace("branch", "output"), f"{level}/{rename[kind]}"
            if kind == "branch":
                value = outputs[int(level.split("_")[1])]
            # The two largest values are not repeated: the output is in io.safetensors, the input
            # of level 0 is the patch embedding.
            if level == "level_0" and value.size > 40000:
                names = None, names[1]
        if names[0]:
            values[names[0]] = value
        values[names[1]] = plain.at[place]
        shares[f"relevance/{names[1]}"] = relevant.at[place]
    return [{k: v.astype(np.float32) for k, v in t.items()} for t in (values, shares)]


def new_case(folder, number, spec):
    """Parameters, io.safetensors, grads.safetensors and meta.json as the older cases have them."""
    from libml import losses
    from models import nest_net

    seed = SEED + 1000 * number
    rng = np.random.default_rng(seed)
    batch, image, classes = spec["batch"], spec["image"], spec["classes"]
    config = ml_collections.ConfigDict({"nest": {"stochastic_depth_drop": 0.0, **spec["nest"]}})
    model = nest_net.create_model(spec["model_name"], config)(num_classes=classes, train=False)
    shape = (batch, image, image, 3)
    template = flatten(jax.jit(model.init)(
        jax.random.PRNGKey(seed), jnp.ones(shape, jnp.float32))["params"])
    draw = np.random.default_rng(seed + 1)
    params = {}
    for path, like in template.items():
        noise, leaf = draw.standard_normal(like.shape), path.split("/")[-1]
        if leaf == "kernel":
            fan_in = like.shape[0] if like.ndim == 3 else np.prod(like.shape[:-1])
            noise = 0.9 * noise / np.sqrt(fan_in)
        elif leaf == "proj_kernel":
            noise = 0.9 * noise / np.sqrt(like.shape[0] * like.shape[1])
        elif leaf == "scale":
            noise = 1 + 0.25 * noise
        else:
            noise = (0.4 if leaf == "pos_embedding" else 0.2) * noise
        params[path] = noise.astype(np.float32)
    x = rng.standard_normal(shape).astype(np.float32)
    soft = rng.gamma(0.5, size=(batch, classes)) + 0.02
    soft = (soft / soft.sum(-1, keepdims=True)).astype(np.float32)
    hard = rng.integers(0, classes, batch).astype(np.int32)
    explain = rng.integers(0, classes, batch).astype(np.int32)
    logits, outputs, layers, model = plain_outputs(spec, params, {}, x, wide=False)

    def loss(p, a):
        lg = model.apply({"params": flax.core.freeze(p)}, a, mutable=False)
        return jnp.mean(losses.softmax_cross_entropy_loss(logits=lg, labels=soft))

    value, grads = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(
        unflatten(params), jnp.asarray(x))
    gradients = run(spec, params, {}, x, explain, wide=False, relevance=False)
    io = {"input": x, "soft_labels": soft, "hard_labels": hard, "explain_class": explain,
          "logits": logits, "probabilities": np.asarray(jax.nn.softmax(logits)),
          "patch_embedding": layers["PatchEmbedding_0"]["__call__"][0],
          "input_grad": np.asarray(grads[1]),
          "final_norm": gradients.values["final_norm"]}
    for i, output in enumerate(outputs):
        io[f"level_{i}/output"] = output
        io[f"level_{i}/grad_of_class_logit"] = gradients.at[f"level_{i}/branch"]
        if i + 1 < len(outputs):
            io[f"level_{i}/conv_pool_output"] = layers[f"ConvPool_{i}"]["__call__"][0]
    meta = {"model_name": spec["model_name"], "image": image, "classes": classes, "batch": batch,
            "nest_config": {k: list(v) if isinstance(v, (list, tuple)) else v
                            for k, v in model.config.items()},
            "loss_soft": float(value),
            "loss_hard": float(jnp.mean(losses.cross_entropy_loss(
                logits=jnp.asarray(logits), labels=jnp.asarray(hard))))}
    folder.mkdir(exist_ok=True)
    save(folder / "params.safetensors", params)
    save(folder / "io.safetensors", {k: np.asarray(v) for k, v in io.items()})
    save(folder / "grads.safetensors", flatten(grads[0]))
    (folder / "meta.json").write_text(json.dumps(meta, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nest", required=True, help="checkout of the official code")
    parser.add_argument("folder", type=Path, help="tests/golden/flax")
    parser.add_argument("cases", nargs="*", help="all of the folder, and the new ones")
    args = parser.parse_args()
    sys.path.insert(0, args.nest)
    for name, (number, spec) in NEW_CASES.items():
        if name in args.cases or not args.cases:
            new_case(args.folder / name, number, spec)
    for folder in sorted(args.folder.iterdir()):
        if folder.name in DEGENERATE or args.cases and folder.name not in args.cases:
            continue
        meta = json.loads((folder / "meta.json").read_text())
        spec = {**meta, "nest": meta["nest_config"]}
        io, params = load_file(folder / "io.safetensors"), load_file(folder / "params.safetensors")
        stats = folder / "batch_stats.safetensors"
        stats = load_file(stats) if stats.exists() else {}
        x, explain = io["input"], io["explain_class"]
        results = {(bits, relevance): run(spec, params, stats, x, explain, bits == 64, relevance)
                   for bits in (32, 64) for relevance in (False, True)}
        results["depths"] = meta["nest_config"]["num_layers_per_block"]
        figures = check(folder.name, io, x, explain, params, stats, spec, results,
                        meta["nest_config"]["norm_type"])
        outputs = plain_outputs(spec, params, stats, x, wide=True)[1]
        values, shares = tables(results, outputs)
        save(folder / "explain.safetensors", values)
        save(folder / "explain_relevance.safetensors", shares)
        about = {"precision": "float64, rounded to float32", "jax": jax.__version__,
                 "flax": "0.3.4", "numpy": np.__version__, "checks": figures}
        about = json.loads(json.dumps(about), parse_float=lambda s: float(f"{float(s):.2g}"))
        (folder / "explain.json").write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
