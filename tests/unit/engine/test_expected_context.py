"""The context of a requested cluster is known before it is connected, as far as that is possible."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from harness.engine.choose_cluster import ClusterRequest, expected_context


def request(folder: Path, selection: str, current: str = "") -> ClusterRequest:
    """A request with a kubeconfig that has this current context."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": current,
        "contexts": [{"name": current, "context": {"cluster": "c", "user": "u"}}] if current else [],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {}}],
    }
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    return ClusterRequest(selection, kubeconfig=file, name="mine", patterns=("kind-*",))


@pytest.mark.parametrize(
    ("selection", "current", "context"),
    [
        ("local", "", "local-mine"),
        ("kind", "", "kind-mine"),
        ("in-cluster", "", "in-cluster"),
        ("staging", "other", "staging"),
        ("current", "staging", "staging"),
        ("current", "", None),
        ("auto", "kind-other", "kind-other"),
        ("auto", "", None),
        # Not allowed, so that another cluster is selected.
        ("auto", "production", None),
    ],
)
def test_context_of_a_selection(tmp_path: Path, selection: str, current: str, context: str | None) -> None:
    assert expected_context(request(tmp_path, selection, current)) == context


def test_invalid_kubeconfig_is_reported_by_connecting(tmp_path: Path) -> None:
    broken = request(tmp_path, "auto")
    assert broken.kubeconfig
    broken.kubeconfig.write_text("[]")
    assert expected_context(broken) is None
