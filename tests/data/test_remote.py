"""Images at a URL: fetched, kept within a limit, and named when they do not come."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ktse.artefacts import digest
from ktse.data import remote
from ktse.data.open import open_data
from ktse.data.remote import Copies, RemoteImages
from ktse.errors import DataError
from ktse.recipe import DataRecipe
from tiny_run import TINY
from typed import ktse

fsspec = pytest.importorskip("fsspec")

URL = "memory://bucket/photos"


@pytest.fixture
def bucket(drawings: Path) -> Iterator[str]:
    """The drawn scenes, in the memory of this process."""
    system = fsspec.filesystem("memory")
    for path in (drawings / "images").iterdir():
        system.pipe(f"/bucket/photos/{path.name}", path.read_bytes())
    system.pipe("/bucket/photos/.hidden/a.png", b"")
    yield URL
    system.rm("/bucket", recursive=True)
    remote.fetch.cache_clear()


@pytest.fixture
def given(drawings: Path) -> DataRecipe:
    return DataRecipe(images=URL, tags=str(drawings / "tags.csv"))


def files_of(run: Path) -> dict[str, str]:
    paths = [
        path for name in ("seeds", "masks", "confident", "predictions", "fused") for path in (run / name).rglob("*.*")
    ]
    return {path.relative_to(run).as_posix(): digest(path) for path in paths if path.name != "summary.json"}


def test_a_run_on_images_at_a_url_has_the_same_results(
    bucket: str, drawings: Path, tiny_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    words = ["run", bucket, "--tags", drawings / "tags.csv", "--masks", drawings / "masks", "--out", run, *TINY]
    done = ktse(*words)
    assert done.returncode == 0, done.stderr
    assert f"14 images at {bucket} (" in done.stderr and "a run keeps copies of them" in done.stderr
    assert files_of(run) == files_of(tiny_run)
    assert len(list((run / "images").iterdir())) == 14
    again = ktse(*words)
    assert again.returncode == 0 and "predict: done already" in again.stderr
    status = ktse("status", run)
    assert status.returncode == 0 and "stale" not in status.stdout
    shutil.rmtree(run / "images")  # may go at any time
    assert ktse("report", run).returncode == 0
    fsspec.filesystem("memory").pipe("/bucket/photos/none.txt", b"")  # no image: nothing has changed
    assert "check: done already" in ktse(*words).stderr


def test_nothing_is_kept_without_a_run_or_beyond_the_limit(bucket: str, given: DataRecipe, tmp_path: Path) -> None:
    data = open_data(given)
    assert isinstance(data, RemoteImages) and data.kept is None and data.read(0).size
    sizes = [data.known[file].size for file in data.files]
    some = open_data(given, Copies(tmp_path / "copies", sum(sizes[:5]) / 1e9))
    for index in range(len(some)):
        some.read(index)
    copies = list((tmp_path / "copies").iterdir())
    assert sorted(path.stat().st_size for path in copies) == sorted(sizes[:5])
    assert any(
        "copies of 5 of them (compute.cache is " in note and "fetches others each" in note for note in some.notes
    )
    open_data(given, Copies(tmp_path / "none", 0.0)).read(0)
    assert not (tmp_path / "none").exists()


def test_a_copy_is_read_and_a_changed_image_is_fetched_anew(bucket: str, given: DataRecipe, tmp_path: Path) -> None:
    before = open_data(given, Copies(tmp_path, 4.0))
    first = before.read(0)
    system = fsspec.filesystem("memory")
    other = system.cat_file(f"/bucket/photos/{before.files[1]}")
    system.pipe(f"/bucket/photos/{before.files[0]}", other)
    remote.fetch.cache_clear()
    assert before.read(0) == first  # its copy
    after = open_data(given, Copies(tmp_path, 4.0))
    assert after.read(0) == after.read(1) != first
    assert after.fingerprint() != before.fingerprint() == before.fingerprint()


def test_few_of_the_images_carry_little_along(bucket: str, given: DataRecipe) -> None:
    data = open_data(given)
    some = data.without(data.ids[2:])
    assert isinstance(some, RemoteImages) and some.known.keys() == set(some.files) == set(data.files[:2])
    assert some.read(1) == data.read(1)


def test_images_that_do_not_come_are_listed_together(
    bucket: str, drawings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(fsspec.filesystem("memory"))
    plain, asked = kind.cat_file, []

    def refuse(self: object, path: str, **more: object) -> bytes:
        asked.append(path)
        name = path.rpartition("/")[2]
        if name == names[0]:
            raise FileNotFoundError(path)
        if name == names[1]:
            raise OSError("the line is cut\nand more")
        return bytes(plain(self, path, **more))

    names = sorted(path.name for path in (drawings / "images").iterdir())[:2]
    monkeypatch.setattr(kind, "cat_file", refuse)
    monkeypatch.setattr(remote, "REST", 0.0)
    done = ktse("check", bucket, "--tags", drawings / "tags.csv")
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert f"{names[0]} cannot be fetched from {bucket}: it is not there" in said
    assert f"{names[1]} cannot be fetched from {bucket}: OSError: the line is cut" in said
    assert "and more" not in said and "Traceback" not in said
    # One that is not there is asked for once, one that does not come three times, any other one once.
    assert [sum(path.endswith(name) for path in asked) for name in names] == [1, 3]
    assert len(asked) == 12 + 1 + 3


def test_an_image_that_comes_at_the_second_time_is_fine(
    bucket: str, given: DataRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(fsspec.filesystem("memory"))
    plain, failed = kind.cat_file, []

    def flaky(self: object, path: str, **more: object) -> bytes:
        if not failed:
            failed.append(path)
            raise TimeoutError
        return bytes(plain(self, path, **more))

    monkeypatch.setattr(kind, "cat_file", flaky)
    monkeypatch.setattr(remote, "REST", 0.0)
    assert open_data(given).read(0).size and failed


def test_a_folder_on_this_machine_may_be_given_as_a_url(drawings: Path) -> None:
    plain = ktse("check", drawings / "images", "--tags", drawings / "tags.csv")
    as_url = ktse("check", f"file://{drawings}/images", "--tags", drawings / "tags.csv")
    assert plain.returncode == as_url.returncode == 0, as_url.stderr
    assert "14 images" in as_url.stdout and "14 images" in plain.stdout


def test_a_web_server_gives_the_images_of_a_table(drawings: Path, tmp_path: Path) -> None:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(drawings))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/images"
        head, *rows = (drawings / "tags.csv").read_text().splitlines()
        table = tmp_path / "tags.csv"
        table.write_text("\n".join([head, f"{url}/{rows[0]}", *rows[1:]]))
        data = open_data(DataRecipe(images=url, tags=str(table)))
        local = open_data(DataRecipe(images=str(drawings / "images"), tags=str(drawings / "tags.csv")))
        assert set(data.files) == set(local.files)
        assert all(data.read(index) == local.read(local.files.index(file)) for index, file in enumerate(data.files))
        table.write_text("\n".join([head, *rows, "gone.png,dog"]))
        gone = open_data(DataRecipe(images=url, tags=str(table)))
        with pytest.raises(DataError, match=r"gone\.png cannot be fetched from http://.*\n.*it is not there"):
            gone.read(gone.files.index("gone.png"))
        table.write_text("\n".join([head, *rows, "https://elsewhere.example/a.png,dog"]))
        with pytest.raises(DataError, match="1 image not below"):
            open_data(DataRecipe(images=url, tags=str(table)))
        server.shutdown()


def refused(*words: object) -> str:
    done = ktse(*words)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    return done.stderr


def test_what_is_wrong_with_a_url_is_said_plainly(
    bucket: str, drawings: Path, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = ("--tags", drawings / "tags.csv")
    assert "memory://nowhere/photos holds no image that can be read" in refused(
        "check", "memory://nowhere/photos", *tags
    )
    assert "odd://x/y cannot be opened\n  - ValueError: Protocol not known: odd" in refused("check", "odd://x/y", *tags)
    assert "only a table says there what is in them" in refused("check", bucket)
    assert "the file of tags cannot be read from" in refused("check", bucket, "--tags", "memory://bucket/tags.csv")
    assert "true masks cannot be read from" in refused("check", bucket, *tags, "--masks", "memory://bucket/masks")
    run = ("run", bucket, *tags, "--out", tmp_path / "run")
    assert "corrected masks cannot be read from" in refused(*run, "--corrections", "memory://bucket/masks")
    assert "masks to calibrate with cannot be read from" in refused(*run, "--calibrate", "memory://bucket/masks")
    assert "images to predict cannot be read from" in refused("predict", tiny_run, bucket, "--out", tmp_path / "out")
    assert not (tmp_path / "run").exists() and not (tmp_path / "out").exists()

    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError("Unable to locate credentials")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "find", forbidden)
    said = refused("check", bucket, *tags)
    assert f"{bucket} cannot be listed\n  - PermissionError: Unable to locate credentials" in said
    assert "credentials as the file system of memory://" in said
    monkeypatch.setitem(__import__("sys").modules, "fsspec.core", None)
    assert "is not installed\npip install 'ktse[remote]'" in refused("check", bucket, *tags)


def test_a_missing_file_system_is_named(drawings: Path) -> None:
    try:
        import s3fs  # noqa: F401
    except ImportError:
        said = refused("check", "s3://bucket/photos", "--tags", drawings / "tags.csv")
        assert "s3://bucket/photos needs another package" in said and "s3fs" in said
    else:
        pytest.skip("s3fs is installed")
