"""What a stage was done with, for the manifest: versions, device, memory."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Any

from ktse._version import __version__
from ktse.runtime.device import chosen_device


def versions() -> dict[str, str]:
    """Versions of Python, of ktse and of the libraries whose results may differ."""
    names = ("torch", "torchvision", "timm", "segmentation_models_pytorch", "lightning-fabric", "numpy", "pillow")
    return {"ktse": __version__, "python": sys.version.split()[0], **{name: version(name) for name in names}}


def resources() -> dict[str, Any]:
    """Peak memory of this process (of the GPU where there is one) and the device."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and chosen_device() in ("auto", "cuda"):
        peak = round(torch.cuda.max_memory_allocated() / 2**20, 1)
        return {"device": torch.cuda.get_device_name(), "peak_memory_mb": peak}
    try:
        import resource
    except ImportError:  # Windows
        return {"device": "cpu"}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"device": "cpu", "peak_memory_mb": round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)}
