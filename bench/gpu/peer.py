"""timm's side of bench/gpu/run.py: images per second of training steps and of the forward on a
GPU; JSON lines."""
import argparse
import json
import time

import timm
import torch
from timm.models.nest import Nest

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("--batch", type=int, required=True)
parser.add_argument("--steps", type=int, default=20)
parser.add_argument("--dtype", default="f32,tf32,bf16")
parser.add_argument("--compile", action="store_true")
parser.add_argument("--device", default="cuda")
args = parser.parse_args()
dtypes = args.dtype.split(",")
if not set(dtypes) <= {"f32", "tf32", "bf16"}:
    parser.error(f"--dtype is {args.dtype}, expected f32, tf32, bf16 or several, as f32,bf16")


def network():
    if args.model == "nest_tiny_s16_32":  # the paper's CIFAR NesT-T; timm has no name for it
        return Nest(img_size=32, patch_size=1, num_levels=4, embed_dims=(192,) * 4,
                    num_heads=(3,) * 4, depths=(3,) * 4, num_classes=10, drop_path_rate=0.1), 32
    drop_path = {"nest_tiny": 0.2, "nest_small": 0.3, "nest_base": 0.5}[args.model]
    return timm.create_model(args.model, drop_path_rate=drop_path), 224


def timed(work, warm_up):
    seconds = []
    for step in range(-warm_up, args.steps):
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        if step >= 0:
            seconds.append(time.perf_counter() - start)
    return sorted(seconds)[len(seconds) // 2]


for dtype in dtypes:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = dtype == "tf32"
    torch.manual_seed(1)
    model, side = network()
    model = model.to(args.device).train()
    forward = torch.compile(model) if args.compile else model
    decayed = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0}]
    update = torch.optim.AdamW(groups, lr=1e-4, fused=True)
    images = torch.randn(args.batch, 3, side, side, device=args.device)
    targets = torch.softmax(torch.randn(args.batch, model.num_classes, device=args.device), 1)

    def autocast():
        return torch.autocast("cuda", torch.bfloat16, enabled=dtype == "bf16")

    def train():
        with autocast():
            logits = forward(images)
        loss = -(targets * torch.log_softmax(logits.float(), -1)).sum(-1).mean()
        update.zero_grad(set_to_none=True)
        loss.backward()
        update.step()

    @torch.no_grad()
    def infer():
        with autocast():
            forward(images)

    for what, work in [("train", train), ("forward", infer)]:
        model.train(what == "train")
        speed = args.batch / timed(work, 5)
        line = {"model": args.model, "dtype": dtype, "what": what, "batch": args.batch}
        print(json.dumps(line | {"images_per_s": speed}), flush=True)
