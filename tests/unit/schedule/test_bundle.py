"""The files of a ConfigMap and the permissions of a schedule are those that its experiments need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cli.main import BAD_INPUT, main
from harness.cluster.kube.permissions import allow
from harness.cluster.kube.resources import NAMESPACES
from harness.common.errors import InputError
from harness.common.naming import SYSTEM_NAMESPACE
from harness.gameday import marks
from harness.schedule import bundle as bundles
from harness.schedule.bundle import bundle, project_root
from harness.schedule.rbac import Needed, needed_for_files
from tests.fake_run import EXPERIMENT, write_project

DAY = """\
apiVersion: resilience/v1
kind: GameDay
metadata: {name: friday}
hypothesis: The shop keeps its promises.
experiments: {paths: [../*.yaml]}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".git").mkdir()
    write_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _paths(project: Path, *names: str) -> list[str]:
    needed = needed_for_files([project / name for name in names], "cluster")
    return [file.path for file in bundle(project, needed.experiments, needed.days)]


def test_config_map_has_what_the_experiments_use(project: Path) -> None:
    (project / "experiments/workloads/other").mkdir()
    (project / "experiments/workloads/other/unused.yaml").write_text("a: 1")
    (project / "resilience-guard.yaml").write_text("refuseAlerts: null\n")
    assert _paths(project, "experiments/one-killed.yaml") == [
        "experiments/one-killed.yaml",
        "experiments/workloads/shop/deployment.yaml",
        "experiments/workloads/shop/service.yaml",
        "resilience-guard.yaml",
    ]


def test_game_day_brings_its_experiments(project: Path) -> None:
    folder = project / "experiments/gamedays"
    folder.mkdir()
    (folder / "friday.yaml").write_text(DAY)
    found = _paths(project, "experiments/gamedays/friday.yaml")
    assert found[:2] == ["experiments/gamedays/friday.yaml", "experiments/one-killed.yaml"]
    of_day = needed_for_files([folder / "friday.yaml"], "cluster").permissions
    alone = needed_for_files([project / "experiments/one-killed.yaml"], "cluster").permissions
    assert of_day == alone | marks.PERMISSIONS


def _background(project: Path, target: str, *more: str) -> Needed:
    folder = project / "experiments/gamedays"
    folder.mkdir()
    load = f"load: {{target: {target}, rate: 5/s, {', '.join(more)}}}\n"
    (folder / "friday.yaml").write_text(DAY + load)
    return needed_for_files([folder / "friday.yaml"], "cluster")


def test_background_load_needs_a_role_in_its_namespace(project: Path) -> None:
    needed = _background(project, "service/checkout:http", "namespace: shop")
    assert needed.roles()["shop"] == [{"apiGroups": [""], "resources": ["services"], "verbs": ["get"]}]
    assert allow(NAMESPACES, "get", place="cluster") <= needed.permissions


def test_background_load_needs_what_its_target_names(project: Path) -> None:
    target = '{ingress: shop, via: service/ingress/nginx, tls: {ca: "secret/shop-ca:ca.crt"}}'
    needed = _background(project, target, "namespace: shop")
    rules = needed.roles()["shop"]
    assert {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": ["shop-ca"]} in rules
    assert {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses"], "verbs": ["get"]} in rules
    # The controller's Service is in another namespace.
    assert needed.roles()["ingress"] == [{"apiGroups": [""], "resources": ["services"], "verbs": ["get"]}]


def test_background_load_on_a_url_needs_no_role(project: Path) -> None:
    needed = _background(project, '"https://shop.example/"')
    assert set(needed.roles()) == {SYSTEM_NAMESPACE}


def test_rbac_prints_the_roles_of_a_game_day(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _background(project, "service/checkout:http", "namespace: shop")
    assert main(["rbac", "experiments/gamedays/friday.yaml"]) == 0
    roles = [item for item in yaml.safe_load_all(capsys.readouterr().out) if item["kind"] == "Role"]
    assert [role["metadata"]["namespace"] for role in roles] == [SYSTEM_NAMESPACE, "shop"]
    (marks_rule,) = (rule for rule in roles[0]["rules"] if "configmaps" in rule["resources"])
    assert "list" in marks_rule["verbs"]


def test_behaviour_of_a_background_load_is_in_the_config_map(project: Path) -> None:
    (project / "loadprofiles").mkdir(parents=True)
    (project / "loadprofiles/shopping.py").write_text("# no code is run for this test\n")
    needed = _background(project, "service/checkout:http", "namespace: shop", "behaviour: shopping")
    paths = [file.path for file in bundle(project, needed.experiments, needed.days)]
    assert "loadprofiles/shopping.py" in paths


def test_every_profile_of_a_composition_is_in_the_config_map(project: Path) -> None:
    (project / "loadprofiles").mkdir(parents=True)
    for name in ("rush", "night"):
        curve = "phases: {baseline: [{at: 0s, share: 50%}]}"
        (project / f"loadprofiles/{name}.yaml").write_text(f"metadata: {{name: {name}}}\n{curve}\n")
    file = project / "experiments/one-killed.yaml"
    file.write_text(file.read_text() + "load: {rate: 5/s, target: service/shop:http, profile: {sum: [rush, night]}}\n")
    paths = [file.path for file in bundle(project, needed_for_files([file], "cluster").experiments, [])]
    assert {"loadprofiles/rush.yaml", "loadprofiles/night.yaml"} <= set(paths)


def test_project_that_is_too_large_names_its_largest_files(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "LIMIT", 500)
    with pytest.raises(InputError, match=r"largest: experiments/one-killed.yaml .*at most 500 bytes"):
        _paths(project, "experiments/one-killed.yaml")


def test_file_outside_of_the_project_is_refused(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = write_project(tmp_path_factory.mktemp("elsewhere"))
    needed = needed_for_files([elsewhere], "cluster")
    with pytest.raises(InputError, match="found a file outside of the project"):
        bundle(project, needed.experiments, ())


def test_problems_of_all_experiments_are_reported_at_once(project: Path) -> None:
    for name in ("first", "second"):
        (project / f"experiments/{name}.yaml").write_text(EXPERIMENT.replace("podKill", f"{name}Kill"))
    with pytest.raises(InputError) as caught:
        needed_for_files([project / "experiments"], "cluster")
    assert [problem.field for problem in caught.value.problems] == ["faults[0].firstKill", "faults[0].secondKill"]


def test_keys_of_different_paths_differ(project: Path) -> None:
    for name in ("a b.yaml", "a_b.yaml", "a__b.yaml"):
        (project / "experiments" / name).write_text(EXPERIMENT.replace("one-killed", "x"))
    needed = needed_for_files([project / "experiments"], "cluster")
    keys = [file.key for file in bundle(project, needed.experiments, ())]
    assert len(keys) == len(set(keys)) >= 4
    assert all(set(key) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") for key in keys)


def test_root_of_the_project_is_that_of_its_first_path(project: Path) -> None:
    assert project_root([project / "experiments/one-killed.yaml"]) == project


def _render(*words: str) -> int:
    return main(["schedule", "render", "experiments/one-killed.yaml", "--name", "nightly", *words])


def test_render_prints_all_objects(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del project
    assert _render("--cron", "0 3 * * *", "--image", "r.test/r:1", "--prometheus", "monitoring/prometheus:9090") == 0
    objects: list[Any] = list(yaml.safe_load_all(capsys.readouterr().out))
    assert [item["kind"] for item in objects][-1] == "CronJob"
    proxies = [
        rule
        for item in objects
        if item["kind"] == "Role" and item["metadata"]["namespace"] == "monitoring"
        for rule in item["rules"]
    ]
    assert proxies[0]["resourceNames"] == ["prometheus:9090", "https:prometheus:9090"]


def test_render_reports_all_wrong_options(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del project
    assert _render("--cron", "61 * * * *", "--time-zone", "Mars/Base", "--deadline", "1") == BAD_INPUT
    text = capsys.readouterr().err
    assert "--image: is missing" in text
    assert "--cron: minute: found '61'" in text
    assert "--time-zone: found 'Mars/Base', expected a time zone" in text
    assert "--deadline: found 1" in text


def test_values_file_replaces_the_options(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "values.yaml").write_text(
        "schedule: 0 3 * * *\nimage: r.test/r:1\npaths: [experiments/one-killed.yaml]\nname: weekly\n"
    )
    assert main(["schedule", "render", "--values", "values.yaml", "--format", "values"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["name"] == "weekly"
    (project / "values.yaml").write_text("schedule: 0 3 * * *\nimmage: r\npaths: [experiments/one-killed.yaml]\n")
    assert main(["schedule", "render", "--values", "values.yaml"]) == BAD_INPUT
    assert "values.yaml:2: immage: unknown key" in capsys.readouterr().err
