"""Locks between processes, by name. They live in the cache, since a lock must outlive what it guards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from harness.cluster.local.paths import cache_root
from harness.cluster.local.progress import Progress
from harness.errors import ClusterBroken


@contextmanager
def locked(name: str, progress: Progress, waiting: str, seconds: float = -1) -> Iterator[None]:
    """Hold a lock; says ``waiting`` when another process holds it. Raises ClusterBroken after ``seconds`` (-1: never).

    The kernel lets go of it when the process ends, however it ends.
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
            raise ClusterBroken(f"{waiting}; it still held {path} after {seconds:g} s") from error
    try:
        yield
    finally:
        lock.release()
