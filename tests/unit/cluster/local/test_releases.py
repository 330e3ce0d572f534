"""Release files: only verified ones, whole or not at all, from a server that behaves well or badly."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.cli.main import BAD_INPUT, main
from harness.cluster.components import COMPONENTS, FOR_CHARTS, versions
from harness.cluster.local import binaries, download, releases
from harness.cluster.local.download import Source, fetch
from harness.cluster.local.releases import Release
from harness.common.clock import FakeClock
from harness.common.errors import ClusterBroken

DATA = bytes(range(256)) * 2000
SUM = hashlib.sha256(DATA).hexdigest()
Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers with the script's next entry; the last one repeats."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: Any) -> None: ...

    def do_GET(self) -> None:
        self.server.seen.append((self.path, self.headers.get("Range", "")))
        script = self.server.script
        (script.pop(0) if len(script) > 1 else script[0])(self)

    def send(self, data: bytes, status: int = 200, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = True


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[Answer] = []
        self.seen: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def whole(handler: Handler) -> None:
    handler.send(DATA)


def part(handler: Handler) -> None:
    """Ends in the middle, as a lost connection does."""
    handler.send(DATA[:100_000], length=len(DATA))


def rest(handler: Handler) -> None:
    start = int(re.findall(r"\d+", handler.headers["Range"])[0])
    handler.send(DATA[start:], 206, Content_Range=f"bytes {start}-{len(DATA) - 1}/{len(DATA)}")


def status(code: int) -> Answer:
    return lambda handler: handler.send(b"no", code)


def get(server: Server, folder: Path, *script: Answer, clock: FakeClock | None = None) -> Path:
    server.script = list(script)
    return fetch(Source(f"{server.url}/file", SUM, "tool 1.0"), folder, lambda _: None, clock or FakeClock())


@pytest.mark.parametrize(
    "script",
    [
        [whole],
        [part, rest],
        [part, part, whole],
        [status(503), whole],
        # A server without ranges sends the whole file again.
        [part, whole],
        [lambda handler: handler.send(b"", 302, Location="/elsewhere"), whole],
        [part, status(416), whole],
    ],
    ids=["good", "resumed", "interrupted twice", "unavailable once", "no ranges", "redirected", "refused range"],
)
def test_file_is_downloaded_and_verified(server: Server, tmp_path: Path, script: list[Answer]) -> None:
    file = get(server, tmp_path, *script)
    assert file.read_bytes() == DATA
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ([lambda handler: handler.send(DATA[::-1])], "the checksum is .*, expected"),
        ([lambda handler: handler.send(DATA[:-1])], "the checksum is"),
        ([lambda handler: handler.send(DATA + b"!")], "the checksum is"),
        ([status(404)], "answered with status 404"),
        ([status(500)], "status 500"),
        ([lambda handler: handler.send(b"", 302, Location="/file")], "redirects"),
        ([part, lambda handler: handler.send(DATA, 206, Content_Range="bytes 0-9/10")], "another range"),
    ],
    ids=["corrupted", "too short", "too long", "not found", "server error", "redirect loop", "wrong range"],
)
def test_bad_file_is_one_error_and_is_not_used(
    server: Server, tmp_path: Path, script: list[Answer], message: str
) -> None:
    with pytest.raises(ClusterBroken, match=message):
        get(server, tmp_path, *script)
    assert not (tmp_path / SUM).exists()


def test_part_of_a_killed_run_is_continued(server: Server, tmp_path: Path) -> None:
    (tmp_path / f"{SUM}.part").write_bytes(DATA[:300_000])
    assert get(server, tmp_path, rest).read_bytes() == DATA
    assert server.seen == [("/file", "bytes=300000-")]


def test_corrupted_part_of_a_killed_run_is_replaced(server: Server, tmp_path: Path) -> None:
    (tmp_path / f"{SUM}.part").write_bytes(b"x" * 300_000)
    assert get(server, tmp_path, rest, whole).read_bytes() == DATA
    assert [requested for _, requested in server.seen] == ["bytes=300000-", ""]


def test_slow_server_is_given_up(server: Server, tmp_path: Path) -> None:
    class Slow(FakeClock):
        def monotonic(self) -> float:
            self.sleep(download.LONGEST / 3)
            return super().monotonic()

    with pytest.raises(ClusterBroken, match=r"not downloaded within 900 s, \d+\.\d MB so far"):
        get(server, tmp_path, whole, clock=Slow())


def test_endless_file_is_given_up(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "MOST_BYTES", 200_000)
    with pytest.raises(ClusterBroken, match=r"the server sent more than 0\.2 MB"):
        get(server, tmp_path, whole)


def test_nothing_listens_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(ClusterBroken, match="the connection failed"):
        fetch(Source("http://127.0.0.1:9/file", SUM, "tool 1.0"), tmp_path, lambda _: None, FakeClock())


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, whose programs need no compiler to be named."""
    monkeypatch.setenv("RESILIENCE_CACHE", str(tmp_path))
    monkeypatch.setattr(binaries, "place", lambda _progress, parts: tmp_path / "bin" / parts[0].name)
    return tmp_path


