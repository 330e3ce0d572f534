"""Images built from a folder: the same input gives the same digest, and wrong input is reported at once."""

from __future__ import annotations

import io
import json
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cluster.local.archive import write_image
from harness.cluster.local.paths import CACHE_VARIABLE
from harness.cluster.local.supply import build as building
from harness.cluster.local.supply.archives import open_archive
from harness.cluster.local.supply.build import Recipe, build
from harness.cluster.local.supply.store import ImageStore, StoredImage
from harness.common.errors import ClusterBroken, InputError
from tests.unit.cluster.local.supply.image_archives import silent


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageStore:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    (tmp_path / "busybox").write_bytes(b"\x7fELF static")
    monkeypatch.setattr(building, "BUSYBOX", tmp_path / "busybox")
    monkeypatch.setattr(building, "base_entries", list)
    return ImageStore.of_cache()


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    folder = tmp_path / "site"
    (folder / "www").mkdir(parents=True)
    (folder / "www/index.html").write_text("hello")
    (folder / "start").write_text("#!/bin/sh\n")
    (folder / "start").chmod(0o700)
    (folder / "link").symlink_to("www/index.html")
    return Recipe(folder, "shop/web:1", entrypoint=("/start",))


def config_of(store: ImageStore, image: StoredImage) -> dict[str, object]:
    manifest = json.loads(store.blobs.path(image.digest).read_bytes())
    found: dict[str, object] = json.loads(store.blobs.path(manifest["config"]["digest"]).read_bytes())["config"]
    return found


def entries_of(store: ImageStore, image: StoredImage) -> dict[str, tarfile.TarInfo]:
    manifest = json.loads(store.blobs.path(image.digest).read_bytes())
    with tarfile.open(store.blobs.path(manifest["layers"][-1]["digest"])) as tar:
        return {member.name: member for member in tar}


def test_files_get_fixed_owners_modes_and_times(store: ImageStore, recipe: Recipe) -> None:
    image = build(replace(recipe, to="/srv/app"), store, silent)
    entries = entries_of(store, image)
    assert list(entries) == [
        "srv",
        "srv/app",
        *(f"srv/app/{name}" for name in ("link", "start", "www", "www/index.html")),
    ]
    assert {(each.uid, each.gid, each.mtime) for each in entries.values()} == {(0, 0, 1)}
    assert oct(entries["srv/app/start"].mode) == "0o755"
    assert oct(entries["srv/app/www/index.html"].mode) == "0o644"
    assert entries["srv/app/link"].linkname == "www/index.html"


def test_same_input_gives_the_same_digest(store: ImageStore, recipe: Recipe, tmp_path: Path) -> None:
    first = build(recipe, store, silent)
    os.utime(recipe.folder / "start", (5, 5))
    assert build(recipe, store, silent).digest == first.digest
    one, two = (write_image(store.blobs, first.descriptor, first.name, tmp_path / name) for name in ("1.tar", "2.tar"))
    assert one.read_bytes() == two.read_bytes()
    with open_archive(one) as archive:
        assert archive.images()[0].names == ("docker.io/shop/web:1",)
    (recipe.folder / "www/index.html").write_text("changed")
    assert build(recipe, store, silent).digest != first.digest


def test_configuration_has_all_options(store: ImageStore, recipe: Recipe) -> None:
    asked = replace(recipe, cmd=("-v",), user="1000:1000", env=("A=b=c",), workdir="/srv", ports=(80, 443))
    assert config_of(store, build(asked, store, silent)) == {
        "Entrypoint": ["/start"],
        "Cmd": ["-v"],
        "User": "1000:1000",
        "Env": [building.PATH, "A=b=c"],
        "WorkingDir": "/srv",
        "ExposedPorts": {"80/tcp": {}, "443/tcp": {}},
    }
    assert config_of(store, build(replace(recipe, env=("PATH=/x",)), store, silent))["Env"] == ["PATH=/x"]


