"""Import a locustfile as Locust does, and describe what is in it, without running any of it."""

from __future__ import annotations

import json
import os
import platform
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .scrub import Scrubber

LONGEST = 500


def main(settings: dict[str, Any]) -> None:
    """Write the description of the settings' locustfile, or the problem with it, to the settings' answer file."""
    scrub = Scrubber(os.environ)
    try:
        found = _look(Path(settings["locustfile"]))
    except BaseException as error:  # noqa: BLE001 - also SystemExit: the file is anyone's
        found = _problem(error, settings["locustfile"])
    Path(settings["answer"]).write_text(scrub(json.dumps(found)), encoding="utf-8")
    sys.stdout.flush()
    # Threads and exit handlers of the locustfile must not keep the process or change its result.
    os._exit(0)


def _look(file: Path) -> dict[str, Any]:
    try:
        import locust  # noqa: PLC0415 - it may be missing
        from locust import argument_parser  # noqa: PLC0415
    except ImportError as error:
        return {"missing": str(error), "python": platform.python_version()}
    known = {name for action in argument_parser.get_parser([])._actions for name in action.option_strings}  # noqa: SLF001
    users, shapes = _load(file)
    parser = argument_parser.get_parser([])
    own = {name for action in parser._actions for name in action.option_strings} - known  # noqa: SLF001
    return {
        "locust": locust.__version__,
        "python": platform.python_version(),
        "classes": {name: sorted(set(_tags(kind))) for name, kind in users.items()},
        "tasks": {name: [sorted(tags) for tags in _tasks(kind)] for name, kind in users.items()},
        "shapes": {type(shape).__name__: bool(getattr(shape, "use_common_options", False)) for shape in shapes},
        "options": sorted(name.removeprefix("--") for name in own if name.startswith("--")),
    }


def _load(file: Path) -> tuple[dict[str, Any], list[Any]]:
    try:
        from locust.util.load_locustfile import load_locustfile  # noqa: PLC0415 - its place before 2.16
    except ImportError:
        from locust.main import load_locustfile  # type: ignore[attr-defined]  # noqa: PLC0415
    # The folder of `locust` in a project is that of the locustfile.
    # Older versions also return the docstring, first, and a shape or None in place of the list of shapes.
    *_, users, shapes = load_locustfile(str(file))
    return users, list(shapes) if isinstance(shapes, list | tuple) else [shapes] if shapes else []


def _tasks(holder: Any) -> Iterator[set[str]]:  # noqa: ANN401
    """Yield the tags of every task of a user class, also of nested sets."""
    if not getattr(holder, "tasks", None) and getattr(holder, "functions", None):
        yield set()
    for task in getattr(holder, "tasks", None) or []:
        if hasattr(task, "tasks"):
            yield from _tasks(task)
        else:
            yield set(getattr(task, "locust_tag_set", ()))


def _tags(holder: Any) -> Iterator[str]:  # noqa: ANN401
    for tags in _tasks(holder):
        yield from tags


def _problem(error: BaseException, file: str) -> dict[str, Any]:
    """Return the kind of an error and the last line of the locustfile that led to it."""
    line = error.lineno if isinstance(error, SyntaxError) else None
    where = error.filename if isinstance(error, SyntaxError) else file
    if line is None:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if Path(frame.filename).resolve() == Path(file).resolve()]
        line = own[-1].lineno if own else None
    if isinstance(error, SystemExit):
        text = f"ends the process (exit code {error.code})"
    elif isinstance(error, SyntaxError):
        text = f"is not valid Python: {error.msg}"
    else:
        text = f"raises {type(error).__name__} when it is imported: {error}"
    return {"problem": " ".join(text.split())[:LONGEST], "line": line, "file": where or file}
