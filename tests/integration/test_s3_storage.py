"""Reports in a bucket of a real S3 server, built with Go, on loopback."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from minio import Minio

from harness.common.errors import InputError
from harness.schedule.storage import S3, Copier, require
from tests import s3_server


@pytest.fixture(scope="module")
def program() -> Path:
    """The server. Skips where it cannot be built."""
    return s3_server.program()


@pytest.fixture
def endpoint(program: Path) -> Iterator[str]:
    """The URL of a server with the bucket ``reports``."""
    process = subprocess.Popen([str(program), "127.0.0.1:0"], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        found = re.search(r"listening on (\S+)", process.stderr.readline())
        assert found is not None
        Minio(found[1], "key", "secret", secure=False).make_bucket("reports")
        yield f"http://{found[1]}"
    finally:
        process.kill()
        process.communicate()


def _storage(endpoint: str, bucket: str = "reports") -> S3:
    return S3(endpoint, bucket, "nightly", "us-east-1", "key", "secret")


def _names(endpoint: str) -> dict[str, int]:
    client = Minio(endpoint.removeprefix("http://"), "key", "secret", secure=False)
    return {str(each.object_name): int(each.size or 0) for each in client.list_objects("reports", recursive=True)}


def test_check_leaves_nothing_in_the_bucket(endpoint: str) -> None:
    require(_storage(endpoint))
    assert _names(endpoint) == {}


def test_reports_are_stored_below_the_prefix(endpoint: str, tmp_path: Path) -> None:
    (tmp_path / "run1/experiments").mkdir(parents=True)
    (tmp_path / "run1/results.json").write_text("{}")
    (tmp_path / "run1/experiments/a.json").write_text("[1]")
    copier = Copier(tmp_path, _storage(endpoint))
    assert copier.copy() == []
    assert _names(endpoint) == {"nightly/run1/results.json": 2, "nightly/run1/experiments/a.json": 3}
    (tmp_path / "run1/results.json").write_text("{ }")
    assert copier.copy() == []
    assert _names(endpoint)["nightly/run1/results.json"] == 3


def test_stored_files_are_read_back_from_the_prefix(endpoint: str, tmp_path: Path) -> None:
    (tmp_path / "gamedays").mkdir()
    (tmp_path / "gamedays/friday.json").write_text("{}")
    Copier(tmp_path, _storage(endpoint)).copy()
    Copier(tmp_path / "gamedays", S3(endpoint, "reports", "nightly-2", "us-east-1", "key", "secret")).copy()
    assert _storage(endpoint).names() == ["gamedays/friday.json"]
    _storage(endpoint).get("gamedays/friday.json", tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == "{}"
    with pytest.raises(OSError, match="NoSuchKey"):
        _storage(endpoint).get("missing", tmp_path / "missing")


def test_missing_bucket_is_refused_before_a_run(endpoint: str) -> None:
    with pytest.raises(InputError, match=r"bucket other at http.*nothing was run: .*the bucket does not exist"):
        require(_storage(endpoint, "other"))


def test_server_that_does_not_answer_is_refused(endpoint: str) -> None:
    del endpoint
    # Port 1 of loopback: nothing listens there, so the connection is refused at once.
    with pytest.raises(InputError, match=r"bucket reports at http://127.0.0.1:1 does not answer"):
        require(_storage("http://127.0.0.1:1"))


def test_file_is_stored_once_the_server_is_back(endpoint: str, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text("{}")
    storage = _storage("http://127.0.0.1:1")
    copier = Copier(tmp_path, storage)
    (failure,) = copier.copy()
    assert failure.startswith("results.json: bucket reports at http://127.0.0.1:1 does not answer")
    copier.storage = _storage(endpoint)
    assert copier.copy() == []
    assert _names(endpoint) == {"nightly/results.json": 2}
