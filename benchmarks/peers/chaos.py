"""chaostoolkit-kubernetes' probes in a run of the Chaos Toolkit: ``python chaos.py KUBECONFIG NAMESPACE NAME SECONDS``.

The outage lasts from the end of ``deployment_not_fully_available`` to that of ``deployment_fully_available``, by the
runner's own journal.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from typing import Any

from chaoslib.experiment import run_experiment  # type: ignore[import-not-found]


def _probe(function: str, namespace: str, name: str, seconds: str) -> dict[str, Any]:
    arguments = {"name": name, "ns": namespace, "timeout": int(seconds)}
    provider = {"type": "python", "module": "chaosk8s.deployment.probes", "func": function, "arguments": arguments}
    return {"type": "probe", "name": function, "provider": provider}


def _instant(said: str) -> float:
    found = datetime.fromisoformat(said)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def main(kubeconfig: str, namespace: str, name: str, seconds: str) -> None:
    os.environ["KUBECONFIG"] = kubeconfig
    functions = ("deployment_not_fully_available", "deployment_fully_available")
    experiment = {
        "title": "recovery",
        "description": "how long a Deployment is not fully available",
        "method": [_probe(function, namespace, name, seconds) for function in functions],
    }
    print("ready", flush=True)
    steps = run_experiment(experiment)["run"]
    seen = len(steps) == len(functions) and all(step["status"] == "succeeded" for step in steps)
    outage = {"began": _instant(steps[0]["end"]), "ended": _instant(steps[1]["end"])} if seen else None
    print(json.dumps({"Deployment": outage}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
