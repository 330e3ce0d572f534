"""Write a schedule to files: plain manifests, a kustomization, or the Helm chart with its values."""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from harness import __version__
from harness.schedule.manifests import manifests
from harness.schedule.values import Values

CHART = Path(str(resources.files("harness.schedule") / "chart"))


class _Dumper(yaml.SafeDumper):
    """Shows texts with several lines as they are, so that files in a ConfigMap can be read."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
# Anchors are legal, but surprise readers: the same mapping occurs twice in a pod.
_Dumper.ignore_aliases = lambda _self, _data: True  # type: ignore[assignment, method-assign]


def as_yaml(*documents: Any) -> str:  # noqa: ANN401 - whatever YAML can have
    """Return documents as YAML."""
    return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, width=120)


def write_kustomization(values: Values, folder: Path) -> list[Path]:
    """Write a kustomization with a file for each object. Returns the files. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for item in manifests(values):
        metadata = item["metadata"]
        place = f"-{metadata['namespace']}" if item["kind"] in {"Role", "RoleBinding"} else ""
        file = folder / f"{item['kind'].lower()}{place}.yaml"
        file.write_text(as_yaml(item), encoding="utf-8")
        files.append(file)
    kustomization = folder / "kustomization.yaml"
    body = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [file.name for file in files],
    }
    kustomization.write_text(as_yaml(body), encoding="utf-8")
    return [*files, kustomization]


def write_chart(values: Values, folder: Path) -> list[Path]:
    """Write the Helm chart with these values as its own. Returns the files. Raises OSError."""
    shutil.copytree(CHART, folder, dirs_exist_ok=True)
    chart = folder / "Chart.yaml"
    data = yaml.safe_load(chart.read_text(encoding="utf-8"))
    chart.write_text(as_yaml({**data, "appVersion": __version__}), encoding="utf-8")
    (folder / "values.yaml").write_text(as_yaml(values.as_json()), encoding="utf-8")
    return sorted(file for file in folder.rglob("*") if file.is_file())
