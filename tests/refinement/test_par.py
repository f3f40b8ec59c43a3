"""Pixel-adaptive refinement."""

import pytest
import torch

from ktse.refinement.par import DILATIONS, GROWTH, affinity, neighbours, offsets, pixel_adaptive_refinement


def pictures(batch=2, maps=3, height=20, width=26):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(batch, 3, height, width, generator=generator), torch.rand(
        batch, maps, height, width, generator=generator
    )


@pytest.mark.parametrize(
    ("image", "maps", "out", "iterations", "dilations"),
    [
        ("a_img", "a_mask", "a_out", 10, DILATIONS),
        ("b_img", "b_mask", "b_out", 10, DILATIONS),
        ("flat_img", "flat_mask", "flat_out", 10, DILATIONS),
        ("b_img", "b_mask", "d12_iter1_out", 1, (1, 2)),
        ("b_img", "b_mask", "d124_iter3_out", 3, (1, 2, 4)),
    ],
)
def test_refinement_is_the_published_one(golden_tensors, near, image, maps, out, iterations, dilations):
    g = golden_tensors("g_par")
    near(pixel_adaptive_refinement(g[image], g[maps], iterations, dilations), g[out], relative=1e-5)


def test_neighbours_are_the_published_ones(golden_tensors, near):
    g = golden_tensors("g_par")
    corner = g["b_img"][..., :6, :7]
    assert torch.equal(torch.stack(neighbours(corner, offsets((1,))), dim=2), g["neighbours_d1"])
    distances = [(dy**2 + dx**2) ** 0.5 for dy, dx in offsets()]
    near(torch.tensor(distances), g["pos_all"], relative=1e-6)


def test_the_weights_of_a_pixel_sum_to_the_growth(near):
    weights = affinity(pictures()[0])
    assert weights.shape == (2, 48, 20, 26)
    near(weights.sum(dim=1), torch.full((2, 20, 26), GROWTH), absolute=1e-5)


@pytest.mark.parametrize("iterations", [0, 1, 10])
def test_a_constant_map_only_grows(near, iterations):
    image, maps = pictures()
    refined = pixel_adaptive_refinement(image, torch.ones_like(maps), iterations)
    near(refined, torch.full_like(maps, 1.01**iterations), absolute=1e-5)


def test_refinement_is_linear_in_the_maps(near):
    image, first = pictures()
    second = first.flip(-1)
    both = pixel_adaptive_refinement(image, 2 * first - 3 * second)
    near(
        both, 2 * pixel_adaptive_refinement(image, first) - 3 * pixel_adaptive_refinement(image, second), relative=1e-5
    )


def test_a_batch_refines_like_its_images_one_by_one(near):
    image, maps = pictures(batch=3)
    alone = [pixel_adaptive_refinement(image[i : i + 1], maps[i : i + 1]) for i in range(3)]
    near(pixel_adaptive_refinement(image, maps), torch.cat(alone), absolute=1e-6)


def test_maps_stop_at_an_edge_of_the_image():
    image = torch.zeros(1, 3, 16, 16)
    image[..., 8:] = 1
    maps = torch.zeros(1, 1, 16, 16)
    maps[..., :4] = 1
    refined = pixel_adaptive_refinement(image, maps, 10, dilations=(1, 2))[0, 0]
    assert refined[:, 4:8].min() > 0.4  # flows on as far as the colour reaches
    assert refined[:, 8:].max() < 0.1


def test_arguments_stay_as_they_are():
    image, maps = pictures()
    before = image.clone(), maps.clone()
    pixel_adaptive_refinement(image, maps)
    assert torch.equal(image, before[0])
    assert torch.equal(maps, before[1])