def archive(**members: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(f"folder/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return made.getvalue()


def release(server: Server, programs: dict[str, str], data: bytes, version: str = "1.36.3") -> Release:
    server.script = [lambda handler: handler.send(data)]
    return Release(programs, version, f"{server.url}/file", hashlib.sha256(data).hexdigest())


def ensure(*known: Release, mirror: str = "") -> list[str]:
    said: list[str] = []
    releases.ensure(said.append, FakeClock(), mirror, known)
    return said


def test_programs_are_placed_whole_and_executable(server: Server, cache: Path) -> None:
    ensure(release(server, {"kubelet": ""}, DATA))
    folder = cache / "bin" / COMPONENTS[0].name
    assert [path.name for path in folder.iterdir()] == ["kubelet"]
    assert (folder / "kubelet").read_bytes() == DATA
    assert (folder / "kubelet").stat().st_mode & 0o777 == 0o755
    assert list((cache / "downloads").iterdir()) == []
    # Already there: nothing is downloaded again.
    ensure(release(server, {"kubelet": ""}, DATA))
    assert len(server.seen) == 1


def test_members_of_an_archive_are_extracted(server: Server, cache: Path) -> None:
    data = archive(etcd=b"server", etcdctl=b"client")
    ensure(release(server, {"etcd": "folder/etcd", "etcdctl": "folder/etcdctl"}, data, "3.7.3"))
    folder = cache / "bin" / COMPONENTS[0].name
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"etcd": b"server", "etcdctl": b"client"}


@pytest.mark.parametrize("data", [archive(other=b"x"), b"no archive"], ids=["no member", "no archive"])
def test_archive_without_the_program_is_one_error(server: Server, cache: Path, data: bytes) -> None:
    with pytest.raises(ClusterBroken, match="folder/etcd cannot be extracted"):
        ensure(release(server, {"etcd": "folder/etcd"}, data, "3.7.3"))
    assert not (cache / "bin" / COMPONENTS[0].name / "etcd").exists()


def test_file_without_checksum_is_never_downloaded(server: Server, cache: Path) -> None:
    unverified = Release({"etcd": ""}, "3.7.3", f"{server.url}/file")
    said = ensure(unverified)
    assert "no checksum recorded for etcd 3.7.3: it is built from source, with Go" in said
    assert "podinfo 6.9.2 is not published as a file: it is built from source, with Go" in said
    assert server.seen == []


def test_file_of_another_version_is_refused(server: Server, cache: Path) -> None:
    with pytest.raises(ClusterBroken, match=r"version 1\.0 of kubelet, expected"):
        ensure(release(server, {"kubelet": ""}, DATA, "1.0"))
    assert server.seen == []


def test_mirror_has_the_files_below_their_hosts(server: Server, cache: Path) -> None:
    server.script = [whole]
    ensure(Release({"kubelet": ""}, "1.36.3", "https://dl.k8s.io/release/kubelet", SUM), mirror=f"{server.url}/m/")
    assert server.seen == [("/m/dl.k8s.io/release/kubelet", "")]


@pytest.mark.parametrize("architecture", ["amd64", "arm64", "riscv64"])
def test_recorded_releases_are_of_the_built_versions(architecture: str) -> None:
    wanted = versions((*COMPONENTS, *FOR_CHARTS))
    found = releases.releases(architecture)
    assert {name: each.version for each in found for name in each.programs}.items() <= wanted.items()
    assert all(re.fullmatch("[0-9a-f]{64}", each.sha256) for each in found if each.sha256)
    assert all(each.url.startswith("https://") and "{" not in each.url for each in found)
    verified = [name for each in found if each.sha256 for name in each.programs]
    assert len(verified) == {"amd64": 9, "arm64": 8, "riscv64": 0}[architecture]


@pytest.mark.parametrize(
    "arguments", [["--mirror", "https://mirror.test"], ["--from=releases", "--mirror", "mirror.test/x"]]
)
def test_wrong_mirror_is_one_error(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main(["cluster", "build", *arguments]) == BAD_INPUT
    assert capsys.readouterr().err.startswith("--mirror: found ")
