"""The image of the load generator, the janitor and scheduled runs: this Python, its packages, and the harness.

It is made without Docker from the running interpreter: its program, its standard library, the installed distributions
and the shared libraries that ``ldd`` names. It has no shell, and is built only when something runs inside a cluster.
The layers are kept by their content, so that a change of the harness makes only the last, smallest one again.
"""

from __future__ import annotations

import compileall
import hashlib
import importlib.metadata
import json
import os
import platform
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import harness
from harness import __version__
from harness.cluster.local.images import INDEX, REGISTRY_HOST
from harness.cluster.local.locks import locked
from harness.cluster.local.oci import LAYER, BlobStore, Descriptor, Entry
from harness.cluster.local.paths import cache_root
from harness.common.clock import SystemClock
from harness.common.errors import CapabilityMissing
from harness.common.progress import Progress
from harness.common.shipped import shipped

NAME = "runner"
# The dependencies of the harness and of its extras, as far as they are installed; a test compares them with pyproject.
ROOTS = (
    "apprise",
    "cronsim",
    "cryptography",
    "filelock",
    "h11",
    "h2",
    "jinja2",
    "kubernetes",
    "locust",
    "minio",
    "numpy",
    "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry-sdk",
    "orjson",
    "prometheus-api-client",
    "prometheus-client",
    "promql-parser",
    "pydantic",
    "pysocks",
    "pytest",
    "pyyaml",
    "requests",
    "shtab",
    "tenacity",
    "tzdata",
    "urllib3",
    "websocket-client",
)
# Folders of the catalogue, which an installed package carries inside.
CATALOGUE = ("experiments", "loadprofiles")
# Change it with anything below that changes the content of the image.
FORMAT = "3"
PREFIX = "opt/runner"
USER = 65532
_PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
_LIBRARY = f"{PREFIX}/lib/{_PYTHON}"
_SITE = f"{_LIBRARY}/site-packages"
# Modules of the standard library that pull in many libraries, or are of no use without a screen.
_PACKAGE = Path(harness.__file__).parent
_ENTRY_POINTS = (
    "[console_scripts]\nharness = harness.cli.main:main\n\n[pytest11]\nresilience = harness.pytest_plugin.plugin\n"
)
_UNUSED_FILES = ("_tkinter", "_test", "_ctypes_test")
_UNUSED = {"test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "site-packages", "__pycache__"}


def ensure(progress: Progress) -> Path:
    """Build the image unless it is in the cache, and return the folder for ``ImageSet``.

    Raises CapabilityMissing if this machine's Python cannot be put into an image.
    """
    sources = _own_sources()
    key = _key(sources)
    root = cache_root() / NAME / key
    if (root / INDEX).exists():
        return root
    with locked(NAME, progress, "another process is making the runner image: waiting for it"):
        if not (root / INDEX).exists():
            progress("making the runner image from this Python (once for each version)")
            clock = SystemClock()
            started = clock.monotonic()
            size = _make(root, key, sources)
            progress(f"made the image {NAME}:{key}, {size / 1e6:.0f} MB, in {clock.monotonic() - started:.0f} s")
    return root


def distributions(roots: Iterable[str] = ROOTS) -> list[importlib.metadata.Distribution]:
    """Return the installed distributions that these require, in the order of their names."""
    found: dict[str, importlib.metadata.Distribution] = {}
    wanted = list(roots)
    while wanted:
        name = re.sub(r"[-_.]+", "-", wanted.pop()).lower()
        if name in found:
            continue
        try:
            found[name] = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            # Required on other systems or versions of Python only.
            continue
        required = (text for text in found[name].requires or () if "extra ==" not in text)
        wanted += [match[0] for text in required if (match := re.match(r"[A-Za-z0-9._-]+", text))]
    return [found[name] for name in sorted(found)]


def _own_sources() -> dict[str, Path]:
    """Return the files of the harness and its catalogue by their paths in the image."""
    found = {f"harness/{file.relative_to(_PACKAGE)}": file for file in _plain_files(_PACKAGE)}
    for name in CATALOGUE:
        folder = shipped(name)
        found |= {f"harness/builtin/{name}/{file.relative_to(folder)}": file for file in _plain_files(folder)}
    return dict(sorted(found.items()))


def _plain_files(folder: Path) -> Iterator[Path]:
    yield from (file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)


def _key(sources: Mapping[str, Path]) -> str:
    content = hashlib.sha256(_interpreter_key().encode())
    for name, file in sources.items():
        content.update(name.encode())
        content.update(file.read_bytes())
    return content.hexdigest()[:16]


def _interpreter_key() -> str:
    installed = [f"{one.metadata['Name']} {one.version}" for one in distributions()]
    parts = [FORMAT, sys.version, platform.machine(), str(platform.libc_ver()), *installed]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _make(root: Path, key: str, sources: Mapping[str, Path]) -> int:
    """Write the image and return its size in bytes."""
    blobs = BlobStore(root)
    layers = [_interpreter_layer(blobs), _own_layer(blobs, sources)]
    run = {
        "Entrypoint": [f"/{PREFIX}/bin/python", "-m", "harness.cli"],
        "WorkingDir": "/work",
        "User": f"{USER}:{USER}",
        "Env": [
            f"PATH=/{PREFIX}/bin",
            f"LD_LIBRARY_PATH=/{PREFIX}/libraries",
            f"SSL_CERT_FILE=/{_SITE}/certifi/cacert.pem",
            "PYTHONDONTWRITEBYTECODE=1",
            "HOME=/work",
        ],
    }
    manifest = blobs.add_image(layers, run, platform.machine())
    new = root / f"{INDEX}.new"
    new.write_text(json.dumps({NAME: {"version": key, **manifest.as_json()}}, indent=2), encoding="utf-8")
    # Last: the index marks the image as complete.
    new.replace(root / INDEX)
    return sum(layer.size for layer in layers)


def reference(root: Path) -> str:
    """Return the reference of the image in a folder that ``ensure`` returned."""
    return f"{REGISTRY_HOST}/{NAME}:{root.name}"


def _interpreter_layer(blobs: BlobStore) -> Descriptor:
    """Return the layer with Python and its packages, made once and shared by the images of all harness versions."""
    kept = cache_root() / NAME / f"layer-{_interpreter_key()}"
    described = kept / "layer.json"
    if not described.exists():
        store = BlobStore(kept)
        with _staging() as stage:
            _stage_python(stage)
            layer = store.add_layer([*_base(), *_entries(stage)])
        described.write_text(json.dumps(layer.as_json()), encoding="utf-8")
    found = json.loads(described.read_text(encoding="utf-8"))
    layer = Descriptor(LAYER, found["digest"], found["size"])
    target = blobs.path(layer.digest)
    if not target.exists():
        _link(BlobStore(kept).path(layer.digest), target)
    return layer


def _own_layer(blobs: BlobStore, sources: Mapping[str, Path]) -> Descriptor:
    described = f"resilience_harness-{__version__}.dist-info"
    with _staging() as stage:
        for name, file in sources.items():
            _link(file, stage / _SITE / name)
        folder = stage / _SITE / described
        folder.mkdir()
        # pytest finds its plugins by the metadata of installed distributions.
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: resilience-harness\nVersion: {__version__}\n", encoding="utf-8"
        )
        (folder / "entry_points.txt").write_text(_ENTRY_POINTS, encoding="utf-8")
        _compile(stage)
        return blobs.add_layer(_entries(stage, only=(f"{_SITE}/harness", f"{_SITE}/{described}")))


