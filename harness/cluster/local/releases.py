"""The official release files of the cluster's programs, in place of a build: only on demand, and only verified ones.

``releases.json`` has the URL and the SHA-256 checksum of each file. A program without a checksum there is built from
source, as are programs that no project publishes as a file. Programs appear in the cache whole or not at all, beside
those that are built.
"""

from __future__ import annotations

import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from harness.cluster.components import COMPONENTS, FOR_CHARTS, Component, versions
from harness.cluster.local import binaries
from harness.cluster.local.download import Source, fetch
from harness.cluster.local.locks import locked
from harness.cluster.local.paths import cache_root
from harness.common.clock import Clock
from harness.common.errors import ClusterBroken, InputError, Problem
from harness.common.progress import Progress

FILE = Path(__file__).with_name("releases.json")
# What Go calls the processors, by what Linux calls them.
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Release:
    """A release file. ``programs`` maps each program to its member in the archive; "" means the file itself.

    ``sha256`` is empty if no checksum is recorded for this architecture.
    """

    programs: Mapping[str, str]
    version: str
    url: str
    sha256: str = ""


def releases(architecture: str) -> list[Release]:
    """Return the known release files for an architecture, as Go calls it."""
    found = []
    for entry in json.loads(FILE.read_text(encoding="utf-8"))["releases"]:
        version = entry["version"]
        arch = entry.get("names", {}).get(architecture, architecture)
        programs = {name: place.format(version=version, arch=arch) for name, place in entry["programs"].items()}
        url = entry["url"].format(version=version, arch=arch)
        found.append(Release(programs, version, url, entry["sha256"].get(architecture, "")))
    return found


def mirrored(url: str, mirror: str) -> str:
    """Return the URL of a file on a mirror, which keeps the files below the names of their hosts."""
    parts = urlsplit(url)
    return f"{mirror.rstrip('/')}/{parts.netloc}{parts.path}" if mirror else url


def check_mirror(mirror: str) -> None:
    """Raise InputError if the mirror is no http or https URL."""
    try:
        parts = urlsplit(mirror)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise InputError([Problem(f"found {mirror!r}, expected an http or https URL", field="--mirror")])


def ensure(progress: Progress, clock: Clock, mirror: str = "", known: Sequence[Release] | None = None) -> None:
    """Download the missing programs that can be verified to the cache; report those that will be built.

    Raises ClusterBroken if a file cannot be downloaded or its checksum is wrong.
    """
    if known is None:
        machine = platform.machine()
        known = releases(ARCHITECTURES.get(machine, machine))
    for components in (COMPONENTS, FOR_CHARTS):
        _ensure(components, known, mirror, progress, clock)


def _ensure(
    components: Sequence[Component], known: Sequence[Release], mirror: str, progress: Progress, clock: Clock
) -> None:
    folder = binaries.place(progress, components)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = versions(components)
    with locked("build", progress, "another process is building the components: waiting for it"):
        missing = {name for name in wanted if not (folder / name).exists()}
        of_program = {name: release for release in known for name in release.programs}
        for release in known:
            if release.sha256 and missing & release.programs.keys():
                _check_version(release, wanted)
                url, name = mirrored(release.url, mirror), f"{', '.join(release.programs)} {release.version}"
                file = fetch(Source(url, release.sha256, name), cache_root() / "downloads", progress, clock)
                _place(release, missing, file, folder)
    for name in sorted(missing):
        if name not in of_program:
            progress(f"{name} {wanted[name]} is not published as a file: it is built from source, with Go")
        elif not of_program[name].sha256:
            progress(f"no checksum recorded for {name} {wanted[name]}: it is built from source, with Go")


def _check_version(release: Release, wanted: Mapping[str, str]) -> None:
    other = {name: wanted[name] for name in release.programs if wanted.get(name, release.version) != release.version}
    if other:
        raise ClusterBroken(f"{FILE.name} has version {release.version} of {', '.join(other)}, expected {other}")


def _place(release: Release, missing: set[str], file: Path, folder: Path) -> None:
    """Put the missing programs of a downloaded file into the cache's folder, and remove the file."""
    try:
        for name in missing & release.programs.keys():
            new = folder / f"{name}.new"
            _extract(file, release.programs[name], new)
            new.chmod(0o755)
            # Renamed within one folder, so that a program appears in the cache whole or not at all.
            new.replace(folder / name)
    finally:
        file.unlink()


def _extract(file: Path, member: str, target: Path) -> None:
    """Copy a file, or one member of an archive, to ``target``. Raises ClusterBroken."""
    if not member:
        target.write_bytes(file.read_bytes())
        return
    try:
        with tarfile.open(file) as archive:
            found = archive.extractfile(member)
            if found is None:
                raise ClusterBroken(f"{file.name}: {member} is not a file")
            target.write_bytes(found.read())
    except (KeyError, tarfile.TarError, EOFError, OSError) as error:
        raise ClusterBroken(f"{file.name}: {member} cannot be extracted: {error}") from error
