"""Which cluster ``--cluster`` means, and making it when it is one of ours and not there yet.

``auto``: the current context when it is on the allow-list and answers, else kind when Docker and kind are there, else
the local cluster. Any other context must be named in full and be allowed: nobody breaks production by accident.
"""

from __future__ import annotations

import tempfile
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from kubernetes import config
from kubernetes.config import ConfigException

from harness.cluster.api import KubeApi
from harness.cluster.kind import commands as kind
from harness.cluster.kind.cluster import CONTEXT_PREFIX, KindCluster
from harness.cluster.kubeconfig import KubeconfigCluster
from harness.cluster.local import commands
from harness.cluster.local.cluster import LocalCluster
from harness.cluster.local.locks import locked
from harness.cluster.local.progress import Progress
from harness.cluster.protocol import Cluster
from harness.errors import ClusterBroken, ClusterRefused, ClusterUnreachable, HarnessError
from harness.guard import DEFAULT_CONTEXTS, check_context
from harness.interrupts import deferred

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


def keep_kind_logs(name: str, state: Path, progress: Progress) -> None:
    """Keep the logs of a kind cluster's nodes beside the run, if they are containers of this machine."""
    folder = state / "kind-logs"
    try:
        if not kind.node_containers(name):
            return
        kind.export_logs(name, folder)
    except ClusterBroken as error:
        # A node that is switched off cannot be asked; kind keeps what the others say and fails all the same.
        kept = f"those of the nodes that answer are in {folder}" if folder.is_dir() and any(folder.iterdir()) else ""
        progress("; ".join(filter(None, [f"not all logs of the nodes could be kept: {error}", kept])))
    else:
        progress(f"the logs of the nodes are in {folder}")


def take_down(provider: str, wish: Wish, progress: Progress) -> None:
    """Take down a cluster that ``choose`` made for the same wish. Raises ClusterBroken."""
    if provider == "local":
        commands.down(wish.name, progress)
    elif provider == "kind":
        with _kind_lock(wish, progress):
            kind.delete(wish.name, _kind_kubeconfig(wish))


def _kind(wish: Wish, progress: Progress) -> Chosen:
    why_not = kind.available()
    if why_not:
        raise ClusterUnreachable(f"--cluster=kind: {why_not}")
    if not wish.make:
        if not kind.exists(wish.name):
            raise ClusterUnreachable(f"there is no kind cluster {wish.name}, and none is made for looking ahead")
        with tempfile.TemporaryDirectory(prefix="resilience-plan-") as folder:
            # Looking ahead leaves nothing among the reports; once connected, the file is not read again.
            return Chosen(_existing_kind(replace(wish, state=Path(folder))))
    # Two sessions that both see no cluster would both create it, and the loser would clean up what the winner made.
    with _kind_lock(wish, progress):
        if kind.exists(wish.name):
            return Chosen(_existing_kind(wish))
        return Chosen(_make_kind(wish, progress), made=True)


def _kind_lock(wish: Wish, progress: Progress) -> AbstractContextManager[None]:
    waiting = f"another process is making or deleting the kind cluster {wish.name}: waiting for it"
    return locked(f"kind-{wish.name}", progress, waiting)


def _existing_kind(wish: Wish) -> Cluster:
    """A cluster that is there, as it is, whichever kubeconfig its maker wrote."""
    context, own = f"{CONTEXT_PREFIX}{wish.name}", _own_kubeconfig(wish)
    if own.exists():
        # Another process of this session has made or found it.
        return attach(own, context, wish.images)
    check_context(context, wish.allowed, named_in_full=True, patterns=wish.patterns)
    if context in _contexts(wish.kubeconfig):
        return attach(wish.kubeconfig, context, wish.images)
    # A run that keeps its cluster leaves the kubeconfig among its reports: kind itself knows how to reach it.
    own.parent.mkdir(parents=True, exist_ok=True)
    kind.export_kubeconfig(wish.name, own)
    return attach(own, context, wish.images)


def _make_kind(wish: Wish, progress: Progress) -> Cluster:
    kubeconfig, context = _kind_kubeconfig(wish), f"{CONTEXT_PREFIX}{wish.name}"
    progress(f"kind: creating {wish.name}")
    with ExitStack() as half_made:
        # Whatever interrupts this must not leave a cluster that nobody knows of.
        half_made.callback(_delete_half_made, wish, progress)
        try:
            kind.create(wish.name, wish.workers, kubeconfig, wish.kind_image)
            cluster = KindCluster(KubeApi.connect(kubeconfig, context), kubeconfig, context, wish.images)
        except kind.AlreadyThere:
            # Of somebody whom the lock does not bind: another user, or kind by hand.
            half_made.pop_all()
            raise
        except HarnessError:
            keep_kind_logs(wish.name, wish.state, progress)
            raise
        half_made.pop_all()
    return cluster


def _delete_half_made(wish: Wish, progress: Progress) -> None:
    """As far as it can be: what went wrong before is what the user must hear of."""
    try:
        # Another Ctrl-C could only leave half a cluster behind.
        with deferred():
            kind.delete(wish.name, _kind_kubeconfig(wish))
    except ClusterBroken as error:
        progress(f"what was made of it is still there, `kind delete cluster --name {wish.name}` deletes it: {error}")


def _kind_kubeconfig(wish: Wish) -> Path:
    return wish.kubeconfig or _own_kubeconfig(wish)


def _own_kubeconfig(wish: Wish) -> Path:
    return wish.state / f"kind-{wish.name}.kubeconfig"


def _contexts(kubeconfig: Path | None) -> set[str]:
    try:
        found, _ = config.list_kube_config_contexts(str(kubeconfig) if kubeconfig else None)
    except (ConfigException, OSError):
        return set()
    return {str(context["name"]) for context in found}


def _current_context(kubeconfig: Path | None) -> str | None:
    try:
        _, current = config.list_kube_config_contexts(str(kubeconfig) if kubeconfig else None)
    except (ConfigException, OSError):
        return None
    return str(current["name"]) if current else None
