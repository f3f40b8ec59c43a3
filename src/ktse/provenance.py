"""What a stage was made from and done with, for the manifest."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ktse._version import __version__
from ktse.runtime.device import chosen_device


def flat(settings: Mapping[str, Any], start: str) -> dict[str, Any]:
    """Nested settings with dotted names, as they are written in the shell: ``segment.beco.mix``."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= flat(value, f"{start}.{name}") if isinstance(value, Mapping) else {f"{start}.{name}": value}
    return found


def short_hash(made_from: Mapping[str, Any]) -> str:
    """A name for what a stage is made from."""
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:16]


def changes(before: Mapping[str, Any], now: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    """What of the things that a stage is made from is no longer as it was, in words; nothing if all is.

    A setting that the earlier version did not have was at its default then, so that an upgrade repeats nothing.

    Args:
        before: as noted when the stage was done: settings by dotted name, and hashes of everything else.
        now: the same as it is now.
        defaults: of settings, by dotted name.
    """
    found = []
    for name in dict.fromkeys([*now, *before]):
        former, present = before.get(name, defaults.get(name)), now.get(name)
        if former == present or _made_whole(former, present):
            continue
        if "." not in name:
            found.append(f"{name} changed")
        elif name not in now:
            found.append(f"{name} is no longer a setting")
        else:
            found.append(f"{name} was {json.dumps(former)} and is {json.dumps(present)}")
    return found


def _made_whole(former: object, present: object) -> bool:
    """Whether a path is the former one, which an earlier version noted as it was given, made absolute."""
    if not isinstance(former, str) or not isinstance(present, str):
        return False
    short, long = Path(former), Path(present)
    parts = short.parts
    return bool(parts) and long.is_absolute() and not short.is_absolute() and long.parts[-len(parts) :] == parts


def versions() -> dict[str, str]:
    """Versions of Python, of ktse and of the libraries whose results may differ."""
    names = ("torch", "torchvision", "timm", "segmentation_models_pytorch", "lightning-fabric", "numpy", "pillow")
    return {"ktse": __version__, "python": sys.version.split()[0], **{name: version(name) for name in names}}


def resources() -> dict[str, Any]:
    """Peak memory of this process (of the GPU where there is one) and the device."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and chosen_device() in ("auto", "cuda"):
        return {
            "device": torch.cuda.get_device_name(),
            "peak_memory_mb": round(torch.cuda.max_memory_allocated() / 2**20, 1),
        }
    try:
        import resource
    except ImportError:  # Windows
        return {"device": "cpu"}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"device": "cpu", "peak_memory_mb": round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)}
