"""The behaviour of a replay, with its options checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from harness.common.documents import Document
from harness.common.errors import InputError, Problem
from harness.traffic.load.replay import behaviour
from harness.traffic.load.replay.behaviour import Replayed
from harness.traffic.load.replay.declaration import Replay
from harness.traffic.load.replay.recording import read_recording

REPLAYED = Path(behaviour.__file__)
_OPTIONS = ("connection", "connectTimeout", "readTimeout")


def replayed(replay: Replay, options: Mapping[str, object]) -> Replayed:
    """Return the behaviour that replays a recording, whose file is absolute. Raises InputError with every problem.

    The file is read, so that what is wrong with it is found before anything runs.
    """
    unknown = [name for name in options if name not in _OPTIONS]
    expected = f"expected one of: {', '.join(_OPTIONS)}"
    problems = [Problem(f"unknown option {name} of a replay, {expected}", field="options") for name in unknown]
    try:
        read_recording(replay)
    except InputError as error:
        problems += [Problem(one.message, one.file, one.line, "replay") for one in error.problems]
    known = {name: value for name, value in options.items() if name in _OPTIONS}
    try:
        made = Replayed.model_validate({**known, "recording": replay})
    except ValidationError as error:
        found = Document(Path(), dict(known), {}).problems(error)
        raise InputError(
            [*problems, *(Problem(f"{one.field}: {one.message}", field="options") for one in found)]
        ) from error
    if problems:
        raise InputError(problems)
    return made
