"""The options of a session: one table for the command line, the environment and the ini file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from harness.cluster.images import HarnessImages
from harness.cluster.local.commands import DEFAULT_NAME
from harness.common.image_values import image_values, located
from harness.common.option_values import factor, image_reference, label, names, one_of, optional, truth, url, whole
from harness.engine.game_day_options import GAME_DAY_OPTIONS
from harness.engine.mutation_options import MUTATION_OPTIONS
from harness.engine.notification_options import NOTIFICATION_OPTIONS
from harness.engine.option import Option
from harness.engine.telemetry_options import TELEMETRY_OPTIONS

# A larger factor is a typing error rather than a wish.
MOST_SCALE = 100.0


class Keep(StrEnum):
    """Whether the namespaces and clusters created for an experiment are kept after it."""

    NEVER = "never"
    ON_FAILURE = "on-failure"
    ALWAYS = "always"


def keep(text: str) -> Keep:
    if text not in list(Keep):
        raise ValueError(f"one of {', '.join(Keep)}")
    return Keep(text)


def harness_images(text: str) -> HarnessImages:
    if text not in list(HarnessImages):
        raise ValueError(f"one of {', '.join(HarnessImages)}")
    return HarnessImages(text)


OPTIONS = (
    Option(
        "kubeconfig",
        "kubeconfig file (default: like kubectl, KUBECONFIG or ~/.kube/config)",
        sets="kubeconfig",
        read=optional(Path),
        metavar="FILE",
        path=True,
    ),
    Option(
        "cluster-context",
        "the context for --cluster=current (default: current-context of the kubeconfig)",
        sets="context",
        metavar="CONTEXT",
    ),
    Option(
        "cluster-allow",
        "comma-separated contexts that allow faults, in addition to kind-* and local-*",
        sets="allowed",
        read=names,
        metavar="CONTEXTS",
    ),
    Option(
        "cluster-as",
        "impersonate this user, for example system:serviceaccount:NAMESPACE:NAME; overrides `as` of the kubeconfig",
        sets="user",
        metavar="USER",
    ),
    Option(
        "cluster-name",
        "name of the owned local or kind cluster",
        sets="name",
        read=label,
        default=DEFAULT_NAME,
        metavar="NAME",
    ),
    Option(
        "cluster-namespace",
        "prefix for the names of the experiments' namespaces",
        sets="namespace",
        read=label,
        default="rh",
        metavar="PREFIX",
    ),
    Option(
        "cluster-nodes",
        "number of worker nodes of a cluster created for the run",
        sets="nodes",
        read=whole(1),
        default="2",
        metavar="N",
    ),
    Option(
        "cluster-keep",
        "keep clusters and namespaces created for the run: never, on-failure or always",
        sets="keep",
        read=keep,
        default="never",
    ),
    Option(
        "cluster-required",
        "fail if experiments are skipped for lack of a cluster (default: true if CI is set)",
        read=truth,
        flag=True,
    ),
    Option(
        "cluster-strict",
        "fail, instead of skip, experiments that the cluster does not support",
        sets="strict",
        read=truth,
        flag=True,
    ),
    Option(
        "kind-image",
        "node image of a kind cluster created for the run (default: the default of kind)",
        sets="kind_image",
        metavar="IMAGE",
    ),
    Option("images", "registry prefix of the harness images for a foreign cluster", sets="images", metavar="PREFIX"),
    Option(
        "harness-images",
        "where kind and foreign clusters get the harness's images without --images: build (on this machine, loaded "
        "into kind's nodes), published (pulled by the nodes), or auto (published, unless built on this machine before)",
        sets="harness_images",
        read=harness_images,
        default="auto",
        metavar="auto|build|published",
    ),
    Option(
        "load-image",
        "image to bring into the nodes of a local or kind cluster: an archive (docker save or OCI), NAME=ARCHIVE, or a "
        "reference that this machine has or can pull; may be repeated",
        sets="load_images",
        read=image_values,
        metavar="FILE|REF",
        many=True,
        locate=located,
    ),
    Option(
        "prometheus-url",
        "URL of the Prometheus to query (default: found in the cluster)",
        sets="prometheus_url",
        read=url,
        metavar="URL",
    ),
    Option("prometheus-token-file", "file with the bearer token for Prometheus", metavar="FILE", path=True),
    Option(
        "prometheus-user", "user name for Prometheus; the password comes from a file or the environment", metavar="NAME"
    ),
    Option("prometheus-password-file", "file with the password of --prometheus-user", metavar="FILE", path=True),
    Option("prometheus-ca", "file with the CA certificates for Prometheus", metavar="FILE", path=True),
    Option("prometheus-tenant", "tenant to query, sent as X-Scope-OrgID (for example for Mimir)", metavar="NAME"),
    Option(
        "prometheus-headers-file",
        "file with additional HTTP headers for Prometheus, one per line",
        metavar="FILE",
        path=True,
    ),
    Option(
        "alertmanager-url",
        "URL of the Alertmanager that alerts must reach (default: found in the cluster)",
        sets="alertmanager_url",
        read=url,
        metavar="URL",
    ),
    Option(
        "load-from",
        "where load is generated: machine, cluster, or auto (as the experiment says, else here if possible)",
        sets="load_from",
        read=one_of("auto", "machine", "cluster"),
        default="auto",
    ),
    Option(
        "load-scale",
        "factor for the rate of every load: 0.5 halves it; of a replay the speed, of a locustfile the number of users",
        sets="load_scale",
        read=factor(MOST_SCALE),
        default="1",
        metavar="FACTOR",
    ),
    Option(
        "runner-image",
        "image of the load generator for load from the cluster (default: made from this Python where possible)",
        sets="runner_image",
        read=image_reference,
        metavar="REF",
    ),
    Option(
        "calibrate",
        "calibrate the recovery clocks first if no calibration is stored (about 90 s)",
        sets="calibrate",
        read=truth,
        flag=True,
    ),
    Option(
        "report-dir",
        "folder for reports, relative to the current folder",
        sets="report_dir",
        read=Path,
        default="reports",
        metavar="DIR",
        path=True,
    ),
    Option(
        "annotations",
        "print annotations of files for GitHub Actions at the end: github, none, or auto (if GITHUB_ACTIONS is true)",
        sets="annotations",
        read=one_of("auto", "github", "none"),
        default="auto",
        metavar="auto|github|none",
    ),
    Option(
        "allow-disruptive",
        "run experiments marked disruptive, which affect more than their own namespace",
        sets="allow_disruptive",
        read=truth,
        flag=True,
    ),
    Option(
        "guard",
        "use this guard file instead of every resilience-guard.yaml found in the folders above the experiments",
        sets="guard",
        read=optional(Path),
        metavar="FILE",
        path=True,
    ),
    Option(
        "plan",
        "dry run: show the victims, the calls and their undo; change nothing",
        sets="plan",
        read=truth,
        flag=True,
    ),
    Option(
        "halt-file",
        "file that halts all runs while it exists; searched for like the guard file",
        sets="halt_file",
        read=Path,
        default=".resilience-halt",
        metavar="FILE",
        path=True,
    ),
    Option(
        "wait-for-lock",
        "seconds to wait for other runs on the cluster to end",
        sets="wait_for_lock",
        read=whole(0),
        default="0",
        metavar="SECONDS",
    ),
    Option(
        "resilience-seed",
        "seed for all random choices (default: a new seed, printed)",
        sets="seed",
        read=optional(whole(0)),
        metavar="N",
    ),
    Option(
        "repeat",
        "run each experiment file up to N times, until a statistical test decides the verdict",
        read=whole(1),
        default="1",
        metavar="N",
    ),
    Option("repeat-confidence", "confidence level of the verdict of repeats", default="95%", metavar="SHARE"),
    Option(
        "repeat-all",
        "run all repeats even after the verdict is decided, for the full distribution of recovery times",
        read=truth,
        flag=True,
    ),
    Option(
        "twins",
        "also run the twins: deliberately broken copies whose verdict must be BROKEN",
        sets="twins",
        read=truth,
        flag=True,
    ),
    *MUTATION_OPTIONS,
    *GAME_DAY_OPTIONS,
    *NOTIFICATION_OPTIONS,
    *TELEMETRY_OPTIONS,
)
