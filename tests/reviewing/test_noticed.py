"""What check has noticed about an image stands beside it on the page."""

from __future__ import annotations

from ktse.files import write_json
from ktse.reviewing.pictures import Pictures
from ktse.run_folder import RunFolder


def test_what_check_has_noticed_is_shown(pictures: Pictures, reviewed: RunFolder) -> None:
    doubt = {"id": "beach/001", "class": "dog", "tagged": True, "score": 2.0}
    pairs = [{"id": "beach/002", "like": "none"}, {"id": "none", "like": "gone"}]
    write_json(reviewed.path("check.json"), {"duplicates": [["beach/001", "none"]]})
    write_json(reviewed.path("noticed.json"), {"doubtful": [doubt], "near_copies": pairs})
    notes = {image["id"]: image["notes"] for image in pictures.about_run()["images"]}
    assert notes["beach/001"] == ["doubtful tag: dog", "same content as none"]
    assert notes["beach/002"] == ["almost the same as none"]
    assert notes["none"] == ["same content as beach/001", "almost the same as beach/002"]
    assert notes["park/003"] == []
