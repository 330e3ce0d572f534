"""Programs on a PATH of their own, and a project whose files they render."""

from __future__ import annotations

from pathlib import Path

from harness.common.documents import Place, show_place
from harness.common.errors import Problem
from harness.experiment.rendering.places import Places
from harness.experiment.sources import Sources

VERSION = 'case "$1" in version) echo "v9.8.7"; exit;; esac'


def program(folder: Path, name: str, script: str) -> Path:
    """Write a program that prints its version as helm and kustomize do, and otherwise runs a shell script."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{VERSION}\n{script}\n")
    path.chmod(0o755)
    return path


def renders(folder: Path, name: str, text: str) -> None:
    """Write a program that prints a text, and writes its arguments to ``NAME.args``, one a line."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.out").write_text(text)
    args = folder / f"{name}.args"
    program(folder, name, f"""printf '%s\\n' "$@" > '{args}'\ncat '{folder}/{name}.out'""")


def fails(folder: Path, name: str, message: str) -> None:
    """Write a program that fails with a message."""
    (folder / f"{name}.err").write_text(message)
    program(folder, name, f"cat '{folder}/{name}.err' >&2\nexit 1")


def project(root: Path) -> Places:
    """Return the places of an experiment in ``experiments/`` of a project."""
    (root / "experiments").mkdir(parents=True, exist_ok=True)
    (root / "pyproject.toml").touch()
    file = root / "experiments/shop.yaml"

    def problem(place: Place, message: str) -> Problem:
        return Problem(message, file, field=show_place(("workload", *place)))

    return Places(file.parent, Sources.for_root(root), problem)


def write(root: Path, files: dict[str, str]) -> None:
    """Write files by their paths below a folder."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
