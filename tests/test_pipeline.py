"""What repeats what: the stage affinity counts only where the chain of refiners names irn."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ktse import pipeline
from ktse.data.demo.scenes import make_scenes
from ktse.errors import DataError, RunError
from ktse.finished import EACH, ONE, overtaken
from ktse.pipeline import Job, run_all
from ktse.provenance import changes
from ktse.recipe.load import load_recipe
from ktse.run_folder import RunFolder


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
    assert before.key("affinity") != after.key("affinity")
    assert (before.key("refine") != after.key("refine")) == ("irn" in method)
    assert (before.key("segment") != after.key("segment")) == ("irn" in method)
    assert ("affinity" in before.needs("refine")) == ("irn" in method)


def test_a_changed_chain_repeats_refine_but_not_affinity(scenes: Path, tmp_path: Path) -> None:
    before, after = (job(scenes, tmp_path, refine__method=method) for method in (["irn"], ["irn", "crf"]))
    assert before.key("affinity") == after.key("affinity")
    assert before.key("refine") != after.key("refine")


def test_masks_to_calibrate_with_repeat_refine_when_their_content_changes(scenes: Path, tmp_path: Path) -> None:
    few, moved = tmp_path / "few", tmp_path / "moved"
    few.mkdir()
    shutil.copy(scenes / "masks" / "0000.png", few)
    without, before = job(scenes, tmp_path), job(scenes, tmp_path, refine__calibrate=str(few))
    assert without.key("refine") != before.key("refine")
    assert without.key("seed") == before.key("seed")
    shutil.copytree(few, moved)
    assert job(scenes, tmp_path, refine__calibrate=str(moved)).key("refine") == before.key("refine")
    shutil.copy(scenes / "masks" / "0001.png", few)
    assert job(scenes, tmp_path, refine__calibrate=str(few)).key("refine") != before.key("refine")


def test_another_layout_of_what_is_stored_repeats_it_and_what_follows(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = ("classify", "seed", "refine", "segment")
    before = [job(scenes, tmp_path).key(stage) for stage in stages]
    monkeypatch.setitem(pipeline.LAYOUT, "seed", 99)
    after = [job(scenes, tmp_path).key(stage) for stage in stages]
    assert [one == two for one, two in zip(before, after, strict=True)] == [True, False, False, False]


def done(job: Job, *stages: str) -> None:
    """Note stages as done, with something that they made."""
    for stage in stages:
        (job.run.root / pipeline.OUTPUTS[stage][0]).mkdir(exist_ok=True)
        job.run.record(stage, {"state": "done", "key": job.key(stage), "made_from": job.made_from(stage)})


def without(run: RunFolder, stage: str, setting: str) -> None:
    """Let a stage have been done by a version that did not have a setting yet."""
    entry = run.manifest()[stage]
    del entry["made_from"][setting]
    run.record(stage, entry)


def test_a_setting_that_came_with_an_upgrade_repeats_nothing(scenes: Path, tmp_path: Path) -> None:
    stages = ("classify", "seed", "refine", "segment")
    before = job(scenes, tmp_path, segment__clip=0.0)
    before.do("check")
    done(before, *stages)
    without(before.run, "classify", "classify.keep_every")
    without(before.run, "segment", "segment.clip")
    assert [job(scenes, tmp_path, segment__clip=0.0).state(stage) for stage in stages] == ["done"] * 4
    after = job(scenes, tmp_path, segment__clip=1.0)  # which was not what the earlier version did
    assert [after.state(stage) for stage in stages] == ["done", "done", "done", "stale"]


def test_what_has_changed_is_said_by_name(scenes: Path, tmp_path: Path) -> None:
    before = job(scenes, tmp_path)
    before.do("check")
    done(before, "classify", "seed", "refine", "segment")
    after = job(scenes, tmp_path, segment__beco__mix=0.25, segment__encoder="resnet18")
    assert after.why_stale("segment") == [
        "segment.beco.mix was 0.5 and is 0.25", 'segment.encoder was "resnet10t" and is "resnet18"',
    ]  # fmt: skip
    other = job(scenes, tmp_path, seed__long_side=77)
    assert other.why_stale("refine") == ["seed changed"]
    with pytest.raises(RunError, match=r"refine needs seed, which is stale\n  - seed\.long_side was"):
        other.do("refine")


def test_masks_of_an_earlier_layout_say_so(scenes: Path, tmp_path: Path) -> None:
    before = job(scenes, tmp_path)
    done(before, "refine")
    entry = before.run.manifest()["refine"]
    before.run.record("refine", {name: entry[name] for name in ("state", "key")} | {"key": "0123"})
    assert before.state("refine") == "stale"
    assert before.why_stale("refine") == ["an earlier version made it"]


def test_precision_and_processes_repeat_nothing(scenes: Path, tmp_path: Path) -> None:
    before = job(scenes, tmp_path, refine__method=["irn"])
    after = job(
        scenes, tmp_path, refine__method=["irn"], affinity__workers=3, refine__workers=0, refine__precision="fp32"
    )
    assert [before.key(stage) for stage in ("affinity", "refine")] == [
        after.key(stage) for stage in ("affinity", "refine")
    ]


def test_images_copied_elsewhere_are_looked_at_again_and_repeat_nothing_else(scenes: Path, tmp_path: Path) -> None:
    run, moved = tmp_path / "run", tmp_path / "moved"
    job(scenes, run).do("check")
    before = job(scenes, run)
    keys = [before.key(stage) for stage in ("classify", "segment")]
    shutil.copytree(scenes, moved, copy_function=shutil.copy)  # without the files' times
    after = job(moved, run)
    assert after.state("check") == "stale"
    assert after.key("classify") != keys[0]
    after.look_again()
    assert [after.key(stage) for stage in ("classify", "segment")] == keys


def test_an_image_that_was_damaged_since_stops_everything_and_says_how_to_go_on(scenes: Path, tmp_path: Path) -> None:
    run, moved = tmp_path / "run", tmp_path / "moved"
    job(scenes, run).do("check")
    key = job(scenes, run).key("classify")
    shutil.copytree(scenes, moved)
    photo = min((moved / "images").iterdir())
    whole = photo.read_bytes()
    photo.write_bytes(whole[:50])
    with pytest.raises(DataError, match=r"0000\.jpg cannot be read"):
        job(moved, run).do("classify")
    with pytest.raises(RunError, match="classify needs check, which is missing") as caught:
        job(moved, run).do("classify")
    assert f"ktse run --out {run}" in str(caught.value)
    photo.write_bytes(whole)
    job(moved, run).do("check")
    assert job(moved, run).key("classify") == key


@pytest.mark.parametrize("change", ["image", "tags", "name"])
def test_other_images_or_tags_repeat_everything(scenes: Path, tmp_path: Path, change: str) -> None:
    run, other = tmp_path / "run", tmp_path / "other"
    job(scenes, run).do("check")
    key = job(scenes, run).key("classify")
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
    after.look_again()
    assert after.key("classify") != key


@pytest.mark.parametrize(("method", "stages"), [(["par"], 8), (["irn"], 9)])
def test_affinity_is_done_only_if_the_chain_walks(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: list[str], stages: int
) -> None:
    done: list[str] = []
    monkeypatch.setattr(Job, "do", lambda self, stage: done.append(stage))
    monkeypatch.setattr(Job, "check_disk", lambda self: None)
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
        {"predict__crf__iterations": 10},
    ],
)
def test_a_missing_extra_is_said_before_any_stage(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, object]
) -> None:
    monkeypatch.setattr("ktse.refinement.dense_crf.find_spec", lambda name: None)
    monkeypatch.setattr(Job, "do", lambda self, stage: pytest.fail(f"{stage} was done"))
    with pytest.raises(RunError, match=r'pip install "ktse\[crf\]"'):
        run_all(job(scenes, tmp_path, **settings))


def test_missing_weights_of_a_sam_are_said_before_any_stage(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers", reason='needs the extra sam: pip install "ktse[sam]"')
    monkeypatch.setattr(Job, "do", lambda self, stage: pytest.fail(f"{stage} was done"))
    with pytest.raises(RunError, match=r"refine\.sam_weights"):
        run_all(job(scenes, tmp_path, refine__method=["sam"]))


def test_a_chain_without_the_extra_needs_none(scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ktse.refinement.dense_crf.find_spec", lambda name: None)
    job(scenes, tmp_path, refine__method=["par"], affinity__labels="crf").require_extras()
    job(scenes, tmp_path, refine__method=["irn"]).require_extras()
    job(scenes, tmp_path, refine__method=["sam"]).require_extras(["segment", "evaluate"])


STAGES = ("check", "classify", "seed", "refine", "segment", "predict", "evaluate", "report")


@pytest.fixture
def finished(scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Job, list[str]]:
    """A run whose stages write empty files; which of them are done, in order."""
    whole, done = job(scenes, tmp_path / "run"), []

    def stage_function(stage: str) -> Callable[[Job], None]:
        def write(job: Job) -> None:
            done.append(stage)
            each = [kind.format(image_id) for kind in EACH.get(stage, ()) for image_id in job.data.ids]
            for name in [*each, *([ONE[stage]] if stage in ONE else [])]:
                job.run.path(name).parent.mkdir(parents=True, exist_ok=True)
                job.run.path(name).touch()

        return pipeline.check if stage == "check" else write

    monkeypatch.setattr(pipeline, "stage_function", stage_function)
    whole.run.root.mkdir()
    whole.run.write_recipe(whole.recipe)
    for stage in STAGES:
        whole.do(stage)
    assert done == list(STAGES[1:])
    done.clear()
    return whole, done


@pytest.mark.parametrize(
    ("stage", "removed", "made_anew"),
    [
        ("classify", "classify/model.safetensors", 1),
        ("seed", "seeds/0001.npz", 1),
        ("refine", "confident/0001.png", 3),
        ("refine", "masks", 1 + 3 * 3),
        ("segment", "segment/model.safetensors", 1),
        ("predict", "fused/0002.png", 2),
        ("predict", "predictions", 2 * 3),
    ],
)
def test_what_a_user_has_removed_is_made_anew_and_nothing_else(
    finished: tuple[Job, list[str]], stage: str, removed: str, made_anew: int, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, done = finished
    path = whole.run.path(removed)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert len(whole.gone(stage)) == made_anew
    for name in STAGES:
        whole.do(name)
    assert done == [stage]
    assert f"{stage}: files are gone" in capsys.readouterr().err
    assert not whole.gone(stage)


def test_a_result_that_a_later_stage_overtook_says_so(finished: tuple[Job, list[str]], scenes: Path) -> None:
    whole, _ = finished
    root = whole.run.root
    assert overtaken(whole.run, whole.recipe, "segment") == []
    other = job(scenes, root, refine__threshold=0.3)
    assert overtaken(whole.run, other.recipe, "segment") == ['refine.threshold was "auto" and is 0.3']
    other.do("refine")
    assert overtaken(whole.run, other.recipe, "segment") == ["refine was done again"]
    assert overtaken(whole.run, other.recipe, "refine") == []


def test_a_path_that_was_noted_as_given_is_the_same_made_absolute() -> None:
    assert not changes({"a.weights": "x/w.st"}, {"a.weights": str(Path.cwd() / "x/w.st")}, {})
    for former in ("w.pth", "y/w.st", "none", "t", str(Path.cwd() / "w.st")):
        assert changes({"a.weights": former}, {"a.weights": str(Path.cwd() / "x/w.st")}, {})


@pytest.mark.parametrize("begun", [False, True])
def test_a_stale_network_goes_when_a_new_training_has_begun(
    finished: tuple[Job, list[str]], scenes: Path, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    whole, _ = finished
    root = whole.run.root
    other = job(scenes, root, classify__lr=0.5)
    assert other.state("classify") == "stale"

    def fail(job: Job) -> None:
        assert not job.run.path("classify").exists()
        if begun:
            job.run.path("classify").mkdir()
        raise DataError("no weights")

    monkeypatch.setattr(pipeline, "stage_function", lambda stage: fail)
    with pytest.raises(DataError):
        other.do("classify")
    assert [job(scenes, root).state("classify"), other.state("classify")] == (
        ["stale", "unfinished"] if begun else ["done", "stale"]
    )
    assert not list(root.glob(".*"))
