"""Read the runs on a volume. Sent to a pod as ``python -c``, so it uses the standard library only.

::

    list FOLDER           prints {run: whether it has ended} as JSON
    archive FOLDER RUN    prints the files of a run as a tar archive, compressed with gzip, in base64

The image of the pod may have another version of the harness, or none of this module.
"""

import base64
import io
import json
import sys
import tarfile
from pathlib import Path


def runs(root: Path) -> dict[str, bool]:
    """Return the runs in a report folder, and whether each has ended."""
    found = (path for path in root.iterdir() if not path.name.startswith("."))
    return {
        path.name: (path / "results.json").exists()
        for path in sorted(found)
        if (path / "results.json").exists() or (path / "experiments").is_dir()
    }


def archive(root: Path, run: str) -> str:
    """Return the files of a run in base64. The last one is results.json, so that a run with it is complete."""
    files = [file for file in sorted((root / run).rglob("*")) if file.is_file() and not file.name.startswith(".")]
    files.sort(key=lambda file: file == root / run / "results.json")
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for file in files:
            tar.add(file, file.relative_to(root).as_posix(), recursive=False)
    return base64.b64encode(made.getvalue()).decode()


def main(words: list[str]) -> None:
    """Run the program with its arguments."""
    if words[0] == "list":
        print(json.dumps(runs(Path(words[1]))))
    else:
        print(archive(Path(words[1]), words[2]))


if __name__ == "__main__":
    main(sys.argv[1:])
