"""The objects through which Prometheus scrapes the load process: a Service without a selector and its EndpointSlice.

The process runs outside the cluster, so no pod exposes its metrics. Prometheus discovers the Service by its
annotations, with the ``endpointslice`` role, like any other.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from harness.common.errors import HarnessError
from harness.common.naming import COMPONENT_LABEL, LOAD_COMPONENT, LOAD_SERVICE, MANAGED_BY, RUN_LABEL

PORT_NAME = "metrics"


def scrape_target(namespace: str, host: str, port: int, run: str, worker: int = 0) -> list[dict[str, Any]]:
    """Return the objects to apply for one process of the load, in order.

    ``host`` is an IP address that the Prometheus pod can reach. Each ``worker`` has a separate Service, since the
    annotation of a Service contains one port.

    Raises HarnessError for addresses that an EndpointSlice must not contain: the API server rejects loopback and
    link-local ones, since they have a different meaning on every machine.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError as error:
        raise HarnessError(f"load metrics: found the host {host!r}, expected an IP address") from error
    if address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast:
        raise HarnessError(f"load metrics: pods cannot reach {host}")
    # Reports leave out Services whose name ends like this.
    name = f"worker-{worker + 1}-{LOAD_SERVICE}" if worker else LOAD_SERVICE
    labels = {**MANAGED_BY, RUN_LABEL: run, COMPONENT_LABEL: LOAD_COMPONENT}
    ports = [{"name": PORT_NAME, "port": port, "protocol": "TCP"}]
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": labels,
                "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": str(port)},
            },
            # Headless: only Prometheus uses it, so it needs no cluster IP.
            "spec": {"clusterIP": "None", "ports": ports},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": {
                    **labels,
                    "kubernetes.io/service-name": name,
                    # Kubernetes' own controller changes only the slices that name it as their manager.
                    "endpointslice.kubernetes.io/managed-by": "resilience-harness",
                },
            },
            "addressType": f"IPv{address.version}",
            "endpoints": [{"addresses": [host], "conditions": {"ready": True}}],
            "ports": ports,
        },
    ]
