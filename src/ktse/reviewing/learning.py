"""Learning from the corrections while the page is open: a process of its own, so that the page stays quick."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from threading import Lock, Thread
from typing import Any, Literal

from ktse.runtime.attended import NAME, PATIENCE, told

State = Literal["", "running", "done", "failed"]

SHOWN = 12
"""Lines of what the process says that are kept."""


class Learning:
    """Runs one command at a time, and knows how far it is.

    Args:
        words: arguments of ktse.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self._command = [sys.executable, "-m", "ktse", *words]
        self._process: subprocess.Popen[str] | None = None
        self._lines: deque[str] = deque(maxlen=SHOWN)
        self._progress: dict[str, Any] = {}
        self._times = (0.0, 0.0)
        self._lock = Lock()
        self.rounds = 0

    def start(self) -> bool:
        """Begin, unless it runs already; returns whether it began."""
        with self._lock:
            if self.state == "running":
                return False
            self._lines.clear()
            self._progress = {}
            self._times = (time.monotonic(), 0.0)
            self._process = subprocess.Popen(
                self._command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                stdin=subprocess.PIPE,  # closed by the system when this process ends, however that comes about
                env={**os.environ, NAME: "1"},
                text=True,
                encoding="utf-8",
                errors="replace",
            )
            Thread(target=self._listen, args=(self._process,), daemon=True).start()
            return True

    @property
    def state(self) -> State:
        """Nothing, or what became of the last start."""
        if self._process is None:
            return ""
        if self._times[1] == 0.0:
            return "running"
        return "failed" if self._process.returncode else "done"

    def about(self) -> dict[str, Any]:
        """State, seconds since the start, how far it is, and the last lines, for the page."""
        end = self._times[1] or time.monotonic()
        seconds = round(end - self._times[0]) if self._process else 0
        about = {"state": self.state, "seconds": seconds, "rounds": self.rounds}
        return {**about, "progress": self._progress, "lines": list(self._lines)}

    def stop(self) -> None:
        """End the process, which loses nothing: the same command goes on from there."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        with process:
            assert process.stdout is not None
            for line in process.stdout:
                if (progress := told(line)) is not None:
                    self._progress = progress
                elif line.strip():
                    self._lines.append(line.rstrip())
        self.rounds += 1
        self._times = (self._times[0], time.monotonic())
