"""``harness image …``: the images that local clusters have besides the harness's own."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.common.errors import ClusterBroken, ClusterUnreachable, InputError, Problem
from harness.common.progress import Lines, Progress

if TYPE_CHECKING:
    from harness.cluster.local.supply.store import StoredImage

_SHOWN_DIGEST = len("sha256:") + 12


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")
    load = verbs.add_parser("load", help="load images into the image store and into all running local clusters")
    load.add_argument(
        "images",
        nargs="+",
        metavar="FILE|NAME=FILE|REF",
        help="an archive (docker save or OCI), or a reference that this machine has or can pull",
    )
    load.set_defaults(command=_load)
    verbs.add_parser("list", help="list the images in the image store").set_defaults(command=_list)
    remove = verbs.add_parser("rm", help="remove images from the image store; running clusters keep them")
    remove.add_argument("images", nargs="+", metavar="REF")
    remove.set_defaults(command=_remove)
    build = "build an image from a folder, without Docker, and load it into the store and all running local clusters"
    _add_build(verbs.add_parser("build", help=build, description=f"{build[0].upper()}{build[1:]}."))


def _add_build(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="the files of the image, by their paths from its root")
    parser.add_argument("--tag", required=True, metavar="NAME", help="the image's reference, as manifests name it")
    parser.add_argument("--base", choices=["busybox", "debian"], default="busybox", help="(default: %(default)s)")
    parser.add_argument("--packages", default="", metavar="NAMES", help="Debian packages, separated by commas")
    parser.add_argument("--entrypoint", default="", metavar="COMMAND", help="quoted as for a shell, which does not run")
    parser.add_argument("--cmd", default="", metavar="ARGUMENTS", help="arguments that a manifest may replace")
    parser.add_argument("--user", default="", metavar="USER", help="user name or number, or USER:GROUP (default: root)")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--workdir", default="/", metavar="PATH", help="(default: %(default)s)")
    parser.add_argument(
        "--port", action="append", default=[], type=int, metavar="N", help="TCP port that it listens on"
    )
    parser.add_argument("--to", default="/", metavar="PATH", help="where the folder is in the image (default: /)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="also write an archive for kind or Docker")
    parser.set_defaults(command=_build)


def _load(options: argparse.Namespace) -> int:
    from harness.cluster.local.supply.commands import load

    loaded = load(options.images, Path.cwd(), Lines())
    _into_clusters(loaded, Lines())
    for image in loaded:
        print(f"{image.name} {image.digest}")
    return 0


def _list(_options: argparse.Namespace) -> int:
    from harness.cluster.local.supply.store import ImageStore

    store = ImageStore.of_cache()
    rows = [("NAME", "DIGEST", "SIZE", "PLATFORMS", "FROM")]
    for image in sorted(store.images().values(), key=lambda each: each.name):
        size = f"{store.total(image) / 1e6:.1f} MB"
        rows.append((image.name, image.digest[:_SHOWN_DIGEST], size, ",".join(image.platforms), image.origin))
    if len(rows) == 1:
        print("no images in the image store")
        return 0
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _remove(options: argparse.Namespace) -> int:
    from harness.cluster.local.supply.store import ImageStore

    store, progress = ImageStore.of_cache(), Lines()
    with store.locked(progress):
        freed = store.remove(options.images)
    print(f"removed {', '.join(options.images)}: {freed / 1e6:.1f} MB freed")
    return 0


def _build(options: argparse.Namespace) -> int:
    from harness.cluster.local.archive import write_image
    from harness.cluster.local.supply.build import Recipe, build
    from harness.cluster.local.supply.store import ImageStore

    problems: list[Problem] = []
    recipe = Recipe(
        folder=options.folder,
        name=checked_name(options.tag, problems),
        base=options.base,
        packages=tuple(name.strip() for name in options.packages.split(",") if name.strip()),
        entrypoint=_words(options.entrypoint, "--entrypoint", problems),
        cmd=_words(options.cmd, "--cmd", problems),
        user=options.user,
        env=tuple(options.env),
        workdir=options.workdir,
        ports=tuple(options.port),
        to=options.to,
        problems=problems,
    )
    store, progress = ImageStore.of_cache(), Lines()
    image = build(recipe, store, progress)
    if options.output:
        write_image(store.blobs, image.descriptor, image.name, options.output)
        progress(f"wrote {options.output}")
    _into_clusters([image], progress)
    print(f"{image.name} {image.digest}")
    return 0


def checked_name(name: str, problems: list[Problem]) -> str:
    """Return an image's name; adds a problem unless it is a reference without a digest."""
    from harness.experiment.workload_checks.images import is_reference

    if "@" in name or not is_reference(name):
        problems.append(Problem(f"found {name!r}, expected an image reference such as shop/web:1", field="--tag"))
    return name


def _words(text: str, option: str, problems: list[Problem]) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        problems.append(Problem(f"found {text!r}: {error}", field=option))
        return ()


def _into_clusters(images: Sequence[StoredImage], progress: Progress) -> None:
    """Load images into every running local cluster, so that its pods can use them at once."""
    from harness.cluster.local import commands
    from harness.cluster.local.cluster import LocalCluster
    from harness.cluster.local.state import is_root

    if not is_root():
        return
    for name in commands.names():
        try:
            cluster = LocalCluster.attach(name)
        except (ClusterUnreachable, InputError):
            continue
        try:
            cluster.load_stored(images, progress)
            progress(f"loaded into the local cluster {name}")
        except ClusterBroken as error:
            # For example a cluster that is being removed: the image is in the store nevertheless.
            progress(f"not loaded into the local cluster {name}: {error}")
        finally:
            cluster.close()
