"""Render a Helm chart with ``helm template``: a folder, an archive, or a chart in an OCI registry."""

from __future__ import annotations

import json
import re
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.cluster.components import COMPONENTS, versions
from harness.common.documents import Document, load_document
from harness.common.errors import InputError, Problem
from harness.common.file_text import decode
from harness.experiment.manifest_files import Folder
from harness.experiment.manifests import Origin, Workload, workload_of
from harness.experiment.rendering.output import annotation, documents
from harness.experiment.rendering.places import Places
from harness.experiment.rendering.programs import Program, RenderFailed
from harness.experiment.workload_source import OCI, Chart

# Seconds for a chart from a registry.
PULL_TIMEOUT = 120.0
HOOK = "helm.sh/hook"
_CHART_FILE = "Chart.yaml"
_MAX_CHART_FILE = 1_000_000
# Helm's own limit.
_MAX_UNPACKED = 100_000_000
_MOST_HOOKS = 8
# helm names a place in a template as (shop/templates/web.yaml:7:12), and a whole file as "on shop/templates/web.yaml:".
_TEMPLATE = re.compile(r"([\w.-]+/[\w./-]+\.\w+)(?::(\d+))?")
_LINE = re.compile(r"\bline (\d+)\b")
_DEPENDENCIES = re.compile(r"missing in charts/ directory: (.*)$")
_LOOPBACK = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?(/|$)")


@dataclass(frozen=True, slots=True)
class _Package:
    """A chart on this machine: its folder or archive, its path in messages, and what its Chart.yaml says."""

    path: Path
    shown: Path
    name: str
    version: str

    def file(self, template: str) -> Path:
        """Return the file of a template, for messages; helm's names of templates begin with the chart's."""
        inner = template.partition("/")[2]
        found = self.shown / inner if inner else self.shown
        # The templates of a dependency that is an archive are not files.
        return self.shown if self.path.is_dir() and not found.exists() else found


def render_chart(chart: Chart, release: str, places: Places, find: Callable[[], Program]) -> Workload:
    """Render a chart to a workload of plain manifests. Raises InputError with all problems.

    ``find`` returns helm; it is called after the checks of the files, since it may have to build it.
    """
    problems: list[Problem] = []
    values: list[Path] = []
    for index, name in enumerate(chart.values):
        try:
            values.append(_values_file(name, index, places))
        except InputError as error:
            problems += error.problems
    if chart.chart.startswith(OCI) and not problems:
        with tempfile.TemporaryDirectory(prefix="chart-") as folder:
            helm = find()
            package = _package(chart, _pulled(chart, places, helm, Path(folder)), places)
            return _Rendering(chart, release, package, values, places, helm).workload()
    try:
        package = _package(chart, _file_of(chart, places), places)
    except InputError as error:
        problems += error.problems
    if problems:
        raise InputError(problems)
    return _Rendering(chart, release, package, values, places, find()).workload()


def _values_file(name: str, index: int, places: Places) -> Path:
    place = ("helm", "values", index)
    found = places.existing(name, place, "a values file")
    if not found.is_file():
        raise InputError([places.problem(place, f"found {name!r}, which is a folder; expected a values file")])
    return found


def _file_of(chart: Chart, places: Places) -> Path:
    place = ("helm", "chart")
    if "://" in chart.chart:
        message = f"found {chart.chart!r}, expected a folder, an archive or {OCI}…: `helm pull` stores it as an archive"
        raise InputError([places.problem(place, message)])
    return places.existing(chart.chart, place, "a chart's folder or archive, or an OCI reference")


def _package(chart: Chart, path: Path, places: Places) -> _Package:
    data = _chart_file(path, places)
    shown = Path(path.name) if chart.chart.startswith(OCI) else path
    package = _Package(path, shown, str(data.get("name")), str(data.get("version")))
    if chart.version and chart.version.removeprefix("v") != package.version.removeprefix("v"):
        message = f"found {chart.version!r}, but the chart in {chart.chart} has the version {package.version}"
        raise InputError([places.problem(("helm", "version"), message)])
    if data.get("type") == "library":
        message = f"found {chart.chart!r}, a library chart, which renders nothing; expected an application chart"
        raise InputError([places.problem(("helm", "chart"), message)])
    return package


