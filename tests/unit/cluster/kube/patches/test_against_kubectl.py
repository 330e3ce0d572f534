"""Generated patches of generated objects: our merged result is kubectl's, and what kubectl refuses we refuse."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import Phase, event, given, settings
from hypothesis import strategies as some

from harness.cluster.kube.patches.rules import type_of
from harness.cluster.kube.patches.scope import apply_patch
from harness.cluster.kube.patches.strategic import PatchError, strategic_merge
from tests import kubectl

UNNAMED = "would be changed, although the patch does not name it"
MERGE_KEYS = ("name", "uid", "port", "containerPort", "mountPath", "ip", "topologyKey")
Value = some.SearchStrategy[Any]
# Few words, so that a patch often finds what the object has.
WORDS = some.sampled_from(["a", "b", "c"])


def maps(required: dict[str, Value] | None = None, **fields: Value) -> Value:
    """A map with some of these fields."""
    return some.fixed_dictionaries(required or {}, optional=fields)


def lists(items: Value) -> Value:
    return some.lists(items, max_size=3)


def keyed(key: str, values: Value, **fields: Value) -> Value:
    """A list whose items have keys of their own: the order in which kubectl puts equal ones is not defined."""
    return some.lists(maps({key: values}, **fields), max_size=3, unique_by=lambda item: item[key])


LABELS = some.dictionaries(WORDS, WORDS, max_size=3)
PORTS = some.sampled_from([53, 80])
PROTOCOLS = some.sampled_from(["TCP", "UDP"])
EXPRESSIONS = lists(maps({"key": WORDS, "operator": some.sampled_from(["In", "Exists"])}, values=lists(WORDS)))
SELECTOR = maps(matchLabels=LABELS, matchExpressions=EXPRESSIONS)
ENV = keyed("name", WORDS, value=WORDS, valueFrom=maps(configMapKeyRef=maps(name=WORDS, key=WORDS)))
MOUNTS = keyed("mountPath", some.sampled_from(["/a", "/b"]), name=WORDS, readOnly=some.booleans())
PROBE = maps(httpGet=maps(path=WORDS, port=PORTS), tcpSocket=maps(port=PORTS), periodSeconds=some.integers(1, 3))
CONTAINERS = keyed(
    "name",
    WORDS,
    image=WORDS,
    args=lists(WORDS),
    env=ENV,
    envFrom=lists(maps(prefix=WORDS)),
    ports=keyed("containerPort", PORTS, protocol=PROTOCOLS, name=WORDS),
    volumeMounts=MOUNTS,
    readinessProbe=PROBE,
    resources=maps(limits=some.dictionaries(some.sampled_from(["cpu", "memory"]), WORDS)),
)
VOLUMES = keyed("name", WORDS, emptyDir=maps(medium=WORDS), configMap=maps(name=WORDS, items=lists(maps(key=WORDS))))
POD = maps(
    containers=CONTAINERS,
    initContainers=CONTAINERS,
    volumes=VOLUMES,
    imagePullSecrets=keyed("name", WORDS),
    hostAliases=keyed("ip", WORDS, hostnames=lists(WORDS)),
    tolerations=lists(maps(key=WORDS, effect=WORDS)),
    topologySpreadConstraints=keyed("topologyKey", WORDS, whenUnsatisfiable=WORDS, labelSelector=SELECTOR),
    securityContext=maps(supplementalGroups=lists(some.integers(1, 3)), runAsUser=some.integers(1, 3)),
    nodeSelector=LABELS,
    terminationGracePeriodSeconds=some.integers(0, 2),
)
METADATA = {
    "labels": LABELS,
    "annotations": LABELS,
    # Unique: with repeated ones kubectl's result depends on how Go has laid out the list in memory.
    "finalizers": some.lists(WORDS, max_size=3, unique=True),
    "ownerReferences": keyed("uid", WORDS, name=WORDS),
}
TEMPLATE = maps(metadata=maps(**METADATA), spec=POD)
ROLLING = maps(maxSurge=some.integers(0, 2) | some.just("25%"))
KINDS: dict[str, Value] = {
    "apps/v1/Deployment": maps(
        replicas=some.integers(0, 3),
        strategy=maps(type=WORDS, rollingUpdate=ROLLING),
        selector=SELECTOR,
        template=TEMPLATE,
    ),
    "apps/v1/StatefulSet": maps(template=TEMPLATE, volumeClaimTemplates=lists(maps(metadata=maps(name=WORDS)))),
    "v1/Pod": POD,
    "v1/Service": maps(
        ports=keyed("port", PORTS, protocol=PROTOCOLS, name=WORDS, targetPort=PORTS | WORDS),
        selector=LABELS,
        externalIPs=lists(WORDS),
    ),
    "policy/v1/PodDisruptionBudget": maps(selector=SELECTOR, minAvailable=some.integers(0, 2) | some.just("50%")),
    "batch/v1/Job": maps(template=TEMPLATE, backoffLimit=some.integers(0, 2)),
    "networking.k8s.io/v1/Ingress": maps(
        rules=lists(maps(host=WORDS, http=maps(paths=lists(maps(path=WORDS))))), tls=lists(maps(hosts=lists(WORDS)))
    ),
    "v1/ServiceAccount": some.just({}),
}


@some.composite
def patches(draw: some.DrawFn, value: Any) -> Any:
    """A value of the object's own shape, in which some fields are null and directives stand in some places."""
    if isinstance(value, dict):
        made = {key: None if draw(some.integers(0, 9)) == 0 else draw(patches(item)) for key, item in value.items()}
        for key, item in value.items():
            if isinstance(item, list):
                _direct(draw, made, key, item)
        if draw(some.integers(0, 14)) == 0:
            made["$patch"] = draw(some.sampled_from(["replace", "delete", "merge"]))
        elif draw(some.integers(0, 14)) == 0:
            made["$retainKeys"] = [*made, "name", *draw(lists(WORDS))]
        return made
    if isinstance(value, list):
        items = [draw(patches(item)) for item in value]
        if value and isinstance(value[0], dict) and draw(some.integers(0, 9)) == 0:
            items.insert(draw(some.integers(0, len(items))), {"$patch": "replace"})
        return items
    return value


