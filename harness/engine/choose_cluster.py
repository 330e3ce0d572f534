"""Select the cluster for ``--cluster``, and create an owned cluster that does not exist yet.

``auto``: the current context if it is on the allow-list and answers, otherwise kind if Docker and kind are installed,
otherwise the local cluster. Any other context must be named in full and be allowed, so that no fault is injected into
a production cluster by accident.
"""

from __future__ import annotations

import tempfile
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.cluster.connection.files import expanded, load_kubeconfig
from harness.cluster.external.cluster import KubeconfigCluster
from harness.cluster.images import ImageOptions
from harness.cluster.kind import commands as kind
from harness.cluster.kind.cluster import CONTEXT_PREFIX, KindCluster
from harness.cluster.kube.client import KubeApi
from harness.cluster.local import commands
from harness.cluster.local.cluster import LocalCluster
from harness.cluster.local.locks import locked
from harness.cluster.protocol import Cluster
from harness.common.errors import ClusterBroken, ClusterRefused, ClusterUnreachable, HarnessError, KubeconfigInvalid
from harness.common.interrupts import deferred
from harness.common.progress import Progress
from harness.engine.settings import Settings
from harness.safety.guard import DEFAULT_CONTEXTS, check_context

_LOCAL = "local-"
# The value of --cluster for the cluster of the pod that this process runs in.
IN_CLUSTER = "in-cluster"


@dataclass(frozen=True, slots=True)
class ClusterRequest:
    """The requested cluster: ``selection`` is auto, local, kind, current, in-cluster or the name of a context.

    Without ``make`` only an existing cluster is used; without ``injects`` a context that is named in full need not be
    on the allow-list. ``patterns`` are the contexts that the guard allows, ``state`` is the folder for the kubeconfig
    of a created cluster.
    """

    selection: str
    kubeconfig: Path | None = None
    allowed: tuple[str, ...] = ()
    patterns: tuple[str, ...] = DEFAULT_CONTEXTS
    make: bool = True
    injects: bool = True
    context: str = ""
    name: str = commands.DEFAULT_NAME
    workers: int = 2
    kind_image: str = ""
    images: str = ""
    image_options: ImageOptions = field(default_factory=ImageOptions)
    state: Path = Path()

    @classmethod
    def of(cls, settings: Settings, patterns: tuple[str, ...], state: Path) -> ClusterRequest:
        """Return the request for the given settings."""
        return cls(
            selection=settings.cluster,
            kubeconfig=settings.kubeconfig,
            allowed=settings.allowed,
            patterns=patterns,
            context=settings.context,
            name=settings.name,
            workers=settings.nodes,
            kind_image=settings.kind_image,
            images=settings.images,
            image_options=ImageOptions(settings.load_images, settings.harness_images),
            state=state,
        )


@dataclass(frozen=True, slots=True)
class Chosen:
    """A cluster, and whether this call created it: only then may the run delete it."""

    cluster: Cluster
    made: bool = False


def choose(target: ClusterRequest, progress: Progress) -> Chosen:
    """Return the requested cluster. Raises ClusterRefused, ClusterUnreachable, ClusterBroken or InputError."""
    chosen = _choose(target, progress)
    chosen.cluster.use_images(target.image_options)
    return chosen


def _choose(target: ClusterRequest, progress: Progress) -> Chosen:
    if target.selection == "local":
        return _local(target, progress)
    if target.selection == "kind":
        return _kind(target, progress)
    if target.selection == "auto":
        return _auto(target, progress)
    if target.selection == IN_CLUSTER:
        return Chosen(_in_cluster(target))
    named = target.context if target.selection == "current" else target.selection
    context = named or current_context(target.kubeconfig)
    return Chosen(_attach(target, context, named_in_full=bool(named)))


def expected_context(target: ClusterRequest) -> str | None:
    """Return the context of the requested cluster without connecting; None if that is known only afterwards."""
    if target.selection in ("local", "kind"):
        return f"{_LOCAL if target.selection == 'local' else CONTEXT_PREFIX}{target.name}"
    if target.selection not in ("auto", "current"):
        return target.selection
    try:
        context = target.context or _current_context(target.kubeconfig)
        if context and target.selection == "auto":
            check_context(context, target.allowed, named_in_full=bool(target.context), patterns=target.patterns)
    except (ClusterRefused, KubeconfigInvalid):
        # Connecting reports it, or selects another cluster.
        return None
    return context


