"""The whole objective: equal to the published step, and sound on every kind of batch."""

import math

import pytest
import torch
from torch import nn

from ktse.method import objective
from ktse.method.erasing import erase
from ktse.method.objective import Batch, Objective
from ktse.method.regularisation import UNDECIDED
from ktse.models.cam_head import CamHead, CamNetwork
from ktse.recipe import LossWeights, ObjectiveRecipe
from ktse.recipe.load import load_recipe, to_dict
from ktse.training.task import parameter_groups

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
WEIGHTS = to_dict(LossWeights())  # the official recipe has the same
RIVALS = {"erased_classification", "attraction", "repulsion"}
EVERY = WEIGHTS | dict.fromkeys(RIVALS, 0.15)
PAIRED = {"transfer", "stitched_background", "stitched_foreground"}
ONLY_CLASSIFICATION = dict.fromkeys(WEIGHTS, 0.0) | {"classification": 1.0}
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


def tiny_network(classes, hidden=8):
    """The trunk of the published reference step, at stride 8."""
    torch.manual_seed(0)
    trunk = nn.Sequential(
        nn.Conv2d(3, 16, 5, 4, 2, bias=False), nn.ReLU(), nn.Conv2d(16, 24, 3, 2, 1, bias=False), nn.ReLU()
    )
    return CamNetwork(trunk, CamHead(24, classes, hidden))


class Scripted(CamNetwork):
    """Answers its passes with given score maps, and keeps the images that it was shown."""

    def __init__(self, *answers):
        super().__init__(nn.Identity(), CamHead(1, 1, 1))
        self.answers, self.passes = list(answers), []

    def scores(self, image):
        self.passes.append(image)
        return self.answers.pop(0)


def weighted_sum(losses):
    return sum(EVERY[name] * loss for name, loss in losses.items())


# --- parity with the published step


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
    network.head.classify = lambda cam: given["out"]
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


# --- every kind of batch


