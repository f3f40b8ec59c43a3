"""The hub that initial weights are downloaded from, where it can be reached."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from huggingface_hub import constants

PATIENCE = 5.0
"""Seconds after which a hub that does not answer cannot be reached."""

REMEMBERED = 60.0
"""Seconds for which the answer is kept."""


def address() -> str:
    """Where the hub is."""
    return str(constants.ENDPOINT)


def reachable() -> bool:
    """Whether the hub answers, whatever it says."""
    return _reachable(address(), int(time.monotonic() / REMEMBERED))


@lru_cache(maxsize=1)
def _reachable(url: str, minute: int) -> bool:
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PATIENCE)
    except (OSError, ValueError) as error:
        return isinstance(error, urllib.error.HTTPError)
    return True


@contextmanager
def asked_once(weights: str) -> Iterator[None]:
    """Within the block, a hub that cannot be reached is not asked again and again: what was downloaded before is used.

    Args:
        weights: initial weights; only "hub" needs the hub.
    """
    former = constants.HF_HUB_OFFLINE
    try:
        if weights == "hub" and not former and not reachable():
            constants.HF_HUB_OFFLINE = True
        yield
    finally:
        constants.HF_HUB_OFFLINE = former
