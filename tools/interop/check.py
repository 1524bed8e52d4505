#!/usr/bin/env python3
"""Weights between nestvit and the programs that others use: both directions, compared tensor by
tensor and by logits. And event files, as TensorBoard reads them.

    check.py NESTVIT CHECK

CHECK is timm, resnet, curves, torch, safetensors, flax, hub or tensorboard; requirements.txt names
the modules. Exit code 77 means that one is missing (the check was skipped)."""
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

NESTVIT = sys.argv[1] if len(sys.argv) > 1 else "nestvit"


def nestvit(*arguments, **environment):
    done = subprocess.run([NESTVIT, *map(str, arguments)], capture_output=True, text=True,
                          env={**os.environ, **{k: str(v) for k, v in environment.items()}})
    assert done.returncode == 0, f"nestvit {' '.join(map(str, arguments))}:\n{done.stderr}"
    return done.stdout


def same(ours, theirs, what):
    import numpy as np
    assert sorted(ours) == sorted(theirs), f"{what}: names differ: {set(ours) ^ set(theirs)}"
    for name in ours:
        a, b = np.asarray(ours[name]), np.asarray(theirs[name])
        both = f"{what}: {name} {a.dtype}{a.shape} {b.dtype}{b.shape}"
        assert a.dtype == b.dtype and a.shape == b.shape, both
        assert a.tobytes() == b.tobytes(), f"{what}: {name} differs"
    print(f"{what}: {len(ours)} tensors, every bit equal")


def timm_model(variant="nest_tiny_jx", classes=5, seed=0):
    import timm
    import torch
    torch.manual_seed(seed)
    model = timm.create_model(variant, num_classes=classes).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # no zeros or ones that hide a mix-up
            parameter.add_(torch.randn_like(parameter) * 0.02)
    return model


def timm_folder(model, folder):
    from timm.models import save_for_hf
    labels = [f"label {k}" for k in range(model.num_classes)]
    save_for_hf(model, folder, model_config={"label_names": labels}, safe_serialization=True)


def run_logits(model_path, x, folder, *more):
    from safetensors.numpy import load_file, save_file
    save_file({"input": x}, folder / "x.safetensors")
    nestvit("run", "--model", model_path, "--input", folder / "x.safetensors", "--output",
            folder / "y.safetensors", *more)
    return load_file(folder / "y.safetensors")["logits"]


def close(ours, theirs, what):
    import numpy as np
    worst = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    assert worst < 2e-5, f"{what}: logits differ by {worst:.2g} of the largest"
    print(f"{what}: logits within {worst:.1g} of the largest")


def check_timm(folder):
    import timm
    import torch
    for variant in ("nest_tiny_jx", "nest_tiny"):
        model = timm_model(variant)
        theirs, ours = folder / f"{variant}-timm", folder / f"{variant}-ours"
        timm_folder(model, theirs)
        x = torch.randn(2, 3, 224, 224)
        with torch.no_grad():
            expected = model(x).numpy()
        close(run_logits(theirs, x.numpy(), folder), expected, f"{variant} as timm saved it")
        nestvit("convert", theirs, ours, "--to", "timm")
        back = timm.create_model(f"local-dir:{ours}", pretrained=True).eval()
        same(numpy_of(back.state_dict()), numpy_of(model.state_dict()),
             f"{variant} through nestvit into timm")
        with torch.no_grad():
            assert torch.equal(back(x), model(x))
        assert back.pretrained_cfg["label_names"] == [f"label {k}" for k in range(5)], "labels lost"


def reference_resnet(name, classes):
    """timm's ResNet made into the paper's baseline: SAME padding, an ImageNet stem without ReLU, a
    small one for CIFAR."""
    import timm
    import torch
    from timm.layers import Conv2dSame
    model = timm.create_model("resnet18" if name == "resnet18_cifar" else name,
                              num_classes=classes).double()
    if name == "resnet18_cifar":
        model.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False, dtype=torch.float64)
        model.maxpool = torch.nn.Identity()
    else:
        model.act1 = torch.nn.Identity()
        model.maxpool = SamePool()
    for owner in list(model.modules()):
        for key, conv in list(owner.named_children()):
            if isinstance(conv, torch.nn.Conv2d) and conv.stride[0] > 1:
                same = Conv2dSame(conv.in_channels, conv.out_channels, conv.kernel_size,
                                  conv.stride, bias=False)
                same.weight = conv.weight
                setattr(owner, key, same)
    with torch.no_grad():  # no zeros or ones that hide a mix-up
        for key, value in model.state_dict().items():
            if key.endswith("running_var"):
                value.uniform_(0.5, 2)
            elif value.dim() < 2 and value.is_floating_point():
                value.add_(torch.randn_like(value) * 0.2)
    model.fc.weight.data.normal_(std=0.05)
    return model


