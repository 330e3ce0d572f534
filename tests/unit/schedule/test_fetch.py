"""Reports on a volume are copied through a pod that can only read them, and is gone afterwards."""

from __future__ import annotations

import base64
import io
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from harness.cli.main import BAD_INPUT, main
from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.fake.controllers import Kubelet
from harness.cluster.fake.store import Change, Store
from harness.cluster.kube.resources import PODS
from harness.cluster.kube.transport import ExecResult
from harness.common.errors import InputError, TimedOut
from harness.common.naming import SYSTEM_NAMESPACE
from harness.schedule import operations
from harness.schedule.fetch import fetch, reader_pod, unpack
from tests.unit.schedule.given import SETS, values

RUNS = ("20260101-1", "20260102-2")


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A volume with a run that ended, one that was killed, and the state of a game day."""
    for name in (
        f"{RUNS[0]}/experiments/shop.json",
        f"{RUNS[0]}/results.json",
        f"{RUNS[0]}/style.css",
        f"{RUNS[1]}/experiments/shop.json",
        "gamedays/friday.json",
    ):
        (tmp_path / "volume" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "volume" / name).write_text(name)
    return tmp_path / "volume"


@pytest.fixture
def cluster(fake_cluster: FakeCluster, volume: Path) -> FakeCluster:
    """A cluster with a schedule, whose pods run their commands on this machine, with the volume as /results."""

    def run(_namespace: str, _pod: str, _container: str | None, command: list[str]) -> ExecResult:
        words = [str(volume) if word == "/results" else word for word in command]
        done = subprocess.run([sys.executable, *words[1:]], capture_output=True, text=True, check=False)
        return ExecResult(done.stdout, done.stderr, done.returncode)

    fake_cluster.server.store.reactors.append(Kubelet())
    fake_cluster.server.exec = run
    operations.apply(fake_cluster.api, values(), _silent)
    return fake_cluster


def _silent(_message: str) -> None:
    """Progress that nobody reads."""


def _fetch(cluster: FakeCluster, folder: Path, **more: Any) -> list[str]:
    said: list[str] = []
    fetch(cluster.api, "nightly", folder, cluster.clock, said.append, **more)
    assert cluster.api.list(PODS, SYSTEM_NAMESPACE).items == []
    return said


def test_all_runs_are_copied_with_every_file(cluster: FakeCluster, volume: Path, tmp_path: Path) -> None:
    said = _fetch(cluster, tmp_path / "to")
    found = [path for path in (tmp_path / "to").rglob("*") if path.is_file()]
    assert {path.read_text() for path in found} == {str(path.relative_to(tmp_path / "to")) for path in found}
    assert len(found) == 4
    assert said == [
        f"{tmp_path}/to/{RUNS[0]}: 3 files",
        f"{tmp_path}/to/{RUNS[1]}: 1 files (it has not ended, or was killed)",
    ]


def test_only_unfinished_runs_are_copied_again(cluster: FakeCluster, tmp_path: Path) -> None:
    _fetch(cluster, tmp_path / "to")
    assert [line.split(":")[0] for line in _fetch(cluster, tmp_path / "to")] == [f"{tmp_path}/to/{RUNS[1]}"]
    assert [line.split(":")[0] for line in _fetch(cluster, tmp_path / "to", run=RUNS[0])] == [
        f"{tmp_path}/to/{RUNS[0]}"
    ]


def test_unknown_run_lists_those_of_the_volume(cluster: FakeCluster, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"found 'x', expected one of {', '.join(RUNS)}"):
        _fetch(cluster, tmp_path / "to", run="x")
    assert cluster.api.list(PODS, SYSTEM_NAMESPACE).items == []


def test_reader_meets_the_restricted_standard(cluster: FakeCluster) -> None:
    (item,) = cluster.api.list(operations.CRON_JOBS, SYSTEM_NAMESPACE).items
    pod = reader_pod("nightly", "claim", "registry.test/runner:1", item)
    spec = pod["spec"]
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["volumeMounts"][0]["readOnly"] is True
    # It has no credentials of the cluster, and ends by itself.
    assert spec["automountServiceAccountToken"] is False
    assert spec["activeDeadlineSeconds"] > 0


def test_reader_that_cannot_start_is_removed(cluster: FakeCluster, tmp_path: Path) -> None:
    cluster.server.store.reactors.clear()
    with pytest.raises(TimedOut, match=r"pod resilience-nightly-reader-.* to run"):
        _fetch(cluster, tmp_path / "to")
    assert cluster.api.list(PODS, SYSTEM_NAMESPACE).items == []


def test_volume_that_cannot_be_read_is_one_error(cluster: FakeCluster, tmp_path: Path) -> None:
    failed = ExecResult("", "Traceback\nPermissionError: [Errno 13] Permission denied\n", 1)
    cluster.server.exec = lambda *_: failed
    with pytest.raises(InputError, match="the volume could not be read: PermissionError"):
        _fetch(cluster, tmp_path / "to")


def test_answer_that_is_no_list_of_runs_is_an_error(cluster: FakeCluster, tmp_path: Path) -> None:
    for answer in ("usage: python", "[]"):
        cluster.server.exec = lambda *_, answer=answer: ExecResult(answer, "", 0)
        with pytest.raises(InputError, match=r"the volume could not be read: found .*expected its runs as JSON"):
            _fetch(cluster, tmp_path / "to")


def test_reader_that_fails_is_not_waited_for(cluster: FakeCluster, tmp_path: Path) -> None:
    class Failing:
        def react(self, store: Store, change: Change) -> None:
            pod = change.object
            if change.resource == PODS and change.type == "ADDED":
                failed = {**pod, "status": {"phase": "Failed"}}
                store.update(PODS, change.namespace, pod["metadata"]["name"], lambda _: failed, "status")

    cluster.server.store.reactors[:] = [Failing()]
    before = cluster.clock.monotonic()
    with pytest.raises(InputError, match=r"pod .*: found Failed.*, expected it to run: the image needs python"):
        _fetch(cluster, tmp_path / "to")
    assert cluster.clock.monotonic() == before


def test_deleted_schedule_needs_an_image(cluster: FakeCluster, tmp_path: Path) -> None:
    operations.delete(cluster.api, "nightly", cluster.clock, _silent)
    with pytest.raises(InputError, match="--image: is missing: schedule nightly was deleted, but its volume is there"):
        _fetch(cluster, tmp_path / "to")
    assert len(_fetch(cluster, tmp_path / "to", image="python:3")) == len(RUNS)


def test_reports_in_a_bucket_are_not_fetched(fake_cluster: FakeCluster, tmp_path: Path) -> None:
    fake_cluster.server.seed(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}}, namespace=SYSTEM_NAMESPACE
    )
    operations.apply(fake_cluster.api, values(**SETS["bucket"]), _silent)
    with pytest.raises(
        InputError, match=r"in bucket reports at https://s3.test:9000, below nightly/, expected a volume"
    ):
        _fetch(fake_cluster, tmp_path)


def test_unknown_schedule_is_an_error(cluster: FakeCluster, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found no schedule 'other', expected one of nightly"):
        fetch(cluster.api, "other", tmp_path, cluster.clock, _silent)


def _archive(*members: tarfile.TarInfo) -> str:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(b"x" * member.size))
    return base64.b64encode(made.getvalue()).decode()


@pytest.mark.parametrize("name", ["../outside", "run/../../outside", "/outside", "other/file", "run/link"])
def test_archive_writes_only_files_of_its_run(name: str, tmp_path: Path) -> None:
    member = tarfile.TarInfo(name)
    if name.endswith("link"):
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with pytest.raises(InputError, match="expected a file of run run"):
        unpack(_archive(member), tmp_path / "to", "run")
    assert list(tmp_path.iterdir()) == []


def test_archive_that_was_cut_is_an_error(tmp_path: Path) -> None:
    member = tarfile.TarInfo("run/results.json")
    member.size = 9000
    text = _archive(member)
    data = bytearray(base64.b64decode(text))
    data[-9] ^= 255
    changed = base64.b64encode(data).decode()
    for cut in (text[: len(text) // 2 // 4 * 4], text[:-3], changed, "", "not base64!"):
        with pytest.raises(InputError, match="run run did not arrive complete"):
            unpack(cut, tmp_path, "run")


def test_fetch_needs_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(["schedule", "fetch", "nightly"])
    assert error.value.code == BAD_INPUT
    assert "--to" in capsys.readouterr().err
