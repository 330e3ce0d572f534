"""The container runtimes of this machine: which images Docker, Podman and nerdctl have."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.common.errors import ClusterBroken

RUNTIMES = ("docker", "podman", "nerdctl")
INSPECT_SECONDS = 20.0
SAVE_SECONDS = 600.0
# What the runtimes print for an image that they do not have; any other error is one of the runtime itself.
_ABSENT = re.compile(r"no such (image|object)|not found|not known|unable to find", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class HeldImage:
    """An image that a runtime has: its content's id, its platform such as linux/amd64, and its size in bytes."""

    runtime: str
    name: str
    id: str
    platform: str
    size: int
    digests: tuple[str, ...] = ()


class Runtimes:
    """The runtimes that are installed, in their order. ``silent`` has the reasons why some were not asked."""

    def __init__(self, names: tuple[str, ...] = RUNTIMES) -> None:
        self._names = [name for name in names if shutil.which(name)]
        self.silent: dict[str, str] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The runtimes that are installed and answer, as far as is known."""
        return tuple(name for name in self._names if name not in self.silent)

    def find(self, reference: str) -> HeldImage | None:
        """Return the image from the first runtime that has it, or None."""
        for name in self.names:
            if found := self._inspect(name, reference):
                return found
        return None

    def _inspect(self, runtime: str, reference: str) -> HeldImage | None:
        try:
            done = subprocess.run(
                [runtime, "image", "inspect", reference],
                check=False, capture_output=True, text=True, timeout=INSPECT_SECONDS, stdin=subprocess.DEVNULL,
            )  # fmt: skip
            if done.returncode == 0:
                return _held(runtime, reference, json.loads(done.stdout)[0])
        except subprocess.TimeoutExpired:
            self.silent[runtime] = f"did not answer within {INSPECT_SECONDS:g} s"
            return None
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            self.silent[runtime] = f"gave no usable answer: {error}"
            return None
        if not _ABSENT.search(done.stderr):
            self.silent[runtime] = _last_line(done.stderr) or f"exit code {done.returncode}"
        return None


def save(image: HeldImage, target: Path) -> None:
    """Write an image into an archive. Raises ClusterBroken with the runtime's message."""
    command = [image.runtime, "save", "--output", str(target), image.name]
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=SAVE_SECONDS, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ClusterBroken(f"{' '.join(command)} failed: {error}") from error
    if done.returncode:
        raise ClusterBroken(f"{' '.join(command)} failed: {_last_line(done.stderr)}")


def _held(runtime: str, reference: str, found: Any) -> HeldImage:  # noqa: ANN401
    platform = f"{found.get('Os') or 'linux'}/{found['Architecture']}"
    digests = tuple(str(each) for each in found.get("RepoDigests") or ())
    return HeldImage(runtime, reference, str(found["Id"]), platform, int(found.get("Size") or 0), digests)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""
