"""The programs that render manifests: the user's own, or those that are built for the local cluster."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from harness.cluster.local.built import built
from harness.common.errors import ClusterBroken, HarnessError
from harness.common.progress import Progress

# Seconds. Real charts and kustomizations take less than one.
TIMEOUT = 60.0
MAX_BYTES = 20_000_000
_MOST_SHOWN = 3000
# How each program prints its version.
_VERSIONS = {
    "helm": ("version", "--template={{.Version}}"),
    "kubectl": ("version", "--client", "-o", "json"),
    "kustomize": ("version",),
}
_VERSION = re.compile(r"v\d+\.\d+[\w.+-]*")
# Settings of the user that select a cluster or a namespace, or print more.
_CLUSTER = re.compile(r"KUBECONFIG|HELM_(KUBE\w*|NAMESPACE|DEBUG)")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
# The discard port: connections to it are refused at once.
_NOWHERE = "http://127.0.0.1:9"
# kubectl logs its last error in one line of klog's format if it was started by another program.
_LOGGED = re.compile(r'^E\d{4} .*?\] "command failed" err=(.*)$', re.DOTALL)


class RenderFailed(HarnessError):
    """A program failed, or took too long. The message is the program's own."""


class ProgramMissing(HarnessError):
    """None of the programs is installed, and none can be built. The message names them."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program on this machine, with its version."""

    name: str
    path: Path
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    def run(self, *arguments: str, network: bool = False, seconds: float = TIMEOUT) -> tuple[str, str]:
        """Return what the program writes to its output and to its error output.

        Without ``network`` connections to other machines fail at once. Raises RenderFailed.
        """
        return _run(self.path, self.name, arguments, environment(os.environ, network=network), seconds)


def find(names: Sequence[str], progress: Progress) -> Program:
    """Return the first of these programs on the PATH; else the first that can be built. Raises ProgramMissing."""
    for name in names:
        if path := shutil.which(name):
            return Program(name, Path(path), _version(name, path))
    reason = ""
    try:
        if made := built(names[0], progress):
            return Program(names[0], made, _version(names[0], str(made)))
    except ClusterBroken as error:
        reason = f", and it could not be built: {error}"
    raise ProgramMissing(f"found no {' or '.join(names)} on the PATH{reason}; install {names[0]}")


def environment(user: Mapping[str, str], *, network: bool) -> dict[str, str]:
    """Return the user's environment without access to a cluster, and without ``network`` none to other machines."""
    kept = {key: value for key, value in user.items() if not _CLUSTER.fullmatch(key)}
    # kuberc: preferences of the user that may add options to kubectl's commands.
    kept |= {"KUBECONFIG": os.devnull, "KUBERC": "off"}
    if network:
        return kept
    kept = {key: value for key, value in kept.items() if key.upper() not in _PROXIES}
    refused = {spelt: _NOWHERE for name in _PROXIES[:3] for spelt in (name, name.lower())}
    return {**kept, **refused, "GIT_ALLOW_PROTOCOL": "none"}


@functools.cache
def _version(name: str, path: str) -> str:
    try:
        text, _ = _run(Path(path), name, _VERSIONS[name], environment(os.environ, network=False), TIMEOUT)
    except RenderFailed:
        return "of unknown version"
    if name == "kubectl":
        with contextlib.suppress(ValueError, KeyError, TypeError):
            found = json.loads(text)
            return f"{found['clientVersion']['gitVersion']} (kustomize {found['kustomizeVersion']})"
    match = _VERSION.search(text)
    return match[0] if match else "of unknown version"


def _run(
    path: Path, name: str, arguments: Sequence[str], environ: Mapping[str, str], seconds: float
) -> tuple[str, str]:
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                [str(path), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env=dict(environ),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise RenderFailed(f"{path} cannot be run: {error}") from error
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise RenderFailed(f"{name} did not end within {seconds:g} s") from None
        finally:
            _end(process)
        text, message = _read(output), _read(errors)
    if process.returncode:
        raise RenderFailed(_message(message) or f"{name} failed with exit code {process.returncode} and no message")
    if len(text) > MAX_BYTES:
        raise RenderFailed(f"{name} printed more than {MAX_BYTES} bytes")
    return text.decode(errors="replace"), message.decode(errors="replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the program with all that it started, such as git or a credential helper, unless it has ended."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _read(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read(MAX_BYTES + 1)


def _message(text: bytes) -> str:
    """Return a program's error without its prefixes, advice for other situations and control characters."""
    shown = text[-_MOST_SHOWN:].decode(errors="replace").strip()
    if logged := _LOGGED.match(shown):
        shown = logged[1].strip()
        if shown.startswith('"'):
            with contextlib.suppress(ValueError):
                shown = json.loads(shown)
        shown = shown.strip("<> \n")
    lines = [line.strip() for line in shown.splitlines()]
    kept = [
        line
        for line in lines
        if line and not line.startswith(("Use --debug flag", "WARNING:", "walk.go:", "# Warning"))
    ]
    plain = " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", line) for line in kept)
    return re.sub(r"^(Error|error|INSTALLATION FAILED): ", "", plain)
