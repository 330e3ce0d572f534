"""What an installation is made of: locked with hashes, and under licences that allow to pass it on."""

from __future__ import annotations

import re
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
# Permissive ones, and the weak copyleft of a file or a library, which ask nothing of who uses them unchanged.
ALLOWED = re.compile(
    r"Apache|BSD|\bMIT\b|\bISC\b|Python Software Foundation|\bPSF|MPL|Mozilla Public|Unlicense|Zope|ZPL|0BSD",
    re.IGNORECASE,
)


def runtime() -> dict[str, Distribution]:
    """Every package that an installation without extras needs here, by name."""
    found: dict[str, Distribution] = {}
    waiting = [Requirement("resilience-harness")]
    while waiting:
        name = canonicalize_name(waiting.pop().name)
        if name in found:
            continue
        found[name] = distribution(name)
        needed = map(Requirement, found[name].requires or ())
        waiting += [each for each in needed if not each.marker or each.marker.evaluate({"extra": ""})]
    return found


def licence(package: Distribution) -> str:
    """What a package says of its licence: the expression, the classifiers, and the first line of the free text."""
    said = [
        package.metadata.get("License-Expression") or "",
        (package.metadata.get("License") or "").partition("\n")[0],
    ]
    classifiers = package.metadata.get_all("Classifier") or []
    return "; ".join(filter(None, [*said, *(each for each in classifiers if each.startswith("License ::"))]))


def locked() -> dict[str, str]:
    """Each locked package with its version and everything that stands under it."""
    blocks = re.split(r"\n(?=[a-zA-Z0-9])", LOCK)
    found = {}
    for block in blocks:
        head = re.match(r"([a-zA-Z0-9._-]+)==(\S+)", block)
        if head:
            found[canonicalize_name(head[1])] = block
    return found


def test_every_package_is_locked_with_hashes() -> None:
    assert len(locked()) > 50
    assert [name for name, block in locked().items() if "--hash=sha256:" not in block] == []


def test_what_an_installation_needs_is_in_the_lock() -> None:
    assert set(runtime()) - set(locked()) == {"resilience-harness"}


@pytest.mark.parametrize("name", sorted(runtime()))
def test_each_licence_allows_to_pass_it_on(name: str) -> None:
    said = licence(runtime()[name])
    assert ALLOWED.search(said), f"{name} says {said!r}"


def test_the_lock_names_no_place_that_packages_come_from() -> None:
    assert "://" not in LOCK