def _direct(draw: some.DrawFn, made: dict[str, Any], key: str, items: list[Any]) -> None:
    plain = not any(isinstance(item, dict) for item in items)
    if plain and draw(some.integers(0, 5)) == 0:
        made[f"$deleteFromPrimitiveList/{key}"] = items
        made.pop(key)
    elif draw(some.integers(0, 7)) == 0:
        order = items if plain else [{name: item[name]} for item in items for name in list(item)[:1]]
        made[f"$setElementOrder/{key}"] = draw(some.permutations(order))


def an_object(kind: str, metadata: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    """An object of a kind, named x."""
    version, _, name = kind.rpartition("/")
    body = {"spec": spec} if spec else {}
    return {"apiVersion": version, "kind": name, "metadata": {"name": "x", **metadata}, **body}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(data=some.data())
def test_merged_as_kubectl_merges(kind: str, data: some.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    kubectl.required()
    whole = some.tuples(maps(**METADATA), KINDS[kind])
    base = an_object(kind, *data.draw(whole, label="base"))
    metadata, spec = data.draw(whole.flatmap(lambda parts: some.tuples(*map(patches, parts))), label="patch")
    patch = {"metadata": metadata, "spec": spec}
    file = tmp_path_factory.getbasetemp() / f"{kind.replace('/', '-')}.json"
    file.write_text(json.dumps(base))
    theirs, error = kubectl.patch(file, patch)
    ours = merged(base, patch, kind_of(base))
    event("refused by kubectl" if error else "refused by us" if ours is None else "merged")
    # We may refuse what kubectl takes, such as directives that it leaves in the object, and never take what it refuses.
    assert ours is None or not error, (ours, error)
    assert ours is None or theirs == [ours]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30, deadline=None)
@given(data=some.data())
def test_proof_finds_nothing_in_true_merges(kind: str, data: some.DataObject) -> None:
    """Of a merge that is kubectl's, nothing is ever said to have changed beyond the patch.

    Except items with one merge key: kubectl moves them together, whatever the patch names."""
    whole = some.tuples(maps(**METADATA), KINDS[kind])
    base = an_object(kind, *data.draw(whole, label="base"))
    metadata, spec = data.draw(whole.flatmap(lambda parts: some.tuples(*map(patches, parts))), label="patch")
    patch = {"metadata": metadata, "spec": spec}
    found: dict[str, Any] | str
    try:
        found = apply_patch(base, patch)
    except PatchError as refused:
        found = refused.message
    if found == UNNAMED:
        assert repeats(base)
        return
    assert isinstance(found, str) or found == merged(base, patch, kind_of(base))


def repeats(value: Any) -> bool:
    """Whether a list anywhere has several items of one merge key."""
    if isinstance(value, dict):
        return any(map(repeats, value.values()))
    if not isinstance(value, list):
        return False
    items = [item for item in value if isinstance(item, dict)]
    found = [[item[key] for item in items if key in item] for key in MERGE_KEYS]
    return any(len(set(keys)) < len(keys) for keys in found) or any(map(repeats, value))


def kind_of(base: dict[str, Any]) -> str:
    """The type by which an object is merged."""
    return type_of(base["apiVersion"], base["kind"]) or ""


def merged(base: dict[str, Any], patch: dict[str, Any], of: str) -> dict[str, Any] | None:
    """Our result; None where the patch is refused."""
    try:
        return strategic_merge(base, patch, of)
    except PatchError:
        return None