@contextmanager
def _staging() -> Iterator[Path]:
    """Yield a folder below the cache, so that files can be linked into it and not copied."""
    folder = cache_root() / NAME
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".stage-", dir=folder) as stage:
        yield Path(stage)


def _stage_python(stage: Path) -> None:
    """Lay out the interpreter, the distributions and the shared libraries below ``stage``."""
    _link(Path(sys.executable).resolve(), stage / PREFIX / "bin/python")
    standard = Path(sysconfig.get_path("stdlib"))
    for file in _files(standard, lambda folder: folder not in _UNUSED and not folder.startswith("config-")):
        _link(file, stage / _LIBRARY / file.relative_to(standard))
    for distribution in distributions():
        for name in distribution.files or ():
            parts = name.parts
            source = Path(str(distribution.locate_file(name)))
            if ".." not in parts and "__pycache__" not in parts and source.is_file():
                _link(source, stage / _SITE / Path(*parts))
    for library in _libraries(stage):
        _link(library, stage / PREFIX / "libraries" / library.name)
    loader = _loader()
    _link(loader, stage / str(loader).lstrip("/"))
    _compile(stage)


def _files(root: Path, wanted: Callable[[str], bool]) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if wanted(name))
        useful = (name for name in files if not name.endswith(".pyc") and not name.startswith(_UNUSED_FILES))
        yield from (Path(folder, name) for name in sorted(useful))


