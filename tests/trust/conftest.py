"""What the attacks on a run share."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest
from workshop import Workshop, hurry


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A small run, made once without and once with another random seed."""
    hurry()
    return Workshop(tmp_path_factory.mktemp("trust"))


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Say a figure, whatever pytest does with what is printed."""

    def say(text: str) -> None:
        with capsys.disabled():
            print(f"\n{text}")

    return say


@pytest.fixture
def chance() -> random.Random:
    """Chance that is the same each time, or by TRUST_SEED another one."""
    return random.Random(int(os.environ.get("TRUST_SEED", "0")))