def test_all_that_is_wrong_is_reported_together(store: ImageStore, tmp_path: Path) -> None:
    wrong = Recipe(tmp_path / "none", "web", packages=("nginx", "-x"), env=("A",), workdir="srv", to="/../etc")
    with pytest.raises(InputError) as caught:
        build(wrong, store, silent)
    assert [problem.field for problem in caught.value.problems] == [
        "", "--packages", "--packages", "--env", "--workdir", "--to", "--entrypoint, --cmd",
    ]  # fmt: skip


def test_device_or_socket_is_refused(store: ImageStore, recipe: Recipe) -> None:
    os.mkfifo(recipe.folder / "pipe")
    with pytest.raises(InputError, match="is neither a file, a folder nor a symbolic link"):
        build(recipe, store, silent)
    assert store.images() == {}


def test_busybox_that_is_not_static_is_refused(store: ImageStore, recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "busybox").write_bytes(b"\x7fELF /lib64/ld-linux-x86-64.so.2")
    with pytest.raises(ClusterBroken, match="Debian: busybox-static"):
        build(recipe, store, silent)


def root_tar(path: Path, order: int) -> None:
    """Write a root as mmdebstrap does, with what differs each time."""
    names = [
        "./usr/bin/tool",
        "./var/log/apt/history.log",
        "./etc/machine-id",
        "./var/log/nginx",
        "./lib/x.pyc",
        "./usr/share/man/man1/tool.1",
        "./usr",
    ]
    with tarfile.open(path, "w") as tar:
        for name in names[::order]:
            member = tarfile.TarInfo(name)
            member.mtime = 1000 + order
            if name in {"./usr", "./var/log/nginx"}:
                member.type = tarfile.DIRTYPE
            else:
                member.size = 1
            tar.addfile(member, io.BytesIO(b"x"))
        for name, kind in (("./usr/bin/same", tarfile.LNKTYPE), ("./dev/null", tarfile.CHRTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "./usr/bin/tool"
            tar.addfile(member)


def test_debian_root_is_made_once_and_without_what_differs(
    store: ImageStore, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[list[str]] = []

    def run(command: list[str], _seconds: float, variables: dict[str, str]) -> None:
        made.append(command)
        assert variables == {"SOURCE_DATE_EPOCH": "1"}
        root_tar(Path(command[-1]), order=1 if len(made) == 1 else -1)

    monkeypatch.setattr(building.packages, "run_for", run)
    monkeypatch.setattr(building.packages, "ensure_program", lambda _name, _progress: None)
    asked = replace(recipe, base="debian", packages=("nginx", "curl"))
    first = build(asked, store, silent)
    assert build(replace(asked, packages=("curl", "nginx")), store, silent).digest == first.digest
    assert len(made) == 1
    assert "--include=curl,nginx" in made[0]
    layer = json.loads(store.blobs.path(first.digest).read_bytes())["layers"][0]["digest"]
    with tarfile.open(store.blobs.path(layer)) as tar:
        assert tar.getnames() == ["usr", "usr/bin/tool", "var/log/nginx", "usr/bin/same"]
        assert tar.getmember("usr/bin/same").linkname == "usr/bin/tool"
    for root in (store.root.parent / "debian-roots").iterdir():
        root.unlink()
    assert build(asked, store, silent).digest == first.digest


@pytest.mark.parametrize("user", ["ro ot", "root:", ":0", "a:b:c", "a\n", "ü"])
def test_user_that_no_container_can_have_is_refused(tmp_path: Path, user: str) -> None:
    with pytest.raises(InputError, match=r"--user: found .* expected a user's name or number, or USER:GROUP"):
        Recipe(tmp_path, "shop:1", cmd=("a",), user=user).check()


@pytest.mark.parametrize("user", ["", "root", "1000", "1000:1000", "www-data:www-data", "_apt"])
def test_users_by_name_or_number_are_accepted(tmp_path: Path, user: str) -> None:
    Recipe(tmp_path, "shop:1", cmd=("a",), user=user).check()


@pytest.mark.parametrize("port", [-1, 0, 65536])
def test_port_out_of_range_is_refused(tmp_path: Path, port: int) -> None:
    with pytest.raises(InputError, match=f"--port: found {port}, expected a port from 1 to 65535"):
        Recipe(tmp_path, "shop:1", cmd=("a",), ports=(port,)).check()
