"""Every command finds the cluster that pytest would, and every command that is printed works when it is pasted."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cli import selection
from harness.cli.main import BAD_INPUT, main, parser
from harness.cluster.command_lines import command_for
from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.ownership import Ownership
from harness.cluster.kube.resources import CONFIG_MAPS
from harness.common.errors import ClusterUnreachable
from harness.common.naming import SYSTEM_NAMESPACE
from harness.common.progress import Progress
from harness.engine import choose_cluster
from harness.engine.choose_cluster import Chosen, ClusterRequest
from harness.engine.settings import resolve
from harness.experiment.project_files import ProjectFiles
from harness.pytest_plugin.session import Session
from tests.fake_run import WatchedClock

FINDING = ("halt", "sweep", "calibrate")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own, and nothing in the environment."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    # Ends the search for an ini file upwards.
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path / "project"


class Asked:
    """Stands in for choosing: remembers the wishes, and gives one cluster."""

    def __init__(self) -> None:
        self.wishes: list[ClusterRequest] = []
        self.cluster: FakeCluster = FakeCluster(name="local-resilience")

    def choose(self, target: ClusterRequest, progress: Progress) -> Chosen:
        del progress
        self.wishes.append(target)
        return Chosen(self.cluster)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    found = Asked()
    monkeypatch.setattr(selection, "choose", found.choose)
    return found


def _target(arguments: Sequence[str]) -> ClusterRequest:
    options = parser().parse_args(arguments)
    return selection.request_of(selection.settings_of(options), Path())


@pytest.mark.parametrize("command", FINDING)
class TestEveryCommand:
    def test_finds_what_pytest_finds(self, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
        given = ["--cluster-name=team", "--cluster-context=mine", "--cluster-allow=mine,yours", "--kubeconfig=file"]
        monkeypatch.setenv("RESILIENCE_IMAGES", "registry.example.test/chaos")
        by_pytest = {
            "resilience_cluster_name": "team",
            "resilience_cluster_context": "mine",
            "resilience_cluster_allow": "mine,yours",
            "resilience_kubeconfig": "file",
        }
        settings = resolve("current", by_pytest.get, lambda _: "")
        assert _target([command, "--cluster=current", *given]) == ClusterRequest.of(
            settings, choose_cluster.DEFAULT_CONTEXTS, Path()
        )

    def test_without_options_means_auto(self, command: str) -> None:
        assert _target([command]) == _target([command, "--cluster"]) == _target([command, "--cluster=auto"])
        assert _target([command]).selection == "auto"

    def test_takes_the_command_line_then_environment_then_ini(
        self, command: str, project: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (project / "pyproject.toml").write_text('[tool.pytest.ini_options]\nresilience_name = "ini"\n')
        assert _target([command]).name == "ini"
        monkeypatch.setenv("RESILIENCE_NAME", "environment")
        assert _target([command]).name == "environment"
        assert _target([command, "--cluster-name=line"]).name == "line"

    def test_refuses_an_unknown_variable(
        self, command: str, asked: Asked, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("RESILIENCE_KUBECONFG", "x")
        assert main([command]) == BAD_INPUT
        assert "RESILIENCE_KUBECONFG: unknown" in capsys.readouterr().err
        assert asked.wishes == []


@pytest.mark.parametrize("file", ["pytest.ini", ".pytest.ini", "tox.ini", "setup.cfg"])
def test_ini_file_of_a_folder_above_counts(project: Path, monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    section = "tool:pytest" if file == "setup.cfg" else "pytest"
    (project / file).write_text(f"[{section}]\nresilience_kubeconfig = its/config\nresilience_context = mine\n")
    (project / "below").mkdir()
    monkeypatch.chdir(project / "below")
    target = _target(["halt", "--cluster=current"])
    assert (target.kubeconfig, target.context) == (project / "its/config", "mine")


@pytest.mark.parametrize(
    ("file", "text"), [("pytest.ini", "no section"), ("pyproject.toml", "[tool"), ("tox.ini", "=")]
)
def test_wrong_ini_file_is_named(project: Path, file: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    (project / file).write_text(text)
    assert main(["halt"]) == BAD_INPUT
    assert f"{project / file}: cannot be read" in capsys.readouterr().err


def test_halt_and_sweep_make_no_cluster_and_need_no_allowance(asked: Asked) -> None:
    assert main(["halt", "--cluster=production"]) == 0
    assert main(["sweep", "--cluster=production", "--dry-run"]) == 0
    assert [(target.selection, target.make, target.injects) for target in asked.wishes] == [
        ("production", False, False)
    ] * 2


class TestWithOnlyALocalCluster:
    """No kubeconfig, no kind, one running local cluster: what most people have who try the harness."""

    @pytest.fixture(autouse=True)
    def machine(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
        cluster = FakeCluster(name="local-resilience")

        def attach(name: str) -> FakeCluster:
            if name != "resilience":
                raise ClusterUnreachable(f"there is no local cluster {name!r}")
            return cluster

        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
        monkeypatch.setattr(choose_cluster.kind, "available", lambda: "kind is not installed")
        monkeypatch.setattr(choose_cluster.LocalCluster, "attach", attach)
        return cluster

    def test_halt_finds_it(self, machine: FakeCluster, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["halt", "--reason", "fire"]) == 0
        assert machine.api.find(CONFIG_MAPS, "halt", SYSTEM_NAMESPACE)
        assert "local-resilience at https://fake.invalid: halted by" in capsys.readouterr().out

    def test_the_printed_command_clears_it(self, machine: FakeCluster, capsys: pytest.CaptureFixture[str]) -> None:
        main(["halt", "--reason", "it's on fire"])
        assert main(_printed(capsys.readouterr().out, "again: (.*)$")) == 0
        assert machine.api.find(CONFIG_MAPS, "halt", SYSTEM_NAMESPACE) is None

    def test_sweep_finds_it(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["sweep"]) == 0
        assert "local-resilience: no leftovers of dead runs" in capsys.readouterr().out

    def test_other_names_are_not_found(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["halt", "--cluster-name=team"]) == 1
        assert "there is no local cluster 'team'" in capsys.readouterr().err

    def test_a_refused_current_context_is_named(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The halt goes to the cluster that `pytest --cluster` would take; the other one is one option away."""
        config = {"current-context": "production", "users": [{"name": "u", "user": {}}]}
        config["contexts"] = [{"name": "production", "context": {"cluster": "c", "user": "u"}}]
        config["clusters"] = [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}]
        (tmp_path / "config").write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **config}))
        assert main(["halt", f"--kubeconfig={tmp_path / 'config'}"]) == 0
        shown = capsys.readouterr()
        assert "current context production skipped" in shown.err
        assert "to select it: --cluster=production" in shown.err
        assert shown.out.startswith("local-resilience at")


