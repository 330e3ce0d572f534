"""Pulls by this machine: what is fetched, what is cached, and each way in which a registry fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cluster.local.paths import CACHE_VARIABLE
from harness.cluster.local.supply.pull import Limits, Puller, PullFailed
from harness.cluster.local.supply.store import ImageStore, files_of
from harness.common.clock import FakeClock
from tests.unit.cluster.local.supply.image_archives import Layout, layer, silent
from tests.unit.cluster.local.supply.programs import Crane

AMD, ARM = "linux/amd64", "linux/arm64"
WEB = "registry.example/shop/web"


@pytest.fixture
def crane(tmp_path: Path) -> Crane:
    return Crane(tmp_path / "registry")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageStore:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return ImageStore.of_cache()


def puller(crane: Crane, store: ImageStore, **limits: float) -> Puller:
    return Puller(crane.program, store, AMD, limits=Limits(**{"answer": 10.0, **limits}))


def test_index_keeps_its_digest_and_one_platform_is_fetched(crane: Crane, store: ImageStore) -> None:
    layout, progress = Layout(), list[str]()
    entry = layout.index(AMD, ARM)
    crane.serve(WEB, "1", entry["digest"], layout.blobs)
    pulling = puller(crane, store)
    found = pulling.resolve(f"{WEB}:1")
    assert found.platforms == (AMD, ARM)
    image = pulling.pull(found, progress.append)
    assert image.digest == entry["digest"]
    contents = {file.read_bytes() for file in files_of(store.blobs, image.descriptor)}
    assert layer(f"for {AMD}") in contents
    assert layer(f"for {ARM}") not in contents
    assert len(json.loads(layout.blobs[entry["digest"]])["manifests"]) == 2
    assert progress[0].startswith(f"pulling {WEB}:1 from registry.example: 2 of 2 parts, 0.0 MB")
    assert progress[1].startswith(f"pulled {WEB}:1: ")


def test_content_that_is_there_is_not_fetched_again(crane: Crane, store: ImageStore) -> None:
    layout, progress = Layout(), list[str]()
    entry = layout.manifest()
    for tag in ("1", "2"):
        crane.serve(WEB, tag, entry["digest"], layout.blobs)
    pulling = puller(crane, store)
    pulling.pull(pulling.resolve(f"{WEB}:1"), silent)
    before = len([call for call in crane.calls if call.startswith("blob")])
    pulling.pull(pulling.resolve(f"{WEB}:2"), progress.append)
    assert len([call for call in crane.calls if call.startswith("blob")]) == before == 2
    assert progress == []
    assert set(store.images()) == {f"{WEB}:1", f"{WEB}:2"}


@pytest.mark.parametrize(
    ("error", "message", "reachable"),
    [
        (
            "Error: GET https://registry.example/v2/: UNAUTHORIZED: authentication required",
            r"registry.example refused shop/web \(log in with `docker login registry.example`\): .*UNAUTHORIZED",
            True,
        ),
        ("Error: MANIFEST_UNKNOWN: manifest unknown", "registry.example has no shop/web:1: MANIFEST_UNKNOWN", True),
        ("Error: dial tcp: lookup x: no such host", "registry.example cannot be reached from this machine: .*", False),
        ("Error: proxyconnect tcp: connection refused", "registry.example cannot be reached from this machine", False),
        ("Error: unexpected status code 500", "registry.example: unexpected status code 500", True),
        ("", "registry.example: no message", True),
    ],
)  # fmt: skip
def test_refusal_is_one_clear_error(crane: Crane, store: ImageStore, error: str, message: str, reachable: bool) -> None:
    crane.fail(error)
    with pytest.raises(PullFailed, match=message) as caught:
        puller(crane, store).resolve(f"{WEB}:1")
    assert caught.value.reachable is reachable


def test_registry_that_does_not_answer_is_given_up(crane: Crane, store: ImageStore) -> None:
    crane.stall("manifest")
    with pytest.raises(PullFailed, match=r"registry.example did not answer within 0.3 s"):
        puller(crane, store, answer=0.3).resolve(f"{WEB}:1")


def test_host_that_is_away_is_not_tried_for_each_image(crane: Crane, store: ImageStore) -> None:
    clock = FakeClock()
    pulling = Puller(crane.program, store, AMD, clock, Limits(answer=10.0))
    crane.fail("Error: dial tcp: lookup registry.example: no such host")
    for name in ("web", "side", "other"):
        with pytest.raises(PullFailed, match=r"registry.example cannot be reached from this machine"):
            pulling.resolve(f"registry.example/shop/{name}:1")
    assert len(crane.calls) == 1
    with pytest.raises(PullFailed):
        pulling.resolve("other.example/shop/web:1")
    clock.advance(31)
    with pytest.raises(PullFailed):
        pulling.resolve(f"{WEB}:1")
    assert len(crane.calls) == 3


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"stall": 0.3}, "registry.example sent nothing of registry.example/shop/web:1 for 0.3 s"),
        ({"whole": 0.3}, "registry.example/shop/web:1 took over 0.3 s to pull"),
    ],
)
def test_download_that_stalls_is_ended(crane: Crane, store: ImageStore, limits: dict[str, float], message: str) -> None:
    layout = Layout()
    entry = layout.manifest()
    crane.serve(WEB, "1", entry["digest"], layout.blobs)
    pulling = puller(crane, store, **limits)
    found = pulling.resolve(f"{WEB}:1")
    crane.stall("blob")
    with pytest.raises(PullFailed, match=message):
        pulling.pull(found, silent)
    assert store.images() == {}
    assert not list((store.root / "sha256").glob(".*"))


def test_progress_of_a_download_is_shown(crane: Crane, store: ImageStore) -> None:
    layout, progress = Layout(), list[str]()
    entry = layout.manifest()
    crane.serve(WEB, "1", entry["digest"], layout.blobs)
    pulling = puller(crane, store, stall=0.5, report=0.1)
    found = pulling.resolve(f"{WEB}:1")
    crane.stall("blob")
    with pytest.raises(PullFailed):
        pulling.pull(found, progress.append)
    assert f"pulling {WEB}:1: 0.0 of 0.0 MB" in progress


def test_damaged_content_is_not_stored(crane: Crane, store: ImageStore) -> None:
    layout = Layout()
    entry = layout.manifest()
    damaged = {key: b"x" if body == layer("hello") else body for key, body in layout.blobs.items()}
    crane.serve(WEB, "1", entry["digest"], damaged)
    pulling = puller(crane, store)
    with pytest.raises(PullFailed, match=r"registry.example gave damaged content for sha256:"):
        pulling.pull(pulling.resolve(f"{WEB}:1"), silent)
    assert store.images() == {}


def test_unreadable_manifest_is_one_clear_error(crane: Crane, store: ImageStore) -> None:
    crane.serve(WEB, "1", "sha256:1", {"sha256:1": b"<html>"})
    with pytest.raises(PullFailed, match="gave no readable manifest"):
        puller(crane, store).resolve(f"{WEB}:1")
    crane.serve(WEB, "2", "sha256:1", {"sha256:1": b'{"mediaType": "text/plain"}'})
    with pytest.raises(PullFailed, match="has the type text/plain, expected a container image"):
        puller(crane, store).resolve(f"{WEB}:2")


def test_missing_program_is_reported(store: ImageStore, tmp_path: Path) -> None:
    with pytest.raises(PullFailed, match="cannot be run"):
        Puller(tmp_path / "none", store, AMD).resolve(f"{WEB}:1")
