"""Any timm model as a backbone."""

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from ktse.errors import RecipeError
from ktse.models.backbone import Backbone, finest_stride, part_of_network
from ktse.models.cam_head import CamHead, CamNetwork
from ktse.models.segmenter import Segmenter
from ktse.models.weights import save_tensors

BatchNorm = nn.modules.batchnorm._BatchNorm
SUPPORTED = [
    ("resnet18", 8, 512),
    ("resnet18", 16, 512),
    ("resnet18", 32, 512),
    ("mobilenetv2_100", 8, 1280),
    ("mobilenetv2_100", 16, 1280),
    ("convnext_atto", 16, 320),
    ("vgg11_bn", 32, 512),
    ("vgg11_bn", 8, 512),
    ("vgg16", 8, 512),
    ("vgg16", 16, 512),
    ("resnet50", 8, 2048),
    ("resnet101", 8, 2048),
    ("resnet38d", 8, 4096),
    ("resnet38d", 32, 4096),
    ("mobilenetv3_small_050", 16, 288),  # takes a stride only without its last layer
    ("mobilenetv4_conv_small", 8, 960),
]


@pytest.fixture(scope="module")
def resnet_weights(tmp_path_factory):
    """A file with weights of a resnet18, classifier included."""
    path = tmp_path_factory.mktemp("weights") / "resnet18.safetensors"
    torch.manual_seed(1)
    save_file(timm.create_model("resnet18").state_dict(), path)
    return path


