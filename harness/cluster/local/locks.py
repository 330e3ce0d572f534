"""Locks between processes, by name. They are files in the cache, since a lock must outlive what it protects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from harness.cluster.local.paths import cache_root
from harness.common.errors import ClusterBroken
from harness.common.progress import Progress


@contextmanager
def locked(name: str, progress: Progress, waiting: str, seconds: float = -1) -> Iterator[None]:
    """Hold a lock; report ``waiting`` if another process holds it. Raises ClusterBroken after ``seconds`` (-1: never).

    The kernel releases the lock when the process ends for any reason.
    """
    path = cache_root() / "locks" / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress(waiting)
        try:
            lock.acquire(timeout=seconds)
        except Timeout as error:
            raise ClusterBroken(f"{waiting}; it still holds the lock {path} after {seconds:g} s") from error
    try:
        yield
    finally:
        lock.release()