def _in_cluster(target: ClusterRequest) -> Cluster:
    """Return the foreign cluster of this pod. Two separate acts allow it, as for any context outside the patterns."""
    _check(target, IN_CLUSTER, named_in_full=True)
    return in_cluster(target.images)


def in_cluster(images: str = "") -> Cluster:
    """Return the cluster of the pod that this process runs in, with its ServiceAccount. Raises ClusterUnreachable."""
    api = KubeApi.in_cluster()
    api.version()
    return KubeconfigCluster(api, None, IN_CLUSTER, images, inside=True)


def _auto(target: ClusterRequest, progress: Progress) -> Chosen:
    context = target.context or _current_context(target.kubeconfig)
    if context is not None:
        try:
            return Chosen(_attach(target, context, named_in_full=bool(target.context)))
        except KubeconfigInvalid:
            raise
        except (ClusterRefused, ClusterUnreachable) as error:
            hint = "" if target.injects else f"; to select it: --cluster={context}"
            progress(f"current context {context} skipped: {error}{hint}")
    why_not = kind.available()
    if not why_not and not target.make and not kind.exists(target.name):
        why_not = f"kind cluster {target.name} does not exist"
    if why_not:
        progress(f"kind skipped: {why_not}")
        return _local(target, progress)
    return _kind(target, progress)


def _attach(target: ClusterRequest, context: str, *, named_in_full: bool) -> Cluster:
    _check(target, context, named_in_full=named_in_full)
    return attach(target.kubeconfig, context, target.images)


def _check(target: ClusterRequest, context: str, *, named_in_full: bool) -> None:
    if target.injects or not named_in_full:
        check_context(context, target.allowed, named_in_full=named_in_full, patterns=target.patterns)


def attach(kubeconfig: Path | None, context: str, images: str = "") -> Cluster:
    """Return the existing cluster of a context; it is never created. Raises ClusterUnreachable."""
    name = context.removeprefix(_LOCAL)
    if name != context:
        # Attach even if parts of it are down: the sweep uses this to undo the node faults of a dead run.
        with suppress(ClusterUnreachable):
            return LocalCluster.attach(name)
    api = KubeApi.connect(kubeconfig, context)
    api.version()
    if context.startswith(CONTEXT_PREFIX):
        return KindCluster(api, kubeconfig, context, images)
    return KubeconfigCluster(api, kubeconfig, context, images)


def current_context(kubeconfig: Path | None) -> str:
    """Return the current context. Raises ClusterUnreachable if there is none, KubeconfigInvalid for an invalid file."""
    found = load_kubeconfig(kubeconfig)
    if not found.current_context:
        raise ClusterUnreachable(f"kubeconfig {found.name} has no current context: name one with --cluster=CONTEXT")
    return found.current_context


def _local(target: ClusterRequest, progress: Progress) -> Chosen:
    if not target.make:
        return Chosen(LocalCluster.attach(target.name))
    cluster = commands.up(target.name, target.workers, progress)
    return Chosen(cluster, made=cluster.is_new)


def keep_kind_logs(name: str, state: Path, progress: Progress) -> None:
    """Export the logs of a kind cluster's nodes to ``state``, if the nodes are containers on this machine."""
    folder = state / "kind-logs"
    try:
        if not kind.node_containers(name):
            return
        kind.export_logs(name, folder)
    except ClusterBroken as error:
        # kind exports the logs of the running nodes, but still fails if one node is stopped.
        kept = f"the logs of the running nodes are in {folder}" if folder.is_dir() and any(folder.iterdir()) else ""
        progress("; ".join(filter(None, [f"could not export the logs of all nodes: {error}", kept])))
    else:
        progress(f"the logs of the nodes are in {folder}")


def removal_command(provider: str, name: str) -> str:
    """Return the command that deletes a cluster of this name that ``choose`` created."""
    return f"kind delete cluster --name {name}" if provider == "kind" else f"harness cluster down --name {name}"


