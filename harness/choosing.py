"""Which cluster ``--cluster`` means, and making it when it is one of ours and not there yet.

``auto``: the current context when it is on the allow-list and answers, else kind when Docker and kind are there, else
the local cluster. Any other context must be named in full and be allowed: nobody breaks production by accident.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from kubernetes import config
from kubernetes.config import ConfigException

from harness.cluster.api import KubeApi
from harness.cluster.kind import commands as kind
from harness.cluster.kind.cluster import CONTEXT_PREFIX, KindCluster
from harness.cluster.kubeconfig import KubeconfigCluster
from harness.cluster.local import commands
from harness.cluster.local.cluster import LocalCluster
from harness.cluster.local.progress import Progress
from harness.cluster.protocol import Cluster
from harness.errors import ClusterBroken, ClusterRefused, ClusterUnreachable
from harness.guard import DEFAULT_CONTEXTS, check_context

_LOCAL = "local-"
SELECTIONS = ("auto", "local", "kind", "current")


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asked for: a selection or a context's name, and how a cluster of ours is to be made."""

    selection: str
    kubeconfig: Path | None = None
    allowed: tuple[str, ...] = ()
    patterns: tuple[str, ...] = DEFAULT_CONTEXTS
    make: bool = True
    context: str = ""
    name: str = commands.DEFAULT_NAME
    workers: int = 2
    kind_image: str = ""
    images: str = ""
    state: Path = Path()


@dataclass(frozen=True, slots=True)
class Chosen:
    """A cluster, and whether it was made just now: only then may the run take it down."""

    cluster: Cluster
    made: bool = False


def choose(wish: Wish, progress: Progress) -> Chosen:
    """The cluster that a wish means. Raises ClusterRefused, ClusterUnreachable or ClusterBroken."""
    if wish.selection == "local":
        return _local(wish, progress)
    if wish.selection == "kind":
        return _kind(wish, progress)
    if wish.selection == "auto":
        return _auto(wish, progress)
    named = wish.context if wish.selection == "current" else wish.selection
    context = named or _current_context(wish.kubeconfig)
    if context is None:
        raise ClusterUnreachable("--cluster=current: the kubeconfig has no current context")
    return Chosen(_attach(wish, context, named_in_full=bool(named)))


def _auto(wish: Wish, progress: Progress) -> Chosen:
    context = wish.context or _current_context(wish.kubeconfig)
    if context is not None:
        try:
            return Chosen(_attach(wish, context, named_in_full=bool(wish.context)))
        except (ClusterRefused, ClusterUnreachable) as error:
            progress(f"not the current context {context}: {error}")
    why_not = kind.available()
    if why_not:
        progress(f"not kind: {why_not}")
        return _local(wish, progress)
    return _kind(wish, progress)


def _attach(wish: Wish, context: str, *, named_in_full: bool) -> Cluster:
    check_context(context, wish.allowed, named_in_full=named_in_full, patterns=wish.patterns)
    return attach(wish.kubeconfig, context, wish.images)


def attach(kubeconfig: Path | None, context: str, images: str = "") -> Cluster:
    """The cluster of a context, as it is: it is never made. Raises ClusterUnreachable."""
    name = context.removeprefix(_LOCAL)
    if name != context:
        # Also one that is not whole: what a dead run has done to its nodes is taken back by way of this.
        with suppress(ClusterUnreachable):
            return LocalCluster.attach(name)
    api = KubeApi.connect(kubeconfig, context)
    api.version()
    if context.startswith(CONTEXT_PREFIX):
        return KindCluster(api, kubeconfig, context, images)
    return KubeconfigCluster(api, kubeconfig, context, images)


def current_context(kubeconfig: Path | None) -> str:
    """The current context of a kubeconfig. Raises ClusterUnreachable when it has none."""
    found = _current_context(kubeconfig)
    if found is None:
        raise ClusterUnreachable(f"kubeconfig {kubeconfig or '(default)'} has no current context: name one")
    return found


def _local(wish: Wish, progress: Progress) -> Chosen:
    was_up = commands.status(wish.name).healthy
    if not wish.make:
        if not was_up:
            raise ClusterUnreachable(f"there is no local cluster {wish.name}, and none is made for looking ahead")
        return Chosen(LocalCluster.attach(wish.name))
    cluster = commands.up(wish.name, wish.workers, progress)
    return Chosen(cluster, made=not was_up)


def keep_logs(provider: str, wish: Wish, progress: Progress) -> None:
    """Keep the logs of a cluster's nodes beside the run, where they would go with the cluster."""
    if provider == "kind":
        _keep_kind_logs(wish, progress)


def take_down(provider: str, wish: Wish, progress: Progress) -> None:
    """Take down a cluster that ``choose`` made for the same wish. Raises ClusterBroken."""
    if provider == "local":
        commands.down(wish.name, progress)
    elif provider == "kind":
        kind.delete(wish.name, _kind_kubeconfig(wish))


def _kind(wish: Wish, progress: Progress) -> Chosen:
    why_not = kind.available()
    if why_not:
        raise ClusterUnreachable(f"--cluster=kind: {why_not}")
    kubeconfig, context = _kind_kubeconfig(wish), f"{CONTEXT_PREFIX}{wish.name}"
    if kind.exists(wish.name):
        if wish.kubeconfig is None and kubeconfig.exists():
            # Another process of this session has just made it, with this kubeconfig.
            return Chosen(KindCluster(KubeApi.connect(kubeconfig, context), kubeconfig, context))
        return Chosen(_attach(wish, context, named_in_full=True))
    if not wish.make:
        raise ClusterUnreachable(f"there is no kind cluster {wish.name}, and none is made for looking ahead")
    progress(f"kind: creating {wish.name}")
    with ExitStack() as half_made:
        # Whatever interrupts this must not leave a cluster that nobody knows of.
        half_made.callback(kind.delete, wish.name, kubeconfig)
        try:
            kind.create(wish.name, wish.workers, kubeconfig, wish.kind_image)
        except ClusterBroken:
            _keep_kind_logs(wish, progress)
            raise
        cluster = KindCluster(KubeApi.connect(kubeconfig, context), kubeconfig, context)
        half_made.pop_all()
    return Chosen(cluster, made=True)


def _keep_kind_logs(wish: Wish, progress: Progress) -> None:
    folder = wish.state / "kind-logs"
    try:
        kind.export_logs(wish.name, folder)
    except ClusterBroken as error:
        # A node that is switched off cannot be asked; kind keeps what the others say and fails all the same.
        kept = f"those of the nodes that answer are in {folder}" if folder.is_dir() and any(folder.iterdir()) else ""
        progress("; ".join(filter(None, [f"not all logs of the nodes could be kept: {error}", kept])))
    else:
        progress(f"the logs of the nodes are in {folder}")


def _kind_kubeconfig(wish: Wish) -> Path:
    return wish.kubeconfig or wish.state / f"kind-{wish.name}.kubeconfig"


def _current_context(kubeconfig: Path | None) -> str | None:
    try:
        _, current = config.list_kube_config_contexts(str(kubeconfig) if kubeconfig else None)
    except (ConfigException, OSError):
        return None
    return str(current["name"]) if current else None
