"""Reports on a volume: what is checked before a run, and that a full volume loses nothing."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from harness.common.errors import InputError
from harness.schedule.storage import Copier, Folder, require


class Full:
    """A storage that refuses files whose name contains one of ``refused``."""

    def __init__(self, *refused: str) -> None:
        self.refused = refused
        self.put_names: list[str] = []

    def check(self) -> None:
        if "check" in self.refused:
            raise OSError(errno.EROFS, "Read-only file system")

    def put(self, file: Path, name: str) -> None:
        del file
        if any(part in name for part in self.refused):
            raise OSError(errno.ENOSPC, "No space left on device")
        self.put_names.append(name)

    def names(self) -> list[str]:
        if "names" in self.refused:
            raise OSError(errno.EACCES, "Permission denied")
        return []

    def get(self, name: str, file: Path) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file", name)

    def __str__(self) -> str:
        return "the volume at /results"


def test_nearly_full_volume_is_refused_before_a_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing was run: found 5 MB free .* expected at least 34 MB"):
        require(Folder(tmp_path, usage=lambda _: (10**9, 10**9 - 5_000_000, 5_000_000)))


def test_volume_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"volume at .*: reports cannot be stored, so nothing was run"):
        require(Folder(tmp_path / "missing", usage=lambda _: (1, 0, 10**9)))
    with pytest.raises(InputError, match="Read-only file system"):
        require(Full("check"))
    require(Folder(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_only_new_and_changed_files_are_copied(tmp_path: Path) -> None:
    source, target = tmp_path / "reports", tmp_path / "volume"
    (source / "run1").mkdir(parents=True)
    (source / "run1/results.json").write_text("1")
    (source / "run1/.results.tmp").write_text("half")
    (source / "run1/friday.lock").write_text("")
    target.mkdir()
    copier = Copier(source, Folder(target))
    assert copier.copy() == []
    assert sorted(path.name for path in target.rglob("*")) == ["results.json", "run1"]
    (target / "run1/results.json").unlink()
    assert copier.copy() == []
    assert not (target / "run1/results.json").exists()
    (source / "run1/results.json").write_text("changed")
    copier.copy()
    assert (target / "run1/results.json").read_text() == "changed"


def test_file_that_could_not_be_stored_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text("1")
    storage = Full("results")
    copier = Copier(tmp_path, storage)
    assert copier.copy() == ["results.json: No space left on device"]
    storage.refused = ()
    assert copier.copy() == []
    assert storage.put_names == ["results.json"]


def test_failed_copy_keeps_the_older_version(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "volume")
    (tmp_path / "a.json").write_text("1")
    folder.put(tmp_path / "a.json", "run1/a.json")
    with pytest.raises(OSError, match="No such file"):
        folder.put(tmp_path / "gone.json", "run1/a.json")
    assert (tmp_path / "volume/run1/a.json").read_text() == "1"
    assert [path.name for path in (tmp_path / "volume/run1").iterdir()] == ["a.json"]


def test_files_that_were_there_before_are_not_copied(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text("1")
    (tmp_path / "state.json").write_text("1")
    storage = Full()
    copier = Copier(tmp_path, storage)
    copier.skip_present()
    (tmp_path / "state.json").write_text("changed")
    (tmp_path / "new.json").write_text("1")
    assert copier.copy() == []
    assert storage.put_names == ["new.json", "state.json"]
    assert len(copier.copied) == 2
