"""Reads image archives: what ``docker save`` writes, and OCI layouts, in a tar (also compressed) or in a folder.

Nothing is unpacked to a path that an archive names: only files that the image's own manifest names are read, and stored
under their digests. An OCI blob is checked against its digest.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from harness.cluster.local.oci import ARCHITECTURES, CONFIG, LAYER, MANIFEST, BlobStore, Descriptor
from harness.cluster.local.supply.references import whole_reference
from harness.common.errors import InputError, Problem

INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFESTS = (MANIFEST, "application/vnd.docker.distribution.manifest.v2+json")
# Annotations of an OCI layout's index with the image's name. The first is containerd's and has the whole reference.
_NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
# Manifests and configurations are a few kB; a larger file is no image.
_LARGEST_JSON = 16 * 1024 * 1024
_COMPRESSIONS = ((b"\x1f\x8b", "+gzip"), (b"\x28\xb5\x2f\xfd", "+zstd"))
_EXPECTED = "expected an archive of `docker save` or an OCI layout, as a tar or a folder"


@dataclass(frozen=True, slots=True)
class ArchivedImage:
    """An image in an archive: its names as whole references, its platforms such as linux/amd64, and its entry."""

    names: tuple[str, ...]
    platforms: tuple[str, ...]
    entry: Any

    @property
    def digest(self) -> str:
        """The digest of its index or manifest; empty for an archive of ``docker save``, which has none."""
        return str(self.entry.get("digest", ""))


class Archive:
    """An open archive. Use ``open_archive``."""

    def __init__(self, path: Path, tar: tarfile.TarFile | None) -> None:
        self.path = path
        self._tar = tar
        self._members = {_clean(member.name): member for member in tar} if tar else {}
        self._is_layout = self._has("index.json") and self._has("oci-layout")
        if not self._is_layout and not self._has("manifest.json"):
            raise self.wrong(f"found neither index.json with oci-layout nor manifest.json, {_EXPECTED}")

    def wrong(self, message: str) -> InputError:
        """Return an error about this archive."""
        return InputError([Problem(message, self.path)])

    def images(self) -> list[ArchivedImage]:
        """Return all images of the archive. Raises InputError if a part of it is missing or not readable."""
        found = self._of_layout() if self._is_layout else self._of_docker()
        if not found:
            raise self.wrong("contains no image")
        return found

    def store(self, image: ArchivedImage, blobs: BlobStore, platform: str, *, keep_index: bool = True) -> Descriptor:
        """Store an image's blobs and return the descriptor of its manifest, or with ``keep_index`` of its whole index.

        Of an index only the blobs of ``platform`` are stored, such as linux/amd64. Raises InputError.
        """
        if not self._is_layout:
            return self._store_docker(image.entry, blobs)
        root = _descriptor(image.entry)
        if root.media_type not in INDEXES:
            self._store_manifest(root, blobs)
            return root
        children = [_descriptor(entry) for entry in self._json(_blob(root.digest))["manifests"]]
        for child, entry in zip(children, self._json(_blob(root.digest))["manifests"], strict=True):
            if _platform_of(entry) == platform:
                self._store_manifest(child, blobs)
                chosen = child
                break
        else:
            raise self.wrong(f"has no image for {platform}, only for {', '.join(image.platforms)}")
        # `docker save` writes an index with all platforms but the content of one. A registry needs all its manifests.
        if not keep_index or not all(self._has(_blob(child.digest)) for child in children):
            return chosen
        for child in (root, *children):
            self._store_blob(child, blobs)
        return root

    def _of_layout(self) -> list[ArchivedImage]:
        named: dict[str, list[str]] = {}
        entries: dict[str, Any] = {}
        for entry in self._json("index.json").get("manifests") or ():
            digest = entry["digest"]
            entries.setdefault(digest, entry)
            named.setdefault(digest, []).extend(_names_in(entry.get("annotations") or {}))
        if self._has("manifest.json") and len(entries) == 1:
            # Newer versions of `docker save` write both forms; only the older one has all tags.
            (only,) = named.values()
            only += [name for each in self._json("manifest.json") for name in each.get("RepoTags") or ()]
        return [self._archived(entry, named[digest]) for digest, entry in entries.items()]

    def _archived(self, entry: Any, names: list[str]) -> ArchivedImage:  # noqa: ANN401
        root = _descriptor(entry)
        if root.media_type in INDEXES:
            children = self._json(_blob(root.digest))["manifests"]
            found = [_platform_of(each) for each in children if self._has(_blob(each["digest"]))]
            # Not an image: the records of how it was built, which Docker adds to an index.
            platforms = tuple(dict.fromkeys(each for each in found if each and each != "unknown/unknown"))
        else:
            config = self._json(_blob(self._json(_blob(root.digest))["config"]["digest"]))
            platforms = (platform_of_config(config),)
        return ArchivedImage(tuple(dict.fromkeys(map(whole_reference, names))), platforms, entry)

    def _of_docker(self) -> list[ArchivedImage]:
        return [
            ArchivedImage(
                tuple(dict.fromkeys(map(whole_reference, entry.get("RepoTags") or ()))),
                (platform_of_config(self._json(entry["Config"])),),
                entry,
            )
            for entry in self._json("manifest.json")
        ]

    def _store_docker(self, entry: Any, blobs: BlobStore) -> Descriptor:  # noqa: ANN401
        layers = [self._store_layer(name, blobs) for name in entry["Layers"]]
        config = blobs.add_bytes(CONFIG, self._read(entry["Config"]))
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.as_json(),
            "layers": [layer.as_json() for layer in layers],
        }
        return blobs.add_bytes(MANIFEST, json.dumps(manifest, sort_keys=True).encode())

    def _store_layer(self, name: str, blobs: BlobStore) -> Descriptor:
        with self._open(name) as file:
            head = file.read(4)
        kind = next((suffix for magic, suffix in _COMPRESSIONS if head.startswith(magic)), "")
        with self._open(name) as file:
            return blobs.add_stream(f"{LAYER}{kind}", file)

    def _store_manifest(self, root: Descriptor, blobs: BlobStore) -> None:
        body = self._json(_blob(root.digest))
        for part in (body["config"], *body["layers"]):
            self._store_blob(_descriptor(part), blobs)
        self._store_blob(root, blobs)

    def _store_blob(self, part: Descriptor, blobs: BlobStore) -> None:
        if blobs.path(part.digest).exists():
            return
        with self._open(_blob(part.digest)) as file:
            stored = blobs.add_stream(part.media_type, file, part.digest)
        if stored.digest != part.digest:
            raise self.wrong(f"damaged: {_blob(part.digest)} has the digest {stored.digest}")

    def _json(self, name: str) -> Any:  # noqa: ANN401
        try:
            return json.loads(self._read(name))
        except ValueError as error:
            raise self.wrong(f"{name} is not readable: {error}") from error

    def _read(self, name: str) -> bytes:
        with self._open(name) as file:
            body = file.read(_LARGEST_JSON + 1)
        if len(body) > _LARGEST_JSON:
            raise self.wrong(f"{name} is too large: expected at most {_LARGEST_JSON // 1024**2} MiB")
        return body

    def _has(self, name: str) -> bool:
        return _clean(name) in self._members if self._tar else (self.path / _clean(name)).is_file()

    @contextmanager
    def _open(self, name: str) -> Iterator[IO[bytes]]:
        if not self._has(name):
            raise self.wrong(f"{name} is missing in it, {_EXPECTED}")
        if self._tar is None:
            with (self.path / _clean(name)).open("rb") as file:
                yield file
            return
        # Older versions of `docker save` write a layer that occurs twice as a link to the first one.
        member = self._members[_clean(name)]
        try:
            inside = self._tar.extractfile(member)
        except KeyError:
            inside = None
        if inside is None:
            raise self.wrong(f"{name} in it is not a file")
        with inside:
            yield inside


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open an archive or a folder with an OCI layout. Raises InputError, also for reads from the archive later."""
    try:
        if path.is_dir():
            yield Archive(path, None)
            return
        with tarfile.open(path) as tar:
            yield Archive(path, tar)
    except FileNotFoundError as error:
        raise InputError([Problem("does not exist", path)]) from error
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error) as error:
        raise InputError([Problem(f"is not readable as a tar ({error}), {_EXPECTED}", path)]) from error
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        wrong = f"{type(error).__name__}: {error}"
        raise InputError([Problem(f"is not a whole image archive ({wrong}), {_EXPECTED}", path)]) from error


