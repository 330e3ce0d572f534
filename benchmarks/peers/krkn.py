"""krkn-lib's pod monitoring: ``python krkn.py KUBECONFIG NAMESPACE SELECTOR SECONDS``, by the Python that has krkn-lib.

What it reports for a workload is the longest ``total_recovery_time`` of its pods.
"""

from __future__ import annotations

import json
import sys

from krkn_lib.k8s.pod_monitor import (  # type: ignore[import-not-found]
    select_and_monitor_by_namespace_pattern_and_label,
)
from kubernetes import client, config


def main(kubeconfig: str, namespace: str, selector: str, seconds: str) -> None:
    config.load_kube_config(kubeconfig)
    monitored = select_and_monitor_by_namespace_pattern_and_label(
        f"^{namespace}$", selector, client.CoreV1Api(), max_timeout=int(seconds)
    )
    print("ready", flush=True)
    status = monitored.result().get_pods_status()
    times = [pod.total_recovery_time for pod in status.recovered]
    whole = times and not status.unrecovered
    print(json.dumps({"pods": {"seconds": max(times)} if whole else None}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