def take_down(provider: str, target: ClusterRequest, progress: Progress) -> None:
    """Delete a cluster that ``choose`` created for the same request. Raises ClusterBroken."""
    if provider == "local":
        commands.down(target.name, progress)
    elif provider == "kind":
        with _kind_lock(target, progress):
            kind.delete(target.name, _kind_kubeconfig(target))


def _kind(target: ClusterRequest, progress: Progress) -> Chosen:
    why_not = kind.available()
    if why_not:
        raise ClusterUnreachable(f"--cluster=kind: {why_not}")
    if not target.make:
        if not kind.exists(target.name):
            raise ClusterUnreachable(f"kind cluster {target.name} does not exist, and this command does not create one")
        with tempfile.TemporaryDirectory(prefix="resilience-plan-") as folder:
            # A dry run leaves no file in the reports; the kubeconfig is not read again after connecting.
            return Chosen(_existing_kind(replace(target, state=Path(folder))))
    # Without the lock, two sessions could both create the cluster, and the one that fails would delete it again.
    with _kind_lock(target, progress):
        if kind.exists(target.name):
            return Chosen(_existing_kind(target))
        return Chosen(_make_kind(target, progress), made=True)


def _kind_lock(target: ClusterRequest, progress: Progress) -> AbstractContextManager[None]:
    waiting = f"waiting for another process that creates or deletes the kind cluster {target.name}"
    return locked(f"kind-{target.name}", progress, waiting)


def _existing_kind(target: ClusterRequest) -> Cluster:
    """Return an existing kind cluster, whichever kubeconfig it was created with."""
    context, own = f"{CONTEXT_PREFIX}{target.name}", _own_kubeconfig(target)
    if own.exists():
        # Another process of this session has created or found the cluster.
        return attach(own, context, target.images)
    _check(target, context, named_in_full=True)
    if context in _contexts(target.kubeconfig):
        return attach(target.kubeconfig, context, target.images)
    # The kubeconfig of a kept cluster is in the reports of an earlier run, so get a new one from kind.
    own.parent.mkdir(parents=True, exist_ok=True)
    kind.export_kubeconfig(target.name, own)
    return attach(own, context, target.images)


def _make_kind(target: ClusterRequest, progress: Progress) -> Cluster:
    kubeconfig, context = _kind_kubeconfig(target), f"{CONTEXT_PREFIX}{target.name}"
    progress(f"kind: creating {target.name}")
    with ExitStack() as half_made:
        # An interrupted creation must not leave a cluster behind.
        half_made.callback(_delete_half_made, target, progress)
        try:
            kind.create(target.name, target.workers, kubeconfig, target.kind_image)
            cluster = KindCluster(KubeApi.connect(kubeconfig, context), kubeconfig, context, target.images)
        except kind.AlreadyThere:
            # Created outside of the lock, by another user or with kind directly: do not delete it.
            half_made.pop_all()
            raise
        except HarnessError:
            keep_kind_logs(target.name, target.state, progress)
            raise
        half_made.pop_all()
    return cluster


def _delete_half_made(target: ClusterRequest, progress: Progress) -> None:
    """Delete the incomplete cluster. Errors are only reported, so that the original error is the one that is raised."""
    try:
        # A second Ctrl-C could leave a half-deleted cluster.
        with deferred():
            kind.delete(target.name, _kind_kubeconfig(target))
    except ClusterBroken as error:
        progress(f"could not delete the incomplete cluster, run `{removal_command('kind', target.name)}`: {error}")


def _kind_kubeconfig(target: ClusterRequest) -> Path:
    return target.kubeconfig or _own_kubeconfig(target)


def _own_kubeconfig(target: ClusterRequest) -> Path:
    return target.state / f"kind-{target.name}.kubeconfig"


def _contexts(kubeconfig: Path | None) -> set[str]:
    if _missing(kubeconfig):
        return set()
    return set(load_kubeconfig(kubeconfig).contexts)


def _current_context(kubeconfig: Path | None) -> str | None:
    """Return the current context, or None. Raises KubeconfigInvalid.

    An invalid kubeconfig must not be skipped: ``auto`` would then select another cluster than the user expects."""
    if _missing(kubeconfig):
        return None
    return load_kubeconfig(kubeconfig).current_context or None


def _missing(kubeconfig: Path | None) -> bool:
    # A given file may be missing: kind creates it.
    return kubeconfig is not None and not expanded(kubeconfig).exists()
