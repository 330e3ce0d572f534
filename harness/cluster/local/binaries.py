"""Build the programs of the cluster, and keep them in the cache.

Everything in the cache has a folder named after what went into it (modules, their checksums, build settings and the
compiler), and every program appears there whole or not at all: two runs at once, a kill at any moment and a deleted
cache are safe.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from harness.cluster.components import COMPONENTS, Component, modules_folder, versions
from harness.cluster.local import toolchain
from harness.cluster.local.locks import locked
from harness.cluster.local.paths import cache_root
from harness.cluster.local.toolchain import Go
from harness.common.clock import Clock, SystemClock
from harness.common.errors import ClusterBroken
from harness.common.progress import Progress

# Prometheus' own build tags: without the service discoveries of all clouds, whose SDKs make up most of its packages.
TAGS = "remove_all_sd,enable_kubernetes_sd"
REPORT_SECONDS = 20.0
# Before this share of the packages is compiled, the remaining time is a guess.
_ESTIMATE_FROM = 0.1
_MAJOR = re.compile(r"v[0-9]+")


@dataclass(frozen=True, slots=True)
class Binaries:
    """The built programs: their folder, and the version of each by name."""

    folder: Path
    versions: Mapping[str, str]


def go_directive(go_mod: str) -> tuple[int, int, int]:
    """Return the version of Go that a ``go.mod`` requires. Raises ClusterBroken if it requires none."""
    match = re.search(r"^go (\S+)", go_mod, re.MULTILINE)
    version = toolchain.parse_version(f"go{match[1]}") if match else None
    if version is None:
        raise ClusterBroken("the components' go.mod has no go directive")
    return version


def linker_flags(components: Sequence[Component], known: Mapping[str, str]) -> str:
    """Return the linker's flags for programs built together: no symbol tables, and every program's true version."""
    stamps: dict[str, None] = {}
    for component in components:
        version = known[component.name]
        major, minor = version.split(".")[:2]
        stamps |= dict.fromkeys(text.format(version=version, major=major, minor=minor) for text in component.stamps)
    return " ".join(["-s", "-w", *(f"-X {stamp}" for stamp in stamps)])


def cache_key(go_version: str, components: Sequence[Component] = COMPONENTS) -> str:
    """Return a name for everything that the programs depend on."""
    content = hashlib.sha256(f"{go_version} {TAGS}".encode())
    known = versions(components)
    for component in components:
        content.update(f"{component.name} {component.package} {linker_flags([component], known)}".encode())
    folders = {Path(component.folder) for component in components}
    folders |= {Path(component.folder, component.package) for component in components if _is_ours(component)}
    for folder in sorted(folders):
        for file in sorted(path for path in (modules_folder() / folder).iterdir() if path.is_file()):
            content.update(file.read_bytes())
    return content.hexdigest()[:16]


def ensure(progress: Progress, clock: Clock | None = None, components: Sequence[Component] = COMPONENTS) -> Binaries:
    """Return these programs; build those that the cache lacks. Raises ClusterBroken with the compiler's message."""
    clock = clock or SystemClock()
    go = _compiler(progress, components)
    folder = _place(go, components)
    found = Binaries(folder, versions(components))
    if not _missing(folder, components):
        return found
    folder.mkdir(parents=True, exist_ok=True)
    with locked("build", progress, "another process is building the components: waiting for it"):
        # Left by builds that were killed. No build is using them, since this process holds the lock.
        for abandoned in folder.glob(".*"):
            shutil.rmtree(abandoned, ignore_errors=True)
        for group in _groups(_missing(folder, components)):
            _Build(group, go, found, progress, clock).run()
    return found


def place(progress: Progress, components: Sequence[Component] = COMPONENTS) -> Path:
    """Return the cache's folder for programs that are built together, whether it exists or not."""
    return _place(_compiler(progress, components), components)


def module_file(component: Component, path: str, progress: Progress) -> Path:
    """Return a file of a component's module, kept in the cache since it is part of what is installed with the program.

    Raises ClusterBroken if Go cannot provide the module, which it checks against go.sum.
    """
    go = _compiler(progress, [component])
    # With its folders, since a module may have several files of one name.
    kept = _place(go, [component]) / f"{component.name}-{path.replace('/', '-')}"
    if not kept.exists():
        command = [str(go.binary), "mod", "download", "-json", component.module]
        folder = modules_folder() / component.folder
        done = subprocess.run(command, check=False, cwd=folder, env=go.environment(), capture_output=True, text=True)
        if done.returncode != 0:
            raise ClusterBroken(f"{' '.join(command)} ended with exit code {done.returncode}: {done.stderr.strip()}")
        kept.parent.mkdir(parents=True, exist_ok=True)
        # In one step, since another process may read the cache at any time.
        new = kept.with_name(f"{kept.name}.{os.getpid()}.new")
        shutil.copyfile(Path(json.loads(done.stdout)["Dir"]) / path, new)
        new.replace(kept)
    return kept


