from __future__ import annotations

import pytest

from ktse.reporting.gallery import choose
from ktse.reporting.wording import count, duration, listing, memory, number, plural, share


@pytest.mark.parametrize("amount", range(30))
def test_no_image_is_shown_twice(amount: int) -> None:
    best, middle, worst = choose(amount)
    shown = [*best, *middle, *worst]
    assert len(shown) == len(set(shown)) and all(0 <= place < amount for place in shown)
    assert best == sorted(best) and worst == sorted(worst, reverse=True)
    if amount >= 12:
        assert len(best) == len(middle) == len(worst) == 4 and worst[0] == amount - 1 and best[0] == 0
        assert abs(sum(middle) / 4 - (amount - 1) / 2) <= 0.5
    elif amount >= 3:
        assert best and middle and worst


def test_wording() -> None:
    assert number(41.25) == "41.2" and number(None) == number(float("nan")) == number(True) == "–"
    assert count(1785) == "1,785" and share(0.0342) == "3.4 %"
    assert [duration(s) for s in (4.21, 59.99, 200, 4321, None)] == [
        "4.2 s",
        "1 min 0 s",
        "3 min 20 s",
        "1 h 12 min",
        "–",
    ]
    assert memory(640.4) == "640 MB" and memory(2150) == "2.1 GB" and memory(None) == "–"
    assert plural(1, "image") == "1 image" and plural(1785, "class", "classes") == "1,785 classes"
    assert listing([]) == "" and listing(["a"]) == "a" and listing(["a", "b", "c"]) == "a, b and c"
