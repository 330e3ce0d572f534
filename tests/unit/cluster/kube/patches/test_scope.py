"""Patches of twins: the merged result that kubectl has, nothing else changed, and a refusal where that is not sure."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from harness.cluster.kube.patches import scope
from harness.cluster.kube.patches.scope import apply_patch
from harness.cluster.kube.patches.strategic import PatchError

MOUNTS = [{"name": "conf", "mountPath": "/etc/a.conf"}, {"name": "conf", "mountPath": "/etc/b.conf"}]


def deployment(**container: Any) -> dict[str, Any]:
    """A Deployment of one container with these fields, besides a volume."""
    spec = {"containers": [{"name": "shop", "image": "shop:1", **container}], "volumes": [{"name": "conf"}]}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop"}, "spec": of_pods(spec)}


def of_pods(spec: dict[str, Any]) -> dict[str, Any]:
    return {"template": {"spec": spec}}


def changed(base: dict[str, Any], **container: Any) -> dict[str, Any]:
    """The container after a patch of these fields of it."""
    patch = {"spec": of_pods({"containers": [{"name": "shop", **container}]})}
    (found,) = apply_patch(base, patch)["spec"]["template"]["spec"]["containers"]
    return dict(found)


def refusal(base: dict[str, Any], patch: dict[str, Any]) -> str:
    """Why a patch is refused."""
    with pytest.raises(PatchError) as caught:
        apply_patch(base, patch)
    return str(caught.value)


def test_volume_mounts_are_merged_by_their_path() -> None:
    new = {"name": "conf", "mountPath": "/etc/c.conf", "subPath": "c"}
    found = changed(deployment(volumeMounts=MOUNTS), volumeMounts=[new])
    assert found["volumeMounts"] == [new, *MOUNTS]


def test_lists_without_a_merge_key_are_replaced() -> None:
    assert changed(deployment(args=["a", "b"]), args=["c"])["args"] == ["c"]


def test_delete_removes_one_item() -> None:
    gone = {"mountPath": "/etc/a.conf", "$patch": "delete"}
    assert changed(deployment(volumeMounts=MOUNTS), volumeMounts=[gone])["volumeMounts"] == MOUNTS[1:]


def test_replace_drops_all_other_items() -> None:
    only = [{"$patch": "replace"}, MOUNTS[0]]
    assert changed(deployment(volumeMounts=MOUNTS), volumeMounts=only)["volumeMounts"] == MOUNTS[:1]


def test_retained_keys_drop_the_others() -> None:
    base = deployment()
    base["spec"]["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert apply_patch(base, patch)["spec"]["strategy"] == {"type": "Recreate"}


def test_set_element_order_orders() -> None:
    order = [{"mountPath": "/etc/b.conf"}, {"mountPath": "/etc/a.conf"}]
    found = changed(deployment(volumeMounts=MOUNTS), **{"$setElementOrder/volumeMounts": order})
    assert found["volumeMounts"] == MOUNTS[::-1]


def test_delete_from_primitive_list_deletes() -> None:
    found = changed(deployment(args=["a", "b"]), **{"$deleteFromPrimitiveList/args": ["a"]})
    assert found["args"] == ["b"]


def test_null_removes_a_field() -> None:
    assert "image" not in changed(deployment(), image=None)


def test_budgets_selector_is_replaced() -> None:
    budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "shop"}}
    base = {**budget, "spec": {"selector": {"matchLabels": {"app": "shop"}}}}
    patch = {"spec": {"selector": {"matchLabels": {"tier": "web"}}}}
    assert apply_patch(base, patch)["spec"]["selector"] == {"matchLabels": {"tier": "web"}}


def test_custom_resources_take_a_json_merge_patch() -> None:
    base = {"apiVersion": "example.org/v1", "kind": "Shop", "metadata": {"name": "shop"}, "containers": [{"name": "a"}]}
    assert apply_patch(base, {"containers": [{"name": "b"}]})["containers"] == [{"name": "b"}]


def test_directives_for_custom_resources_are_refused() -> None:
    base = {"apiVersion": "example.org/v1", "kind": "Shop", "metadata": {"name": "shop"}, "spec": {"a": 1}}
    assert refusal(base, {"spec": {"$patch": "replace"}}).startswith("spec.$patch: is not a directive here")


def test_unknown_version_of_a_known_group_is_refused() -> None:
    base = {"apiVersion": "policy/v1beta1", "kind": "PodDisruptionBudget", "metadata": {"name": "shop"}, "spec": {}}
    assert "has no PodDisruptionBudget of policy/v1beta1" in refusal(base, {"spec": {"minAvailable": 1}})


@pytest.mark.parametrize(
    ("patch", "why"),
    [
        ({"metadata": {"name": "other"}}, "metadata.name: a patch cannot change the identity of an object"),
        ({"kind": None}, "kind: a patch cannot change the identity of an object"),
        ({"$patch": "delete"}, "apiVersion: a patch cannot change the identity of an object"),
        ({"spec": {"$patch": "merge"}}, "spec.$patch: found 'merge', expected replace or delete"),
        ({"spec": of_pods({"tolerations": [{"$patch": "replace"}]})}, "spec.template.spec.tolerations.0.$patch"),
        ({"spec": of_pods({"containers": [{"image": "b"}]})}, "containers.0: the merge key name is missing"),
        ({"spec": {"template": {"$retainKeys": ["metadata"], "spec": {}}}}, "$retainKeys: does not name spec"),
        ({"spec": of_pods({"$setElementOrder/volumes": [{}]})}, "the merge key name is missing"),
        ({"spec": of_pods({"$setElementOrder/volumes": None})}, "expected lists"),
        ({"spec": of_pods({"containers": ["shop"]})}, "items of different types"),
    ],
)
def test_patches_that_kubectl_refuses_are_refused(patch: dict[str, Any], why: str) -> None:
    base = deployment()
    base["spec"]["template"]["spec"]["tolerations"] = [{"key": "a"}]
    assert why in refusal(base, patch)


PORTS = [{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 53, "protocol": "TCP"}]


@pytest.mark.parametrize(
    ("ports", "patch"),
    [
        (PORTS, {"containerPort": 53, "name": "dns"}),
        (PORTS[:1], {"containerPort": 53, "protocol": "TCP"}),
    ],
)
def test_ports_that_the_merge_key_mixes_up_are_refused(ports: list[Any], patch: dict[str, Any]) -> None:
    """kubectl merges ports by their number: the TCP port would take the UDP port's place."""
    why = refusal(deployment(ports=ports), {"spec": of_pods({"containers": [{"name": "shop", "ports": [patch]}]})})
    assert "kubectl merges this list by containerPort alone" in why


def test_base_is_unchanged() -> None:
    base = deployment(volumeMounts=MOUNTS)
    before = copy.deepcopy(base)
    changed(base, volumeMounts=[{"mountPath": "/etc/a.conf", "readOnly": True}], image="shop:2")
    assert base == before


def test_change_beyond_the_patch_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof does not rely on the code that merges."""

    def losing(base: Any, patch: Any, of: str) -> Any:
        merged = copy.deepcopy(base)
        merged["spec"]["template"]["spec"]["containers"][0] |= {"image": "shop:2", "volumeMounts": MOUNTS[:1]}
        return merged

    monkeypatch.setattr(scope, "strategic_merge", losing)
    patch = {"spec": of_pods({"containers": [{"name": "shop", "image": "shop:2"}]})}
    why = refusal(deployment(volumeMounts=MOUNTS), patch)
    assert why == "spec.template.spec.containers.0.volumeMounts: would be changed, although the patch does not name it"