def _pulled(chart: Chart, places: Places, helm: Program, folder: Path) -> Path:
    repository, _, digest = chart.chart.partition("@")
    arguments = ["pull", chart.chart, "--destination", str(folder)]
    arguments += ["--version", chart.version] if chart.version and not digest else []
    # As Docker and Helm 3.7 did: a registry on this machine's loopback rarely has a certificate.
    arguments += ["--plain-http"] if _LOOPBACK.match(repository.removeprefix(OCI)) else []
    try:
        helm.run(*arguments, network=True, seconds=PULL_TIMEOUT)
        (found,) = folder.glob("*.tgz")
    except RenderFailed as error:
        version = f" {chart.version}" if chart.version else ""
        message = f"could not pull {chart.chart}{version} with {helm}: {error}"
        raise InputError([places.problem(("helm", "chart"), message)]) from error
    except ValueError:
        message = f"helm pull stored no archive of {chart.chart!r}; expected the reference of a chart"
        raise InputError([places.problem(("helm", "chart"), message)]) from None
    return found


def _chart_file(path: Path, places: Places) -> dict[str, Any]:
    """Return the content of a chart's Chart.yaml. Raises InputError if there is none."""
    expected = "expected a Helm chart: a folder with Chart.yaml, or a .tgz archive of one"
    try:
        if path.is_dir():
            text = decode((path / _CHART_FILE).read_bytes()) if (path / _CHART_FILE).is_file() else None
            file = path / _CHART_FILE
        elif path.is_file():
            text, file = _from_archive(path), path
        else:
            # Reading a pipe or a device might never end.
            raise tarfile.ReadError("not a regular file")
    except (OSError, EOFError, tarfile.TarError, zlib.error, UnicodeDecodeError) as error:
        message = f"{path} is not the archive of a chart ({error}); {expected}"
        raise InputError([places.problem(("helm", "chart"), message)]) from error
    if text is None:
        raise InputError([places.problem(("helm", "chart"), f"{path} has no {_CHART_FILE}; {expected}")])
    data = load_document(file, text).data
    if not isinstance(data, dict) or not data.get("name") or not data.get("version"):
        raise InputError([Problem("has no name or no version, which every chart needs", file)])
    return data


def _from_archive(path: Path) -> str | None:
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            # The next header would be reached by unpacking this member, however large it is.
            if member.offset_data + member.size > _MAX_UNPACKED:
                raise tarfile.ReadError(f"larger than {_MAX_UNPACKED} bytes when unpacked")
            # The chart's own file: those of its dependencies are deeper.
            if member.isfile() and re.fullmatch(rf"(\./)?[^/]+/{_CHART_FILE}", member.name):
                content = archive.extractfile(member)
                return decode(content.read(_MAX_CHART_FILE)) if content else None
    return None


