"""The table of Kubernetes' kinds is made of its OpenAPI document, and is of the version that the local cluster runs."""

from __future__ import annotations

from harness.cluster.components import versions
from harness.cluster.kube import published
from scripts.api_schema import compact, enumerations

SWAGGER = {
    "definitions": {
        "io.k8s.api.a.v1.Ox": {
            "properties": {
                "metadata": {"$ref": "#/definitions/Meta"},
                "cpu": {"$ref": "#/definitions/io.k8s.apimachinery.pkg.api.resource.Quantity"},
                "mood": {"type": "string"},
                "moods": {"type": "array", "items": {"type": "string"}},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            },
            "required": ["cpu"],
            "x-kubernetes-group-version-kind": [{"group": "a", "version": "v1", "kind": "Ox"}],
        },
        "Meta": {"properties": {"name": {"type": "string"}}},
        "Unused": {},
    },
    "paths": {
        "/apis/a/v1/namespaces/{namespace}/oxen": {
            "post": {"x-kubernetes-group-version-kind": {"group": "a", "version": "v1", "kind": "Ox"}}
        },
        "/apis/a/v1/namespaces/{namespace}/oxen/{name}/status": {"put": {}},
    },
}
CODE = """
func schema_k8sio_api_a_v1_Ox(ref common.ReferenceCallback) common.OpenAPIDefinition {
\t\t\t\t\t"mood": {
\t\t\t\t\t\tEnum:        []interface{}{"Calm", "Wild"},
\t\t\t\t\t},
\t\t\t\t\t"moods": {
\t\t\t\t\t\tItems: Enum:        []interface{}{"Calm"},
\t\t\t\t\t},
}
"""


def test_the_table_holds_what_kinds_are_made_of() -> None:
    assert compact(SWAGGER, enumerations(CODE)) == {
        "kinds": {"a/v1 Ox": ["oxen", True, "io.k8s.api.a.v1.Ox"]},
        "definitions": {
            "io.k8s.api.a.v1.Ox": [
                {
                    "metadata": "#Meta",
                    "cpu": "quantity",
                    "mood": {"enum": ["Calm", "Wild"]},
                    "moods": [{"enum": ["Calm"]}],
                    "labels": {"map": "string"},
                },
                ["cpu"],
            ],
            "Meta": [{"name": "string"}, []],
        },
    }


def test_the_table_is_of_the_local_clusters_version() -> None:
    assert published.version() == f"v{versions()['kube-apiserver']}"
