"""Single programs of the local cluster, for other purposes: the built ones, where a local cluster can be built."""

from __future__ import annotations

from pathlib import Path

from harness.cluster.components import COMPONENTS, FOR_CHARTS
from harness.cluster.local import binaries, packages
from harness.common.errors import ClusterBroken
from harness.common.progress import Progress


def built(name: str, progress: Progress) -> Path | None:
    """Return the path of one program: of those of the cluster, or built alone; None where none can be built.

    Raises ClusterBroken if it cannot be built, with the compiler's message.
    """
    try:
        packages.check_platform()
    except ClusterBroken:
        return None
    # Not `ensure`, which would build the whole cluster where only kubectl is missing.
    if (there := binaries.place(progress) / name).exists():
        return there
    wanted = [component for component in (*COMPONENTS, *FOR_CHARTS) if component.name == name]
    return binaries.ensure(progress, components=wanted).folder / name if wanted else None
