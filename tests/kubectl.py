"""The real kubectl, where the local cluster's programs are built: asked offline, without any cluster."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.local.binaries import cache_key
from harness.cluster.local.paths import cache_root


@cache
def kubectl() -> Path | None:
    """The program, if it is built from the modules of this tree; never built here."""
    try:
        answer = subprocess.run(["go", "env", "GOVERSION"], check=True, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    found = cache_root() / "bin" / cache_key(answer.stdout.strip()) / "kubectl"
    return found if found.exists() else None


def required() -> Path:
    """The program; skips the test where it is not built."""
    found = kubectl()
    if found is None:
        pytest.skip("kubectl is not built: run `harness cluster build`")
    return found


def patch(what: Path, body: Any, strategy: str = "strategic") -> tuple[list[Any], str]:
    """What ``kubectl patch --local`` makes of the objects of a file or a folder, and what it says is wrong."""
    command = [
        "patch",
        "--local",
        "-f",
        str(what),
        f"--type={strategy}",
        "-p",
        json.dumps(body),
        "-o",
        "json",
    ]
    return _run(command)


def read(what: Path) -> tuple[list[Any], str]:
    """The objects that kubectl reads from a file or a folder, and what it says is wrong."""
    return patch(what, {}, "merge")


def _run(arguments: Sequence[str]) -> tuple[list[Any], str]:
    environment = {**os.environ, "KUBECONFIG": os.devnull}
    done = subprocess.run([str(required()), *arguments], capture_output=True, env=environment, check=False, timeout=120)
    decoder, text, found = json.JSONDecoder(), done.stdout.decode().strip(), []
    while text:
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:].strip()
    return found, done.stderr.decode() if done.returncode else ""
