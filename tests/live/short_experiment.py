"""An experiment of the catalogue in short, for tests of clusters: that it runs there is proven, not what it says."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

CATALOGUE = Path(__file__).parents[2] / "experiments"
NAME = "short"
TWIN = "one-replica"


def write(folder: Path, without: Collection[str] = (), *, twins: bool = False) -> Path:
    """One of three pods is killed, ten seconds in all; ``without`` are kinds of objectives to leave out."""
    body: dict[str, Any] = yaml.safe_load((CATALOGUE / "self_healing/one-pod-killed.yaml").read_text())
    body["metadata"] = {"name": NAME}
    body["phases"] = {"baseline": "4s", "fault": "6s", "recovery": "30s", "settle": "4s"}
    # On a machine that is busy a request or two more is lost; without a second replica it is a quarter of them.
    limits = [{"availability": {"min": "90%"}} if "availability" in each else each for each in body["objectives"]]
    body["objectives"] = [each for each in limits if not set(without) & each.keys()]
    body["twins"] = {TWIN: body["twins"][TWIN]} if twins else {}
    file = folder / f"{NAME}.yaml"
    file.write_text(yaml.safe_dump(body))
    return file