@pytest.mark.parametrize(("name", "stride", "channels"), SUPPORTED)
def test_the_map_has_the_output_stride_and_the_channels_that_were_asked_for(name, stride, channels):
    backbone = Backbone(name, stride, weights="none")
    with torch.no_grad():
        features = backbone.eval()(torch.zeros(1, 3, 64, 96))
    assert features.shape == (1, channels, 64 // stride, 96 // stride)
    assert backbone.channels == channels
    assert backbone.mean.tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert backbone.std.tolist() == pytest.approx([0.229, 0.224, 0.225])


@pytest.mark.parametrize(
    ("name", "stride"),
    [
        ("vgg11_bn", 4),
        ("resnet38d", 4),
        ("swin_tiny_patch4_window7_224", 16),
        ("densenet121", 16),
        ("no_such_model", 16),
    ],
)
def test_a_model_that_cannot_be_built_so_is_a_recipe_error(name, stride):
    with pytest.raises(RecipeError, match=name) as caught:
        Backbone(name, stride, weights="none")
    assert "output_stride" in caught.value.hint


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2_100"])
def test_frozen_batch_norm_stays_as_it_is_in_training(name):
    backbone = Backbone(name, 32, weights="none")
    backbone.freeze_batch_norm()
    backbone.train()
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    backbone(torch.randn(2, 3, 64, 64)).square().mean().backward()
    torch.optim.SGD([p for p in backbone.parameters() if p.requires_grad], lr=0.1).step()
    changed = {key for key, value in backbone.state_dict().items() if not torch.equal(value, before[key])}
    owners = {name for name, module in backbone.named_modules() if isinstance(module, BatchNorm)}
    assert owners
    assert changed
    assert not {key.rpartition(".")[0] for key in changed} & owners


def test_batch_norm_learns_again_once_it_is_not_frozen():
    backbone = Backbone("resnet18", 32, weights="none").train()
    backbone.freeze_batch_norm()
    backbone.freeze_batch_norm(False)
    norm = next(module for module in backbone.modules() if isinstance(module, BatchNorm))
    backbone(torch.randn(2, 3, 64, 64)).mean().backward()
    assert norm.weight.grad is not None
    assert norm.num_batches_tracked == 1


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2_100", "convnext_atto"])
@pytest.mark.parametrize("count", [0, 1, 3, 1000])
def test_frozen_stages_come_first_and_have_no_gradient(name, count):
    backbone = Backbone(name, 32, weights="none", frozen_stages=count).train()
    used = [parameter for name, parameter in backbone.named_parameters() if ".head." not in name]
    frozen = [not parameter.requires_grad for parameter in used]
    assert frozen == sorted(frozen, reverse=True)
    assert any(frozen) == (count > 0)
    assert all(frozen) == (count == 1000)
    if not all(frozen):
        backbone(torch.randn(2, 3, 64, 64)).square().mean().backward()
        assert [parameter.grad is None for parameter in used] == frozen


def test_batch_norm_of_frozen_stages_stays_as_it_is_even_while_the_others_learn():
    backbone = Backbone("resnet18", 32, weights="none", frozen_stages=2).train()
    backbone.freeze_batch_norm(False)
    backbone(torch.randn(2, 3, 64, 64)).square().mean().backward()
    norms = [module for module in backbone.modules() if isinstance(module, BatchNorm)]
    assert [int(norm.num_batches_tracked) for norm in norms[:2]] == [0, 1]
    assert [norm.weight.grad is None for norm in norms[:2]] == [True, False]


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto"])
def test_every_weight_that_asks_for_a_gradient_gets_one(name):
    backbone = Backbone(name, 32, weights="none").train()
    backbone(torch.randn(2, 3, 64, 64)).square().mean().backward()
    assert all((parameter.grad is not None) == parameter.requires_grad for parameter in backbone.parameters())


def test_a_backbone_can_be_built_where_no_gradients_are_wanted():
    with torch.inference_mode():
        assert Backbone("resnet18", 32, weights="none").channels == 512


def test_a_dilated_vgg_sees_as_far_as_the_strided_one_and_has_the_same_weights():
    """What the middle of the map depends on is found by its gradient."""
    wide, narrow = (Backbone("vgg11", stride, weights="none").eval().requires_grad_(False) for stride in (8, 32))
    assert list(wide.state_dict()) == list(narrow.state_dict())
    seen = []
    for backbone in (wide, narrow):
        for conv in (module for module in backbone.modules() if isinstance(module, nn.Conv2d)):
            nn.init.constant_(conv.weight, 1e-2)
        image = torch.rand(1, 3, 256, 64, requires_grad=True)
        features = backbone(image)
        features[0, :, features.shape[2] // 2, features.shape[3] // 2].sum().backward()
        seen.append(int((image.grad.abs().sum(dim=(0, 1, 3)) > 0).sum()))
    assert seen[1] > 100
    assert abs(seen[0] - seen[1]) <= 48


# --- weights


def test_weights_come_from_the_file(shared):
    path = shared / "weights" / "mobilenetv2_100.safetensors"
    ours = Backbone("mobilenetv2_100", 32, str(path)).eval()
    theirs = timm.create_model("mobilenetv2_100", checkpoint_path=str(path)).eval()
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(ours(image), theirs.forward_features(image))


def test_weights_are_the_same_at_every_output_stride(resnet_weights):
    first, second = (Backbone("resnet18", stride, str(resnet_weights)).state_dict() for stride in (8, 32))
    assert all(torch.equal(value, second[key]) for key, value in first.items())


def test_a_missing_file_of_weights_is_a_recipe_error():
    with pytest.raises(RecipeError, match=r"nowhere\.safetensors") as caught:
        Backbone("resnet18", 32, "nowhere.safetensors")
    assert "'hub', 'package', 'none'" in caught.value.hint


@pytest.mark.parametrize("name", ["mobilenetv2_100", "convnext_atto", "resnet26"])
def test_weights_of_another_architecture_are_a_recipe_error(resnet_weights, name):
    with pytest.raises(RecipeError, match=name) as caught:
        Backbone(name, 32, str(resnet_weights))
    assert "weights of this very model" in caught.value.hint


def test_weights_that_lack_a_layer_are_a_recipe_error(tmp_path):
    state = timm.create_model("resnet18").state_dict()
    del state["layer4.1.conv2.weight"]
    save_file(state, tmp_path / "part.safetensors")
    with pytest.raises(RecipeError, match=r"layer4\.1\.conv2\.weight"):
        Backbone("resnet18", 32, str(tmp_path / "part.safetensors"))


@pytest.mark.parametrize("name", ["broken.safetensors", "broken.pth", "broken.txt"])
@pytest.mark.parametrize("content", [b"", b"hello, this is no file of weights"])
def test_a_broken_file_of_weights_is_a_recipe_error(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RecipeError, match="resnet18"):
        Backbone("resnet18", 32, str(tmp_path / name))


def test_weights_that_would_run_code_are_refused(tmp_path):
    torch.save({"state_dict": pytest.fail}, tmp_path / "evil.pth")
    with pytest.raises(RecipeError, match="resnet18"):
        Backbone("resnet18", 32, str(tmp_path / "evil.pth"))


def test_a_cam_network_of_an_earlier_run_starts_backbone_and_encoder(tmp_path):
    torch.manual_seed(5)
    backbone = Backbone("resnet10t", 16, "none")
    network = CamNetwork(backbone, CamHead(backbone.channels, 2))
    save_tensors(tmp_path / "cam.safetensors", network.state_dict(), {"classes": ["a", "b"]})
    again = Backbone("resnet10t", 16, str(tmp_path / "cam.safetensors"))
    encoder = Segmenter("unet", "resnet10t", 2, str(tmp_path / "cam.safetensors")).encoder.get_submodule("model")
    for model in (again.model, encoder):
        own = model.state_dict()
        for name, value in backbone.model.state_dict().items():
            assert torch.equal(own[name], value)
        assert "state_dict" not in model.pretrained_cfg
    head, classes = part_of_network(tmp_path / "cam.safetensors", "head.")
    assert classes == ["a", "b"]
    network.head.load_state_dict(head)


@pytest.mark.parametrize(
    ("name", "stride"),
    [("mobilenetv3_small_050", 16), ("vit_tiny_patch16_224", 16), ("vit_small_patch14_reg4_dinov2", 16)],
)
def test_a_model_without_its_last_layer_starts_from_an_earlier_run_too(tmp_path, name, stride):
    torch.manual_seed(5)
    backbone = Backbone(name, stride, "none")
    network = CamNetwork(backbone, CamHead(backbone.channels, 2))
    save_tensors(tmp_path / "cam.safetensors", network.state_dict(), {"classes": ["a", "b"]})
    again = Backbone(name, stride, str(tmp_path / "cam.safetensors"), frozen_stages=2)
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in backbone.state_dict().items())
    frozen = [weight for weight in again.parameters() if not weight.requires_grad]
    assert 0 < len(frozen) < len(list(again.parameters()))
    assert again(torch.zeros(1, 3, 97, 130)).shape[-2:] == (7, 9)


@pytest.mark.parametrize("name", ["test_byobnet", "convnext_atto"])
def test_a_model_with_stages_that_timm_renames_starts_from_an_earlier_run_too(tmp_path, name):
    torch.manual_seed(5)
    backbone = Backbone(name, 16, "none", levels=2)
    network = CamNetwork(backbone, CamHead(backbone.channels, 2))
    save_tensors(tmp_path / "cam.safetensors", network.state_dict(), {"classes": ["a", "b"]})
    again = Backbone(name, 16, str(tmp_path / "cam.safetensors"), levels=2)
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in backbone.state_dict().items())
    learned = {value.double().sum().item() for value in backbone.state_dict().values()}
    encoder = Segmenter("head", name, 2, str(tmp_path / "cam.safetensors")).encoder
    assert {value.double().sum().item() for value in encoder.state_dict().values()} <= learned


