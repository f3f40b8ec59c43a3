"""What all tests share: the reference tensors beside the checkout, and how close is close enough."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

# Tiny tensors: a second thread only gets in the way, most of all where other work shares the processor.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# pytest --hypothesis-profile=long tests/data/test_damage.py
settings.register_profile("short", max_examples=60, deadline=None)
settings.register_profile("long", max_examples=1000, deadline=None)
settings.load_profile("short")

pytest_plugins = ["drawn_scenes", "reviewed_run", "tiny_run", "browsing"]

# What trains, exports or builds a large network, or does a whole run; single tests may have the marker themselves.
TRAINING_FIXTURES = {"tiny_run", "own_run"}
TRAINING_FILES = (
    "checking/test_disk", "checking/test_doubtful", "data/test_open", "exporting/test_graph", "models/test_backbone",
    "models/test_folding", "models/test_resnet38", "models/test_segmenter", "research/test_ablate",
    "research/test_warmup", "runtime/test_processes", "stages/test_affinity", "stages/test_noisy_masks",
    "stages/test_predict", "stages/test_refine", "test_large_image", "test_rival_runs",
)  # fmt: skip


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what `make test-fast` leaves out, and leave out what only `make trust` does."""
    if "trust" not in config.option.markexpr:
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("trust")])
        items[:] = [item for item in items if not item.get_closest_marker("trust")]
    for item in items:
        file = item.path.relative_to(Path(__file__).parent).as_posix()
        if file.startswith(TRAINING_FILES) or TRAINING_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.trains)


SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference material beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared (reference tensors, weights, data) beside the checkout")
    return SHARED


@pytest.fixture(scope="session")
def golden(shared: Path) -> Callable[[str], dict[str, np.ndarray]]:
    """Load a file of reference arrays by name, without .npz."""

    def load(name: str) -> dict[str, np.ndarray]:
        with np.load(shared / "golden" / f"{name}.npz", allow_pickle=False) as arrays:
            return dict(arrays)

    return load


@pytest.fixture(scope="session")
def golden_tensors(golden: Callable[[str], dict[str, np.ndarray]]) -> Callable[[str], dict[str, Any]]:
    """The same as tensors."""
    import torch  # here, because many tests do without

    return lambda name: {key: torch.from_numpy(array) for key, array in golden(name).items()}


@pytest.fixture(scope="session")
def near() -> Callable[..., None]:
    """Assert |actual - expected| <= absolute, or <= relative * max(1, largest |expected|)."""

    def check(actual: Any, expected: Any, *, relative: float = 0.0, absolute: float = 0.0) -> None:
        actual, expected = (np.asarray(getattr(x, "detach", lambda x=x: x)()) for x in (actual, expected))
        assert actual.shape == expected.shape
        limit = absolute + relative * max(1.0, float(np.abs(expected).max(initial=0)))
        worst = float(np.abs(actual - expected).max(initial=0))
        assert worst <= limit, f"differs by {worst:.3g}, allowed is {limit:.3g}"

    return check


@pytest.fixture
def older_exporter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks are written by torch's older exporter; the newer one takes many times as long, and few tests need it."""

    def refuse(_: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr("ktse.exporting.network_graph._by_dynamo", refuse)


@pytest.fixture(scope="session")
def tiny_sam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a SAM of random weights."""
    transformers = pytest.importorskip("transformers", reason='needs the extra sam: pip install "ktse[sam]"')
    import torch

    torch.manual_seed(0)
    common = {"hidden_size": 8, "image_size": 64, "patch_size": 8}
    config = transformers.SamConfig(
        vision_config={
            **common, "output_channels": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "mlp_dim": 16,
            "window_size": 4, "global_attn_indexes": [0], "num_pos_feats": 4,
        },
        prompt_encoder_config={**common, "mask_input_channels": 4},
        mask_decoder_config={"hidden_size": 8, "mlp_dim": 16, "num_attention_heads": 2, "iou_head_hidden_dim": 8},
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("sam")
    transformers.SamModel(config).save_pretrained(folder)
    return folder