def _place(go: Go, components: Sequence[Component]) -> Path:
    return cache_root() / "bin" / cache_key(go.version, components)


def _compiler(progress: Progress, components: Sequence[Component]) -> Go:
    wanted = max(go_directive((modules_folder() / component.folder / "go.mod").read_text()) for component in components)
    return toolchain.find(wanted, progress)


def _is_ours(component: Component) -> bool:
    return component.package.startswith("./")


def _missing(folder: Path, components: Sequence[Component]) -> list[Component]:
    return [component for component in components if not (folder / component.name).exists()]


def _groups(components: Sequence[Component]) -> Iterator[list[Component]]:
    """Programs that one command builds: linking one overlaps compiling the next, and both processors stay busy."""
    together: dict[str, list[Component]] = {}
    for component in components:
        if not component.alone:
            together.setdefault(component.folder, []).append(component)
    yield from together.values()
    yield from ([component] for component in components if component.alone)


def _built_name(component: Component) -> str:
    """The file name that ``go build`` gives to a program: the last part of its package, or the one before a version."""
    if component.package == ".":
        return PurePosixPath(component.module).name
    parts = PurePosixPath(component.package).parts
    return parts[-2] if _MAJOR.fullmatch(parts[-1]) else parts[-1]


@dataclass
class _Build:
    """One ``go build`` of several programs of one module."""

    components: Sequence[Component]
    go: Go
    binaries: Binaries
    progress: Progress
    clock: Clock
    started: float = 0.0
    total: int = 0
    compiled: int = 0
    errors: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Build the programs and move each to the cache's folder. Raises ClusterBroken with the compiler's message."""
        self.started = self.clock.monotonic()
        self.progress(f"building {self._names()}")
        folder = modules_folder() / self.components[0].folder
        packages = [component.package for component in self.components]
        self.total = self._count(folder, packages)
        new = Path(tempfile.mkdtemp(prefix=".build-", dir=self.binaries.folder))
        try:
            # -v names every package that is compiled, which shows how far the build is.
            flags = linker_flags(self.components, self.binaries.versions)
            options = ["-v", "-trimpath", "-tags", TAGS, "-ldflags", flags, "-o", f"{new}/"]
            self._execute(["build", *options, *packages], folder)
            for component in self.components:
                # Moved within one file system, so that a program appears in the cache whole or not at all.
                (new / _built_name(component)).replace(self.binaries.folder / component.name)
        finally:
            shutil.rmtree(new, ignore_errors=True)
        self.progress(f"built {self._names()} in {self._elapsed():.0f} s")

    def _names(self) -> str:
        names = [component.name for component in self.components]
        return ", ".join(names) if len(names) <= 3 else f"{len(names)} programs ({names[0]} to {names[-1]})"

    def _elapsed(self) -> float:
        return self.clock.monotonic() - self.started

    def _count(self, folder: Path, packages: Sequence[str]) -> int:
        """How many packages the programs consist of; 0 if unknown. Those in the compiler's cache are counted too."""
        command = [str(self.go.binary), "list", "-deps", "-tags", TAGS, *packages]
        done = subprocess.run(
            command, check=False, cwd=folder, env=self.go.environment(), capture_output=True, text=True
        )
        return len(done.stdout.splitlines()) if done.returncode == 0 else 0

    def _execute(self, arguments: Sequence[str], folder: Path) -> None:
        command = [str(self.go.binary), *arguments]
        with subprocess.Popen(
            command,
            cwd=folder,
            env=self.go.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            reader = threading.Thread(target=self._read, args=(process,), daemon=True)
            reader.start()
            while reader.is_alive():
                reader.join(REPORT_SECONDS)
                if reader.is_alive():
                    self.progress(self._state())
        if process.returncode != 0:
            message = "\n".join(self.errors)
            raise ClusterBroken(f"{' '.join(command)} ended with exit code {process.returncode}:\n{message}")

    def _read(self, process: subprocess.Popen[str]) -> None:
        for line in process.stderr or ():
            # A package's name has no blank and no colon; the compiler's messages have both.
            if re.fullmatch(r"[\w./~+-]+", line.strip()):
                self.compiled += 1
            elif not line.startswith("go: downloading"):
                self.errors.append(line.rstrip())

    def _state(self) -> str:
        share = self.compiled / self.total if self.total else 0.0
        if share < _ESTIMATE_FROM:
            return f"still building, {self._elapsed():.0f} s"
        if share >= 1:
            # go names packages, not links; the largest programs take half a minute each.
            return f"still building, {self._elapsed():.0f} s: all packages compiled, linking the programs"
        left = self._elapsed() / share * (1 - share)
        return f"still building, {self._elapsed():.0f} s: {share:.0%} of {self.total} packages, about {left:.0f} s left"