def test_an_encoder_that_a_file_does_not_fill_is_refused(resnet_weights, tmp_path):
    kept = {name: value for name, value in load_file(resnet_weights).items() if not name.startswith("layer3")}
    save_file(kept, tmp_path / "part.safetensors")
    with pytest.raises(RecipeError, match="lacks"):
        Segmenter("unet", "resnet18", 2, str(tmp_path / "part.safetensors"))


@pytest.mark.parametrize(
    ("name", "stride"),
    [("resnet10t", 16), ("mobilenetv2_035", 16), ("vit_tiny_patch16_224", 16), ("swin_tiny_patch4_window7_224", 32)],
)
def test_several_levels_are_normalised_and_joined_at_the_finest_size(name, stride):
    torch.manual_seed(3)
    backbone = Backbone(name, stride, "none", frozen_stages=-1, levels=2)
    features = backbone(torch.randn(1, 3, 96, 64))
    assert not features.requires_grad
    channels = backbone.model.feature_info.channels()
    assert features.shape[1] == sum(channels) == backbone.channels
    finest = stride // 2 if name.startswith("swin") else 16
    assert features.shape[-2:] == (96 // finest, 64 // finest)
    first = features[:, : channels[0]]
    torch.testing.assert_close(first.mean(dim=1), torch.zeros_like(first[:, 0]), atol=1e-3, rtol=0)
    torch.testing.assert_close(first.std(dim=1, correction=0), torch.ones_like(first[:, 0]), atol=2e-2, rtol=0)


@pytest.mark.parametrize(
    ("name", "stride", "grid"),
    [
        ("test_vit2", 16, (5, 7)),  # a class token and a register are no cells
        ("test_vit2", 8, (10, 13)),
        ("vit_small_patch14_reg4_dinov2", 16, (5, 7)),  # a patch of 14 pixels covers 16
    ],
)
def test_a_plain_transformer_sees_whole_patches_and_no_padding(name, stride, grid):
    torch.manual_seed(3)
    backbone = Backbone(name, stride, "none", frozen_stages=-1, levels=2)
    inner = backbone.model.model
    torch.nn.init.zeros_(inner.pos_embed)
    torch.nn.init.normal_(inner.patch_embed.proj.bias)
    for block in inner.blocks:  # no token learns of another one
        torch.nn.init.zeros_(block.attn.proj.weight)
    with torch.no_grad():
        levels = backbone.levels_of(torch.ones(1, 3, 74, 100))
    for level in levels:
        assert level.shape == (1, inner.embed_dim, *grid)
        torch.testing.assert_close(level, level[..., :1, :1].expand_as(level), atol=1e-4, rtol=0)
    assert finest_stride(name, stride, 2) == stride


def test_one_level_is_the_whole_model_s_last_map():
    torch.manual_seed(3)
    backbone = Backbone("resnet10t", 16, "none").eval()
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(backbone(image), backbone.model.forward_features(image))
