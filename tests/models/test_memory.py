"""What a network holds for the way back is counted without computing it."""

from torch import nn

from ktse.models.memory import kept_for_gradient


def small(kernel=1):
    return nn.Sequential(nn.Conv2d(3, 8, kernel, padding=kernel // 2), nn.ReLU(), nn.Conv2d(8, 1, 1))


def test_what_two_convolutions_and_a_relu_hold():
    # The image, which the first convolution needs, and the 8 channels between, which ReLU and second one share.
    assert kept_for_gradient(small(), 2, 10) == 4 * 2 * (3 + 8) * 10 * 10


def test_it_grows_with_images_and_pixels_and_not_with_the_weights():
    once = kept_for_gradient(small(), 2, 16)
    assert kept_for_gradient(small(), 2, 32) == 4 * once
    assert kept_for_gradient(small(), 10, 16) == 5 * once
    assert kept_for_gradient(small(kernel=5), 2, 16) == once


def test_what_is_frozen_holds_nothing():
    network = small()
    network.requires_grad_(False)
    assert kept_for_gradient(network, 2, 16) == 0
    network = small()
    network[0].requires_grad_(False)
    assert kept_for_gradient(network, 2, 16) == 4 * 2 * 8 * 16 * 16


def test_nothing_is_computed():
    network = small()
    network.register_forward_hook(lambda module, inputs, output: devices.append(output.device.type))
    devices: list[str] = []
    kept_for_gradient(network, 2, 10_000)  # 16 planes of it are 6 GB
    assert devices == ["meta"]
