#!/usr/bin/env python3
"""Makes explain/trees.json of tests/golden: the trees that follow from the activations and
gradients of explain_flax.py and explain_timm.py, in float64.

    pip install numpy safetensors
    python tools/goldens/explain_trees.py tests/golden

Children of node (level i, block t) are the quadrants of its p x p tokens, row by row; a child's
score is the sum of activation times gradient over its quadrant (paper: minus that), where odd p
halves the middle row and column. A node is left out where its two best scores are closer than
1e-4 of the sum of |score|, and has no scores where that sum is nothing but rounding."""
import argparse
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

SMALLEST_MARGIN = 1e-4
ROUNDING = 1e-5  # of the sum of |activation * gradient|
SITES = {"input": "grad_at_input", "output": "grad_of_class_logit"}


def planes(blocks):
    """[B, T, N, C] -> [B, side, side, C]."""
    b, t, n, c = blocks.shape
    g, p = int(np.sqrt(t)), int(np.sqrt(n))
    return blocks.reshape(b, g, g, p, p, c).swapaxes(2, 3).reshape(b, g * p, g * p, c)


def read(folder):
    """{name: array} of one case, maps as [B, side, side, C]."""
    table = load_file(folder / "explain.safetensors")
    table.update(load_file(folder / "explain_relevance.safetensors"))
    if (folder / "io.safetensors").exists():  # what explain.safetensors does not repeat
        table = {**load_file(folder / "io.safetensors"), **table}
    maps = {k.removesuffix("_nchw"): np.moveaxis(v, 1, -1) if k.endswith("_nchw") else v
            for k, v in table.items()}
    return {k: planes(v) if v.ndim == 4 and k.removeprefix("relevance/").startswith("level_")
            and "aggregated" not in k and not any(n.endswith("_nchw") for n in table) else v
            for k, v in maps.items()}


def halves(p):
    """Weights of the p rows in the upper and in the lower half."""
    upper = np.clip(p / 2 - np.arange(p), 0, 1)
    return np.stack([upper, 1 - upper])


def quadrants(block):
    """Four sums, row by row."""
    half = halves(len(block))
    return np.einsum("ay,yx,bx->ab", half, block, half).ravel()


def tree(maps, sizes, levels, p):
    """maps[i]: scores of tokens; sizes[i]: the sums over channels of |activation * gradient|."""
    nodes, by_place = [], {}
    for i in range(levels - 1, 0, -1):
        grid = 2 ** (levels - 1 - i)
        for block in range(grid * grid):
            y, x = divmod(block, grid)
            area = np.s_[y * p:(y + 1) * p, x * p:(x + 1) * p]
            scores = quadrants(maps[i][area])
            total, size = float(np.abs(scores).sum()), float(sizes[i][area].sum())
            node = {"level": i, "block": block, "decided": total >= ROUNDING * size}
            assert not ROUNDING / 10 < total / size < ROUNDING * 10, "neither decided nor not"
            if node["decided"]:
                order = np.argsort(-scores, kind="stable")
                margin = float(scores[order[0]] - scores[order[1]]) / total
                if margin < SMALLEST_MARGIN:
                    continue
                node.update(scores=scores.tolist(), means=(scores / (p * p / 4)).tolist(),
                            shares=(scores / total).tolist(), chosen=int(order[0]), margin=margin)
            nodes.append(node)
            by_place[i, block] = node
    path, block = [], 0
    for i in range(levels - 1, 0, -1):
        node = by_place.get((i, block), {})
        if "chosen" not in node:
            break
        path.append(node["chosen"])
        grid = 2 ** (levels - 1 - i)
        y, x = divmod(block, grid)
        block = (2 * y + path[-1] // 2) * 2 * grid + 2 * x + path[-1] % 2
    return {"path": path, "complete": len(path) == levels - 1, "nodes": nodes}


def case(folder, name):
    table = read(folder)
    levels = sum(k.startswith("level_") and k.endswith("/grad_at_input") for k in table)
    classes, trees = table["explain_class"], []
    p = table[f"level_{levels - 1}/input"].shape[1]
    for b, index in enumerate(classes):
        for site, gradient in SITES.items():
            for propagation, prefix in (("gradient", ""), ("conservative", "relevance/")):
                products = [None] + [table[f"level_{i}/{site}"][b].astype(np.float64) *
                                     table[f"{prefix}level_{i}/{gradient}"][b]
                                     for i in range(1, levels)]
                maps = [None] + [h.sum(-1) for h in products[1:]]
                sizes = [None] + [np.abs(h).sum(-1) for h in products[1:]]
                for sign, factor in (("ascent", 1), ("paper", -1)):
                    signed = [None] + [factor * h for h in maps[1:]]
                    sums = [{"level": i, "sum": float(signed[i].sum()),
                             "positive": float(signed[i].clip(0).sum()),
                             "negative": float(signed[i].clip(None, 0).sum())}
                            for i in range(levels - 1, 0, -1)]
                    trees.append({"image": b, "class": int(index), "site": site,
                                  "propagation": propagation, "sign": sign, "levels": sums,
                                  **tree(signed, sizes, levels, p)})
    return {"case": name, "levels": levels, "block_edge": p, "trees": trees}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("golden", type=Path, help="tests/golden")
    golden = parser.parse_args().golden
    folders = [f.parent for part in ("flax", "explain/timm")
               for f in sorted((golden / part).glob("*/explain.safetensors"))]
    cases = [case(f, f.relative_to(golden).as_posix()) for f in folders]
    text = json.dumps({"smallest_margin": SMALLEST_MARGIN, "rounding": ROUNDING, "cases": cases},
                      separators=(",", ":"))
    text = json.dumps(json.loads(text, parse_float=lambda s: float(f"{float(s):.9g}")),
                      separators=(",", ":"))
    text = text.replace('{"image"', '\n{"image"').replace('{"case"', '\n{"case"')
    (golden / "explain").mkdir(exist_ok=True)
    (golden / "explain" / "trees.json").write_text(text + "\n")
    for c in cases:
        nodes = [n for t in c["trees"] for n in t["nodes"]]
        print(c["case"], "trees", len(c["trees"]), "complete",
              sum(t["complete"] for t in c["trees"]), "nodes", len(nodes), "undecided",
              sum(not n["decided"] for n in nodes), "smallest margin",
              f"{min(n['margin'] for n in nodes if n['decided']):.1e}")


if __name__ == "__main__":
    main()
