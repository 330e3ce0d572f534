"""Container images without Docker: layers, configurations and manifests as files named by their digests.

The same input gives the same digests on every machine: times, owners and order are fixed. Layers are not compressed,
since they never leave the machine. Format: OCI Image Specification 1.0.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# Any fixed time. Not zero, which some tools treat as "unset" (a convention of reproducible builds).
TIMESTAMP = 1
CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a layer: a file copied from the machine, a text, a link, or (with none of these) a folder."""

    path: str
    source: Path | None = None
    text: str | None = None
    link: str | None = None
    mode: int = 0o755
    owner: int = 0


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A reference to a blob, as in manifests."""

    media_type: str
    digest: str
    size: int

    def as_json(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


class BlobStore:
    """Blobs as files ``sha256/<hex>``: the layout of OCI's ``blobs`` and of ``crane registry serve --disk``."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "sha256"
        self._folder.mkdir(parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Return the file of a blob."""
        return self._folder / digest.removeprefix("sha256:")

    def files(self) -> list[Path]:
        """Return the files of all blobs, sorted; also those that a killed process left unfinished."""
        return sorted(self._folder.iterdir())

    def add_bytes(self, media_type: str, content: bytes) -> Descriptor:
        """Store a small blob and return its descriptor."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        new = self._folder / f".{os.getpid()}.new"
        new.write_bytes(content)
        # Moved into place when complete, since other processes read the same folder.
        new.replace(self.path(digest))
        return Descriptor(media_type, digest, len(content))

    def add_stream(self, media_type: str, content: IO[bytes], expected: str = "") -> Descriptor:
        """Store a blob of any size and return its descriptor.

        With ``expected``, a blob with another digest is not stored."""
        new = self._folder / f".{os.getpid()}.new"
        counted = hashlib.sha256()
        with new.open("wb") as file:
            while chunk := content.read(CHUNK):
                counted.update(chunk)
                file.write(chunk)
            size = file.tell()
        digest = f"sha256:{counted.hexdigest()}"
        if expected in {"", digest}:
            new.replace(self.path(digest))
        else:
            new.unlink()
        return Descriptor(media_type, digest, size)

    def add_layer(self, entries: Iterable[Entry]) -> Descriptor:
        """Store a layer of these entries, in the given order, and return its descriptor."""
        new = self._folder / f".{os.getpid()}.new"
        with new.open("w+b") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as archive:
                for entry in entries:
                    _add(archive, entry)
            file.seek(0)
            digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
            size = file.seek(0, os.SEEK_END)
        new.replace(self.path(digest))
        return Descriptor(LAYER, digest, size)

    def add_image(self, layers: Iterable[Descriptor], run: dict[str, Any], machine: str) -> Descriptor:
        """Store an image's configuration and manifest, and return the descriptor of the manifest.

        ``run`` has Entrypoint, Cmd, User, WorkingDir and Env. ``machine`` is as in ``platform.machine()``.
        """
        stack = list(layers)
        config = {
            "architecture": ARCHITECTURES.get(machine, machine),
            "os": "linux",
            "created": "1970-01-01T00:00:01Z",
            "config": run,
            # For an uncompressed layer, the diff id is the digest of the layer itself.
            "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in stack]},
        }
        described = self.add_bytes(CONFIG, json.dumps(config, sort_keys=True).encode())
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": described.as_json(),
            "layers": [layer.as_json() for layer in stack],
        }
        return self.add_bytes(MANIFEST, json.dumps(manifest, sort_keys=True).encode())


def _add(archive: tarfile.TarFile, entry: Entry) -> None:
    info = tarfile.TarInfo(entry.path)
    info.mtime, info.mode, info.uid, info.gid = TIMESTAMP, entry.mode, entry.owner, entry.owner
    if entry.source is not None:
        info.size = entry.source.stat().st_size
        with entry.source.open("rb") as file:
            archive.addfile(info, file)
    elif entry.text is not None:
        content = entry.text.encode()
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    else:
        info.type = tarfile.DIRTYPE if entry.link is None else tarfile.SYMTYPE
        info.linkname = entry.link or ""
        archive.addfile(info)
