"""Values of a schedule, and a project to make them from."""

from __future__ import annotations

from typing import Any

from harness.schedule.values import Values, read_values

NOW = 1_790_000_000.0  # 2026-09-21


def values(**more: Any) -> Values:
    given: dict[str, Any] = {
        "name": "nightly",
        "schedule": "0 3 * * 1-5",
        "timeZone": "Europe/Berlin",
        "image": "registry.test/runner:1",
        "paths": ["experiments/shop.yaml"],
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}],
        "roles": {
            "resilience-system": [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get"]}]
        },
        "files": [{"key": "experiments__shop.yaml", "path": "experiments/shop.yaml", "text": "a: 1\n# b: {{ c }}\n"}],
    }
    return read_values(given | more, NOW)


# Every part of the manifests that depends on a value, in few sets of values.
SETS: dict[str, dict[str, Any]] = {
    "volume": {},
    "volume of a class": {
        "results": {"volume": {"size": "5Gi", "storageClass": "fast"}},
        "pullSecret": "registry",
        "arguments": ["--twins", "--seed=1, 2"],
        "images": "registry.test",
        "resources": {"requests": {"cpu": "1"}, "limits": {}},
    },
    "bucket": {
        "results": {"s3": {"endpoint": "https://s3.test:9000", "bucket": "reports", "secret": "keys"}},
        "network": {"apiPorts": [16443, 443], "ports": [8080, 53]},
    },
    "plain bucket": {
        "results": {"s3": {"endpoint": "http://s3.test", "bucket": "reports", "secret": "keys", "prefix": "a/b"}},
        "source": {"folder": "/srv/experiments"},
        "files": [],
        "network": {"enabled": False},
        "createNamespace": False,
    },
    "git": {
        "source": {"git": {"url": "https://git.test/shop.git", "ref": "v1", "image": "git:2", "secret": "git"}},
        "files": [],
    },
    "git on a port": {
        "source": {"git": {"url": "http://git.test:8080/shop.git", "image": "git.test/git:2"}},
        "files": [],
    },
    "git by ssh URL": {
        "source": {"git": {"url": "ssh://git@git.test:2222/shop.git", "image": "git.test/git:2"}},
        "files": [],
    },
    "git by ssh": {
        "source": {"git": {"url": "git@git.test:shop.git", "image": "git.test/git:2"}},
        "files": [],
        "rules": [],
        "loadFrom": "machine",
    },
}
