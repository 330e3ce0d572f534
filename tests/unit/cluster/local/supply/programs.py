"""Programs on PATH that answer like docker, podman and crane, for tests."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_RUNTIME = """#!{python}
import json, shutil, sys
images = json.loads({images!r})
verb = sys.argv[1:]
with open({log!r}, "a") as log:
    print(*verb, file=log)
if {broken!r}:
    print({broken!r}, file=sys.stderr)
    raise SystemExit(1)
name = verb[-1]
if verb[:2] == ["image", "inspect"]:
    if name not in images:
        print("Error response from daemon: No such image: " + name, file=sys.stderr)
        raise SystemExit(1)
    print(json.dumps([images[name]["inspect"]]))
elif verb[0] == "save":
    shutil.copy(images[name]["archive"], verb[2])
elif verb[0] == "pull":
    print("pull access denied", file=sys.stderr)
    raise SystemExit(1)
"""


class Runtime:
    """A container runtime on PATH. ``log`` has one line for each call."""

    def __init__(self, folder: Path, name: str, images: Mapping[str, Any], broken: str = "") -> None:
        folder.mkdir(exist_ok=True)
        self._log = folder / f"{name}.log"
        program = folder / name
        text = _RUNTIME.format(python=sys.executable, images=json.dumps(images), log=str(self._log), broken=broken)
        program.write_text(text)
        program.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []


def held(archive: Path, number: str = "sha256:1", architecture: str = "amd64") -> dict[str, Any]:
    """Return an image of a runtime."""
    found = {"Id": number, "Os": "linux", "Architecture": architecture, "Size": 5_000_000, "RepoDigests": []}
    return {"inspect": found, "archive": str(archive)}


_CRANE = """#!{python}
import json, pathlib, sys, time
root = pathlib.Path({root!r})
verb, reference = sys.argv[1:]
with open(root / "log", "a") as log:
    print(verb, reference, file=log)
if (root / "slow").exists() and verb == (root / "slow").read_text():
    sys.stdout.write("x"); sys.stdout.flush()
    time.sleep(60)
if (root / "error").exists():
    print((root / "error").read_text(), file=sys.stderr)
    raise SystemExit(1)
name = reference.replace("/", "_").replace(":", "_").replace("@", "_")
if verb == "config":
    manifest = json.loads((root / name).read_text())
    repository = reference.partition("@")[0]
    host, _, last = repository.rpartition("/")
    name = host + "/" + last.partition(":")[0] + ":" + manifest["config"]["digest"]
    name = name.replace("/", "_").replace(":", "_")
if not (root / name).exists():
    print("Error: fetching manifest " + reference + ": MANIFEST_UNKNOWN: manifest unknown", file=sys.stderr)
    raise SystemExit(1)
sys.stdout.buffer.write((root / name).read_bytes())
"""


class Crane:
    """A crane whose registry is a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._root = folder
        self.program = folder / "crane"
        self.program.write_text(_CRANE.format(python=sys.executable, root=str(folder)))
        self.program.chmod(0o755)

    def serve(self, repository: str, tag: str, root: str, blobs: Mapping[str, bytes]) -> None:
        """Serve an image: all of its blobs, and its root under a tag."""
        for digest, body in {**blobs, tag: blobs[root]}.items():
            (self._root / f"{repository}_{digest}".replace("/", "_").replace(":", "_")).write_bytes(body)

    def fail(self, message: str) -> None:
        (self._root / "error").write_text(message)

    def stall(self, verb: str) -> None:
        (self._root / "slow").write_text(verb)

    @property
    def calls(self) -> list[str]:
        log = self._root / "log"
        return log.read_text().splitlines() if log.exists() else []