@dataclass(frozen=True, slots=True)
class _Rendering:
    """One run of ``helm template``."""

    chart: Chart
    release: str
    package: _Package
    values: list[Path]
    places: Places
    helm: Program

    def workload(self) -> Workload:
        """Return the workload. Raises InputError with all problems."""
        try:
            text, _ = self.helm.run(*self._arguments())
        except RenderFailed as error:
            raise InputError([self._failure(str(error))]) from error
        kept: list[Document] = []
        hooks: list[str] = []
        for document in documents(text, self.package.file):
            hook = annotation(document.data, HOOK) if isinstance(document.data, dict) else None
            if hook is None:
                kept.append(document)
            else:
                hooks.append(f"{document.subject} ({hook})")
        if not kept:
            found = f"only hooks: {', '.join(hooks)}" if hooks else "no object"
            message = f"found a chart that renders {found}; expected at least one object{self._given()}"
            raise InputError([self.places.problem(("helm", "chart"), message)])
        workload = workload_of(self.package.shown, Folder(tuple(kept), (), ()))
        remarks = tuple(self._remarks(hooks))
        # Empty if no template names it, as in manifests without namespaces.
        namespace = release_namespace(self.release)
        named = namespace if namespace in text else ""
        return replace(workload, origin=self._origin(), remarks=remarks, release_namespace=named)

    def _arguments(self) -> Iterator[str]:
        yield from ("template", self.release, str(self.package.path), "--include-crds")
        yield from ("--namespace", release_namespace(self.release))
        yield from ("--kube-version", self.chart.kube_version or default_kube_version())
        for name in self.chart.api_versions:
            yield from ("--api-versions", name)
        for file in self.values:
            yield from ("--values", _as_csv(str(file)))
        for path, value in self.chart.set.items():
            # Not --set, which would read the number 1.20 in a text, and a comma as the next value.
            yield from ("--set-json", f"{path}={json.dumps(value)}")

    def _origin(self) -> Origin:
        found = f"Helm chart {self.chart.chart} ({self.package.name} {self.package.version}), release {self.release}"
        kubernetes = self.chart.kube_version or default_kube_version()
        return Origin(f"{found}{self._given()}", f"{self.helm} for Kubernetes {kubernetes.removeprefix('v')}")

    def _given(self) -> str:
        parts = [*self.chart.values, *(["`set`"] if self.chart.set else [])]
        return f", with {' and '.join(filter(None, (', '.join(parts[:-1]), parts[-1])))}" if parts else ""

    def _remarks(self, hooks: list[str]) -> Iterator[str]:
        if hooks:
            more = len(hooks) - _MOST_HOOKS
            shown = ", ".join(hooks[:_MOST_HOOKS]) + (f" and {more} more" if more > 0 else "")
            yield f"not deployed from {self.chart.chart}: hooks and tests of the chart: {shown}"

    def _failure(self, message: str) -> Problem:
        """Return the problem of a failed run, at the place that helm's message names."""
        if found := _DEPENDENCIES.search(message):
            message = (
                f"found dependencies that are missing in charts/: {found[1]}; run `helm dependency build "
                f"{self.chart.chart}` first, since rendering uses no network"
            )
            return Problem(message, self.package.file(f"{self.package.name}/{_CHART_FILE}"))
        if "kubeVersion" in message:
            message += "; `kubeVersion:` in the experiment selects another version of Kubernetes"
        whole = f"the chart {self.chart.chart} cannot be rendered{self._given()}: {message}"
        for file, name in zip(self.values, self.chart.values, strict=True):
            if str(file) in message:
                line = _LINE.search(message)
                return Problem(whole.replace(str(file), name), file, int(line[1]) if line else None)
        if self.package.path.is_dir():
            named = [each for each in _TEMPLATE.finditer(message) if each[1].startswith(f"{self.package.name}/")]
            # The innermost comes last: the template that was included by the others.
            for each in ([each for each in named if each[2]] or named)[-1:]:
                return Problem(whole, self.package.file(each[1]), int(each[2]) if each[2] else None)
        return self.places.problem(("helm", "chart"), whole)


def _as_csv(text: str) -> str:
    """Return a value of an option that helm reads as a line of CSV, in quotes where a comma would divide it."""
    quoted = text.replace('"', '""')
    return f'"{quoted}"' if any(each in text for each in ',"\n') else text


def release_namespace(release: str) -> str:
    """Return the namespace that a chart is rendered for. The experiment's own replaces it in objects and references.

    Not the release's name, which also occurs in texts that mean something else.
    """
    return f"{release}-namespace"


def default_kube_version() -> str:
    """Return the version of Kubernetes that charts are rendered for: that of the local cluster.

    Not the version of the connected cluster, since charts are rendered and checked without one.
    """
    return versions(COMPONENTS)["kubelet"]
