"""`harness new` writes experiments that pass `harness validate` at once, for every fault and for odd workloads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from harness.cli import measuring
from harness.cli.main import BAD_INPUT, main
from harness.cli.measuring import limits_of
from harness.cluster.fake.cluster import FakeCluster
from harness.common.clock import FakeClock
from harness.common.errors import InputError
from harness.experiment import registry
from harness.experiment.files import is_experiment
from harness.experiment.manifests import Workload, load_workload
from harness.experiment.scaffold.compose import Composer
from harness.experiment.scaffold.faults import DRAFTS
from harness.results.record import (
    ClockRecord,
    ExperimentRecord,
    ObjectiveRecord,
    PhaseRecord,
    RunRecord,
)
from harness.results.traffic_record import LoadRecord
from tests.fake_run import DEPLOYMENT, SERVICE, controlled_cluster
from tests.unit.experiment.rendering.programs import program, write

FAULTS = sorted(DRAFTS)
HEADLESS = """\
apiVersion: v1
kind: Service
metadata: {name: db}
spec:
  clusterIP: None
  selector: {app: db}
  ports: [{name: client, port: 2379}]
"""


def workload(kind: str = "Deployment", name: str = "shop", container: str = "", **spec: Any) -> str:
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": "shop:1", **yaml.safe_load(container or "{}")}]},
    }
    whole = {"selector": {"matchLabels": {"app": name}}, "template": template, **spec}
    if kind == "StatefulSet":
        whole["serviceName"] = name
    return yaml.safe_dump({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": whole})


def service(name: str = "shop", port: str = "{name: http, port: 80}", kind: str = "NodePort") -> str:
    return (
        SERVICE.replace("shop", name).replace("NodePort", kind).replace("{name: http, port: 80, nodePort: 30080}", port)
    )


def objects(api: str, kind: str, name: str, **spec: Any) -> str:
    return yaml.safe_dump({"apiVersion": api, "kind": kind, "metadata": {"name": name}, "spec": spec})


BUDGET = objects("policy/v1", "PodDisruptionBudget", "shop", minAvailable=2, selector={"matchLabels": {"app": "shop"}})
AUTOSCALER = objects(
    "autoscaling/v2",
    "HorizontalPodAutoscaler",
    "shop",
    minReplicas=2,
    maxReplicas=5,
    scaleTargetRef={"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"},
)
READY = "readinessProbe: {httpGet: {path: /ready, port: 8080}, periodSeconds: 2}"
LIVE = "livenessProbe: {httpGet: {path: /live, port: 8080}}"
WORKLOADS = {
    "plain": [DEPLOYMENT, service()],
    "one replica": [workload(), service()],
    "all probes": [workload(replicas=3, container=f"{READY}\n{LIVE}\nports: [{{containerPort: 8080}}]"), service()],
    "readiness probe": [workload(replicas=2, container=READY), service(port="{port: 80, targetPort: 8080}")],
    "memory limit": [workload(replicas=3, container="resources: {limits: {memory: 64Mi}}"), service()],
    "no service": [workload(replicas=3)],
    "no service, no port": [workload()],
    "not http": [workload(replicas=3), service(port="{name: sql, port: 5432}")],
    "udp": [workload(replicas=3), service(port="{name: dns, port: 53, protocol: UDP}")],
    "cluster ip": [workload(replicas=3), service(kind="ClusterIP")],
    "stateful set": [workload("StatefulSet", "db", replicas=3), HEADLESS],
    "one stateful pod": [workload("StatefulSet", "db"), HEADLESS],
    "daemon set": [workload("DaemonSet"), service()],
    "daemon set alone": [workload("DaemonSet")],
    "budget": [workload(replicas=3), service(), BUDGET],
    "tight budget": [workload(replicas=2), service(), BUDGET],
    "autoscaler": [workload(), service(), AUTOSCALER],
    "recreate": [workload(replicas=3, strategy={"type": "Recreate"}), service()],
    "late": [workload(replicas=3, minReadySeconds=20, container=READY), service()],
    "several": [workload(replicas=2), service(), workload(name="cart", replicas=4), service("cart")],
    "digest": [workload(replicas=2, container="image: registry.test:5000/a/b@sha256:" + "0" * 64), service()],
    "operator": [workload(replicas=3), service(), objects("example.org/v1", "Database", "db", size=3)],
    "cluster-wide": [workload(replicas=3), service(), objects("v1", "PersistentVolume", "disk")],
}
# Faults that do not fit a workload: found by the check itself, and refused before anything is written.
MISFITS = {
    "badRollout": ("stateful set", "one stateful pod", "daemon set", "daemon set alone"),
    "scale": ("daemon set", "daemon set alone"),
    "oomKill": tuple(kind for kind in WORKLOADS if kind != "memory limit"),
    "metricsOutage": tuple(kind for kind in WORKLOADS if kind != "autoscaler"),
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project as the current folder."""
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lay(here: Path, *manifests: str, folder: str = "experiments/workloads/shop") -> str:
    (here / folder).mkdir(parents=True)
    (here / folder / "all.yaml").write_text("---\n".join(manifests))
    return folder


