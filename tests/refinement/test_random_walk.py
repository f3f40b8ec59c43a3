"""The random walk against the published one, and against dense matrices in double precision."""

import math

import pytest
import torch

from ktse.refinement import random_walk as module
from ktse.refinement.random_walk import random_walk, transition, walk_scores


def dense(edge, radius=5, beta=10.0):
    """The published transition matrix, pair by pair, in double precision; it is applied from the right."""
    height, width = edge.shape
    pixels = [(y, x) for y in range(height) for x in range(width)]
    matrix = torch.eye(len(pixels), dtype=torch.float64)
    for i, (ay, ax) in enumerate(pixels):
        for j, (by, bx) in enumerate(pixels[:i]):
            length = math.hypot(by - ay, bx - ax)
            if length < radius:
                box = [
                    edge[y, x].item()
                    for y in range(min(ay, by), max(ay, by) + 1)
                    for x in range(min(ax, bx), max(ax, bx) + 1)
                    if abs((by - ay) * (x - ax) - (bx - ax) * (y - ay)) / length < 1 - 1e-9
                ]
                matrix[i, j] = matrix[j, i] = (1 - max(box)) ** beta
    return matrix / matrix.sum(dim=0)


def scene(height, width, maps=2, sharp=1.0):
    generator = torch.Generator().manual_seed(height * width)
    edge = torch.rand(height, width, generator=generator) ** 3 * sharp
    return torch.rand(maps, height, width, generator=generator), edge


@pytest.mark.parametrize("case", ["a", "b", "c"])
def test_the_walk_is_the_published_one(golden_tensors, near, case):
    stored = golden_tensors("l3_random_walk")
    beta, times = stored[f"{case}_beta_times"].tolist()
    walked = random_walk(stored[f"{case}_cam"], stored[f"{case}_edge"][0], beta=beta, steps=2**times)
    near(walked, stored[f"{case}_rw"][:, 0], relative=1e-5)


def test_the_transition_is_the_published_one(golden_tensors, near):
    stored = golden_tensors("l3_random_walk")
    near(transition(stored["tiny_edge"][0]).to_dense().T, stored["tiny_transition_1step"], absolute=1e-6)


@pytest.mark.parametrize(("height", "width"), [(9, 13), (13, 6), (3, 11), (1, 7), (2, 2), (1, 1)])
@pytest.mark.parametrize("steps", [1, 256])
def test_the_walk_is_the_dense_matrix_power(near, height, width, steps):
    maps, edge = scene(height, width)
    expected = (maps * (1 - edge)).double().flatten(1) @ torch.linalg.matrix_power(dense(edge), steps)
    # Each step rounds, and where the maps have become flat it rounds the same way every time.
    near(random_walk(maps, edge, steps=steps).double(), expected.view_as(maps), absolute=1e-6 + 2e-7 * steps)


def test_nothing_crosses_a_closed_boundary():
    maps, edge = torch.zeros(1, 12, 20), torch.zeros(12, 20)
    maps[..., :5], edge[:, 9:11] = 1, 1
    walked = random_walk(maps, edge)[0]
    assert walked[:, :9].min() > 0.4  # flows on to the boundary
    assert walked[:, 11:].max() == 0


@pytest.mark.parametrize("edge", [0.84, 0.9999])
def test_numbers_never_become_denormal(monkeypatch, edge):
    """Behind almost closed boundaries plain products fade to numbers that are many times slower to compute with."""
    smallest, seen = torch.finfo(torch.float32).tiny, []

    class Spy:
        def __init__(self, matrix):
            self.matrix = matrix
            seen.append(matrix.values())

        def __matmul__(self, state):
            seen.append(self.matrix @ state)
            return seen[-1]

    monkeypatch.setattr(module, "transition", lambda *arguments: Spy(transition(*arguments)))
    maps, edges = torch.zeros(1, 40, 40), torch.full((40, 40), edge)
    maps[0, 0, 0] = 1
    walked = random_walk(maps, edges)
    assert walked[0, 0, 0] > 0
    assert len(seen) == 257
    assert all(((values == 0) | (values >= smallest)).all() for values in seen)


def test_memory_is_linear_in_the_pixels():
    stored = [transition(torch.rand(side, side)).values().numel() / side**2 for side in (16, 64)]
    assert max(stored) <= 69


def test_maps_may_be_none(near):
    assert random_walk(torch.zeros(0, 6, 7), torch.rand(6, 7)).shape == (0, 6, 7)
    assert walk_scores(torch.zeros(0, 6, 7), (24, 25)).shape == (0, 24, 25)
    near(walk_scores(torch.zeros(2, 6, 7), (24, 25)), torch.zeros(2, 24, 25))


def test_a_map_of_zeros_stays_one(near):
    _, edge = scene(11, 14)
    walked = random_walk(torch.zeros(2, 11, 14), edge)
    near(walk_scores(walked, (44, 56)), torch.zeros(2, 44, 56), absolute=1e-6)


def test_scores_at_image_size_are_the_published_ones(golden_tensors, near):
    stored = golden_tensors("l4_irn_per_image")
    walked = random_walk(stored["strided_cam"], stored["edge"][0])
    scores = walk_scores(walked, tuple(stored["size"].tolist()))
    near(scores, stored["walk_score"][1:], relative=1e-4)
    planes = torch.cat([torch.full_like(scores[:1], 0.25), scores])
    keys = torch.cat([torch.zeros(1, dtype=torch.long), stored["cam_keys"] + 1])
    assert torch.equal(keys[planes.argmax(dim=0)], stored["sem_pred"].long())
