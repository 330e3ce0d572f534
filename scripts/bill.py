"""Bills of materials (CycloneDX): writes those of the Go modules of the local cluster, and looks what is missing.

    python -m scripts.bill FOLDER

writes ``go-<name>.cdx.json`` for every ``go.mod`` that programs of the local cluster are built from into the folder,
where ``python.cdx.json`` must lie already. Ends with 1, and a line for each package or module that is missing from its
bill or is there without a licence.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from harness.cluster.components import module_versions, modules_folder
from harness.cluster.local import toolchain
from harness.cluster.local.binaries import go_directive
from harness.cluster.local.toolchain import Go

ROOT = Path(__file__).resolve().parents[1]
Bill = dict[str, Any]

# By a sentence of its text, in which runs of spaces, line ends and comment signs count as one space.
LICENCES = {
    "Apache-2.0": r"Apache License,? Version 2\.0",
    "MPL-2.0": r"Mozilla Public License,? (version|v\.?) ?2\.0",
    "BSD-3-Clause": r"Redistribution and use in source and binary forms.*Neither the names? ",
    "BSD-2-Clause": r"Redistribution and use in source and binary forms(?!.*Neither the names? )",
    "MIT": r"Permission is hereby granted, free of charge",
    "ISC": r"Permission to use, copy, modify,? and(/or)? distribute this software",
    "CC0-1.0": r"CC0 1\.0 Universal",
}
LICENCE_FILE = re.compile(r"(un)?licen[cs]e|copying", re.IGNORECASE)


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


def locked(lock: str) -> dict[str, str]:
    """The version of each package of a lock file, by its name."""
    found = re.finditer(r"^([a-zA-Z0-9._-]+)==(\S+)", lock, re.MULTILINE)
    return {canonicalize_name(match[1]): match[2] for match in found}


def go_modules() -> list[Path]:
    """Every ``go.mod`` that programs of the local cluster are built from."""
    return sorted(modules_folder().rglob("go.mod"))


def download(go_mod: Path, go: Go) -> list[dict[str, Any]]:
    """What ``go mod download -json`` says of each module, from Go's own cache where it is there."""
    command = [str(go.binary), "mod", "download", "-json"]
    said = subprocess.run(command, cwd=go_mod.parent, env=go.environment(), check=True, capture_output=True, text=True)
    return list(_objects(said.stdout))


def licences(folder: Path) -> list[str]:
    """The SPDX names of the licences whose texts lie in the folder of a module."""
    files = [file for file in sorted(folder.iterdir()) if LICENCE_FILE.match(file.name) and file.is_file()]
    texts = [re.sub(r"(?:[\s>*#]|//)+", " ", file.read_text(errors="replace")) for file in files]
    return [
        name
        for name, said in LICENCES.items()
        if any(re.search(said, text, re.IGNORECASE | re.DOTALL) for text in texts)
    ]


def go_bill(name: str, modules: list[dict[str, Any]], compiler: str) -> Bill:
    """The bill of these modules and of Go's own library, which every program holds too."""
    parts = [(each["Path"], each["Version"], licences(Path(each["Dir"])), each["Sum"]) for each in modules]
    parts.append(("std", compiler.removeprefix("go"), ["BSD-3-Clause"], ""))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": name, "name": name}},
        "components": [
            {
                "type": "library",
                "bom-ref": f"pkg:golang/{path}@{version}",
                "name": path,
                "version": version,
                "purl": f"pkg:golang/{path}@{version}",
                "licenses": [{"license": {"id": licence}} for licence in found],
                **({"properties": [{"name": "go.sum", "value": checksum}]} if checksum else {}),
            }
            for path, version, found, checksum in parts
        ],
    }


def completed(bill: Bill) -> Bill:
    """A bill of Python packages with the licences of those that only ship their texts and declare none."""
    for component in bill["components"]:
        if not component.get("licenses"):
            found = licences_of(str(component["name"]))
            component["licenses"] = [{"license": {"id": licence}} for licence in found]
    return bill


def licences_of(package: str) -> list[str]:
    """The SPDX names of the licences whose texts an installed Python package ships."""
    try:
        files = distribution(package).files or []
    except PackageNotFoundError:
        return []
    folders = {Path(str(file.locate())).parent for file in files if LICENCE_FILE.match(file.name)}
    return sorted({name for folder in folders for name in licences(folder)})


def missing(bill: Bill, wanted: Mapping[str, str | None]) -> list[str]:
    """What is wrong with a bill, in a line each: wanted and not there, there in another version (None: any will do), or
    without a licence."""
    there = {canonical(each): each for each in bill["components"]}
    problems = []
    for name, version in wanted.items():
        if name not in there:
            problems.append(f"{name} is missing")
        elif version not in {None, there[name]["version"]}:
            problems.append(f"{name} is there as {there[name]['version']}, expected {version}")
        elif not there[name].get("licenses"):
            problems.append(f"{name} is there without a licence")
    return problems


def canonical(component: Mapping[str, Any]) -> str:
    """A component's name as the lock or the ``go.mod`` spells it."""
    name = str(component["name"])
    return canonicalize_name(name) if str(component.get("purl", "")).startswith("pkg:pypi/") else name


def wanted_of(go_mod: Path) -> dict[str, None]:
    """The modules that a ``go.mod`` requires, in any version: a ``replace`` may say another one."""
    return dict.fromkeys([*module_versions(go_mod.read_text()), "std"])


def wanted_of_python(lock: str) -> dict[str, str]:
    """What an installation without extras needs, in the locked versions."""
    versions = locked(lock)
    return {name: versions[name] for name in runtime() if name in versions}


def _objects(text: str) -> Iterator[dict[str, Any]]:
    decoder, text = json.JSONDecoder(), text.strip()
    while text:
        found, end = decoder.raw_decode(text)
        yield found
        text = text[end:].lstrip()


def main(folder: Path) -> int:
    """Write the bills of Go modules, and look into all of them."""
    python = folder / "python.cdx.json"
    bill = completed(json.loads(python.read_text()))
    python.write_text(json.dumps(bill, indent=1) + "\n")
    problems = missing(bill, wanted_of_python((ROOT / "requirements.lock").read_text()))
    for go_mod in go_modules():
        go = toolchain.find(go_directive(go_mod.read_text()), print)
        bill = go_bill(go_mod.parent.name, download(go_mod, go), go.version)
        (folder / f"go-{go_mod.parent.name}.cdx.json").write_text(json.dumps(bill, indent=1) + "\n")
        problems += missing(bill, wanted_of(go_mod))
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