def new(*more: str, name: str = "first", workload: str = "experiments/workloads/shop") -> int:
    return main(["new", name, "--workload", workload, *more])


def written(here: Path, name: str = "first") -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load((here / "experiments" / f"{name}.yaml").read_text())
    return data


# Every fault on two workloads, and every workload with one of the faults; all pairs together take a minute.
PAIRS = sorted(
    {(fault, kind) for fault in FAULTS for kind in ("all probes", "one replica")}
    | {(FAULTS[number % len(FAULTS)], kind) for number, kind in enumerate(WORKLOADS)}
    | {(fault, kind) for fault, kinds in MISFITS.items() for kind in kinds[:1]}
    | {("oomKill", "memory limit"), ("metricsOutage", "autoscaler")}
)


@pytest.mark.parametrize(("fault", "kind"), PAIRS)
def test_new_experiment_passes_validate(here: Path, capsys: pytest.CaptureFixture[str], fault: str, kind: str) -> None:
    lay(here, *WORKLOADS[kind])
    code = new("--fault", fault)
    said = capsys.readouterr()
    if kind in MISFITS.get(fault, ()):
        assert code == BAD_INPUT
        assert f"for {fault}: choose one with --target" in said.err
        assert not list((here / "experiments").glob("*.yaml"))
        return
    assert code == 0, said.err
    assert main(["validate"]) == 0
    data = written(here)
    assert list(data["faults"][0]) == [fault]
    kinds = {kind for objective in data["objectives"] for kind in objective}
    for twin in data.get("twins", {}).values():
        assert set(twin["breaks"]) <= kinds
        assert twin["because"]


@pytest.mark.parametrize(("policy", "twin"), [("OrderedReady", "parallel"), ("Parallel", "slow-to-ready")])
def test_scaling_of_a_stateful_set_is_judged_by_its_order(here: Path, policy: str, twin: str) -> None:
    lay(here, workload("StatefulSet", "db", replicas=3, podManagementPolicy=policy, container=READY), HEADLESS)
    assert new("--fault", "scale") == 0
    data = written(here)
    assert list(data["twins"]) == [twin]
    assert ({"order": {"of": "statefulset/db"}} in data["objectives"]) is (policy == "OrderedReady")


def test_every_built_in_failure_has_a_draft() -> None:
    assert set(DRAFTS) == {kind for kind, fault in registry.faults().items() if not fault.on_purpose}


@pytest.mark.parametrize(
    ("kind", "has", "comment"),
    [
        ("plain", {"load"}, "Requests arrive at this rate"),
        ("cluster ip", {"load"}, "so it can be reached only inside the cluster: pods there generate the load."),
        ("not http", {"prober"}, "nothing in the manifests shows that service/shop:sql speaks HTTP"),
        ("stateful set", set(), "No probes: Service db is headless"),
        ("no service", set(), "no Service of the workload selects the pods of deployment/shop"),
    ],
)
def test_traffic_fits_the_way_in(here: Path, kind: str, has: set[str], comment: str) -> None:
    lay(here, *WORKLOADS[kind])
    assert new() == 0
    assert written(here).keys() & {"load", "prober"} == has
    text = (here / "experiments" / "first.yaml").read_text()
    assert comment in " ".join(line.removeprefix("# ") for line in text.splitlines())


