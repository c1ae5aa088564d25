"""ResNet-50 trained by PyTorch: a contender of `backbones.py`, without TensorFlow.

    python benchmarks/torch_resnet.py SIZE BATCH_SIZE STEPS float32|bfloat16

The network is that of `resnet50` (stride in the 3 x 3, no convolution bias), channels
last; bfloat16 is PyTorch's autocast.
"""

import contextlib
import statistics
import sys
import time

import contest
import torch
from torch import nn

STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))
NUM_PARAMS = 25_557_032
RATE, MOMENTUM = 0.01, 0.9
CLASSES = 1000


class Bottleneck(nn.Module):
    """Three convolutions beside a shortcut."""

    def __init__(self, channels: int, filters: int, strides: int):
        super().__init__()
        wide = 4 * filters
        self.branch = nn.Sequential(
            *_convolution(channels, filters, 1),
            nn.ReLU(inplace=True),
            *_convolution(filters, filters, 3, strides),
            nn.ReLU(inplace=True),
            *_convolution(filters, wide, 1),
        )
        self.shortcut = nn.Identity()
        if strides > 1 or channels != wide:
            self.shortcut = nn.Sequential(*_convolution(channels, wide, 1, strides))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the block."""
        return nn.functional.relu(self.branch(x) + self.shortcut(x), inplace=True)


def resnet50() -> nn.Module:
    """Build ResNet-50."""
    modules = [*_convolution(3, 64, 7, 2), nn.ReLU(inplace=True)]
    modules += [nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for filters, num_blocks, first in STAGES:
        for block in range(num_blocks):
            modules += [Bottleneck(channels, filters, 1 if block else first)]
            channels = 4 * filters
    modules += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES)]
    return nn.Sequential(*modules)


def main(size: int, batch_size: int, steps: int, precision: str) -> None:
    """Train until there are no more turns."""
    torch.manual_seed(0)
    model = resnet50().to(memory_format=torch.channels_last).train()
    found = sum(values.numel() for values in model.parameters())
    if found != NUM_PARAMS:
        raise ValueError(f"{found} and not {NUM_PARAMS} parameters")
    images = torch.rand(2 * batch_size, 3, size, size)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, CLASSES, (len(images),))
    optimizer = torch.optim.SGD(model.parameters(), RATE, MOMENTUM)
    loss = nn.CrossEntropyLoss()

    def step() -> float:
        start = time.perf_counter()
        chosen = torch.randperm(len(images))[:batch_size]
        optimizer.zero_grad(set_to_none=True)
        low = precision == "bfloat16"
        with torch.autocast("cpu", torch.bfloat16) if low else contextlib.nullcontext():
            lost = loss(model(images[chosen]), labels[chosen])
        lost.backward()
        optimizer.step()
        return time.perf_counter() - start

    step()
    turn = contest.Turn()
    turn.take()
    while True:
        seconds = statistics.median(step() for _ in range(steps))
        turn.take(batch_size / seconds)


def _convolution(channels, filters, size, strides=1):
    padding = size // 2
    convolution = nn.Conv2d(channels, filters, size, strides, padding, bias=False)
    return convolution, nn.BatchNorm2d(filters)


if __name__ == "__main__":
    with contextlib.suppress(contest.Over):
        main(*map(int, sys.argv[1:4]), sys.argv[4])
