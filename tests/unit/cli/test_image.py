"""``harness image``: what it prints, and its exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.main import BAD_INPUT, main
from harness.cluster.local.paths import CACHE_VARIABLE, STATE_VARIABLE
from harness.cluster.local.supply import build as building
from tests.unit.cluster.local.supply.image_archives import docker_archive


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "state"))
    monkeypatch.setattr("harness.cluster.local.supply.commands.machine", lambda: "x86_64")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_loaded_images_are_listed_and_removed(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    docker_archive(place / "a.tar", "shop:1")
    assert main(["image", "list"]) == 0
    assert capsys.readouterr().out == "no images in the image store\n"
    assert main(["image", "load", "a.tar", "web:2=a.tar"]) == 0
    loaded = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in loaded] == ["docker.io/library/shop:1", "docker.io/library/web:2"]
    assert main(["image", "list"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["NAME", "DIGEST", "SIZE", "PLATFORMS", "FROM"]
    assert rows[0].split()[:2] == ["docker.io/library/shop:1", loaded[0].split()[1][:19]]
    assert main(["image", "rm", "shop:1", "web:2"]) == 0
    assert main(["image", "list"]) == 0
    assert capsys.readouterr().out.endswith("no images in the image store\n")


def test_wrong_archive_loads_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    docker_archive(place / "a.tar", "shop:1")
    assert main(["image", "load", "a.tar", "none.tar"]) == BAD_INPUT
    assert "none.tar: --load-image: does not exist" in capsys.readouterr().err
    assert main(["image", "list"]) == 0
    assert capsys.readouterr().out == "no images in the image store\n"


def test_image_is_built_and_written(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "busybox").write_bytes(b"\x7fELF static")
    monkeypatch.setattr(building, "BUSYBOX", place / "busybox")
    monkeypatch.setattr(building, "base_entries", list)
    (place / "site").mkdir()
    (place / "site/index.html").write_text("hello")
    command = ["image", "build", "site", "--tag", "shop/web:1", "--entrypoint", "httpd -f -p '80 81'"]
    assert main([*command, "--output", "web.tar"]) == 0
    assert capsys.readouterr().out.startswith("docker.io/shop/web:1 sha256:")
    assert main(["image", "load", "web.tar"]) == 0
    assert capsys.readouterr().out.startswith("docker.io/shop/web:1 sha256:")


def test_wrong_options_of_a_build_are_reported_together(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["image", "build", "none", "--tag", "Web", "--entrypoint", "a 'b"]) == BAD_INPUT
    printed = capsys.readouterr().err
    assert "--tag: found 'Web', expected an image reference" in printed
    assert '--entrypoint: found "a \'b": No closing quotation' in printed
    assert "found no folder" in printed


def test_help_of_build_names_the_clusters(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["image", "build", "--help"])
    assert "all running local clusters" in " ".join(capsys.readouterr().out.split())
