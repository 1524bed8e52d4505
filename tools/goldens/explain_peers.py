#!/usr/bin/env python3
"""Makes explain/peers/ of tests/golden: maps, curves, hits and boxes by other explanation programs.

In the environment of explain_timm.py, after it:
    venv/bin/pip install grad-cam==1.5.7 captum==0.9.0 opencv-python-headless==5.0.0.93 \
        scipy==1.17.1 ttach tqdm matplotlib scikit-learn
    git clone https://github.com/eclique/RISE               # commit d91ea00
    git clone https://github.com/facebookresearch/TorchRay  # commit 6a198ee
    git clone https://github.com/clovaai/wsolevaluation     # commit 96f4b88
    venv/bin/python tools/goldens/explain_peers.py --rise RISE --torchray TorchRay \\
        --wsol wsolevaluation tests/golden

- maps.safetensors: <variant>/{gradcam,layercam,hirescam}/level_i/{output,aggregated} [B, side,
  side], before any scaling, and <variant>/occlusion/level_i [B, rows, columns]: the drop of the
  class logit when a block is set to 0. timm models in float64, rounded to float32.
- curves.json: RISE's deletion and insertion curves of image 0 of nest_tiny_jx, for three maps of
  16 x 16 cells (curves.safetensors) that are repeated to 64 x 64 pixels, and two substrates.
- pointing.json: TorchRay's pointing game, boxes and points of its tolerance test.
- boxes.json: wsolevaluation's boxes of 20 maps (boxes.safetensors) at five thresholds."""
import argparse
import importlib
import json
import sys
import types
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import scipy.ndimage
import torch
from captum.attr import Occlusion
from pytorch_grad_cam import GradCAM, HiResCAM, LayerCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from safetensors.numpy import load_file, save_file
from timm.models import nest

THRESHOLDS = [0.0, 0.5, 0.65, 0.75, 0.85]


def load_model(folder):
    about = json.loads((folder / "config.json").read_text())
    side = load_file(folder / "explain.safetensors")["input"].shape[-1]
    pad = {"pad_type": "same"} if "_jx" in about["architecture"] else {}
    arguments = {"num_classes": about["num_classes"], "img_size": side, **about["model_args"]}
    model = nest._create_nest(about["architecture"], drop_path_rate=0.0, **pad, **arguments)
    model.load_state_dict({k: torch.from_numpy(v)
                           for k, v in load_file(folder / "model.safetensors").items()})
    return model.eval().double()


def write(path, value):
    lines = json.dumps(value, separators=(",", ":"))
    for start in ('{"map"', '{"boxes"', '{"mask"'):
        lines = lines.replace(start, "\n" + start)
    path.write_text(lines + "\n")


def raw_cam(kind, model, layer, channels_last, x, classes):
    move = (lambda t: t.movedim(-1, 1)) if channels_last else None
    found = []
    with kind(model=model, target_layers=[layer], reshape_transform=move) as cam:
        compute = cam.get_cam_image

        def recorded(*args, **kwargs):
            found.append(compute(*args, **kwargs))
            return found[-1]

        cam.get_cam_image = recorded
        cam(input_tensor=x, targets=[ClassifierOutputTarget(int(c)) for c in classes])
    return found[0]


def maps(golden, out):
    table = {}
    for folder in sorted((golden / "explain" / "timm").iterdir()):
        model, io = load_model(folder), load_file(folder / "explain.safetensors")
        x, classes = torch.from_numpy(io["input"]).double(), io["explain_class"]
        top = len(model.levels) - 1
        for name, kind in (("gradcam", GradCAM), ("layercam", LayerCAM), ("hirescam", HiResCAM)):
            for i, level in enumerate(model.levels):
                # HiResCAM of the last output is zero but for rounding (LayerNorm).
                if not (i == top and kind is HiResCAM):
                    table[f"{folder.name}/{name}/level_{i}/output"] = raw_cam(
                        kind, model, level, False, x, classes)
                if i:
                    table[f"{folder.name}/{name}/level_{i}/aggregated"] = raw_cam(
                        kind, model, level.pool.norm, True, x, classes)
        # HiResCAM is the channel sum of activation times gradient: the arrays agree with it.
        for i in range(1, top + 1):
            product = io[f"level_{i}/aggregated_nchw"] * io[f"level_{i}/grad_of_aggregated_nchw"]
            found = table[f"{folder.name}/hirescam/level_{i}/aggregated"]
            assert np.abs(product.sum(1) - found).max() <= 1e-5 * np.abs(found).max()
        for i in range(top):
            side = x.shape[-1] >> (top - i)
            with torch.no_grad():
                drop = Occlusion(model).attribute(
                    x, sliding_window_shapes=(3, side, side), strides=(3, side, side), baselines=0,
                    target=torch.from_numpy(classes).long())
            cells = drop[:, 0, ::side, ::side]
            assert torch.equal(cells.repeat_interleave(side, 1).repeat_interleave(side, 2),
                               drop[:, 2])
            table[f"{folder.name}/occlusion/level_{i}"] = cells.numpy()
    save_file({k: np.ascontiguousarray(v, np.float32) for k, v in table.items()},
              out / "maps.safetensors")
    print("maps", len(table))


