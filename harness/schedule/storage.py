"""Where a scheduled run keeps its reports: a folder on a volume, or a bucket of an S3-compatible server.

Files are copied while the run goes on, so that a pod that is killed loses little. Both are checked before the run, and
the next run reads from them what it continues.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import urlsplit

from harness.common.errors import InputError, Problem

if TYPE_CHECKING:
    from minio import Minio

# Bytes. A report with its evidence rarely has more than a few megabytes.
LEAST_FREE = 32 * 1024 * 1024
PROBE = "resilience-write-check"
_S3_SECONDS = 10.0
Found = TypeVar("Found")


class Storage(Protocol):
    """A place for reports. All methods raise OSError with one clear message."""

    def check(self) -> None:
        """Write and remove a small file."""

    def put(self, file: Path, name: str) -> None:
        """Store a file under a name with slashes, in place of an older one."""

    def names(self) -> Collection[str]:
        """Return the names of all stored files."""

    def get(self, name: str, file: Path) -> None:
        """Write a stored file to ``file``, whose folder exists."""

    def __str__(self) -> str:
        """The place, for messages."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder on a volume. ``usage`` returns its total, used and free bytes."""

    path: Path
    usage: Callable[[Path], tuple[int, int, int]] = shutil.disk_usage

    def check(self) -> None:
        free = self.usage(self.path)[2]
        if free < LEAST_FREE:
            raise OSError(
                f"found {free / 1e6:.0f} MB free on the volume at {self.path}, expected at least "
                f"{LEAST_FREE / 1e6:.0f} MB: delete old runs from it or enlarge its claim"
            )
        probe = self.path / f".{PROBE}"
        probe.write_text("", encoding="utf-8")
        probe.unlink()

    def put(self, file: Path, name: str) -> None:
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        # Moved into place when complete: a full volume must not replace an older version by half of the new one.
        new = target.with_name(f".{target.name}.new")
        try:
            shutil.copyfile(file, new)
            new.replace(target)
        except OSError:
            new.unlink(missing_ok=True)
            raise

    def names(self) -> list[str]:
        return [file.relative_to(self.path).as_posix() for file, _ in _files(self.path)]

    def get(self, name: str, file: Path) -> None:
        shutil.copyfile(self.path / name, file)

    def __str__(self) -> str:
        return f"the volume at {self.path}"


@dataclass(slots=True)
class S3:
    """A bucket. The client is made at its first use, since ``minio`` is an extra."""

    endpoint: str
    bucket: str
    prefix: str
    region: str
    key: str
    secret: str = field(repr=False)
    _made: Minio | None = field(default=None, init=False, repr=False)

    def check(self) -> None:
        name = self._name(PROBE)
        if not self._call(lambda client: client.bucket_exists(self.bucket)):
            raise OSError(f"{self}: the bucket does not exist, expected one that was made before")
        self._call(lambda client: client.put_object(self.bucket, name, io.BytesIO(), 0))
        self._call(lambda client: client.remove_object(self.bucket, name))

    def put(self, file: Path, name: str) -> None:
        self._call(lambda client: client.fput_object(self.bucket, self._name(name), str(file)))

    def names(self) -> list[str]:
        start = self._name("")
        found = self._call(lambda client: [*client.list_objects(self.bucket, prefix=start, recursive=True)])
        return [str(each.object_name).removeprefix(start) for each in found]

    def get(self, name: str, file: Path) -> None:
        self._call(lambda client: client.fget_object(self.bucket, self._name(name), str(file)))

    def __str__(self) -> str:
        return f"bucket {self.bucket} at {self.endpoint}"

    def _name(self, name: str) -> str:
        return f"{self.prefix.strip('/')}/{name}" if self.prefix.strip("/") else name

    def _call(self, call: Callable[[Minio], Found]) -> Found:
        from minio.error import MinioException  # noqa: PLC0415 - an extra
        from urllib3.exceptions import HTTPError  # noqa: PLC0415

        try:
            return call(self._client())
        except MinioException as error:
            code, message = getattr(error, "code", ""), getattr(error, "message", "") or str(error)
            raise OSError(f"{self}: {code + ': ' if code else ''}{message}") from error
        except HTTPError as error:
            raise OSError(f"{self} does not answer: {error}") from error

    def _client(self) -> Minio:
        if self._made is None:
            import urllib3  # noqa: PLC0415
            from minio import Minio  # noqa: PLC0415 - an extra

            parts = urlsplit(self.endpoint)
            patience = urllib3.Retry(total=3, backoff_factor=0.5, status_forcelist=[500, 502, 503, 504])
            pool = urllib3.PoolManager(timeout=_S3_SECONDS, retries=patience)
            self._made = Minio(
                parts.netloc,
                access_key=self.key,
                secret_key=self.secret,
                secure=parts.scheme == "https",
                region=self.region,
                http_client=pool,
            )
        return self._made


@dataclass
class Copier:
    """Copies new and changed files of a folder to a storage; ``copied`` are those that are stored."""

    source: Path
    storage: Storage
    copied: set[Path] = field(default_factory=set)
    _marks: dict[Path, tuple[int, int]] = field(default_factory=dict)

    def skip_present(self) -> None:
        """Leave out the files that are in the folder now, until they change."""
        self._marks.update(_files(self.source))

    def copy(self) -> list[str]:
        """Copy what is new; returns a sentence for each file that could not be stored."""
        failures = []
        for file, mark in _files(self.source):
            if self._marks.get(file) == mark:
                continue
            try:
                self.storage.put(file, file.relative_to(self.source).as_posix())
            except OSError as error:
                failures.append(f"{file.relative_to(self.source)}: {explain(error)}")
            else:
                self._marks[file] = mark
                self.copied.add(file)
        return failures


def _files(folder: Path) -> Iterator[tuple[Path, tuple[int, int]]]:
    """Yield the files below a folder with their size and time, without temporary ones and the locks of game days."""
    for path, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            file = Path(path, name)
            if not name.startswith(".") and not name.endswith(".lock"):
                try:
                    found = file.stat()
                except OSError:
                    # Replaced at this moment: the next call finds the new one.
                    continue
                yield file, (found.st_size, found.st_mtime_ns)


def explain(error: OSError) -> str:
    """Return the text of an error without its number."""
    return f"{error.strerror}" if error.strerror else str(error)


def require(storage: Storage) -> None:
    """Raise InputError if reports cannot be stored, before anything is injected."""
    try:
        storage.check()
    except OSError as error:
        message = f"reports cannot be stored, so nothing was run: {explain(error)}"
        raise InputError([Problem(message, field=str(storage))]) from error