def platform_of_config(config: Any) -> str:  # noqa: ANN401
    """Return the platform in an image's configuration, such as linux/amd64; empty if it has none."""
    return "/".join(filter(None, (config.get("os"), config.get("architecture"))))


def this_platform(machine: str) -> str:
    """Return the platform of a machine as ``platform.machine()`` gives it, such as linux/amd64."""
    return f"linux/{ARCHITECTURES.get(machine, machine)}"


def _platform_of(entry: Any) -> str:  # noqa: ANN401
    return platform_of_config(entry.get("platform") or {})


def _names_in(annotations: Any) -> Iterator[str]:  # noqa: ANN401
    for key in _NAMES:
        name = str(annotations.get(key, ""))
        # Some tools write only the tag, from which the image's name cannot be derived.
        if "/" in name or ":" in name:
            yield name


def _descriptor(entry: Any) -> Descriptor:  # noqa: ANN401
    digest = str(entry["digest"])
    algorithm, _, number = digest.partition(":")
    if algorithm != "sha256" or len(number) != hashlib.sha256().digest_size * 2 or not number.isalnum():
        raise KeyError(f"found the digest {digest!r}, expected sha256")
    return Descriptor(str(entry.get("mediaType") or MANIFEST), digest, int(entry["size"]))


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _clean(name: str) -> str:
    """Return a path inside the archive without ``./``; parts that lead out of it are dropped."""
    return str(PurePosixPath(*(part for part in PurePosixPath(name).parts if part not in {"/", ".."})))
