"""What an installation is made of: locked with hashes, and under licences that allow to pass it on."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import Distribution
from pathlib import Path

import pytest

from harness.cluster.components import COMPONENTS, FOR_CHARTS, FOR_KIND, ON_DEMAND, OWN
from scripts import bill
from scripts.bill import (
    completed,
    go_bill,
    go_modules,
    licences,
    licences_of,
    locked,
    missing,
    runtime,
    wanted_of,
    wanted_of_python,
)

ROOT = Path(__file__).resolve().parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
# Permissive ones, and the weak copyleft of a file or a library, which ask nothing of who uses them unchanged.
ALLOWED = re.compile(
    r"Apache|BSD|\bMIT\b|\bISC\b|Python Software Foundation|\bPSF|MPL|Mozilla Public|Unlicense|Zope|ZPL|0BSD",
    re.IGNORECASE,
)


def licence(package: Distribution) -> str:
    """What a package says of its licence: the expression, the classifiers, and the first line of the free text."""
    said = [
        package.metadata.get("License-Expression") or "",
        (package.metadata.get("License") or "").partition("\n")[0],
    ]
    classifiers = package.metadata.get_all("Classifier") or []
    found = [*said, *(each for each in classifiers if each.startswith("License ::"))]
    # Some declare nothing and ship the text.
    return "; ".join(filter(None, found)) or "; ".join(licences_of(package.metadata["Name"]))


def module(folder: Path, name: str, text: str = "Permission is hereby granted, free of charge") -> dict[str, str]:
    """A module as ``go mod download`` tells of it, whose licence is this text."""
    (folder / name).mkdir(parents=True)
    (folder / name / "LICENSE.txt").write_text(text)
    return {"Path": name, "Version": "v1.0.0", "Dir": str(folder / name), "Sum": "h1:abc="}


def test_every_package_is_locked_with_hashes() -> None:
    blocks = [block for block in re.split(r"\n(?=[a-zA-Z0-9])", LOCK) if not block.startswith("#")]
    assert len(blocks) == len(locked(LOCK)) > 50
    assert [block.partition(" ")[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_lock_file_contains_every_dependency() -> None:
    assert set(runtime()) - set(locked(LOCK)) == {"resilience-harness"}


@pytest.mark.parametrize("name", sorted(runtime()))
def test_each_licence_allows_to_pass_it_on(name: str) -> None:
    said = licence(runtime()[name])
    assert ALLOWED.search(said), f"{name} says {said!r}"


def test_lock_file_names_no_package_index() -> None:
    assert "://" not in LOCK


def test_the_bill_of_an_installation_has_every_locked_package(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cyclonedx_py", "environment", sys.executable, "-o", str(tmp_path / "bill.json")]
    subprocess.run(command, check=True, capture_output=True)
    found = completed(json.loads((tmp_path / "bill.json").read_text()))
    wanted = wanted_of_python(LOCK)
    assert wanted.keys() == runtime().keys() - {"resilience-harness"}
    assert missing(found, wanted) == []
    found["components"] = [each for each in found["components"] if each["name"] != "pydantic"]
    assert missing(found, wanted) == ["pydantic is missing"]


@pytest.mark.parametrize("go_mod", go_modules(), ids=lambda file: file.parent.name)
def test_module_missing_from_the_bill_is_reported(tmp_path: Path, go_mod: Path) -> None:
    wanted = wanted_of(go_mod)
    modules = [module(tmp_path, name) for name in wanted if name != "std"]
    assert missing(go_bill("it", modules, "go1.26.8"), wanted) == []
    for left_out in modules[:1] + modules[-1:]:
        others = [each for each in modules if each is not left_out]
        assert missing(go_bill("it", others, "go1.26.8"), wanted) == [f"{left_out['Path']} is missing"]


def test_every_module_that_is_built_has_a_bill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those without which the cluster runs."""
    (tmp_path / "python.cdx.json").write_text(json.dumps({"components": []}))
    monkeypatch.setattr(bill, "wanted_of_python", lambda _: {})
    monkeypatch.setattr(bill, "download", lambda go_mod, _: [])
    assert bill.main(tmp_path) == 1
    folders = {component.folder for component in (*COMPONENTS, *FOR_KIND, *FOR_CHARTS, *OWN, *ON_DEMAND)}
    names = {"components" if folder == "." else folder for folder in folders}
    assert {file.name for file in tmp_path.glob("go-*")} == {f"go-{name}.cdx.json" for name in names}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Apache License\n   Version 2.0, January 2004", ["Apache-2.0"]),
        ("// Redistribution and use in\n// source and binary forms …\n// * Neither the name of", ["BSD-3-Clause"]),
        ("Redistribution and use in source and binary forms, with", ["BSD-2-Clause"]),
        ("Permission to use, copy, modify, and/or distribute this software", ["ISC"]),
        ("All rights reserved.", []),
    ],
)
def test_a_licence_is_known_by_its_text(tmp_path: Path, text: str, found: list[str]) -> None:
    made = module(tmp_path, "a", text)
    assert licences(Path(made["Dir"])) == found
    told = [] if found else ["a is there without a licence"]
    assert missing(go_bill("it", [made], "go1.26.8"), {"a": None}) == told