def curves(golden, out, checkout):
    # What its file imports beyond numpy and torch draws pictures.
    sys.modules["utils"] = types.ModuleType("utils")
    vars(sys.modules["utils"]).update(np=np, torch=torch, __all__=["np", "torch"])
    filters = types.ModuleType("scipy.ndimage.filters")
    filters.gaussian_filter = scipy.ndimage.gaussian_filter
    sys.modules["scipy.ndimage.filters"] = filters
    sys.path.insert(0, checkout)
    rise = importlib.import_module("evaluation")
    del sys.modules["evaluation"]
    sys.path.remove(checkout)
    torch.Tensor.cuda = lambda tensor: tensor
    folder = golden / "explain" / "timm" / "nest_tiny_jx"
    net, io = load_model(folder), load_file(folder / "explain.safetensors")
    relevance = load_file(folder / "explain_relevance.safetensors")
    x = torch.from_numpy(io["input"][:1]).double()
    side, cells = x.shape[-1], 16
    rise.HW = side * side
    pixels, step = (side // cells) ** 2, 8 * (side // cells) ** 2
    rng = np.random.default_rng(3)
    y, z = np.mgrid[0:cells, 0:cells] + 0.5
    found = (io["input"] * relevance["relevance/input_grad_of_logit"])[0].sum(0)
    found = found.reshape(cells, side // cells, cells, side // cells).sum((1, 3))
    table = {"random": rng.permutation(cells * cells).reshape(cells, cells).astype(np.float32),
             "centre": np.exp(-((y - 7.913) ** 2 + (z - 7.671) ** 2) / 30).astype(np.float32),
             "relevance": found}
    assert all(len(np.unique(m)) == m.size == cells * cells for m in table.values())
    kernel = rise.gkern(11, 5).double()
    substrates = {"zero": torch.zeros_like,
                  "blur": lambda t: torch.nn.functional.conv2d(t, kernel, padding=5)}
    result = []
    for name, values in table.items():
        whole = values.repeat(side // cells, 0).repeat(side // cells, 1)
        for substrate, fill in substrates.items():
            for mode in ("del", "ins"):
                with torch.no_grad():
                    metric = rise.CausalMetric(lambda t: net(t).softmax(-1), mode, step, fill)
                    scores = metric.single_run(x, whole)
                result.append({"map": name, "substrate": substrate, "mode": mode,
                               "scores": scores.tolist(), "area": float(rise.auc(scores))})
    with torch.no_grad():
        chosen = int(net(x).argmax())
    save_file({**{k: np.ascontiguousarray(v) for k, v in table.items()},
               "blurred": substrates["blur"](x).numpy().astype(np.float32),
               "kernel": kernel[0, 0].numpy().astype(np.float32)}, out / "curves.safetensors")
    write(out / "curves.json", {"model": "explain/timm/nest_tiny_jx", "image": 0, "class": chosen,
                                "pixels_per_step": step, "pixels_per_cell": pixels,
                                "curves": result})
    print("curves", {(c["map"], c["substrate"], c["mode"]): round(c["area"], 4) for c in result})


def pointing(out, checkout):
    for name in ("torchray", "torchray.benchmark", "torchray.benchmark.datasets"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["torchray.benchmark"].__path__ = [str(Path(checkout) / "torchray" / "benchmark")]
    module = importlib.import_module("torchray.benchmark.pointing_game")
    rng, cases, width, height = np.random.default_rng(4), [], 80, 60
    game = module.PointingGame(3)
    while len(cases) < 60:
        boxes, mask = [], torch.zeros(height, width, dtype=torch.bool)
        for _ in range(rng.integers(1, 3)):
            x0, y0 = int(rng.integers(0, width - 4)), int(rng.integers(0, height - 4))
            x1 = int(rng.integers(x0 + 1, min(x0 + 25, width) + 1))
            y1 = int(rng.integers(y0 + 1, min(y0 + 25, height) + 1))
            boxes.append([x0, y0, x1, y1])
            mask[y0:y1, x0:x1] = True
        point = [int(rng.integers(0, width)), int(rng.integers(0, height))]
        if len(cases) % 3 == 0:  # as far to the right of a box's last pixel as the tolerance is
            point = [min(boxes[0][2] - 1 + 14 + len(cases) % 2, width - 1), boxes[0][1]]
        hit, index = game.evaluate(mask, point), int(rng.integers(0, 3))
        game.aggregate(hit, index)
        cases.append({"boxes": boxes, "point": point, "class": index, "hit": hit == 1})
    write(out / "pointing.json", {
        "width": width, "height": height, "tolerance": game.tolerance, "hits": game.hits.tolist(),
        "misses": game.misses.tolist(), "class_accuracies": game.class_accuracies.tolist(),
        "accuracy": float(game.accuracy), "cases": cases})
    print("pointing", game)


def boxes(out, checkout):
    np.float, np.int = float, int  # old names
    for name, names in (("config", ["str2bool"]), ("data_loaders", [
            "configure_metadata", "get_image_ids", "get_bounding_boxes", "get_image_sizes",
            "get_mask_paths"])):
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(dict.fromkeys(names))
    sys.modules.pop("util", None)
    sys.path.insert(0, checkout)
    wsol = importlib.import_module("evaluation")
    normalise = importlib.import_module("inference").normalize_scoremap
    rng, side, table, result = np.random.default_rng(5), 56, {}, []
    while len(result) < 20:
        sigma = rng.uniform(0.7, 2.0)
        small = scipy.ndimage.gaussian_filter(rng.standard_normal((14, 14)), sigma)
        small = small.astype(np.float32)
        scores = normalise(cv2.resize(small.astype(np.float64), (side, side),
                                      interpolation=cv2.INTER_CUBIC))
        found, _ = wsol.compute_bboxes_from_scoremaps(scores, THRESHOLDS)
        grey = (scores * 255).astype(np.uint8)
        clear = True
        for box, threshold in zip(found, THRESHOLDS, strict=True):
            labels, count = scipy.ndimage.label(grey > int(threshold * grey.max()), np.ones((3, 3)))
            sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
            order = np.argsort(-sizes)
            rows, columns = np.nonzero(labels == order[0] + 1)
            largest = [columns.min(), rows.min(), min(columns.max() + 1, side - 1),
                       min(rows.max() + 1, side - 1)]
            tie = count > 1 and sizes[order[1]] > 0.9 * sizes[order[0]]
            clear = clear and not tie and largest == box[0].tolist()
        # Pixels near a step of the 8 bits may fall on either side of it elsewhere.
        inner = (scores * 255)[(scores * 255 > 0.5) & (scores < 1)]
        if not clear or np.abs(inner - np.round(inner)).min() < 1e-4:
            continue
        truth = np.sort(rng.integers(0, side, (2, 2)), axis=0) + [[0, 0], [1, 1]]
        truth = truth.clip(0, side - 1).ravel().tolist()
        iou = wsol.calculate_multiple_iou(np.concatenate(found), np.array([truth]))[:, 0]
        name = str(len(result))
        table[name], table[f"{name}/scores"] = small, scores.astype(np.float32)
        result.append({"map": name, "boxes": [b[0].tolist() for b in found], "truth": truth,
                       "iou": iou.tolist()})
    save_file({k: np.ascontiguousarray(v) for k, v in table.items()}, out / "boxes.safetensors")
    write(out / "boxes.json", {"side": side, "thresholds": THRESHOLDS, "maps": result})
    print("boxes", [r["boxes"] for r in result][:2])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("rise", "torchray", "wsol"):
        parser.add_argument(f"--{name}", required=True, help="checkout")
    parser.add_argument("golden", type=Path, help="tests/golden")
    args = parser.parse_args()
    torch.set_num_threads(1)
    out = args.golden / "explain" / "peers"
    out.mkdir(parents=True, exist_ok=True)
    pointing(out, args.torchray)
    maps(args.golden, out)
    curves(args.golden, out, args.rise)
    boxes(out, args.wsol)
    packages = ("grad-cam", "captum", "opencv-python-headless", "scipy", "timm", "torch", "numpy")
    write(out / "versions.json", {name: version(name) for name in packages})


if __name__ == "__main__":
    main()
