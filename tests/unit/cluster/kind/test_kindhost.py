"""The recipe that brings kind to a machine without a registry, as far as it needs no daemon."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import pytest

from tests.live.kindhost import capabilities, node_image, packages

STARTER = Path("/usr/sbin/invoke-rc.d")


class Begun(Exception):
    """Ends what was begun."""


def test_recipe_packages_are_installed_before_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a fresh Debian the first of them that is used is mmdebstrap, long before the daemon."""

    def begin(_: object) -> None:
        raise Begun

    def too_early(_: object) -> None:
        raise AssertionError("nothing may be made before the packages are installed")

    monkeypatch.setattr(packages, "ensure", begin)
    monkeypatch.setattr(node_image.commands, "build", too_early)
    with pytest.raises(Begun):
        node_image.ensure(lambda _: None)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0 or not STARTER.exists(), reason="needs root on Debian")
def test_installed_daemons_are_not_started_and_no_policy_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A test that is killed meanwhile must not leave a machine on which no daemon ever starts again."""
    apt = tmp_path / "apt-get"
    # Asked with an option that it does not know it fails, where it is what it should be.
    policies = "ls -l --time-style=full-iso /usr/sbin/policy-rc.d"
    apt.write_text(
        f"#!/bin/sh\n{STARTER} --nonsense && echo quiet >> {tmp_path}/log\n{policies} >> {tmp_path}/log\ntrue\n"
    )
    apt.chmod(0o755)
    there = packages.subprocess.run(policies.split(), capture_output=True, text=True, check=False).stdout
    before = STARTER.read_bytes()
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(packages, "PACKAGES", (packages.Package("docker.io", str(tmp_path / "dockerd")),))
    packages.ensure(lambda _: None)
    assert (tmp_path / "log").read_text() == 2 * f"quiet\n{there}"
    assert STARTER.read_bytes() == before


@pytest.mark.parametrize(
    ("release", "said"),
    [
        ({"ID": "debian", "VERSION_CODENAME": "bookworm"}, ""),
        ({"ID": "debian", "VERSION_CODENAME": "trixie", "PRETTY_NAME": "Debian 13"}, "this is Debian 13"),
        ({"ID": "ubuntu", "VERSION_CODENAME": "noble", "PRETTY_NAME": "Ubuntu 24.04"}, "this is Ubuntu 24.04"),
        ({}, "no Linux that says its name"),
    ],
)
def test_only_the_debian_that_the_nodes_are_made_from_will_do(
    monkeypatch: pytest.MonkeyPatch, release: dict[str, str], said: str
) -> None:
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: release)
    why = capabilities.unlike("bookworm")
    assert said in why
    assert bool(why) is bool(said)
