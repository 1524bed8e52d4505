"""One timed process of bench/train/run.py: timm's NesT, eager or compiled, on synthetic data; one
JSON line."""
import json
import sys
import time

import timm
import torch
from timm.models.nest import Nest

name, mode, optimizer, batch, steps, warm_up, threads, drop_path, dtype = sys.argv[1:]
batch, steps, warm_up, threads = int(batch), int(steps), int(warm_up), int(threads)
torch.set_num_threads(threads)
torch.manual_seed(1)
if name == "nest_tiny_s16_32":  # the paper's CIFAR NesT-T; timm has no name for it
    side, classes = 32, 10
    model = Nest(img_size=32, patch_size=1, num_levels=4, embed_dims=(192,) * 4,
                 num_heads=(3,) * 4, depths=(3,) * 4, num_classes=10,
                 drop_path_rate=float(drop_path))
else:
    side, classes = 224, 1000
    model = timm.create_model(name, drop_path_rate=float(drop_path))
model.train()
decayed = [p for p in model.parameters() if p.ndim > 1]
rest = [p for p in model.parameters() if p.ndim <= 1]
groups = [{"params": decayed, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0}]
update = torch.optim.AdamW(groups, lr=1e-4, foreach=optimizer == "foreach",
                           fused=optimizer == "fused")
forward = torch.compile(model) if mode == "compile" else model
images = torch.randn(batch, 3, side, side)
targets = torch.softmax(torch.randn(batch, classes), 1)
seconds = []
for step in range(-warm_up, steps):
    start = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16"):
        logits = forward(images)
    loss = -(targets * torch.log_softmax(logits.float(), -1)).sum(-1).mean()
    update.zero_grad(set_to_none=True)
    loss.backward()
    update.step()
    if step >= 0:
        seconds.append(time.perf_counter() - start)
    assert loss.isfinite()
seconds.sort()
speeds = {"images_per_s": seconds[len(seconds) // 2], "best": seconds[0], "worst": seconds[-1]}
print(json.dumps({what: batch / took for what, took in speeds.items()}))
