"""Controllers for the fake cluster: Jobs that end at once, and kinds that CustomResourceDefinitions add."""

from __future__ import annotations

from harness.cluster.fake.server import FakeApiServer
from harness.cluster.fake.store import Change, Store
from harness.cluster.kube.client import Object
from harness.cluster.kube.permissions import defined_by


class JobController:
    """Completes every Job at once, without pods; those named in ``failing`` fail, and those in ``endless`` go on."""

    def __init__(self) -> None:
        self.failing: set[str] = set()
        self.endless: set[str] = set()

    def react(self, store: Store, change: Change) -> None:
        name = change.object["metadata"]["name"]
        if change.resource.kind != "Job" or change.type != "ADDED" or name in self.endless:
            return
        kind = "Failed" if name in self.failing else "Complete"
        condition = {"type": kind, "status": "True", "reason": "BackoffLimitExceeded", "message": "too many failures"}

        def ended(item: Object) -> Object:
            return {**item, "status": {"conditions": [condition]}}

        store.update(change.resource, change.namespace, name, ended, "status")


class DefinitionController:
    """Serves the kinds of CustomResourceDefinitions while these exist, and sets their condition Established."""

    def __init__(self, server: FakeApiServer) -> None:
        self._server = server

    def react(self, store: Store, change: Change) -> None:
        if change.resource.kind != "CustomResourceDefinition" or change.type == "MODIFIED":
            return
        kinds = defined_by([change.object])
        if change.type == "DELETED":
            for kind in kinds:
                for item in store.list(kind):
                    store.remove(kind, item["metadata"].get("namespace", ""), item["metadata"]["name"])
            return
        for kind in kinds:
            self._server.serve(kind)
        status = {"conditions": [{"type": "Established", "status": "True"}]}
        name = change.object["metadata"]["name"]
        store.update(change.resource, "", name, lambda item: {**item, "status": status}, "status")
