"""The kinds that CustomResourceDefinitions define, as permissions and waits know them."""

from __future__ import annotations

from harness.cluster.kube.permissions import defined_by


def test_only_served_versions_of_a_definition_are_kinds() -> None:
    versions = [{"name": "v1"}, {"name": "v1beta2", "served": False}, {"name": "v2", "served": True}]
    names = {"plural": "oxen", "kind": "Ox"}
    spec = {"group": "example.org", "names": names, "scope": "Namespaced", "versions": versions}
    found = defined_by([{"kind": "CustomResourceDefinition", "spec": spec}])
    assert [each.group_version for each in found] == ["example.org/v1", "example.org/v2"]
