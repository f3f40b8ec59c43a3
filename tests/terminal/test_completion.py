"""Completion of the command line, in a real shell."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ktse.cli import main

WORDS = (
    ("ktse sta", "status"),
    ("ktse run photos --classify.ep", "--classify.epochs"),
    ("ktse predict run photos --dev", "--device"),
)


def test_bash_completes_verbs_options_and_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab", reason='needs the extra completion: pip install "ktse[completion]"')
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs bash")
    assert main(["--completion", "bash"]) == 0
    script = tmp_path / "ktse.bash"
    script.write_text(capsys.readouterr().out)
    for typed, expected in WORDS:
        words = typed.split()
        code = (
            f"source {script}; COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; COMP_LINE='{typed}'; "
            f'COMP_POINT={len(typed)}; _shtab_ktse; echo "${{COMPREPLY[@]}}"'
        )
        done = subprocess.run([bash, "-c", code], capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout.split() == [expected]
    for shell in ("zsh", "fish"):
        assert main([f"--completion={shell}"]) == 0
        assert "classify.epochs" in capsys.readouterr().out
    assert main(["--completion", "dos"]) == 1
    assert "there is no shell 'dos'" in capsys.readouterr().err


def test_without_the_extra_it_is_a_message(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["--completion", "bash"]) == 1
    assert "ktse[completion]" in capsys.readouterr().err
