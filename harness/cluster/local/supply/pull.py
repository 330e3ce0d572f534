"""Pulls images with this machine's own network, since the nodes of a local cluster reach nothing outside.

``crane`` makes the requests: it follows HTTPS_PROXY and NO_PROXY, and takes credentials from ~/.docker/config.json and
its credential helpers. Of an index only the content for the nodes' platform is fetched; the index itself and all of its
manifests are kept, so that the image has the digest that its registry shows.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.cluster.local.oci import MANIFEST, Descriptor
from harness.cluster.local.supply.archives import INDEXES, MANIFESTS, platform_of_config
from harness.cluster.local.supply.references import Reference
from harness.cluster.local.supply.store import ImageStore, StoredImage
from harness.common.clock import Clock, SystemClock
from harness.common.errors import HarnessError
from harness.common.progress import Progress

MEGABYTE = 1_000_000
_POLL_SECONDS = 0.1
AWAY_SECONDS = 30.0
_REFUSED = re.compile(r"unauthorized|denied|authentication required|401|403", re.IGNORECASE)
_ABSENT = re.compile(r"MANIFEST_UNKNOWN|NAME_UNKNOWN|NAME_INVALID|404", re.IGNORECASE)
_UNREACHABLE = re.compile(
    r"no such host|connection refused|i/o timeout|network is unreachable|proxyconnect|EOF|reset by"
)


class PullFailed(HarnessError):
    """A registry did not give an image. ``reachable`` is whether it answered at all."""

    def __init__(self, message: str, *, reachable: bool = True) -> None:
        self.reachable = reachable
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits in seconds: to answer about an image, without any progress of a download, and for a download."""

    answer: float = 30.0
    stall: float = 60.0
    whole: float = 1800.0
    report: float = 5.0


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a registry has under a reference: a manifest or an index, and the platforms that it is for."""

    reference: Reference
    root: Descriptor
    body: bytes
    platforms: tuple[str, ...]

    @property
    def pinned(self) -> str:
        return f"{self.reference.repository}@{self.root.digest}"


class Puller:
    """Pulls images into a store. ``platform`` is that of the nodes, such as linux/amd64."""

    def __init__(
        self, crane: Path, store: ImageStore, platform: str, clock: Clock | None = None, limits: Limits | None = None
    ) -> None:
        self._crane = crane
        self._store = store
        self._platform = platform
        self._clock = clock or SystemClock()
        self._limits = limits or Limits()
        # By host: why it could not be reached, and until when it is not tried again.
        self._away: dict[str, tuple[float, str]] = {}

    def resolve(self, reference: str) -> Resolved:
        """Ask the registry what a reference names now. Raises PullFailed; a time limit applies."""
        whole = Reference.parse(reference)
        body = self._ask("manifest", str(whole), whole.host)
        try:
            found = json.loads(body)
            media_type = str(found.get("mediaType") or (INDEXES[0] if "manifests" in found else MANIFEST))
            if media_type in INDEXES:
                entries = (platform_of_config(each.get("platform") or {}) for each in found["manifests"])
                platforms = tuple(dict.fromkeys(each for each in entries if each and each != "unknown/unknown"))
            elif media_type in MANIFESTS:
                platforms = (platform_of_config(json.loads(self._ask("config", str(whole), whole.host))),)
            else:
                raise PullFailed(f"{whole} has the type {media_type}, expected a container image")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PullFailed(f"{whole.host} gave no readable manifest of {whole}: {error}") from error
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        if whole.digest and whole.digest != digest:
            raise PullFailed(f"{whole.host} gave {digest} for {whole}")
        return Resolved(whole, Descriptor(media_type, digest, len(body)), body, platforms)

    def pull(self, found: Resolved, progress: Progress) -> StoredImage:
        """Pull what was resolved, as far as the store lacks it. Raises PullFailed.

        Tags that name content that is stored already cost no download."""
        name, began = str(found.reference), self._clock.monotonic()
        with self._store.locked(progress):
            fetched = self._fetch(found, name, progress)
            stored = StoredImage(
                name,
                found.root.media_type,
                found.root.digest,
                found.root.size,
                found.platforms,
                f"pulled from {found.reference.host}",
            )
            self._store.add([stored])
        if fetched:
            seconds = self._clock.monotonic() - began
            progress(f"pulled {name}: {fetched / MEGABYTE:.1f} MB in {seconds:.0f} s")
        return stored

    def _fetch(self, found: Resolved, name: str, progress: Progress) -> int:
        blobs, host = self._store.blobs, found.reference.host
        chosen = found.body
        if found.root.media_type in INDEXES:
            for entry in json.loads(found.body)["manifests"]:
                # Also those of other platforms: a registry accepts an index only with all of its manifests.
                body = self._small(found, entry["digest"], host)
                blobs.add_bytes(str(entry.get("mediaType") or MANIFEST), body)
                if platform_of_config(entry.get("platform") or {}) == self._platform:
                    chosen = body
        manifest: dict[str, Any] = json.loads(chosen)
        parts = [manifest["config"], *manifest["layers"]]
        missing = [part for part in parts if not blobs.path(part["digest"]).exists()]
        total = sum(int(part.get("size", 0)) for part in missing)
        if missing:
            progress(f"pulling {name} from {host}: {len(missing)} of {len(parts)} parts, {total / MEGABYTE:.1f} MB")
        done = 0
        deadline = self._clock.monotonic() + self._limits.whole
        for part in missing:
            done += self._blob(found, part["digest"], _Share(name, done, total, deadline), progress)
        blobs.add_bytes(found.root.media_type, found.body)
        return done

    def _small(self, found: Resolved, digest: str, host: str) -> bytes:
        file = self._store.blobs.path(digest)
        if file.exists():
            return file.read_bytes()
        body = self._ask("manifest", f"{found.reference.repository}@{digest}", host)
        if f"sha256:{hashlib.sha256(body).hexdigest()}" != digest:
            raise PullFailed(f"{host} gave other content for {digest} of {found.reference}")
        return body

    def _blob(self, found: Resolved, digest: str, share: _Share, progress: Progress) -> int:
        target = self._store.blobs.path(digest)
        new = target.with_name(f".{os.getpid()}.pull")
        host = found.reference.host
        command = [str(self._crane), "blob", f"{found.reference.repository}@{digest}"]
        try:
            with (
                new.open("wb") as file,
                subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.PIPE) as child,
            ):
                try:
                    self._watch(child, new, share, progress, host)
                except BaseException:
                    child.kill()
                    raise
                errors = child.stderr.read().decode(errors="replace") if child.stderr else ""
            if child.returncode:
                raise _failure(found.reference, host, errors)
            with new.open("rb") as content:
                if f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}" != digest:
                    raise PullFailed(f"{host} gave damaged content for {digest} of {found.reference}")
            size = new.stat().st_size
            new.replace(target)
        except OSError as error:
            raise PullFailed(f"{found.reference} cannot be pulled: {error}") from error
        finally:
            new.unlink(missing_ok=True)
        return size

    def _watch(self, child: subprocess.Popen[bytes], file: Path, share: _Share, progress: Progress, host: str) -> None:
        """Wait for a download. Raises PullFailed if it stalls or takes too long."""
        size, grew = 0, self._clock.monotonic()
        reported = grew
        while child.poll() is None:
            self._clock.sleep(_POLL_SECONDS)
            now, known = self._clock.monotonic(), file.stat().st_size
            size, grew = (known, now) if known > size else (size, grew)
            if now - grew > self._limits.stall:
                raise PullFailed(f"{host} sent nothing of {share.name} for {self._limits.stall:g} s", reachable=False)
            if now > share.deadline:
                raise PullFailed(f"{share.name} took over {self._limits.whole:g} s to pull", reachable=False)
            if now - reported >= self._limits.report:
                reported = now
                part, whole = (share.before + size) / MEGABYTE, share.total / MEGABYTE
                progress(f"pulling {share.name}: {part:.1f} of {whole:.1f} MB")

    def _ask(self, verb: str, reference: str, host: str) -> bytes:
        until, why = self._away.get(host, (0.0, ""))
        if why and self._clock.monotonic() < until:
            raise PullFailed(why, reachable=False)
        try:
            return self._run(verb, reference, host)
        except PullFailed as error:
            if not error.reachable:
                # A workload with many images of one registry would wait for its time-out many times.
                self._away[host] = (self._clock.monotonic() + AWAY_SECONDS, _of_host(error, host))
            raise

    def _run(self, verb: str, reference: str, host: str) -> bytes:
        command = [str(self._crane), verb, reference]
        try:
            done = subprocess.run(
                command, check=False, capture_output=True, timeout=self._limits.answer, stdin=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired as error:
            raise PullFailed(f"{host} did not answer within {self._limits.answer:g} s", reachable=False) from error
        except OSError as error:
            raise PullFailed(f"{self._crane} cannot be run: {error}", reachable=False) from error
        if done.returncode:
            raise _failure(Reference.parse(reference), host, done.stderr.decode(errors="replace"))
        return done.stdout


@dataclass(frozen=True, slots=True)
class _Share:
    """One part of a download: the bytes before it and of all parts, and the clock's time at which it must be done."""

    name: str
    before: int
    total: int
    deadline: float


def _of_host(error: PullFailed, host: str) -> str:
    """Return the part of an error that is true for every image of the host."""
    text = str(error)
    return text if text.startswith(f"{host} did not answer") else f"{host} cannot be reached from this machine"


def _failure(reference: Reference, host: str, errors: str) -> PullFailed:
    lines = [line.strip().removeprefix("Error: ") for line in errors.splitlines() if line.strip()]
    last = lines[-1][:300] if lines else "no message"
    if _UNREACHABLE.search(last):
        return PullFailed(f"{host} cannot be reached from this machine: {last}", reachable=False)
    if _ABSENT.search(last):
        return PullFailed(f"{host} has no {reference.path}{_target(reference)}: {last}")
    if _REFUSED.search(last):
        return PullFailed(f"{host} refused {reference.path} (log in with `docker login {host}`): {last}")
    return PullFailed(f"{host}: {last}")


def _target(reference: Reference) -> str:
    return f"@{reference.digest}" if reference.digest else f":{reference.tag}"
