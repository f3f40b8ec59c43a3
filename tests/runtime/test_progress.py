"""What is left of a run is estimated from what was measured, and not before."""

from __future__ import annotations

import pytest

from ktse.runtime.console import track
from ktse.runtime.progress import WholeRun, about, whole_run


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_nothing_is_said_before_anything_was_measured(clock: Clock) -> None:
    run = WholeRun({"look": 1, "train": 60, "apply": 39}, clock)
    assert run.left is None
    run.begin("look")
    clock.now = 50  # a stage of one hundredth of the work says nothing about the others
    assert run.left is None and run.words == ""
    run.begin("train")
    assert run.left is None
    assert run.place == "stage 2 of 3"


def test_the_pace_so_far_goes_on(clock: Clock) -> None:
    run = WholeRun({"train": 60, "apply": 40}, clock)
    run.begin("train")
    run.at(0.5)
    clock.now = 60
    assert run.left == pytest.approx(60 + 80)  # twice as slow as expected, and so is what follows
    clock.now = 120
    run.begin("apply")
    assert run.left == pytest.approx(80)
    run.expect(10)
    for _ in range(5):
        run.advance()
    clock.now = 130  # this stage turns out to be faster
    assert run.left == pytest.approx(10)


def test_what_an_earlier_call_has_done_is_not_measured(clock: Clock) -> None:
    run = WholeRun({"train": 60, "apply": 40}, clock)
    run.begin("train")
    run.resume(0.9)
    run.at(0.95)
    clock.now = 10
    assert run.left == pytest.approx(10 + 20 / 6 * 40)


def test_a_stage_that_was_done_already_says_nothing(clock: Clock) -> None:
    run = WholeRun({"train": 90, "apply": 10}, clock)
    run.begin("train")
    clock.now = 0.1
    run.begin("apply")
    assert run.left is None


def test_what_was_done_already_is_no_part_of_the_work(clock: Clock) -> None:
    run = WholeRun({"train": 98, "learn": 1, "apply": 1}, clock)
    run.begin("train")
    clock.now = 0.1
    run.begin("learn")
    run.at(0.5)
    clock.now = 10.1
    assert run.left == pytest.approx(10 + 20)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (20, "less than a minute"),
        (61, "about 1 minute"),
        (700, "about 12 minutes"),
        (6 * 3600 + 1000, "about 6.3 hours"),
        (50 * 3600, "about 50 hours"),
    ],
)
def test_words_are_no_more_precise_than_an_estimate(seconds: float, words: str) -> None:
    assert about(seconds) == words


def test_epochs_and_items_tell_the_run_how_far_it_is() -> None:
    with whole_run({"train": 1, "apply": 1}) as run:
        run.begin("train")
        for epoch in range(4):
            list(track(range(3), "train", total=3, turn=(epoch, 4)))
            assert run._share == pytest.approx((epoch + 1) / 4)
        run.begin("apply")
        list(track(range(2), "look", total=2))
        shares = [run._share for _ in track(range(8), "apply", total=8)]
    assert shares == pytest.approx([1.0, *(number / 10 for number in range(3, 10))])
