"""The objective on every kind of batch: sound, complete, and no more work than its terms need."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ktse.method import cross_entropy, objective
from ktse.method.erasing import erase
from ktse.method.objective import Batch, Objective
from ktse.recipe import ObjectiveRecipe
from ktse.recipe.load import load_recipe
from objectives import EVERY, MEAN, ONLY_CLASSIFICATION, STD, WEIGHTS, Scripted, a_batch, tiny_network, weighted_sum

PAIRED = {"transfer", "stitched_background", "stitched_foreground"}
PUBLISHED = load_recipe("voc12-official").classify.objective


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


class Largest(TorchDispatchMode):
    """Remembers the largest tensor that any operation returns."""

    values = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        made = result if isinstance(result, (tuple, list)) else (result,)
        self.values = max([self.values, *(tensor.numel() for tensor in made if isinstance(tensor, torch.Tensor))])
        return result


def test_no_plane_at_image_size_for_each_of_many_classes(monkeypatch):
    monkeypatch.setitem(cross_entropy.BAND, "cpu", 1 << 15)
    batch = a_batch([[0], [254, 499]], pairs=2, classes=500, height=64, width=64)
    objective = Objective(tiny_network(500), ObjectiveRecipe(), MEAN, STD)
    with Largest() as seen:
        losses = objective(batch, WEIGHTS).losses
        sum(WEIGHTS[name] * loss for name, loss in losses.items()).backward()
    planes = 500 * batch.image[:, 0].numel()
    assert 0 < seen.values < planes / 4
