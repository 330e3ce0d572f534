"""The images of an experiment: where each comes from, which are missing, and bringing them before a deployment."""

from __future__ import annotations

from dataclasses import dataclass

from harness.cluster.images import ImageSource
from harness.cluster.kube.client import Object
from harness.cluster.protocol import Cluster
from harness.common.errors import InputError, Problem
from harness.common.progress import Progress
from harness.experiment.declaration import Experiment
from harness.experiment.manifests import Workload, render
from harness.experiment.workload_checks.container_images import NamedImage, images_of_fault, images_of_workload

WAYS_OUT = (
    "build or pull it with Docker, Podman or nerdctl on this machine; or give an archive of it (--load-image FILE); "
    "or name an image in a registry that can be reached"
)


@dataclass(frozen=True, slots=True)
class _Use:
    """A place of the workload that names an image."""

    item: Object
    named: NamedImage
    source: ImageSource


class Images:
    """The images of one experiment on one cluster, found once."""

    def __init__(self, cluster: Cluster, workload: Workload, uses: list[_Use], optional: list[ImageSource]) -> None:
        self._cluster = cluster
        self._workload = workload
        self._uses = uses
        self._optional = optional

    @classmethod
    def of(cls, cluster: Cluster, experiment: Experiment) -> Images:
        """Find the images of the workload and of the faults. Raises CapabilityMissing, ApiError, InputError."""
        found: dict[str, ImageSource] = {}

        def source(image: str) -> ImageSource:
            reference = render(image, cluster.image)
            if reference not in found:
                found[reference] = cluster.image_source(reference)
            return found[reference]

        # An existing namespace has its images already.
        objects = () if experiment.existing else experiment.workload.objects
        uses = [_Use(item, named, source(named.image)) for item, named in images_of_workload(objects)]
        optional = [source(image) for fault in experiment.faults for image in images_of_fault(fault)]
        return cls(cluster, experiment.workload, uses, optional)

    def problems(self) -> list[Problem]:
        """Return a problem for each place of the workload with an image that is not available."""
        return [
            self._workload.problem(
                use.item, use.named.place, f"found {use.source.reference}, which is not available: {use.source.missing}"
            )
            for use in self._uses
            if use.source.missing
        ]

    def require(self) -> None:
        """Raise InputError with all images that are not available, and what to do.

        Not for those of faults, which may name missing ones on purpose."""
        if problems := self.problems():
            raise InputError([*problems, Problem(f"for each image that is not available: {WAYS_OUT}")])

    def lines(self) -> tuple[str, ...]:
        """Return one line for each image that is available, and for each one of a fault."""
        shown = {use.source.reference: str(use.source) for use in self._uses if not use.source.missing}
        for source in self._optional:
            why = f"{source.reference}: not available, as the fault may intend ({source.missing})"
            shown.setdefault(source.reference, why if source.missing else str(source))
        return (*shown.values(), *self.notes())

    def notes(self) -> tuple[str, ...]:
        """Return what is probably a mistake: a pull policy that does not suit how the image gets to the nodes."""
        return tuple(
            dict.fromkeys(
                f"{use.source.reference}: imagePullPolicy is Always, so the nodes pull it although a copy is loaded; "
                "set IfNotPresent"
                for use in self._uses
                if use.source.on_nodes and use.named.pull_policy == "Always"
            )
        )

    def bring(self, progress: Progress) -> None:
        """Bring all images to where the nodes get them. Raises InputError, ClusterBroken, CapabilityMissing."""
        for note in self.notes():
            progress(note)
        sources = [use.source for use in self._uses] + [each for each in self._optional if not each.missing]
        present = {
            use.source.reference for use in self._uses if use.named.pull_policy == "Never" and not use.source.on_nodes
        }
        self._cluster.bring_images(
            list(dict.fromkeys(each.reference for each in sources)), progress, frozenset(present)
        )
