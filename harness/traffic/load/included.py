"""Files in load options: ``${file:products.csv}`` is replaced by the text of the file, wherever the load runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.common.errors import InputError, Problem

_REFERENCE = re.compile(r"\$\{file:([^{}]+)\}")
# The settings of a load process contain the texts, and are sent to pods in one message.
MOST_BYTES = 1024 * 1024


def included_files(options: Mapping[str, Any], folder: Path) -> tuple[dict[str, Any], tuple[Path, ...]]:
    """Return the options with the texts of all files that they name, relative to ``folder``, and these files.

    Raises InputError with every file that cannot be read."""
    texts: dict[Path, str] = {}
    problems: list[Problem] = []

    def text_of(name: str) -> str:
        file = (folder / name).absolute()
        if file not in texts:
            try:
                texts[file] = file.read_text(encoding="utf-8")
            except (OSError, ValueError) as error:
                texts[file] = ""
                why = "it is not UTF-8" if isinstance(error, ValueError) else error.strerror or str(error)
                problems.append(
                    Problem(f"found ${{file:{name}}}, which cannot be read: {why} ({file})", field="options")
                )
        return texts[file]

    def replaced(value: Any) -> Any:  # noqa: ANN401 - any JSON value
        if isinstance(value, str):
            return _REFERENCE.sub(lambda found: text_of(found[1]), value)
        if isinstance(value, Mapping):
            return {key: replaced(inner) for key, inner in value.items()}
        return [replaced(inner) for inner in value] if isinstance(value, list | tuple) else value

    made = replaced(options)
    if (size := sum(len(text.encode()) for text in texts.values())) > MOST_BYTES:
        problems.append(Problem(f"found {size} bytes in files, expected at most {MOST_BYTES}", field="options"))
    if problems:
        raise InputError(problems)
    return made, tuple(texts)
