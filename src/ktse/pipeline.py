"""The whole run on one page, in reading order: from images and tags to masks, to a model, to a report.

A stage reads the run folder, does one thing, and writes the run folder. Each is done once, and again only when
something before it has changed. Only evaluate and report are given the true masks.
"""

from __future__ import annotations

from ktse.checking.check import check_images, to_json
from ktse.checking.extras import require_extras
from ktse.checking.in_advance import say_costs
from ktse.files import write_json
from ktse.job import Job
from ktse.recipe import Recipe
from ktse.runtime.console import say
from ktse.runtime.processes import rank
from ktse.runtime.progress import whole_run
from ktse.stages import costs
from ktse.staleness import Stage, training

# Networks are imported where they are used, so that what needs none (check, report, status) does not load torch.


def check(job: Job) -> None:
    """Look at every image before training.

    Raises:
        DataError: images cannot be read; nothing is trained.
    """
    checked = check_images(job.given.images, skip_bad=job.recipe.data.skip_bad)
    for warning in checked.warnings:
        say(f"check: {warning}")
    checked.raise_errors()
    job.run.write_classes(job.given.images.classes)
    write_json(job.run.path("check.json"), to_json(checked))


def classify(job: Job) -> None:
    """Train a classification network on the tags, with the objective of the paper; its maps are the CAMs."""
    from ktse.stages.classify import classify

    classify(job.run, job.data, job.recipe.classify, job.recipe.compute)


def seed(job: Job) -> None:
    """Compute the class activation maps of every image."""
    from ktse.stages.seed import seed

    seed(job.run, job.data, job.recipe.seed, job.recipe.compute)


def affinity(job: Job) -> None:
    """Train the boundary network that the refiner irn walks with."""
    from ktse.stages.affinity import affinity

    affinity(job.run, job.data, job.recipe.affinity, job.recipe.compute)


def refine(job: Job) -> None:
    """Make masks: refine the CAMs along the image, and cut them at a background threshold."""
    from ktse.stages.refine import refine

    refine(job.run, job.data, job.recipe.refine, job.given.calibration, job.given.other, job.recipe.compute)


def segment(job: Job) -> None:
    """Train a segmentation model on the masks."""
    from ktse.stages.segment import segment

    segment(job.run, job.data, job.recipe.segment, job.recipe.compute)


def adapt(job: Job) -> None:
    """Let the segmentation model learn from the masks that a person has corrected."""
    from ktse.stages.adapt import adapt

    adapt(job.run, job.data, job.recipe.segment, job.given.corrections, job.recipe.compute)


def predict(job: Job) -> None:
    """Predict every image without its tags, and fuse the prediction with its mask."""
    from ktse.stages.predict import predict

    recipe = job.recipe
    predict(job.run, job.data, recipe.predict, job.given.corrections, recipe.compute, recipe.segment)


def evaluate(job: Job) -> None:
    """Measure what there is, with true masks where there are some, and judge it."""
    from ktse.stages.evaluate import evaluate

    evaluate(job.run, job.data, job.given.truth, job.recipe)


def report(job: Job) -> None:
    """Write the page and the model card."""
    from ktse.reporting.model_card import write_model_card
    from ktse.reporting.page import write_report

    write_report(job.run, job.data, job.given.truth)
    write_model_card(job.run, job.data, job.given.truth)


CHECK = Stage("check", check, outputs=("check.json", "classes.txt"), costs=costs.EachImageOnce(), alone=True, layout=2)
CLASSIFY = training("classify", classify, needs=(CHECK,), costs=costs.Classify())
SEED = Stage("seed", seed, needs=(CLASSIFY,), outputs=("seeds",), costs=costs.Seed(), each=("seeds/{}.npz",), layout=3)
AFFINITY = training(
    "affinity",
    affinity,
    needs=(SEED,),
    costs=costs.Affinity(),
    extras=lambda recipe: ["crf"] if recipe.affinity.labels == "crf" else [],
    wanted=lambda recipe: "irn" in recipe.refine.method,
)
REFINE = Stage(
    "refine",
    refine,
    needs=(SEED, AFFINITY),
    given={
        "the masks to calibrate with": lambda job: job.given.calibration,
        "the other masks": lambda job: job.given.other,
    },
    outputs=("masks", "scores", "confident", "other"),
    costs=costs.Refine(),
    each=("masks/{}.npz", "masks/{}.png", "confident/{}.png"),
    last="masks/summary.json",
    layout=2,
    extras=lambda recipe: {"crf", "sam"} & set(recipe.refine.method),
)
SEGMENT = training("segment", segment, needs=(REFINE,), costs=costs.Segment())
ADAPT = training(
    "adapt",
    adapt,
    needs=(REFINE, SEGMENT),
    given={"the corrected masks": lambda job: job.given.corrections},
    costs=costs.Adapt(),
    wanted=lambda recipe: recipe.segment.made_by == "adapt",
)
PREDICT = Stage(
    "predict",
    predict,
    needs=(REFINE, SEGMENT, ADAPT),
    outputs=("predictions", "fused"),
    costs=costs.Predict(),
    each=("fused/{}.png", "predictions/{}.png"),
    extras=lambda recipe: ["crf"] if recipe.predict.crf else [],
)
EVALUATE = Stage(
    "evaluate",
    evaluate,
    needs=(SEED, REFINE, PREDICT),
    given={"the true masks": lambda job: job.given.truth},
    outputs=("evaluation.json", "evaluation_images.csv"),
    costs=costs.EachImageOnce(),
    last="evaluation.json",
    alone=True,
    measures=True,
    layout=3,
)
REPORT = Stage(
    "report",
    report,
    needs=(EVALUATE,),
    outputs=("report.html", "model_card.md"),
    costs=costs.Report(),
    last="report.html",
    alone=True,
)

STAGES = {
    stage.name: stage for stage in (CHECK, CLASSIFY, SEED, AFFINITY, REFINE, SEGMENT, ADAPT, PREDICT, EVALUATE, REPORT)
}


def stages_of(recipe: Recipe) -> list[Stage]:
    """The stages of a run with this recipe, in order."""
    return [stage for stage in STAGES.values() if stage.wanted(recipe)]


def run_all(job: Job) -> None:
    """Do all stages in order; what is done already is left alone."""
    job.recipe.require_one_backbone()
    require_extras(job.recipe, stages_of(job.recipe))
    stages = {stage.name: stage for stage in stages_of(job.recipe)}
    with whole_run({name: stage.costs.work(job.extent, job.recipe) for name, stage in stages.items()}) as whole:
        for name, stage in stages.items():
            whole.begin(name)
            job.do(stage)
            if stage is CHECK and rank() == 0 and any(job.state(later) != "done" for later in stages.values()):
                left = [later for later in stages.values() if job.state(later) != "done"]
                say_costs(job.run.root, stages.values(), left, job.extent, job.recipe)
