"""The whole objective, its gradient and a step are equal to the published ones."""

import math

import pytest
import torch
from torch import nn

from ktse.method import objective
from ktse.method.erasing import erase
from ktse.method.objective import Batch, Objective
from ktse.method.regularisation import UNDECIDED
from ktse.recipe.load import load_recipe, to_dict
from ktse.training.task import parameter_groups
from objectives import MEAN, ONLY_CLASSIFICATION, STD, WEIGHTS, Scripted, tiny_network, weighted_sum

OFFICIAL = load_recipe("voc12-official").classify
PUBLISHED = OFFICIAL.objective
PARAMETERS = {
    "conv1": "backbone.0.weight",
    "conv2": "backbone.2.weight",
    "fc8": "head.reduce.weight",
    "fc9": "head.score.weight",
    **{f"g{n}_{sign[:3]}": f"head.gates.{n - 1}.{sign}.weight" for n in (1, 2, 3) for sign in ("positive", "negative")},
}
LOSSES = {
    "classification": "cls",
    "transfer": "kt",
    "background": "bg",
    "foreground": "fg",
    "inter_class": "inter",
    "global_alignment": "global_align",
    "local_alignment": "local_align",
}


@pytest.fixture
def labels(monkeypatch):
    """Cut images off to whole numbers, as the published code does before PAR, and collect the pseudo-labels."""
    ours, collected = objective.pseudo_label, []

    def published(cam, image, *arguments, **options):
        collected.append(ours(cam, (image * 255).to(torch.uint8) / 255, *arguments, **options))
        return collected[-1]

    monkeypatch.setattr(objective, "pseudo_label", published)
    return collected


def assert_labels(labels, pseudo, pseudo2):
    expected = torch.cat([pseudo, pseudo2[:4]]).long()
    assert (torch.cat(labels) == expected.masked_fill(expected == 255, UNDECIDED)).float().mean() >= 0.999


@pytest.mark.parametrize("phase", ["warm", "post"])
@pytest.mark.parametrize("batch", ["b4", "b6"])
def test_a_training_step_is_the_published_one(golden_tensors, near, labels, batch, phase):
    n = golden_tensors(f"n_train_step_{batch}")
    network = tiny_network(20, 32)
    published = {name: n[f"w_{key}"] for key, name in PARAMETERS.items()}
    network.load_state_dict({**network.state_dict(), **published})
    cam, logits = network(n["img"])
    near(cam, n["fwd_cam"], relative=1e-5)
    near(logits, n["fwd_out"], relative=1e-5)

    # The published code stitches the first 4 images of a batch, whatever its size.
    stitched = math.ceil(PUBLISHED.pairs * OFFICIAL.batch_size)
    assert to_dict(PUBLISHED.weights) == WEIGHTS
    step = Batch(n["img"], n["label"], n["img2"][:stitched], n["label2"][:stitched])
    momentum = OFFICIAL.momentum if phase == "warm" else OFFICIAL.momentum_after
    (group,) = parameter_groups(network, nn.Identity(), n["lr"].item(), OFFICIAL.head_lr, OFFICIAL.weight_decay)
    optimizer = torch.optim.SGD([group], lr=n["lr"].item(), momentum=momentum)
    losses = Objective(network, PUBLISHED, MEAN, STD)(step, WEIGHTS if phase == "post" else ONLY_CLASSIFICATION).losses
    total = weighted_sum(losses)
    total.backward()
    optimizer.step()

    if phase == "post":
        for name, key in LOSSES.items():
            near(losses[name].view(1), n[f"post_loss_{key}"], relative=1e-5)
        stitched = losses["stitched_background"] + 0.0125 * losses["stitched_foreground"]
        near(stitched.view(1), n["post_loss_seg_two"], relative=1e-5)
        assert_labels(labels, n["post_pseudo"], n["post_pseudo2"])
        kept = erase(torch.ones_like(n["img"]), cam, n["label"], PUBLISHED.erase_above)[:, :1]
        assert torch.equal(kept, n["post_mask_img_res"].float())
    else:
        assert losses.keys() == {"classification"}
    near(total.view(1), n[f"{phase}_total"], relative=1e-5)
    parameters = dict(network.named_parameters())
    for key, name in PARAMETERS.items():
        near(parameters[name].grad, n[f"{phase}_grad_{key}"], relative=1e-5)
        near(parameters[name], n[f"{phase}_after_{key}"], relative=1e-5)


def test_losses_on_given_network_outputs_are_the_published_ones(golden_tensors, near, labels):
    n = golden_tensors("n2_losses_on_given_cams")
    given = {name: n[f"camseg_{name}"].requires_grad_() for name in ("anchor", "pair", "masked", "stitched")}
    given["out"] = n["out_anchor"].requires_grad_()
    network = Scripted(torch.cat([given["anchor"], given["pair"][:4]]), given["stitched"], given["masked"])
    network.head.classify = lambda cam, inside: given["out"]
    losses = Objective(network, PUBLISHED, MEAN, STD)(
        Batch(n["img_norm"], n["label"], n["img2_norm"][:4], n["label2"][:4]), WEIGHTS
    ).losses

    passes = network.passes
    assert torch.equal(passes[0], torch.cat([n["img_norm"], n["img2_norm"][:4]]))
    assert list(passes[1].shape) == n["stitched_input_shape"].tolist()
    assert torch.equal(passes[2], n["masked_input"])
    assert_labels(labels, n["pseudo"], n["pseudo2"])
    for name, key in LOSSES.items():
        near(losses[name].view(1), n[f"loss_{key}"], relative=1e-5)
    stitched = losses["stitched_background"] + 0.0125 * losses["stitched_foreground"]
    near(stitched.view(1), n["loss_seg_two"], relative=1e-5)
    total = weighted_sum(losses)
    near(total.view(1), n["total"], relative=1e-5)
    total.backward()
    for name, leaf in given.items():
        near(leaf.grad, n[f"grad_total_{name}"], absolute=1e-6)
