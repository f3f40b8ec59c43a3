"""IRN's network: the published structure, and any backbone."""

import pytest
import timm
import torch
from torch import nn

from ktse.errors import RecipeError
from ktse.models.affinity import AffinityNetwork


def published_levels(image):
    """The published backbone, told apart from the network: torchvision-like ResNet-50, last stage without stride."""
    torch.manual_seed(1)
    resnet = timm.create_model("resnet50.tv_in1k").eval()
    for convolution in (resnet.layer4[0].conv2, resnet.layer4[0].downsample[0]):
        convolution.stride = (1, 1)
    level = resnet.maxpool(resnet.act1(resnet.bn1(resnet.conv1(image))))
    levels = [level]
    for stage in (resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4):
        levels.append(stage(levels[-1]))
    return levels


def branch(layers, maps, size):
    for layer in layers:
        maps = layer(maps)
    return torch.relu(nn.functional.interpolate(maps, size, mode="bilinear", align_corners=False))


@torch.no_grad()
def test_resnet50_is_the_published_network():
    image = torch.randn(1, 3, 64, 96)
    levels = published_levels(image)
    torch.manual_seed(1)
    network = AffinityNetwork("resnet50.tv_in1k", 16, "none").eval()
    assert [tuple(level.shape[1:]) for level in levels] == [
        (64, 16, 24), (256, 16, 24), (512, 8, 12), (1024, 4, 6), (2048, 4, 6),
    ]  # fmt: skip
    edges = torch.cat([branch(network.edge[i], levels[i], (16, 24)) for i in range(5)], dim=1)
    assert network.edge_last.weight.shape == (1, 160, 1, 1)
    said = network(image)
    torch.testing.assert_close(said.edge, network.edge_last(edges)[:, 0], rtol=1e-4, atol=1e-5)
    widths, groups = [64, 128, 256, 256, 256], [8, 16, 16, 16, 16]
    for layer, width, count in zip(network.displacement, widths, groups, strict=True):
        assert (layer[0].out_channels, layer[1].num_groups, layer[0].bias) == (width, count, None)
    parts = [branch(network.displacement[i], levels[i], (16, 24) if i < 2 else (8, 12)) for i in range(5)]
    coarse = branch(network.displacement_coarse, torch.cat(parts[2:], dim=1), (16, 24))
    expected = network.displacement_last(torch.cat([*parts[:2], coarse], dim=1))
    assert [p.shape for p in network.displacement_last.parameters()] == [
        (256, 448, 1, 1), (256,), (256,), (2, 256, 1, 1),
    ]  # fmt: skip
    torch.testing.assert_close(said.displacement, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "stride"),
    [("resnet10t", 16), ("mobilenetv2_100", 16), ("convnext_atto", 16), ("efficientnet_b0", 32), ("resnet10t", 8)],
)
@pytest.mark.parametrize("size", [(64, 64), (37, 50)])
def test_any_backbone_and_any_size_give_maps_at_a_quarter(name, stride, size):
    network = AffinityNetwork(name, stride, "none").eval()
    maps = network(torch.randn(2, 3, *size))
    quarter = (-(-size[0] // 4), -(-size[1] // 4))
    assert maps.edge.shape == (2, *quarter)
    assert maps.displacement.shape == (2, 2, *quarter)
    assert maps.edge.std() > 0


@pytest.mark.parametrize("trained", [False, True])
def test_the_backbone_learns_only_if_asked_and_its_batch_norm_never(trained):
    network = AffinityNetwork("resnet10t", 16, "none", train_backbone=trained).train()
    before = {key: value.clone() for key, value in network.state_dict().items() if "running" in key}
    maps = network(torch.randn(2, 3, 64, 64))
    (maps.edge.sum() + maps.displacement.sum()).backward()
    learned = {key for key, value in network.named_parameters() if value.grad is not None}
    assert any(key.startswith("backbone") for key in learned) == trained
    assert {key for key, _ in network.named_parameters() if not key.startswith("backbone")} <= learned
    norms = [module for module in network.backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    assert not any(value.requires_grad for norm in norms for value in norm.parameters())
    assert all(torch.equal(network.state_dict()[key], value) for key, value in before.items())


def test_a_backbone_without_levels_is_a_message():
    with pytest.raises(RecipeError, match="no_such_model"):
        AffinityNetwork("no_such_model", 16, "none")
