"""What repeats what: the stage affinity counts only where the chain of refiners names irn."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fakes import alter, empty_stages
from ktse.artefacts import made_with
from ktse.data.demo.scenes import make_scenes
from ktse.errors import DataError, RunError
from ktse.job import Job
from ktse.pipeline import (
    ADAPT,
    AFFINITY,
    CHECK,
    CLASSIFY,
    EVALUATE,
    PREDICT,
    REFINE,
    SEED,
    SEGMENT,
    STAGES,
    require_extras,
    run_all,
    stages_of,
)
from ktse.recipe.load import load_recipe
from ktse.run_folder import RunFolder
from ktse.staleness import Stage, overtaken, short_hash

RANDOM = (CLASSIFY, AFFINITY, SEGMENT)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "scenes"
    make_scenes(folder, images=3, size=(64, 64))
    return folder


def job(scenes: Path, root: Path, **settings: object) -> Job:
    data = {"data.images": str(scenes / "images"), "data.tags": str(scenes / "tags.csv")}
    return Job(RunFolder(root), load_recipe("demo", {**data, **{k.replace("__", "."): v for k, v in settings.items()}}))


@pytest.mark.parametrize("method", [[], ["par"], ["par", "crf"], ["irn"], ["irn", "crf"]])
def test_refine_depends_on_affinity_only_if_the_chain_walks(scenes: Path, tmp_path: Path, method: list[str]) -> None:
    before = job(scenes, tmp_path, refine__method=method)
    after = job(scenes, tmp_path, refine__method=method, affinity__epochs=9)
    assert before.key(AFFINITY) != after.key(AFFINITY)
    assert (before.key(REFINE) != after.key(REFINE)) == ("irn" in method)
    assert (before.key(SEGMENT) != after.key(SEGMENT)) == ("irn" in method)
    assert (AFFINITY in REFINE.needed(before.recipe)) == ("irn" in method)


def test_a_changed_chain_repeats_refine_but_not_affinity(scenes: Path, tmp_path: Path) -> None:
    before, after = (job(scenes, tmp_path, refine__method=method) for method in (["irn"], ["irn", "crf"]))
    assert before.key(AFFINITY) == after.key(AFFINITY)
    assert before.key(REFINE) != after.key(REFINE)


def test_masks_to_calibrate_with_repeat_refine_when_their_content_changes(scenes: Path, tmp_path: Path) -> None:
    few, moved = tmp_path / "few", tmp_path / "moved"
    few.mkdir()
    shutil.copy(scenes / "masks" / "0000.png", few)
    without, before = job(scenes, tmp_path), job(scenes, tmp_path, refine__calibrate=str(few))
    assert without.key(REFINE) != before.key(REFINE)
    assert without.key(SEED) == before.key(SEED)
    shutil.copytree(few, moved)
    assert job(scenes, tmp_path, refine__calibrate=str(moved)).key(REFINE) == before.key(REFINE)
    shutil.copy(scenes / "masks" / "0001.png", few)
    assert job(scenes, tmp_path, refine__calibrate=str(few)).key(REFINE) != before.key(REFINE)


def test_another_layout_of_what_is_stored_repeats_it_and_what_follows(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = (CLASSIFY, SEED, REFINE, SEGMENT)
    before = [job(scenes, tmp_path).key(stage) for stage in stages]
    alter(monkeypatch, SEED, layout=99)
    after = [job(scenes, tmp_path).key(stage) for stage in stages]
    assert [one == two for one, two in zip(before, after, strict=True)] == [True, False, False, False]


def done(job: Job, *stages: Stage) -> None:
    """Note stages as done, with something that they made."""
    for stage in stages:
        (job.run.root / stage.outputs[0]).mkdir(exist_ok=True)
        job.run.record(stage.name, {"state": "done", "key": job.key(stage), "made_from": job.made_from(stage)})


def without(run: RunFolder, stage: Stage, setting: str) -> None:
    """Let a stage have been done by a version that did not have a setting yet."""
    entry = run.manifest()[stage.name]
    del entry["made_from"][setting]
    run.record(stage.name, entry)


def test_a_setting_that_came_with_an_upgrade_repeats_nothing(scenes: Path, tmp_path: Path) -> None:
    stages = (CLASSIFY, SEED, REFINE, SEGMENT)
    before = job(scenes, tmp_path, segment__clip=0.0)
    before.do(CHECK)
    done(before, *stages)
    without(before.run, CLASSIFY, "classify.keep_every")
    without(before.run, SEGMENT, "segment.clip")
    assert [job(scenes, tmp_path, segment__clip=0.0).state(stage) for stage in stages] == ["done"] * 4
    after = job(scenes, tmp_path, segment__clip=1.0)  # which was not what the earlier version did
    assert [after.state(stage) for stage in stages] == ["done", "done", "done", "stale"]


def test_what_has_changed_is_said_by_name(scenes: Path, tmp_path: Path) -> None:
    before = job(scenes, tmp_path)
    before.do(CHECK)
    done(before, CLASSIFY, SEED, REFINE, SEGMENT)
    after = job(scenes, tmp_path, segment__beco__mix=0.25, segment__architecture="fpn")
    assert after.why_stale(SEGMENT) == [
        "segment.beco.mix was 0.5 and is 0.25", 'segment.architecture was "deeplabv3plus" and is "fpn"',
    ]  # fmt: skip
    other = job(scenes, tmp_path, seed__long_side=77)
    assert other.why_stale(REFINE) == ["seed changed"]
    with pytest.raises(RunError, match=r"refine needs seed, which is stale\n  - seed\.long_side was"):
        other.do(REFINE)


def test_a_setting_that_an_upgrade_has_taken_away_repeats_nothing(scenes: Path, tmp_path: Path) -> None:
    stages = (CLASSIFY, SEED, REFINE, SEGMENT)
    before = job(scenes, tmp_path)
    before.do(CHECK)
    done(before, *stages)
    for stage, name, value in ((CLASSIFY, "classify.seed", 3), (REFINE, "refine.undecided", 0.05)):
        entry = before.run.manifest()[stage.name]
        former = {**entry["made_from"], name: value}
        key = short_hash({**former, "stage": stage.name})
        before.run.record(stage.name, {**entry, "made_from": former, "key": key})
    # What follows was made from these keys.
    for stage in (SEED, REFINE, SEGMENT):
        entry = before.run.manifest()[stage.name]
        before.run.record(stage.name, {**entry, "made_from": job(scenes, tmp_path).made_from(stage)})
    assert [job(scenes, tmp_path).state(stage) for stage in stages] == ["done"] * 4
    assert job(scenes, tmp_path, classify__lr=0.5).state(CLASSIFY) == "stale"
    assert overtaken(before.run, before.recipe, SEGMENT) == []


def test_precision_and_processes_repeat_nothing_and_the_random_seed_what_is_random(
    scenes: Path, tmp_path: Path
) -> None:
    def keys(**settings: object) -> list[str]:
        whole = job(scenes, tmp_path, refine__method=["irn"], **settings)
        return [whole.key(stage) for stage in (CHECK, *RANDOM)]

    before = keys()
    assert keys(compute__workers=3, compute__precision="fp32") == before
    assert [one == two for one, two in zip(before, keys(compute__random_seed=1), strict=True)] == [True, *[False] * 3]
    assert [stage for stage in STAGES.values() if stage.trained] == [*RANDOM, ADAPT]


def test_images_copied_elsewhere_are_looked_at_again_and_repeat_nothing_else(scenes: Path, tmp_path: Path) -> None:
    run, moved = tmp_path / "run", tmp_path / "moved"
    job(scenes, run).do(CHECK)
    before = job(scenes, run)
    keys = [before.key(stage) for stage in (CLASSIFY, SEGMENT)]
    shutil.copytree(scenes, moved, copy_function=shutil.copy)  # without the files' times
    after = job(moved, run)
    assert after.state(CHECK) == "stale"
    assert after.key(CLASSIFY) != keys[0]
    after.look_again([CLASSIFY])
    assert [after.key(stage) for stage in (CLASSIFY, SEGMENT)] == keys


def test_an_image_that_was_damaged_since_stops_everything_and_says_how_to_go_on(scenes: Path, tmp_path: Path) -> None:
    run, moved = tmp_path / "run", tmp_path / "moved"
    job(scenes, run).do(CHECK)
    key = job(scenes, run).key(CLASSIFY)
    shutil.copytree(scenes, moved)
    photo = min((moved / "images").iterdir())
    whole = photo.read_bytes()
    photo.write_bytes(whole[:50])
    with pytest.raises(DataError, match=r"0000\.jpg cannot be read"):
        job(moved, run).do(CLASSIFY)
    with pytest.raises(RunError, match="classify needs check, which is missing") as caught:
        job(moved, run).do(CLASSIFY)
    assert f"ktse run --out {run}" in str(caught.value)
    photo.write_bytes(whole)
    job(moved, run).do(CHECK)
    assert job(moved, run).key(CLASSIFY) == key


@pytest.mark.parametrize("change", ["image", "tags", "name"])
def test_other_images_or_tags_repeat_everything(scenes: Path, tmp_path: Path, change: str) -> None:
    run, other = tmp_path / "run", tmp_path / "other"
    job(scenes, run).do(CHECK)
    key = job(scenes, run).key(CLASSIFY)
    shutil.copytree(scenes, other)
    table = other / "tags.csv"
    header, first, *rest = table.read_text(encoding="utf-8").splitlines()
    photo, second, _ = sorted((other / "images").iterdir())
    if change == "image":
        shutil.copyfile(second, photo)
    elif change == "tags":
        table.write_text("\n".join([header, first.split(",")[0] + ",", *rest]) + "\n", encoding="utf-8")
    else:
        photo.rename(photo.with_stem("9"))
        table.write_text("\n".join([header, first.replace(photo.stem, "9"), *rest]) + "\n", encoding="utf-8")
    after = job(other, run)
    after.look_again([CLASSIFY])
    assert after.key(CLASSIFY) != key


@pytest.mark.parametrize(("method", "stages"), [(["par"], 8), (["irn"], 9)])
def test_affinity_is_done_only_if_the_chain_walks(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: list[str], stages: int
) -> None:
    done: list[str] = []
    monkeypatch.setattr(Job, "do", lambda self, stage: done.append(stage.name))
    monkeypatch.setattr("ktse.pipeline.say_costs", lambda *_: None)
    run_all(job(scenes, tmp_path, refine__method=method))
    assert len(done) == stages
    assert ("affinity" in done) == ("irn" in method)
    if "affinity" in done:
        assert done.index("seed") < done.index("affinity") < done.index("refine")


@pytest.mark.parametrize(
    "settings",
    [
        {"refine__method": ["crf"]},
        {"refine__method": ["irn"], "affinity__labels": "crf"},
        {"predict__crf": True},
    ],
)
def test_a_missing_extra_is_said_before_any_stage(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, object]
) -> None:
    monkeypatch.setattr("ktse.refinement.dense_crf.find_spec", lambda name: None)
    monkeypatch.setattr(Job, "do", lambda self, stage: pytest.fail(f"{stage.name} was done"))
    with pytest.raises(RunError, match=r'pip install "ktse\[crf\]"'):
        run_all(job(scenes, tmp_path, **settings))


def test_missing_weights_of_a_sam_are_said_before_any_stage(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers", reason='needs the extra sam: pip install "ktse[sam]"')
    monkeypatch.setattr(Job, "do", lambda self, stage: pytest.fail(f"{stage.name} was done"))
    with pytest.raises(RunError, match=r"refine\.sam_weights"):
        run_all(job(scenes, tmp_path, refine__method=["sam"]))


def test_a_chain_without_the_extra_needs_none(scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ktse.refinement.dense_crf.find_spec", lambda name: None)
    for settings in ({"refine__method": ["par"], "affinity__labels": "crf"}, {"refine__method": ["irn"]}):
        recipe = job(scenes, tmp_path, **settings).recipe
        require_extras(recipe, stages_of(recipe))
    require_extras(job(scenes, tmp_path, refine__method=["sam"]).recipe, [SEGMENT, EVALUATE])


ALL = [stage for stage in STAGES.values() if stage is not AFFINITY]


@pytest.fixture
def finished(scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Job, list[str]]:
    """A run whose stages write empty files; which of them are done, in order."""
    whole, done = job(scenes, tmp_path / "run"), empty_stages(monkeypatch)
    whole.run.root.mkdir()
    whole.run.write_recipe(whole.recipe)
    for stage in ALL:
        whole.do(stage)
    assert done == [stage.name for stage in ALL[1:]]
    done.clear()
    return whole, done


@pytest.mark.parametrize(
    ("stage", "removed", "made_anew"),
    [
        (CLASSIFY, "classify/model.safetensors", 1),
        (SEED, "seeds/0001.npz", 1),
        (REFINE, "confident/0001.png", 3),
        (REFINE, "masks", 1 + 3 * 3),
        (SEGMENT, "segment/model.safetensors", 1),
        (PREDICT, "fused/0002.png", 2),
        (PREDICT, "predictions", 2 * 3),
    ],
)
def test_what_a_user_has_removed_is_made_anew_and_nothing_else(
    finished: tuple[Job, list[str]], stage: Stage, removed: str, made_anew: int, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, done = finished
    path = whole.run.path(removed)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert len(made_with(stage, whole.wrong(stage))) == made_anew
    for each in ALL:
        whole.do(each)
    assert done == [stage.name]
    assert f"{stage.name}: {removed.partition('/')[0]}" in capsys.readouterr().err
    assert not whole.wrong(stage)


def test_a_result_that_a_later_stage_overtook_says_so(finished: tuple[Job, list[str]], scenes: Path) -> None:
    whole, _ = finished
    root = whole.run.root
    assert overtaken(whole.run, whole.recipe, SEGMENT) == []
    other = job(scenes, root, refine__threshold=0.3)
    assert overtaken(whole.run, other.recipe, SEGMENT) == ['refine.threshold was "auto" and is 0.3']
    other.do(REFINE)
    assert overtaken(whole.run, other.recipe, SEGMENT) == ["refine was done again"]
    assert overtaken(whole.run, other.recipe, REFINE) == []


@pytest.mark.parametrize("begun", [False, True])
def test_a_stale_network_goes_when_a_new_training_has_begun(
    finished: tuple[Job, list[str]], scenes: Path, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    whole, _ = finished
    root = whole.run.root
    other = job(scenes, root, classify__lr=0.5)
    assert other.state(CLASSIFY) == "stale"

    def fail(job: Job) -> None:
        assert not job.run.path("classify").exists()
        if begun:
            job.run.path("classify").mkdir()
        raise DataError("no weights")

    alter(monkeypatch, CLASSIFY, do=fail)
    with pytest.raises(DataError):
        other.do(CLASSIFY)
    assert [job(scenes, root).state(CLASSIFY), other.state(CLASSIFY)] == (
        ["stale", "unfinished"] if begun else ["done", "stale"]
    )
    assert not list(root.glob(".*"))
