"""A real S3 server, built with Go: its program for tests on loopback and in a cluster."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from filelock import FileLock

from harness.cluster.local.paths import cache_root
from harness.cluster.local.toolchain import find

SOURCE = Path(__file__).parent / "integration/s3_server"
BUILD_SECONDS = 600


def program() -> Path:
    """Return the server, built once for each version of its sources. Skips where Go or its modules cannot be had."""
    content = b"".join((SOURCE / name).read_bytes() for name in ("go.mod", "go.sum", "main.go"))
    target = cache_root() / "test-s3-server" / hashlib.sha256(content).hexdigest()[:16]
    if target.exists():
        return target
    if shutil.which("go") is None:
        pytest.skip("the S3 server is built with Go")
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if not target.exists():
            go = find((1, 26, 4), print)
            new = target.with_suffix(".new")
            command = [str(go.binary), "build", "-o", str(new), "."]
            done = subprocess.run(
                command, cwd=SOURCE, env=go.environment(), capture_output=True, text=True, check=False,
                timeout=BUILD_SECONDS,
            )  # fmt: skip
            if done.returncode:
                pytest.skip(f"the S3 server cannot be built here: {done.stderr.strip()[-200:]}")
            new.replace(target)
    return target