def _ldd(program: Path) -> str:
    try:
        # Standard error is dropped: "not a dynamic executable" for static ones.
        return subprocess.run(["ldd", str(program)], check=False, capture_output=True, text=True).stdout
    except OSError as error:
        raise CapabilityMissing(f"the image of the load generator cannot be made on this machine: {error}") from error


def _libraries(stage: Path) -> list[Path]:
    """Return the shared libraries that the staged programs need and that are not among them."""
    programs = [stage / PREFIX / "bin/python", *sorted(stage.rglob("*.so*"))]
    # The original is asked: the search path in a program may be relative to its own place.
    listed = "\n".join([_ldd(Path(sys.executable).resolve()), *map(_ldd, programs)])
    found = {Path(path) for path in re.findall(r"=> (/\S+)", listed)}
    return sorted(path for path in found if path.exists() and stage not in path.parents)


def _loader() -> Path:
    found = re.search(r"^\s*(/\S*ld-[^\s/]+)", _ldd(Path(sys.executable).resolve()), re.MULTILINE)
    if not found:
        raise CapabilityMissing(
            f"the image of the load generator cannot be made from {sys.executable}, which is not a dynamic program; "
            "build it with harness/cluster/runner/Containerfile and set --runner-image"
        )
    return Path(found[1])


def _compile(stage: Path) -> None:
    """Compile all modules: the root file system in the pod is read-only, and start-up would compile them each time."""
    compileall.compile_dir(
        str(stage),
        quiet=2,
        workers=os.cpu_count() or 1,
        # Files in an image have no meaningful times, so nothing may compare them.
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        stripdir=str(stage),
        prependdir="/",
    )


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        return
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def _base() -> list[Entry]:
    texts = {
        "etc/passwd": f"root:x:0:0:root:/:/sbin/nologin\nrunner:x:{USER}:{USER}:runner:/work:/sbin/nologin\n",
        "etc/group": f"root:x:0:\nrunner:x:{USER}:\n",
        "etc/nsswitch.conf": "hosts: files dns\n",
    }
    folders = [Entry(path) for path in ("etc", "proc", "sys")]
    writable = [Entry(path, mode=0o1777) for path in ("tmp", "work")]
    return [*folders, *writable, *(Entry(path, text=text, mode=0o644) for path, text in texts.items())]


def _entries(stage: Path, only: tuple[str, ...] = ()) -> Iterator[Entry]:
    """Yield the entries of a layer with everything below ``stage``, readable for every user.

    With ``only``, folders that do not begin with one of these are left out: another layer has them."""
    for path in sorted(stage.rglob("*")):
        name = str(path.relative_to(stage))
        if path.is_dir():
            if not only or name.startswith(only):
                yield Entry(name)
        else:
            yield Entry(name, source=path, mode=0o755 if os.access(path, os.X_OK) else 0o644)