def SamePool():
    import torch
    from torch.nn import functional

    class Pool(torch.nn.Module):
        def forward(self, x):
            for axis in (-1, -2):  # ceil(n / 2) windows of 3; the odd pixel of padding comes last
                n = x.shape[axis]
                total = max((-(-n // 2) - 1) * 2 + 3 - n, 0)
                pad = (total // 2, total - total // 2)
                x = functional.pad(x, pad if axis == -1 else (0, 0, *pad), value=float("-inf"))
            return functional.max_pool2d(x, 3, 2)

    return Pool()


def floats_of(tensors):
    return {k: v.detach().clone().float() for k, v in tensors.items() if v.is_floating_point()}


def check_resnet(folder):
    """Logits, gradients and running statistics of the baselines' libtorch forward, which train_test
    compares."""
    import torch
    from safetensors.torch import save_file
    program = Path(shutil.which(NESTVIT) or NESTVIT).parent / "train_test"
    if not program.exists():
        print("skipped: built without training")
        sys.exit(77)
    cases = [("resnet18", 97), ("resnet18", 64), ("resnet50", 96)]
    cases += [("resnet18_cifar", 32), ("resnet18_cifar", 29)]
    for name, size in cases:
        torch.manual_seed(size)
        model = reference_resnet(name, 5)
        place = folder / f"{name}-{size}"
        place.mkdir()
        save_file(floats_of(model.state_dict()), place / "model.safetensors")
        described = {"variant": name, "image_size": size, "in_channels": 3, "num_classes": 5}
        (place / "config.json").write_text(json.dumps({"architecture": name, "nestvit": described}))
        rounded = {k: v.double() for k, v in floats_of(model.state_dict()).items()}
        model.load_state_dict(model.state_dict() | rounded)
        x = torch.randn(4, 3, size, size).double()
        targets = torch.softmax(torch.randn(4, 5), 1).double()  # floats, exactly
        io = {"input": x, "targets": targets, "logits": model.eval()(x)}
        statistics = {}

        def biased(key):  # timm keeps the unbiased variance, Flax the biased
            def hook(module, inputs):
                mean = inputs[0].mean((0, 2, 3))
                variance = inputs[0].var((0, 2, 3), unbiased=False)
                statistics[f"after.{key}.running_mean"] = 0.9 * module.running_mean + 0.1 * mean
                statistics[f"after.{key}.running_var"] = 0.9 * module.running_var + 0.1 * variance
            return hook

        for key, module in model.named_modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.register_forward_pre_hook(biased(key))
        io["logits_train"] = model.train()(x)
        (-(targets * torch.log_softmax(io["logits_train"], 1)).sum(1).mean()).backward()
        io.update(statistics, **{f"grad.{key}": p.grad for key, p in model.named_parameters()})
        save_file(floats_of(io), place / "io.safetensors")
        done = subprocess.run([program, "--gtest_filter=ResNet.AgreesWithTimm"],
                              capture_output=True, text=True,
                              env={**os.environ, "NESTVIT_RESNET_FOLDER": str(place)})
        agrees = [line for line in done.stdout.splitlines() if "as timm's" in line]
        said = f"{name} at {size} px:\n{done.stdout}{done.stderr}"
        assert done.returncode == 0 and agrees, said
        print(f"{size} px, {agrees[0]}")
    check_refused_by_timm(folder)


def check_refused_by_timm(folder):
    """timm's resnet18 is another network: what nestvit writes must not load there and answer
    something else."""
    import numpy as np
    import timm
    from PIL import Image
    for label in ("a", "b"):
        (folder / "data" / label).mkdir(parents=True)
        for k in range(4):
            pixels = np.random.default_rng(k).integers(0, 255, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(folder / "data" / label / f"{k}.png")
    nestvit("train", folder / "data", "--workdir", folder / "run", "--model", "resnet18",
            "--img-size", 8, "-b", 4, "--epochs", 1, "--warmup-epochs", 0)
    try:
        timm.create_model(f"local-dir:{folder / 'run/last'}", pretrained=True)
    except TypeError as refusal:
        assert "pad_type" in str(refusal) or "stem_act" in str(refusal), refusal
        print(f"timm refuses a baseline: {refusal}")
    else:
        raise AssertionError("timm took a baseline for its own ResNet")


def check_curves(folder):
    """Twelve steps with every augmentation, beside timm on the same batches."""
    import numpy as np
    import timm  # noqa: F401 (skips where it is missing)
    import yaml
    from PIL import Image
    for label in ("a", "b", "c"):
        (folder / "data" / label).mkdir(parents=True)
        for k in range(8):
            draw = np.random.default_rng(k + 100 * ord(label))
            pixels = draw.integers(0, 255, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(folder / "data" / label / f"{k}.png")
    recipe = {
        "model_name": "nest_tiny_s196_224", "input_size": 16, "per_device_batch_size": 6,
        "num_epochs": 3, "num_train_steps": 12, "warmup_epochs": 1, "learning_rate": 0.05,
        "grad_clip_max_norm": 1, "log_loss_every_steps": 1,
        "augment": {"type": "randaugment", "randaugment_magnitude": 9, "randaugment_magstd": 0.5,
                    "size": 16},
        "randerasing": {"erase_prob": 0.5}, "mix": {"mixup_alpha": 0.8, "smoothing": 0.1},
        "nest": {"init_patch_embed_size": 2, "patch_size": 4, "num_layers_per_block": [1, 2],
                 "embedding_dim": 24, "num_heads": 3, "scale_hidden_dims": 2,
                 "attn_type": "local_multi_head", "stochastic_depth_drop": 0.0},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    nestvit("train", folder / "data", "--config", folder / "recipe.yaml", "--workdir",
            folder / "run", "--threads", 1)
    command = [sys.executable, Path(__file__).parent / "curves.py", NESTVIT, folder / "run",
               "--csv", folder / "curves.csv", "--chunk", "5", "--threads", "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = (folder / "curves.csv").read_text().splitlines()
    assert len(rows) == 13, rows
    # Adam turns the rounding of gradients that are 0 into steps of its rate (goldens README):
    # losses stay this close.
    worst = max(float(row.split(",")[3]) for row in rows[1:])
    assert worst < 1e-3, done.stdout
    print("curves: " + done.stdout.splitlines()[-1])


def prefixed(prefix, state):
    return {prefix + k: v for k, v in state.items()}


def check_torch(folder):
    import torch
    from safetensors.numpy import load_file
    state = timm_model().state_dict()
    arrays = numpy_of(state)
    half = {k: v * 0.5 for k, v in state.items()}
    about = {"epoch": 3, "arch": "nest_tiny_jx"}
    forms = {
        "bare.pth": (state, []),
        "wrapped.pth.tar": (about | {"state_dict": prefixed("module.", state)}, []),
        "compiled.pt": ({"model": prefixed("_orig_mod.", state)}, []),
        "ema.pth": (about | {"state_dict": half, "state_dict_ema": state}, ["--use-ema"]),
        "parameters.bin": ({k: torch.nn.Parameter(v) for k, v in state.items()}, []),
    }
    for name, (content, flags) in forms.items():
        torch.save(content, folder / name)
        nestvit("convert", folder / name, folder / (name + ".safetensors"), "--to", "safetensors",
                *flags)
        same(load_file(folder / (name + ".safetensors")), arrays, f"torch.save {name}")
    nestvit("convert", folder / "bare.pth", folder / "out.pth", "--to", "pth")
    for mmap in (False, True):
        loaded = torch.load(folder / "out.pth", weights_only=True, mmap=mmap)
        same(numpy_of(loaded["state_dict"]), arrays, f"torch.load(mmap={mmap})")
    assert loaded["arch"] == "nest_tiny_jx"


def check_safetensors(folder):
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file
    arrays = numpy_of(timm_model().state_dict())
    save_file(arrays, folder / "in.safetensors")
    nestvit("convert", folder / "in.safetensors", folder / "out.safetensors", "--to", "safetensors")
    same(load_file(folder / "out.safetensors"), arrays, "safetensors")
    with safe_open(folder / "out.safetensors", "np") as opened:
        assert opened.metadata()["format"] == "pt"
        json.loads(opened.metadata()["nestvit.config"])


def numpy_of(state):
    return {k: v.numpy() for k, v in state.items()}


def flax_tree(state, depths):
    """timm's state_dict as the official code's tree, written from the mapping's definition."""
    import numpy as np
    heads = {96: 3, 192: 6, 384: 12}
    tree = {}

    def put(path, value):
        node = tree
        *parents, leaf = path.split("/")
        for key in parents:
            node = node.setdefault(key, {})
        node[leaf] = np.ascontiguousarray(value, np.float32)

    def get(name):
        return state[name].numpy()

    put("PatchEmbedding_0/Conv_0/kernel", get("patch_embed.proj.weight").transpose(2, 3, 1, 0))
    put("PatchEmbedding_0/Conv_0/bias", get("patch_embed.proj.bias"))
    put("LayerNorm_0/scale", get("norm.weight"))
    put("LayerNorm_0/bias", get("norm.bias"))
    put("Dense_0/kernel", get("head.weight").T)
    put("Dense_0/bias", get("head.bias"))
    block = 0
    for level, depth in enumerate(depths):
        put(f"PositionEmbedding_{level}/pos_embedding", get(f"levels.{level}.pos_embed"))
        if level:
            name, path = f"levels.{level}.pool.", f"ConvPool_{level - 1}/"
            put(path + "Conv_0/kernel", get(name + "conv.weight").transpose(2, 3, 1, 0))
            put(path + "Conv_0/bias", get(name + "conv.bias"))
            put(path + "LayerNorm_0/scale", get(name + "norm.weight"))
            put(path + "LayerNorm_0/bias", get(name + "norm.bias"))
        for j in range(depth):
            name, path = f"levels.{level}.transformer_encoder.{j}.", f"EncoderNDBlock_{block}/"
            for k in (1, 2):
                put(path + f"LayerNorm_{k - 1}/scale", get(name + f"norm{k}.weight"))
                put(path + f"LayerNorm_{k - 1}/bias", get(name + f"norm{k}.bias"))
                put(path + f"MlpBlock_0/Dense_{k - 1}/kernel", get(name + f"mlp.fc{k}.weight").T)
                put(path + f"MlpBlock_0/Dense_{k - 1}/bias", get(name + f"mlp.fc{k}.bias"))
            weight, bias = get(name + "attn.qkv.weight"), get(name + "attn.qkv.bias")
            C = weight.shape[1]
            H = heads[C]
            D = C // H
            q, k, v = weight.reshape(3, H, D, C)
            qb, kb, vb = bias.reshape(3, H, D)
            attention = path + "MultiHeadAttention_0/"
            put(attention + "DenseGeneral_0/kernel", q.transpose(2, 0, 1))
            put(attention + "DenseGeneral_0/bias", qb)
            put(attention + "DenseGeneral_1/kernel", np.concatenate([k, v], 1).transpose(2, 0, 1))
            put(attention + "DenseGeneral_1/bias", np.concatenate([kb, vb], 1))
            projection = get(name + "attn.proj.weight")  # timm's column d*H+h is head h, dim d
            put(attention + "proj_kernel", projection.reshape(C, D, H).transpose(2, 1, 0))
            put(attention + "bias", get(name + "attn.proj.bias"))
            block += 1
    return tree


def flat(tree, prefix=""):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}/")
        else:
            yield prefix + key, value


def check_flax(folder):
    import numpy as np
    from flax import serialization
    from safetensors.numpy import load_file
    model = timm_model()
    timm_folder(model, folder / "timm")
    target = flax_tree(model.state_dict(), (2, 2, 8))

    nestvit("convert", folder / "timm", folder / "written", "--to", "flax")
    restored = serialization.msgpack_restore((folder / "written/ckpt-1.flax").read_bytes())
    same(dict(flat(restored["optimizer"]["target"])), dict(flat(target)),
         "flax restores what nestvit wrote")
    moments = dict(flat(restored["optimizer"]["state"]["param_states"]))
    assert len(moments) == 2 * len(dict(flat(target)))
    assert not any(np.any(m) for m in moments.values())

    optimizer = {"target": target, "state": {"step": np.int32(7), "param_states": {}}}
    state = {"step": np.int32(7), "optimizer": optimizer, "model_state": {}}
    (folder / "theirs").mkdir()
    (folder / "theirs/ckpt-39.flax").write_bytes(serialization.msgpack_serialize(state))
    (folder / "theirs/checkpoint").write_text(
        'model_checkpoint_path: "ckpt-39"\nall_model_checkpoint_paths: "ckpt-39"\n')
    nestvit("convert", folder / "theirs/ckpt.39", folder / "back.safetensors", "--to",
            "safetensors")
    same(load_file(folder / "back.safetensors"), numpy_of(model.state_dict()),
         "nestvit reads what flax wrote")


def check_hub(folder):
    """nestvit and huggingface_hub against one stand-in for the hub: each must find what the other
    has cached."""
    files = {
        "config.json": b'{"architecture": "nest_tiny_jx"}',
        "model.safetensors": os.urandom(300_000),
    }
    commit = "0123456789abcdef0123456789abcdef01234567"

    class Hub(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def answer(self, body, **headers):
            self.send_response(200)
            for key, value in headers.items():
                self.send_header(key.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def do_GET(self):
            if "/tree/" in self.path:
                tree = [
                    {"type": "file", "path": name, "size": len(b), "oid": sha1(b).hexdigest()}
                    for name, b in files.items()
                ]
                return self.answer(json.dumps(tree).encode(), Content_Type="application/json")
            if self.path.startswith("/api/models/"):
                siblings = [{"rfilename": name} for name in files]
                body = {
                    "id": "owner/name", "modelId": "owner/name", "sha": commit,
                    "siblings": siblings, "tags": [], "private": False, "downloads": 0, "likes": 0,
                    "lastModified": "2024-01-01T00:00:00.000Z",
                }
                return self.answer(json.dumps(body).encode(), Content_Type="application/json")
            name = self.path.split("?")[0].rsplit("/", 1)[-1]
            if "/resolve/" not in self.path or name not in files:
                return self.send_error(404)
            body = files[name]
            large = name.endswith(".safetensors")
            git_blob = b"blob %d\0" % len(body) + body
            etag = sha256(body).hexdigest() if large else sha1(git_blob).hexdigest()
            linked = {}
            if large:
                linked = {"X_Linked_Etag": f'"{etag}"', "X_Linked_Size": str(len(body))}
            self.answer(body, ETag=f'"{etag}"', X_Repo_Commit=commit, **linked)

        do_HEAD = do_GET

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    os.environ.update(HF_ENDPOINT=endpoint, HF_HUB_DISABLE_XET="1", HF_HUB_DISABLE_TELEMETRY="1")
    from huggingface_hub import snapshot_download
    ours, theirs = folder / "ours", folder / "theirs"
    printed = nestvit("pull", "hf://owner/name", HF_HUB_CACHE=ours, HF_ENDPOINT=endpoint).strip()
    found = snapshot_download("owner/name", cache_dir=ours, local_files_only=True)
    assert Path(found).resolve() == Path(printed).resolve(), (found, printed)
    for name, body in files.items():
        assert (Path(found) / name).read_bytes() == body, name
    print("huggingface_hub finds what nestvit pulled")
    snapshot_download("owner/name", cache_dir=theirs)

    def listing(root):
        kept = [p for p in root.rglob("*")
                if p.is_symlink() or (p.is_file() and "blobs" in p.parts)]
        return sorted(str(p.relative_to(root)) for p in kept)

    assert set(listing(ours)) == set(listing(theirs)), (listing(ours), listing(theirs))
    server.shutdown()
    found = nestvit("pull", "hf://owner/name", HF_HUB_CACHE=theirs, HF_ENDPOINT=endpoint,
                    HF_HUB_OFFLINE=1).strip()
    assert (Path(found) / "model.safetensors").read_bytes() == files["model.safetensors"]
    print("nestvit finds what huggingface_hub pulled; both caches have the same files")


def f32(value):
    return struct.unpack("f", struct.pack("f", value))[0]


def check_tensorboard(folder):
    """report_test, beside nestvit, leaves the files of a run that stopped at step 100 and went on
    from 50."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    program = Path(shutil.which(NESTVIT) or NESTVIT).parent / "report_test"
    subprocess.run([program, "--gtest_filter=Events.TwoSessionsForTensorBoard"], check=True,
                   capture_output=True, env={**os.environ, "NESTVIT_EVENTS_FOLDER": str(folder)})
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0}).Reload()
    expected = {
        "train/loss": [(1700000000.0 + s, s, f32(1 / s)) for s in range(1, 51)]
                      + [(1700000500.0 + s, s, f32(2 / s)) for s in range(51, 151)],
        # the second session never logs it, and drops what the first one had beyond its checkpoint
        "perf/images_per_sec": [(1700000000.0 + s, s, 12.5 * s) for s in range(1, 51)],
    }
    assert sorted(events.Tags()["scalars"]) == sorted(expected), events.Tags()
    for tag, wanted in expected.items():
        found = [(e.wall_time, e.step, e.value) for e in events.Scalars(tag)]
        assert found == wanted, f"{tag}: {found} {wanted}"
    assert events.Tags()["tensors"] == ["recipe"], events.Tags()
    text, = events.Tensors("recipe")
    assert (text.step, text.tensor_proto.string_val[0][:7]) == (1, b"| key |"), text
    assert events.SummaryMetadata("recipe").plugin_data.plugin_name == "text"
    count = sum(map(len, expected.values()))
    print(f"tensorboard: {count} values of {len(expected)} tags and a text, all equal")
    check_run_in_tensorboard(folder / "run")


def check_run_in_tensorboard(folder):
    """A run that is resumed shows every tag, each step once, with the values of its log."""
    from PIL import Image
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    if not (Path(shutil.which(NESTVIT) or NESTVIT).parent / "nestvit-train").exists():
        return print("tensorboard: no nestvit-train here, no run to look at")
    for name in ("bright", "dark"):
        (folder / "data" / name).mkdir(parents=True)
        for i in range(20):
            shade = (200 if name == "bright" else 20) + i
            picture = Image.new("RGB", (16, 16), (shade, shade, 255 - shade))
            picture.save(folder / "data" / name / f"{i}.png")
    out = folder / "out"
    nestvit("train", folder / "data", "--workdir", out, "--threads", 1, "-b", 8, "--epochs", 2,
            "--warmup-epochs", 1, "--img-size", 16, "--config.nest.num_layers_per_block=[1,1]",
            "--config.nest.init_patch_embed_size=2", "--config.nest.patch_size=4",
            "--config.nest.embedding_dim=16", "--config.nest.num_heads=2", "--log-interval", 2)
    nestvit("train", "--resume", out, "--epochs", 3, "--threads", 1)
    events = EventAccumulator(str(out), size_guidance={"scalars": 0}).Reload()
    keys = {
        "train": {
            "loss": ["loss", "train/loss"],
            "loss_std": ["loss_std"],
            "train_accuracy": ["train_accuracy"],
            "l2_grads": ["l2_grads", "train/grad_norm"],
            "learning_rate": ["learning_rate", "train/lr"],
            "images_per_s": ["perf/images_per_sec"],
            "data_wait": ["perf/data_wait"],
        },
        "eval": {
            "eval_loss": ["eval_loss", "val/loss"],
            "accuracy": ["accuracy"],
            "top1": ["val/top1"],
            "top5": ["val/top5"],
        },
    }
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log if line["event"] == "resume"] == [8], log
    expected = {
        tag: [(line["step"], f32(line[key])) for line in log if line["event"] == event]
        for event, of_event in keys.items()
        for key, tags in of_event.items()
        for tag in tags
    }
    tags = events.Tags()["scalars"]
    found = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags}
    assert found == expected, f"{found} {expected}"
    print(f"tensorboard: {len(found)} tags of a resumed run, as its log has them")


CHECKS = {
    "timm": check_timm, "resnet": check_resnet, "curves": check_curves, "torch": check_torch,
    "safetensors": check_safetensors, "flax": check_flax, "hub": check_hub,
    "tensorboard": check_tensorboard,
}

if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[2] not in CHECKS:
        sys.exit(__doc__)
    try:
        with tempfile.TemporaryDirectory(prefix="nestvit-interop-") as scratch:
            CHECKS[sys.argv[2]](Path(scratch))
    except ModuleNotFoundError as missing:
        print(f"skipped: {missing}")
        sys.exit(77)
