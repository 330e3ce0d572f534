"""The local cluster as the rest of the harness sees it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.clock import Clock, SystemClock
from harness.cluster.api import KubeApi
from harness.cluster.capabilities import served_by_api
from harness.cluster.local.credentials import context_name
from harness.cluster.local.images import ImageSet
from harness.cluster.local.inventory import programs_of
from harness.cluster.local.lifecycle import bring_up
from harness.cluster.local.namespaces import HOLDER, Namespaces
from harness.cluster.local.node_control import LocalNodes
from harness.cluster.local.paths import ClusterPaths
from harness.cluster.local.plan import SWITCH, SWITCH_ADDRESS
from harness.cluster.local.progress import Progress
from harness.cluster.local.state import LOOPBACK, ClusterState, is_root
from harness.cluster.protocol import NODE_CONTROL, Address, Capability, Provider
from harness.errors import CapabilityMissing, ClusterUnreachable

PROVIDER: Provider = "local"


class LocalCluster:
    """A running local cluster. Closing lets go of connections; ``commands.down`` takes the cluster away."""

    def __init__(self, state: ClusterState, paths: ClusterPaths, switch: Namespaces) -> None:
        self._state = state
        self._paths = paths
        self._switch = switch
        self._images = ImageSet(Path(state.images))
        self._api = KubeApi.connect(paths.kubeconfig, context_name(state.name))
        self._clock = SystemClock()

    @classmethod
    def boot(cls, name: str, nodes: int | None, progress: Progress, clock: Clock | None = None) -> LocalCluster:
        """The cluster of this name with this many workers (None: two, or as many as it has), made unless it is up.

        Raises ClusterBroken when it cannot be made, InputError for a name or number that cannot be.
        """
        bring_up(name, nodes, progress, clock or SystemClock())
        return cls.attach(name)

    @classmethod
    def attach(cls, name: str) -> LocalCluster:
        """The cluster of this name, which must be up. Raises ClusterUnreachable otherwise."""
        paths = ClusterPaths.of(name)
        state = ClusterState.load(paths)
        if state is None:
            raise ClusterUnreachable(f"there is no local cluster {name!r}; `harness cluster up --name {name}` makes it")
        holder = programs_of(name, paths).pid(SWITCH, HOLDER)
        if not state.ready or holder is None:
            raise ClusterUnreachable(
                f"the local cluster {name!r} is not up; `harness cluster up --name {name}` repairs it"
            )
        return cls(state, paths, Namespaces(holder))

    @property
    def provider(self) -> Provider:
        return PROVIDER

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
        """What its network and registry are made for, and what its API shows now (an experiment may have broken it)."""
        built_in = {Capability.LOAD_BALANCED_SERVICE, Capability.LOCAL_IMAGES, Capability.SCRAPE_LOAD}
        # Whoever may not make namespaces may use the cluster, but not touch its nodes.
        return frozenset(built_in | served_by_api(self._api) | (NODE_CONTROL if is_root() else frozenset()))

    def node_port(self, port: int) -> Address:
        """On the control plane's node, which no experiment's victim is, as dialled from the switch."""
        return Address(self._state.plan.control_plane.address, port)

    def loopback(self, port: int) -> Address:
        """The same port on 127.0.0.1, by way of the gateway."""
        return Address(LOOPBACK, port)

    def load_command(self) -> Sequence[str]:
        """Enters the switch's network: one hop from every node and no proxy in between."""
        return self._switch.enter_network()

    def load_host(self) -> str:
        """The switch's own address."""
        return SWITCH_ADDRESS

    def image(self, name: str) -> str:
        return self._images.reference(name)

    def nodes(self) -> LocalNodes:
        if not is_root():
            raise CapabilityMissing(f"only root can do something to the nodes of {self.name}")
        return LocalNodes(self.name, self._clock)

    def close(self) -> None:
        self._api.close()
