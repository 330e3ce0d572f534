"""The workload of an experiment from its folder, its kustomization or its chart: loaded or rendered, and checked."""

from __future__ import annotations

from dataclasses import replace

from harness.common.errors import InputError
from harness.experiment.manifests import Origin, Workload
from harness.experiment.rendering.charts import render_chart
from harness.experiment.rendering.kustomizations import render_kustomization
from harness.experiment.rendering.places import Places
from harness.experiment.rendering.programs import Program, ProgramMissing, find
from harness.experiment.workload_checks import checked, load_checked
from harness.experiment.workload_source import WorkloadSource

# kubectl first: it renders what `kubectl apply -k` deploys, and a separate kustomize may have another version.
KUSTOMIZE = ("kubectl", "kustomize")
HELM = ("helm",)


def workload_from(source: WorkloadSource, name: str, places: Places) -> Workload:
    """Return the checked workload of a source that needs no cluster. Raises InputError with all problems.

    ``name`` is that of the experiment, and the default for the name of a chart's release.
    """
    return _rendered(source, name, places) if source.folder is None else _from_folder(source.folder, places)


def _from_folder(name: str, places: Places) -> Workload:
    folder = places.sources.workload_folder(name, places.beside)
    if folder is None:
        message = f"found {name!r}, expected a folder of manifests in {places.sources.described}"
        raise InputError([places.problem((), message)])
    return replace(load_checked(folder), origin=Origin(name))


def _rendered(source: WorkloadSource, name: str, places: Places) -> Workload:
    key, names = ("helm", HELM) if source.helm else ("kustomize", KUSTOMIZE)

    def program() -> Program:
        try:
            return find(names, places.sources.progress)
        except ProgramMissing as error:
            raise InputError([places.problem((key,), str(error))]) from error

    if source.helm:
        return checked(render_chart(source.helm, source.helm.release or name, places, program))
    assert source.kustomize
    return checked(render_kustomization(source.kustomize, places, program))
