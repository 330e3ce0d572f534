"""What makes Prometheus scrape the load process: a Service without a selector, and the EndpointSlice behind it.

The process runs outside the cluster, so no pod carries its metrics. Prometheus finds the Service in its
``endpointslice`` role, as it finds any annotated one.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from harness.errors import HarnessError
from harness.naming import COMPONENT_LABEL, MANAGED_BY, RUN_LABEL

SERVICE = "resilience-load"
PORT_NAME = "metrics"


def scrape_target(namespace: str, host: str, port: int, run: str) -> list[dict[str, Any]]:
    """The objects to apply, in order. ``host`` is an IP address that Prometheus' pod can reach.

    Raises HarnessError for an address that an EndpointSlice cannot hold: the API server refuses loopback and link-local
    ones, since they would mean another machine to whoever dials them.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError as error:
        raise HarnessError(f"load metrics: found the host {host!r}, expected an IP address") from error
    if address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast:
        raise HarnessError(f"load metrics: pods cannot reach {host}")
    labels = {**MANAGED_BY, RUN_LABEL: run, COMPONENT_LABEL: "load"}
    ports = [{"name": PORT_NAME, "port": port, "protocol": "TCP"}]
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": SERVICE,
                "namespace": namespace,
                "labels": labels,
                "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": str(port)},
            },
            # Headless: nothing but Prometheus looks it up, and it takes no cluster IP.
            "spec": {"clusterIP": "None", "ports": ports},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": SERVICE,
                "namespace": namespace,
                "labels": {
                    **labels,
                    "kubernetes.io/service-name": SERVICE,
                    "endpointslice.kubernetes.io/managed-by": "resilience-harness",
                },
            },
            "addressType": f"IPv{address.version}",
            "endpoints": [{"addresses": [host], "conditions": {"ready": True}}],
            "ports": ports,
        },
    ]
