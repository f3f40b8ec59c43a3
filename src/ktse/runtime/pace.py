"""How fast this machine computes, compared with the processor core that the costs of stages are stated for."""

from __future__ import annotations

import time

import torch
from torch.nn.functional import conv2d

from ktse.runtime.fabric import find_device

REFERENCE = 0.043
"""Seconds that the core takes for one repetition of the probe."""

REPETITIONS = 5


def pace() -> float:
    """Seconds that this machine takes for a second of that core, found in less than a second.

    The probe is what a small network does: wide and depthwise convolutions. Of several repetitions the fastest counts,
    as others may be disturbed.

    Raises:
        RunError: the chosen device is not there.
    """
    device = find_device()
    # No random numbers, which belong to the training that follows.
    image = torch.ones(4, 96, 48, 48, device=device).to(memory_format=torch.channels_last)
    wide, deep = torch.ones(96, 96, 1, 1, device=device), torch.ones(96, 1, 3, 3, device=device)
    seconds = []
    for _ in range(REPETITIONS + 1):  # the first one makes things ready
        start = time.perf_counter()
        for _ in range(8):
            found = conv2d(conv2d(image, wide).relu_(), deep, padding=1, groups=96)
        float(found.sum())  # waits for the device
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:]) / REFERENCE
