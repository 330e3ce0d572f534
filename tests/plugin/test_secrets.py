"""Planted canaries: what is secret reaches neither the screen nor any file of a run, whatever its outcome."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import Project

SECRET = """\
apiVersion: v1
kind: Secret
metadata: {name: shop}
stringData: {password: c4n4ry-in-a-secret}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  replicas: 3
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      containers:
        - name: shop
          image: "${image:podinfo}"
          env:
            - {name: DB_PASSWORD, value: c4n4ry-in-a-value}
            - {name: LOG_LEVEL, value: debug}
"""
# A value whose name says nothing of a secret, as most have that hold one.
ROLLED_OUT = SECRET.replace("{name: LOG_LEVEL, value: debug}", "{name: LICENCE, value: c4n4ry-in-a-value}")
OUTCOMES = {
    "held": "objectives: [told: {}]\n",
    "missed": "faults: [mark: {}]\nobjectives: [told: {says: BROKEN}]\n",
    "bug": "faults: [mark: {fails: evidence, error: bug}]\nobjectives: [told: {}]\n",
}


def everything(project: Project, result: pytest.RunResult) -> dict[str, str]:
    """What the screen and each file of the run hold."""
    files = [file for file in (project.root / "reports").rglob("*") if file.is_file()]
    told = {str(file.relative_to(project.root)): file.read_text(errors="replace") for file in files}
    return {"the screen": "\n".join([*result.outlines, *result.errlines]), **told}


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_no_canary_is_found_anywhere(project: Project, monkeypatch: pytest.MonkeyPatch, outcome: str) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "c4n4ry-in-the-environment")
    project.experiment(outcome, OUTCOMES[outcome])
    (project.root / "experiments/workloads/shop/deployment.yaml").write_text(SECRET)
    result = project.run(
        "--cluster",
        "--junitxml=reports/junit.xml",
        f"experiments/{outcome}.yaml",
    )
    told = everything(project, result)
    assert {where.rpartition("/")[2] for where in told} >= {"results.json", "junit.xml", "index.html"}
    assert [where for where, text in told.items() if "c4n4ry" in text] == []
    if outcome == "missed":
        # It was looked at, and only the credential was left out.
        (pods,) = (text for where, text in told.items() if where.endswith("pods.yaml"))
        assert "LOG_LEVEL" in pods
        assert "DB_PASSWORD" in pods
        assert "value: debug" in pods


@pytest.mark.parametrize("how", ["image: 'bad:1'", "patch: {metadata: {annotations: {a: b}}}"])
def test_rollout_is_undone_without_its_template_in_the_journal(project: Project, how: str) -> None:
    project.experiment("rolled", f"faults: [badRollout: {{of: deployment/shop, {how}}}]\nobjectives: [told: {{}}]\n")
    (project.root / "experiments/workloads/shop/deployment.yaml").write_text(ROLLED_OUT)
    told = everything(project, project.run("--cluster", "experiments/rolled.yaml"))
    (journal,) = (text for where, text in told.items() if where.endswith("undo.jsonl"))
    assert "badRollout" in journal
    assert '"state": "done"' in journal
    assert "c4n4ry" not in journal


def test_password_in_an_unreachable_url_is_hidden(project: Project) -> None:
    project.experiment("held", OUTCOMES["held"])
    url = "http://me:c4n4ry-in-the-url@127.0.0.1:1"
    result = project.run("--cluster", f"--prometheus-url={url}", "experiments/held.yaml")
    told = everything(project, result)
    assert "does not answer" in told["the screen"]
    assert [where for where, text in told.items() if "c4n4ry" in text] == []
