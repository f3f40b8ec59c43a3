"""What learns while the page is open ends with the server, however that ends, and says how far it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="needs the extra review")

from ktse.reviewing.learning import Learning
from ktse.run_folder import RunFolder
from ktse.runtime.attended import MARK
from ktse.runtime.lock import holder

SERVER = """
import sys, time
from ktse.reviewing.learning import Learning
Learning(sys.argv[1:]).start()
time.sleep(600)
"""


def wait(condition: object) -> None:
    for _ in range(1200):
        if condition():  # type: ignore[operator]
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen within a minute")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_it_ends_when_the_server_is_killed(reviewed: RunFolder) -> None:
    words = ("review", str(reviewed.root), "--no-browser", "--port", "0")  # goes on for ever
    server = subprocess.Popen([sys.executable, "-c", SERVER, *words])
    try:
        wait(lambda: holder(reviewed.path(".review")) is not None)
        learner = holder(reviewed.path(".review"))
        assert learner is not None and learner.process != server.pid
    finally:
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
    wait(lambda: not learner.lives)
    assert not reviewed.path(".review", ".lock").exists()  # it has ended in good order


def test_how_far_it_is_is_no_line_for_people(tmp_path: Path) -> None:
    (tmp_path / "ktse.py").write_text(f"print('{MARK}{{\"share\": 0.5}}'); print('one'); print('{MARK}{{\"sha'); 1 / 0")
    learning = Learning(())
    learning._command = [sys.executable, str(tmp_path / "ktse.py")]
    learning.start()
    wait(lambda: learning.about()["state"] != "running")
    about = learning.about()
    assert about["progress"] == {"share": 0.5} and about["state"] == "failed"
    assert about["lines"][0] == "one" and "ZeroDivisionError" in about["lines"][-1]
