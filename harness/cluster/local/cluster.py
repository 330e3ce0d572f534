"""The Cluster implementation for local clusters."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from platform import machine

from harness.cluster.capabilities import served_by_api
from harness.cluster.images import ImageOptions, ImageSource
from harness.cluster.kube.client import KubeApi
from harness.cluster.kube.flags import flags_in, flags_of_pods
from harness.cluster.kube.ownership import Ownership
from harness.cluster.kube.resources import NODES
from harness.cluster.local import containerd, extra_images, registry, runner_image
from harness.cluster.local.credentials import context_name
from harness.cluster.local.images import ImageSet
from harness.cluster.local.inventory import programs_of
from harness.cluster.local.lifecycle import bring_up, load_store
from harness.cluster.local.loaded_images import LoadedImages
from harness.cluster.local.namespaces import HOLDER, Namespaces
from harness.cluster.local.node_control import LocalNodes
from harness.cluster.local.nodes import snapshotter
from harness.cluster.local.paths import ClusterPaths
from harness.cluster.local.plan import SWITCH, SWITCH_ADDRESS
from harness.cluster.local.processes import run
from harness.cluster.local.state import LOOPBACK, ClusterState, is_root
from harness.cluster.local.supply.archives import this_platform
from harness.cluster.local.supply.given import GivenImages
from harness.cluster.local.supply.local_images import LocalImages
from harness.cluster.local.supply.pull import Puller
from harness.cluster.local.supply.references import Reference, whole_reference
from harness.cluster.local.supply.store import ImageStore, StoredImage
from harness.cluster.protocol import NODE_CONTROL, Address, Capability, Provider
from harness.common.clock import Clock, SystemClock
from harness.common.errors import ApiError, CapabilityMissing, ClusterBroken, ClusterUnreachable, InputError, Problem
from harness.common.progress import Progress

PROVIDER: Provider = "local"


class LocalCluster:
    """A running local cluster. ``close`` only closes connections; ``commands.down`` removes the cluster."""

    inside = False

    def __init__(self, state: ClusterState, paths: ClusterPaths, switch: Namespaces) -> None:
        self._state = state
        self._paths = paths
        self._switch = switch
        self._images = ImageSet(Path(state.images))
        self._api = KubeApi.connect(paths.kubeconfig, context_name(state.name))
        self._clock = SystemClock()
        # Whether this process has created it: only then may a session remove it at its end.
        self.is_new = False
        self._store = ImageStore.of_cache()
        self._options = ImageOptions()
        self._supply: LocalImages | None = None

    @classmethod
    def boot(cls, name: str, nodes: int | None, progress: Progress, clock: Clock | None = None) -> LocalCluster:
        """Return the cluster of this name, created unless it is up, with ``nodes`` workers.

        None means two workers for a new cluster and any number for an existing one. Raises ClusterBroken if it cannot
        be created, InputError if the name or the number is invalid.
        """
        made = bring_up(name, nodes, progress, clock or SystemClock())
        cluster = cls.attach(name)
        cluster.is_new = made
        return cluster

    @classmethod
    def attach(cls, name: str) -> LocalCluster:
        """Return the running cluster of this name. Raises ClusterUnreachable if it is not up."""
        paths = ClusterPaths.of(name)
        state = ClusterState.load(paths)
        if state is None:
            raise ClusterUnreachable(f"no local cluster {name!r}; create it with `harness cluster up --name {name}`")
        holder = programs_of(name, paths).pid(SWITCH, HOLDER)
        if not state.ready or holder is None:
            raise ClusterUnreachable(
                f"the local cluster {name!r} is not up; repair it with `harness cluster up --name {name}`"
            )
        return cls(state, paths, Namespaces(holder))

    @property
    def provider(self) -> Provider:
        return PROVIDER

    @property
    def ownership(self) -> Ownership:
        """Owned: only the harness creates local clusters."""
        return Ownership.OWNED

    @property
    def name(self) -> str:
        return self._state.name

    @property
    def context(self) -> str:
        return context_name(self._state.name)

    @property
    def kubeconfig(self) -> Path:
        return self._paths.kubeconfig

    @property
    def api(self) -> KubeApi:
        return self._api

    def capabilities(self) -> frozenset[Capability]:
        """Return the capabilities of its network and registry, and those that its API shows at this moment."""
        built_in = {Capability.LOAD_BALANCED_SERVICE, Capability.LOCAL_IMAGES, Capability.SCRAPE_LOAD}
        # Controlling nodes needs root, using the cluster does not.
        return frozenset(built_in | served_by_api(self._api) | (NODE_CONTROL if is_root() else frozenset()))

    def node_port(self, port: int) -> Address:
        """Return the address on the control plane's node, which faults do not target, as dialled from the switch."""
        return Address(self._state.plan.control_plane.address, port)

    def loopback(self, port: int) -> Address:
        """Return the same port on 127.0.0.1, which the gateway forwards."""
        return Address(LOOPBACK, port)

    def load_command(self) -> Sequence[str]:
        """Return the prefix that enters the switch's network: one hop from every node, with no proxy in between."""
        return self._switch.enter_network()

    def load_host(self) -> str:
        """Return the address of the switch."""
        return SWITCH_ADDRESS

    def image(self, name: str) -> str:
        if extra := extra_images.extra_images().get(name):
            return extra.reference
        return self._images.reference(name)

    def no_runner_image(self) -> str:
        return "" if is_root() else f"putting an image into the registry of {self.name} needs root"

    def runner_image(self, progress: Progress) -> str:
        if why_not := self.no_runner_image():
            raise CapabilityMissing(why_not)
        root = runner_image.ensure(progress)
        self._publish(root)
        return runner_image.reference(root)

    def _publish(self, root: Path) -> None:
        """Add the images in a folder to the cluster's registry."""
        images, role = ImageSet(root), self._state.plan.control_plane.role
        registry.link_blobs(images, self._paths.node(role))
        registry.publish(images, self._namespaces(role))

    def use_images(self, options: ImageOptions) -> None:
        # Not ``options.harness``: the nodes pull only from the cluster's own registry, so the images are always built.
        self._options = options
        self._supply = None

    def image_source(self, reference: str) -> ImageSource:
        if extra_images.named(reference):
            # Like any image that is loaded into the cluster.
            missing = "" if is_root() else f"putting it into the registry of {self.name} needs root"
            return ImageSource(reference, "" if missing else "built by the harness at its first use", missing)
        found = self._sources.find(reference).source
        if found.missing and whole_reference(reference) in self._loaded.names():
            return ImageSource(reference, f"loaded into the cluster before ({found.missing})")
        if found.missing and whole_reference(reference) in self._on_nodes():
            return ImageSource(reference, "imported into the nodes by hand")
        return found

    def bring_images(
        self, references: Sequence[str], progress: Progress, present: Collection[str] = frozenset()
    ) -> None:
        """Bring images into the cluster's registry: see ``Cluster``. Needs root, unless all are there."""
        given = GivenImages(self._options.load)
        for name in filter(None, map(extra_images.named, references)):
            self._publish(extra_images.ensure(name, progress))
        references = [each for each in references if not extra_images.named(each)]
        wanted = dict.fromkeys([*references, *given.references, *given.images()])
        for found in map(self._sources.find, wanted):
            if found.source.missing and found.source.reference not in references:
                raise InputError([Problem(found.source.missing, field=f"--load-image {found.source.reference}")])
            if found.bring is None:
                continue
            if not is_root() and whole_reference(found.source.reference) in self._loaded.names():
                progress(f"{found.source.reference}: used as loaded before, since loading it again needs root")
                continue
            if not is_root():
                raise CapabilityMissing(f"loading {found.source.reference} into the local cluster needs root")
            image = found.bring(progress)
            # Under the name in the manifest, whatever its name in the archive.
            named = replace(image, name=whole_reference(found.source.reference))
            self.load_stored([named], progress)
            if found.source.reference in present:
                self._pull_on_nodes(named, progress)

    @property
    def _loaded(self) -> LoadedImages:
        return LoadedImages(self._state.plan, self._paths)

    @property
    def _sources(self) -> LocalImages:
        if self._supply is None:
            platform = this_platform(machine())
            puller = Puller(Path(self._state.binaries) / "crane", self._store, platform, self._clock)
            given = GivenImages(self._options.load)
            self._supply = LocalImages(
                self._images, self._store, given, puller=puller, platform=platform, clock=self._clock
            )
        return self._supply

    def load_stored(self, images: Iterable[StoredImage], progress: Progress) -> None:
        """Add images of the image store to the cluster's registry. Raises ClusterBroken."""
        load_store(self._state, self._paths, images, progress)

    def _pull_on_nodes(self, image: StoredImage, progress: Progress) -> None:
        # By digest too, since the kubelet reports the digest only of an image that has such a name on the node.
        names = dict.fromkeys([image.name, f"{Reference.parse(image.name).repository}@{image.digest}"])
        for node in self._state.plan.nodes:
            progress(f"pulling {image.name} on {node.name}, since its imagePullPolicy is Never")
            for name in names:
                pull = containerd.pull_command(name, snapshotter(self._paths.root))
                run(self._namespaces(node.role).enter(*pull), f"pull {name} on {node.name}")

    def _namespaces(self, role: str) -> Namespaces:
        holder = programs_of(self.name, self._paths).pid(role, HOLDER)
        if holder is None:
            raise ClusterBroken(f"the node {role} of the local cluster {self.name} is not running")
        return Namespaces(holder)

    def _on_nodes(self) -> set[str]:
        """Return the images that were imported manually into its nodes, as far as the API shows them."""
        try:
            nodes = self._api.list(NODES).items
        except ApiError as error:
            # Nodes are not namespaced, so a user with rights in single namespaces only may not list them.
            if error.status == 403:
                return set()
            raise
        images = (image for node in nodes for image in (node.get("status") or {}).get("images") or ())
        return {name for image in images for name in image.get("names") or ()}

    def nodes(self) -> LocalNodes:
        if not is_root():
            raise CapabilityMissing(f"controlling the nodes of {self.name} needs root")
        return LocalNodes(self.name, self._clock)

    def flags(self, component: str) -> Mapping[str, str]:
        """Return the flags of a program of the cluster, or those of a pod."""
        programs = programs_of(self.name, self._paths)
        pids = (programs.pid(node, name) for node, name in programs.known() if name == component)
        running = next(filter(None, pids), None)
        if running is None:
            return flags_of_pods(self._api, component)
        try:
            return flags_in(Path(f"/proc/{running}/cmdline").read_text().split("\0"))
        except OSError:
            return {}

    def close(self) -> None:
        self._api.close()
