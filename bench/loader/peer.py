"""One timed process of bench/loader/run.py: timm's loader with its training transform, or
torchvision's v2 transforms in a DataLoader, with one worker; one JSON line."""
import json
import resource
import sys
import time

import torch
import torchvision

kind, folder, images = sys.argv[1:]
images, batch = int(images), 32
torch.set_num_threads(1)
torch.manual_seed(1)

# The strengths of nestvit's colour jitter (0.3): factors within 1 +- 0.24, hue within +- 0.06, each
# image with probability 0.8, then grey with 0.2.
JITTER = (0.24, 0.24, 0.24, 0.06)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Repeated(torch.utils.data.Dataset):
    """As many samples as asked for."""

    def __init__(self, dataset):
        self.dataset, self.transform = dataset, None

    def __len__(self):
        return images

    def __getitem__(self, index):
        image, label = self.dataset[index % len(self.dataset)]
        return (image if self.transform is None else self.transform(image)), label


def timm_loader(prefetcher):
    import timm.data

    data = Repeated(torchvision.datasets.ImageFolder(folder, loader=open_image))
    shared = {
        "use_prefetcher": prefetcher, "auto_augment": "rand-m9-mstd0.5-inc1", "re_prob": 0.25,
        "re_mode": "pixel", "interpolation": "random", "mean": MEAN, "std": STD
    }
    loader = timm.data.create_loader(data, (3, 224, 224), batch, is_training=True, num_workers=1,
                                     pin_memory=False, device=torch.device("cpu"),
                                     persistent_workers=False, **shared)
    # What create_loader() does not hand on: colour jitter beside RandAugment.
    data.transform = timm.data.transforms_factory.transforms_imagenet_train(
        224, color_jitter=JITTER, color_jitter_prob=0.8, grayscale_prob=0.2,
        force_color_jitter=True, **shared)
    return loader


def open_image(path):
    from PIL import Image

    return Image.open(path).convert("RGB")


def v2_loader(tensors):
    from torchvision.transforms import v2

    # timm's RandAugment: two operations, each with probability 0.5.
    operation = v2.RandomApply([v2.RandAugment(num_ops=1, magnitude=9, num_magnitude_bins=11)],
                               p=0.5)
    transform = v2.Compose([
        v2.RandomResizedCrop(224, antialias=True),
        v2.RandomHorizontalFlip(),
        operation,
        operation,
        v2.RandomApply([v2.ColorJitter(*JITTER)], p=0.8),
        v2.RandomGrayscale(0.2),
        *([] if tensors else [v2.ToImage()]),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(MEAN, STD),
        v2.RandomErasing(0.25, value="random")
    ])

    def decode(path):
        return torchvision.io.decode_image(torchvision.io.read_file(path), mode="RGB")

    data = Repeated(
        torchvision.datasets.ImageFolder(folder, loader=decode if tensors else open_image))
    data.transform = transform
    return torch.utils.data.DataLoader(data, batch, shuffle=True, num_workers=1, drop_last=True)


def processor_seconds():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


loader = {
    "timm": lambda: timm_loader(False), "timm prefetcher": lambda: timm_loader(True),
    "torchvision v2 tensors": lambda: v2_loader(True),
    "torchvision v2 PIL": lambda: v2_loader(False)
}[kind]()
used = processor_seconds()
batches = iter(loader)
first, _ = next(batches)
assert first.shape == (batch, 3, 224, 224) and first.dtype == torch.float32
assert first.abs().max() < 10
begun, got = time.perf_counter(), 0  # the worker has started
for x, _ in batches:
    got += len(x)
took = time.perf_counter() - begun
del batches  # ends the worker, whose time counts then, that of the first batch too
per_processor_s = (got + batch) / (processor_seconds() - used)
print(json.dumps({"images_per_s": got / took, "images_per_processor_s": per_processor_s}))