def test_file_begins_with_a_schema_that_editors_find(here: Path) -> None:
    lay(here, *WORKLOADS["plain"])
    assert new() == 0
    first = (here / "experiments" / "first.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=.schema/experiment.json"
    file = here / "experiments" / ".schema" / "experiment.json"
    schema = json.loads(file.read_text())
    jsonschema.validate(written(here), schema)
    assert not is_experiment(file)


def test_new_chooses_service_and_workload_and_reports_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lay(here, *WORKLOADS["several"])
    assert new() == 0
    out = capsys.readouterr().out
    assert "the fault hits deployment/cart; for another one: --target, deployment/shop" in out
    assert "service/cart:http takes the load; for another one: --service, service/shop:http" in out
    assert new("--target", "deployment/shop", "--service", "shop:80", name="second") == 0
    data = written(here, "second")
    assert data["load"]["target"] == "service/shop:http"
    assert data["faults"][0]["podKill"]["selector"] == "app=shop"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target", "deployment/nothing"], "--target: found 'deployment/nothing', expected one of deployment/shop"),
        (["--service", "nothing"], "--service: found 'nothing', expected one of shop:http"),
        (["--fault", "podKil"], "--fault: found 'podKil', did you mean podKill?"),
        (["--rate", "0"], "--rate: found 0, expected at least 1"),
        (["--path", "cart"], "--path: found 'cart', expected a path such as /cart"),
        (["--output", "/nowhere.yaml.txt"], "expected a name that ends with .yaml"),
        (["--output", "elsewhere/first.yaml"], "paths never lead out of its folder"),
    ],
)
def test_wrong_options_are_one_error(
    here: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    lay(here, *WORKLOADS["plain"])
    assert new(*options) == BAD_INPUT
    assert message in capsys.readouterr().err
    assert sorted(file.name for file in here.iterdir()) == [".git", "experiments"]
    assert not list((here / "experiments").glob("*.yaml"))


def test_all_wrong_options_are_reported_together(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lay(here, *WORKLOADS["plain"])
    assert new("--rate", "0", "--fault", "x", name="No Name") == BAD_INPUT
    assert {line.split(":")[0] for line in capsys.readouterr().err.splitlines()} == {"NAME", "--fault", "--rate"}


def test_no_file_is_overwritten(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lay(here, *WORKLOADS["plain"])
    (here / "experiments" / "first.yaml").write_text("mine")
    assert new() == BAD_INPUT
    assert "no file is overwritten" in capsys.readouterr().err
    assert (here / "experiments" / "first.yaml").read_text() == "mine"


def test_manifests_outside_experiments_get_a_file_beside_them(here: Path) -> None:
    lay(here, *WORKLOADS["plain"], folder="deploy/shop")
    assert new(workload="deploy/shop") == 0
    assert yaml.safe_load((here / "deploy" / "first.yaml").read_text())["workload"] == "shop"
    assert main(["validate", "deploy/first.yaml"]) == 0


@pytest.mark.parametrize(
    ("given", "source"),
    [
        ("deploy/overlay", {"kustomize": "../deploy/overlay"}),
        ("charts/shop", {"helm": {"chart": "../charts/shop"}}),
        ("charts/shop-1.tgz", {"helm": {"chart": "../charts/shop-1.tgz"}}),
        ("oci://registry.test/shop", {"helm": {"chart": "oci://registry.test/shop", "version": "1.2.3"}}),
    ],
)
def test_source_follows_from_what_the_path_is(
    here: Path, monkeypatch: pytest.MonkeyPatch, given: str, source: object
) -> None:
    (here / "deploy" / "overlay").mkdir(parents=True)
    (here / "deploy" / "overlay" / "kustomization.yaml").write_text("resources: []")
    (here / "charts" / "shop").mkdir(parents=True)
    (here / "charts" / "shop" / "Chart.yaml").write_text("name: shop")
    (here / "charts" / "shop-1.tgz").write_bytes(b"")
    lay(here, *WORKLOADS["plain"], folder="plain")
    found: list[object] = []

    def read(_: Composer, source: object) -> Workload:
        found.append(source)
        return load_workload(here / "plain")

    monkeypatch.setattr(Composer, "workload", read)
    monkeypatch.setattr(Composer, "check", lambda _self, _text: None)
    assert new("--chart-version", "1.2.3", workload=given) == 0
    assert found == [source]
    assert written(here)["workload"] == source


def test_chart_is_read_under_the_name_of_the_experiment(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Charts name their objects after the release."""
    files = {
        "charts/shop/Chart.yaml": "name: shop\nversion: 1.2.0",
        "plain": f"{workload(replicas=3, container=READY)}---\n{service()}",
    }
    write(here, files)
    program(here / "bin", "helm", f"sed \"s/name: shop/name: $2-shop/\" '{here}/plain'")
    monkeypatch.setenv("PATH", f"{here / 'bin'}:/usr/bin:/bin")
    assert new(workload="charts/shop") == 0
    assert written(here)["load"]["target"] == "service/first-shop:http"
    assert main(["validate"]) == 0


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    """A cluster that runs the shop in a namespace, as the cluster that the options select."""
    cluster = controlled_cluster(FakeClock())
    cluster.server.seed({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    for text in (workload(replicas=3, container=READY), service()):
        data = yaml.safe_load(text)
        cluster.server.seed({**data, "metadata": {**data["metadata"], "namespace": "shop"}})

    @contextmanager
    def connected(_options: object, _progress: object) -> Iterator[FakeCluster]:
        yield cluster

    monkeypatch.setattr("harness.cli.live_source.existing_cluster", connected)
    return cluster


@pytest.mark.usefixtures("running")
def test_running_namespace_is_copied(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert new(workload="namespace/shop") == 0, capsys.readouterr().err
    data = written(here)
    assert data["workload"] == {"copyOf": {"namespace": "shop"}}
    assert data["load"]["target"] == "service/shop:http"
    assert data["twins"]["one-replica"]["safety"] == {"lastReplica": "allowed"}
    assert main(["validate"]) == 0


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize("given", ["namespace/other", "namespace/", "namespace/No Name"])
def test_namespace_that_is_not_there_is_one_error(here: Path, capsys: pytest.CaptureFixture[str], given: str) -> None:
    assert new(workload=given) == BAD_INPUT
    assert capsys.readouterr().err.startswith("--workload: found namespace/")
    assert [file.name for file in here.iterdir()] == [".git"]


def test_shipped_workload_needs_no_folder(here: Path) -> None:
    assert new(workload="builtin/podinfo") == 0
    assert written(here)["workload"] == "builtin/podinfo"


@pytest.mark.parametrize("given", ["missing", "experiments/workloads/shop/all.yaml", "experiments/workloads/empty"])
def test_no_manifests_are_one_error(here: Path, capsys: pytest.CaptureFixture[str], given: str) -> None:
    lay(here, *WORKLOADS["plain"])
    (here / "experiments" / "workloads" / "empty").mkdir()
    assert new(workload=given) == BAD_INPUT
    assert len(capsys.readouterr().err.splitlines()) >= 1
    assert not list((here / "experiments").glob("*.yaml"))


def test_failed_command_leaves_no_folder(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert new(workload="builtin/nothing") == BAD_INPUT
    assert capsys.readouterr().err.startswith("workload: found 'builtin/nothing', expected a folder of manifests")
    assert [file.name for file in here.iterdir()] == [".git"]


def test_manifest_problems_are_reported_with_their_place(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lay(here, DEPLOYMENT.replace("replicas: 3", "replicas: many"), service())
    assert new() == BAD_INPUT
    assert "all.yaml:5: spec.replicas: " in capsys.readouterr().err


def test_workload_without_pods_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lay(here, yaml.safe_dump({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}))
    assert new() == BAD_INPUT
    assert "expected a Deployment, StatefulSet or DaemonSet to test" in capsys.readouterr().err


def test_process_that_cannot_be_stopped_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lay(here, workload(replicas=3, container="command: [/bin/shop]"), service())
    assert new("--fault", "processHang") == BAD_INPUT
    # Without the name of the file that was only written to check the text.
    assert capsys.readouterr().err.startswith(
        "faults[0].processHang.process: process shop of deployment/shop cannot be"
    )


def test_only_needed_permissions_are_written(here: Path) -> None:
    lay(here, *WORKLOADS["plain"])
    assert new() == 0
    data = written(here)
    assert "safety" not in data
    assert data["twins"]["one-replica"]["safety"] == {"lastReplica": "allowed"}


@pytest.mark.parametrize(
    ("given", "printed"),
    [
        ([], "--cluster"),
        (["--cluster=local", "--cluster-name=newcomer"], "--cluster=local --cluster-name=newcomer"),
        (
            ["--cluster=current", "--kubeconfig=my conf", "--cluster-context=c", "--cluster-allow=c"],
            "--cluster=current '--kubeconfig=my conf' --cluster-context=c --cluster-allow=c",
        ),
    ],
)
def test_next_commands_use_the_given_cluster(
    here: Path, capsys: pytest.CaptureFixture[str], given: list[str], printed: str
) -> None:
    lay(here, *WORKLOADS["plain"])
    assert new(*given) == 0
    out = capsys.readouterr().out
    assert f"  pytest {printed} --plan experiments/first.yaml " in out
    assert f"  pytest {printed} --twins experiments/first.yaml\n" in out


def test_report_of_a_measurement_is_kept(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay(here, *WORKLOADS["plain"])
    folder, commands = here / "kept" / "measured-first", []

    def run(command: list[str]) -> int:
        commands.append(command)
        stage = folder / f"2026112{len(commands)}-071500-3fa2"
        stage.mkdir(parents=True)
        made = record(1000).model_copy(update={"phases": [PhaseRecord(name="baseline", start=0.0, end=1.0)]})
        (stage / "results.json").write_text(
            RunRecord(run="r", started="", finished="then", seed=1, harness="1", experiments=[made]).model_dump_json()
        )
        return 0

    monkeypatch.setenv("RESILIENCE_REPORT_DIR", "kept")
    monkeypatch.setattr(measuring, "_run", run)
    for name in ("one", "two"):
        assert new("--measure", f"--output=experiments/{name}.yaml", "--load-image=a", "--load-image=b") == 0
    assert f"--report-dir={folder}" in commands[0]
    assert {"--load-image=a", "--load-image=b"} <= set(commands[0])
    assert len(list(folder.iterdir())) == 2


def record(good: int, recovered: float | None = 3.2) -> ExperimentRecord:
    clocks = [ClockRecord(clock="control plane", subject="deployment/shop", state="recovered", high=recovered)]
    judged = ObjectiveRecord(
        kind="availability", title="availability", verdict="HELD", reason="", samples=1000, good=good
    )
    return ExperimentRecord(
        id="a", name="a", file="a.yaml", hypothesis="", namespace="a", seed=1, started="", origin="", reason="it ended",
        baseline=[judged],
        load=LoadRecord(
            profile="steady", target="service/shop", outcomes={"ok": good, "404": 1000 - good},
            latency={"baseline": {"p95": 0.042}},
        ),
        recovery=clocks if recovered else [],
    )  # fmt: skip


def test_limits_follow_from_the_measurement() -> None:
    found = limits_of(record(1000), "local-x")
    assert (found.availability, found.below, found.recovery) == (0.98, "150ms", 10)
    assert found.origin.startswith("measured on local-x: 1000 of 1,000 requests succeeded, 95% of them within 42 ms")
    assert limits_of(record(1000, 9.4), "").recovery == 19
    assert limits_of(record(990), "").availability == 0.96


def test_limit_without_a_measurement_is_called_a_guess() -> None:
    found = limits_of(record(1000, None), "local-x")
    assert found.recovery == 60
    assert "no replacement of a lost pod was measured (it ended)" in found.origin


def test_path_without_good_answers_is_refused() -> None:
    with pytest.raises(InputError, match=r"40 of 1000 requests .*960 × 404.*name a path .* with --path"):
        limits_of(record(40), "local-x")