def a_batch(tags, pairs=0, classes=4, height=32, width=32):
    """Random images with the given tags, the first of them paired with images of the same tags."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.zeros(len(tags), classes)
    for row, own in zip(rows, tags, strict=True):
        row[own] = 1
    image, paired = (torch.randn(count, 3, height, width, generator=generator) for count in (len(tags), pairs))
    return Batch(image, rows, paired, rows[:pairs])


BATCHES = {
    "ordinary": a_batch([[0], [1, 2], [3], [0, 3]], pairs=4),
    "an odd batch": a_batch([[0], [1, 2], [3]], pairs=3),
    "a single image": a_batch([[0, 1]], pairs=1),
    "no pairs": a_batch([[0], [1, 2]], pairs=0),
    "one pair": a_batch([[0], [1, 2], [3]], pairs=1),
    "an image without tags": a_batch([[0], [], [1, 2]], pairs=3),
    "nobody has tags": a_batch([[], [], []], pairs=3),
    "one class": a_batch([[0], [0], []], pairs=3, classes=1),
    "500 classes": a_batch([[0], [254, 499]], pairs=2, classes=500),
    "height not divided by the stride": a_batch([[0], [1, 2]], pairs=2, height=36),
    "width not divided by the stride": a_batch([[0], [1, 2]], pairs=2, width=36),
}


@pytest.mark.parametrize("name", BATCHES)
@pytest.mark.parametrize(
    "recipe",
    [
        PUBLISHED,
        ObjectiveRecipe(stitch="width", channels="tagged", foreground_images="all"),
        ObjectiveRecipe(stitch="random"),
    ],
    ids=["published", "sideways", "random"],
)
def test_losses_and_gradients_are_finite_and_complete(name, recipe):
    batch = BATCHES[name]
    network = tiny_network(batch.tags.shape[1])
    terms = Objective(network, recipe, MEAN, STD)(batch, EVERY)
    assert terms.losses.keys() == EVERY.keys() - (set() if len(batch.paired_image) else PAIRED)
    assert terms.logits.shape == batch.tags.shape
    for term, loss in terms.losses.items():
        assert loss.isfinite(), term
        assert loss <= 0 if term == "inter_class" else loss >= 0, term
    weighted_sum(terms.losses).backward()
    for term, parameter in network.named_parameters():
        assert parameter.grad.isfinite().all(), term


@pytest.mark.parametrize("size", [{"height": 36}, {"width": 36}])
def test_a_stitched_cam_is_brought_to_the_size_of_its_halves(size, monkeypatch):
    batch, seen = a_batch([[0], [1, 2]], pairs=2, **size), []
    transfer = objective.transfer_loss
    monkeypatch.setattr(
        objective, "transfer_loss", lambda *arguments: seen.append(arguments[:2]) or transfer(*arguments)
    )
    network = tiny_network(4)
    (axis,) = size
    Objective(network, ObjectiveRecipe(stitch=axis), MEAN, STD)(batch, WEIGHTS)
    dim = 2 if axis == "height" else 3
    raw = network.scores(torch.cat([batch.image[:2]] * 2, dim=dim))
    halves, stitched = seen[0]
    assert raw.shape[dim] == 9  # 72 pixels at stride 8, but 36 pixels give 5 each
    assert stitched.shape == halves.shape
    assert halves.shape[dim] == 10


@pytest.mark.parametrize("name", EVERY)
def test_a_term_of_weight_0_is_absent_and_leaves_the_others_as_they_are(name, near):
    objective_ = Objective(tiny_network(4), ObjectiveRecipe(), MEAN, STD)
    torch.manual_seed(0)
    every = objective_(BATCHES["ordinary"], EVERY).losses
    torch.manual_seed(0)
    rest = objective_(BATCHES["ordinary"], EVERY | {name: 0.0}).losses
    assert rest.keys() == every.keys() - {name}
    for other, loss in rest.items():
        near(loss, every[other], relative=1e-6)


@pytest.mark.parametrize("name", EVERY)
def test_a_term_can_be_had_alone(name, near):
    objective_ = Objective(tiny_network(4), ObjectiveRecipe(), MEAN, STD)
    torch.manual_seed(0)
    alone = objective_(BATCHES["one pair"], dict.fromkeys(EVERY, 0.0) | {name: 1.0}).losses
    assert alone.keys() == {name}
    torch.manual_seed(0)
    near(alone[name], objective_(BATCHES["one pair"], EVERY).losses[name], relative=1e-6)


@pytest.mark.parametrize(
    ("names", "images"),
    [
        ({"classification"}, [4]),
        ({"classification", "background", "foreground", "inter_class"}, [4]),
        ({"classification", "global_alignment"}, [4, 4]),
        ({"classification", "transfer"}, [8, 4]),
        ({"classification", "erased_classification", "attraction"}, [4, 4]),
        ({"classification", "repulsion"}, [4]),
        (set(WEIGHTS), [8, 4, 4]),
        (set(EVERY), [8, 4, 4]),
    ],
)
def test_only_the_passes_that_are_needed_are_made(names, images):
    network, passes = tiny_network(4), []
    network.backbone.register_forward_hook(lambda module, inputs, output: passes.append(len(output)))
    weights = {name: float(name in names) for name in EVERY}
    Objective(network, ObjectiveRecipe(), MEAN, STD)(BATCHES["ordinary"], weights)
    assert passes == images


@pytest.mark.parametrize(("share", "shown"), [(1.0, 5), (0.5, 3), (0.01, 1)])
def test_only_a_share_of_the_anchors_is_seen_erased(share, shown):
    torch.manual_seed(0)
    answers = [torch.rand(5, 3, 4, 4), torch.rand(shown, 3, 4, 4)]
    network = Scripted(*answers)
    network.head = tiny_network(2).head
    tags = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    images = torch.rand(5, 3, 32, 32)
    loss = Objective(network, ObjectiveRecipe(erased=share), MEAN, STD)
    found = loss(Batch(images, tags, images[:0], tags[:0]), ONLY_CLASSIFICATION | {"global_alignment": 1.0})
    assert len(network.passes[1]) == shown
    pooled = [answer[:, 1:].relu().mean(dim=(-2, -1)) for answer in (answers[1], answers[0][:shown])]
    expected = ((pooled[0] - pooled[1]).abs() * tags[:shown]).mean()
    assert float(found.losses["global_alignment"]) == pytest.approx(float(expected), rel=1e-5)


def test_pseudo_labels_are_made_once_and_only_of_images_that_need_them(monkeypatch):
    ours, images = objective.pseudo_label, []

    def spy(cam, image, *arguments, **options):
        images.append(len(image))
        return ours(cam, image, *arguments, **options)

    monkeypatch.setattr(objective, "pseudo_label", spy)
    objective_ = Objective(tiny_network(4), ObjectiveRecipe(), MEAN, STD)
    objective_(BATCHES["one pair"], WEIGHTS)
    objective_(BATCHES["one pair"], WEIGHTS | {"stitched_background": 0.0, "stitched_foreground": 0.0})
    objective_(BATCHES["one pair"], ONLY_CLASSIFICATION)
    assert images == [4, 3]


def test_pairs_do_not_change_the_class_scores_of_the_anchors(near):
    objective_, batch = Objective(tiny_network(4), ObjectiveRecipe(), MEAN, STD), BATCHES["ordinary"]
    alone = objective_(batch._replace(paired_image=batch.image[:0], paired_tags=batch.tags[:0]), WEIGHTS)
    near(objective_(batch, WEIGHTS).logits, alone.logits, absolute=1e-6)


def test_rivals_are_computed_from_the_erased_image_and_the_gated_pyramid(near):
    torch.manual_seed(0)
    anchor, erased = torch.randn(3, 4, 6, 6), torch.randn(2, 4, 6, 6)
    network = Scripted(anchor, erased)
    network.head = tiny_network(3).head
    images, tags = torch.rand(3, 3, 48, 48), torch.tensor([[1.0, 0, 0], [0, 1.0, 1.0], [0, 0, 0]])
    on = ONLY_CLASSIFICATION | {"erased_classification": 1.0, "attraction": 1.0}
    losses = Objective(network, ObjectiveRecipe(erased=0.5), MEAN, STD)(Batch(images, tags, images[:0], tags[:0]), on)
    assert torch.equal(network.passes[1], erase(images[:2], anchor[:2, 1:], tags[:2], 0.6))
    p = network.head.classify(erased[:, 1:]).sigmoid()
    hard = -(tags[:2] * p.log() + (1 - tags[:2]) * (1 - p).log()).mean()
    near(losses.losses["erased_classification"], hard, relative=1e-5)
    pooled = [network.head.pyramid(cam[:2, 1:]).clamp(min=0).mean(dim=(2, 3)) for cam in (erased, anchor)]
    near(losses.losses["attraction"], ((pooled[0] - pooled[1]).abs() * tags[:2]).mean(), relative=1e-5)


def test_mixed_images_are_taught_the_share_of_each_tag(near):
    batch = a_batch([[0, 1], [2]])
    mixed = torch.tensor([[1.0, 0.25, 0, 0], [0, 0, 1.0, 0]])
    found = Objective(tiny_network(4), ObjectiveRecipe(), MEAN, STD)(batch._replace(mixed=mixed), ONLY_CLASSIFICATION)
    p = found.logits.sigmoid()
    near(found.losses["classification"], -(mixed * p.log() + (1 - mixed) * (1 - p).log()).mean(), relative=1e-5)


def test_foreground_is_taught_by_single_tag_images_or_by_all():
    batch = a_batch([[0, 1], [1, 2]])  # nobody has a single tag
    network = tiny_network(4)
    taught = {
        images: Objective(network, ObjectiveRecipe(foreground_images=images), MEAN, STD)(batch, WEIGHTS).losses
        for images in ("single-tag", "all")
    }
    assert taught["single-tag"]["foreground"] == 0
    assert taught["all"]["foreground"] > 0


def test_never_tagged_classes_do_not_weaken_the_losses_of_the_tagged_ones():
    few, many = (a_batch([[0], [1, 2]], pairs=2, classes=classes) for classes in (4, 40))
    small, large = tiny_network(4), tiny_network(40)
    with torch.no_grad():
        small.head.score.weight *= 20  # activation well above the margin
        large.backbone.load_state_dict(small.backbone.state_dict())
        large.head.reduce.weight.copy_(small.head.reduce.weight)
        large.head.score.weight[:5].copy_(small.head.score.weight)
    for channels, factor in (("tagged", 1.0), ("all", 0.1)):
        recipe = ObjectiveRecipe(channels=channels)
        before, after = (
            Objective(network, recipe, MEAN, STD)(batch, WEIGHTS).losses
            for network, batch in ((small, few), (large, many))
        )
        for term in ("transfer", "global_alignment", "local_alignment"):
            assert before[term] > 0
            torch.testing.assert_close(after[term], before[term] * factor, rtol=1e-4, atol=1e-7)