def _printed(text: str, pattern: str) -> list[str]:
    """The arguments of the command that a text shows."""
    found = re.search(pattern, text, re.MULTILINE)
    assert found, text
    program, *arguments = shlex.split(found[1])
    assert program == "harness"
    return arguments


@pytest.mark.parametrize("context", ["kind-mine", "arn:aws:eks:eu-1:1:cluster/a b", "local", "auto", "it's"])
def test_printed_command_means_the_same_cluster(context: str, tmp_path: Path) -> None:
    class Named(FakeCluster):
        kubeconfig = tmp_path / "kube config"

    printed = command_for(Named(name=context), "halt", "--clear")
    options = parser().parse_args(shlex.split(printed)[1:])
    target = selection.request_of(selection.settings_of(options), Path())
    assert options.clear
    assert (target.context if target.selection == "current" else target.selection) == context
    assert target.kubeconfig == tmp_path / "kube config"


def test_refused_by_a_halt_names_the_command_that_clears_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: Asked
) -> None:
    asked.cluster.ownership = Ownership.FOREIGN
    main(["halt"])
    monkeypatch.setattr("harness.pytest_plugin.session.choose", asked.choose)
    settings = resolve("local", {}.get, lambda _: "", {})
    session = Session(
        settings,
        tmp_path,
        ProjectFiles(tmp_path, None, settings.halt_file),
        "run1",
        1,
        "pytest",
        lambda _: None,
        WatchedClock(),
    )
    with pytest.raises(Exception, match="no experiment may start: halted by") as raised:
        session.connect()
    session.close()
    assert main(_printed(str(raised.value), "to allow runs again, run `(.*)`")) == 0
    assert asked.cluster.api.find(CONFIG_MAPS, "halt", SYSTEM_NAMESPACE) is None


def test_local_cluster_commands_read_the_name_from_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    class Status:
        name, summary, healthy = "team", "up", True
        nodes: tuple[Any, ...] = ()
        programs: tuple[Any, ...] = ()

    def status(name: str) -> Status:
        seen.append(name)
        return Status()

    monkeypatch.setattr("harness.cli.cluster.commands.status", status)
    monkeypatch.setenv("RESILIENCE_NAME", "team")
    assert main(["cluster", "status"]) == 0
    assert main(["cluster", "status", "--cluster-name", "other"]) == 0
    assert main(["cluster", "status", "--name", "third"]) == 0
    assert seen == ["team", "other", "third"]


def test_status_names_the_other_local_clusters(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RESILIENCE_STATE", str(tmp_path / "state"))
    assert main(["cluster", "status", "--name", "mine"]) == 1
    assert capsys.readouterr().out == "mine: not found\n"
    (tmp_path / "state" / "team").mkdir(parents=True)
    assert main(["cluster", "status", "--name", "mine"]) == 1
    assert capsys.readouterr().out == "mine: not found\nother local clusters (--name): team\n"
