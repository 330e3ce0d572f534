"""Check image references in manifests: their grammar, and misspelt ``${image:NAME}``."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from harness.cluster.kube.client import Object
from harness.cluster.local.extra_images import extra_images
from harness.cluster.local.images import catalogue
from harness.common.documents import Place
from harness.experiment.manifests import images_in
from harness.experiment.workload_checks.pods import pod_sources

# The grammar of github.com/distribution/reference, which the kubelet uses.
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?:(?:{_HOST}|\[[0-9a-fA-F:]+\])(?::\d+)?/)?{_PART}(?:/{_PART})*(?::[\w][\w.-]{{0,127}})?"
    r"(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?"
)
HARNESS_IMAGES = frozenset(image.name for image in catalogue(defaultdict(str))) | extra_images().keys()
_PLACEHOLDER = "${image"


def is_reference(text: str) -> bool:
    """Return whether a text is a valid image reference."""
    return bool(_REFERENCE.fullmatch(text))


def wrong_references(item: Object) -> Iterator[tuple[Place, str]]:
    """Yield each container image that is not a valid reference. ``wrong_images`` checks those with ``${image``."""
    for source in pod_sources([item]):
        for place, container in source.containers:
            image = container.get("image")
            if not isinstance(image, str) or _PLACEHOLDER in image:
                continue
            if not image:
                # The API server refuses it only when the workload is deployed.
                yield (*place, "image"), "found an empty text, expected an image reference"
            elif "${" in image:
                yield (*place, "image"), f"found {image!r}, expected ${{image:NAME}}, ${{image:NAME:TAG}} or an image"
            elif not is_reference(image):
                yield (
                    (*place, "image"),
                    f"found {image!r}, expected an image reference such as docker.io/library/nginx:1.27",
                )


def wrong_images(value: Any, place: Place = ()) -> Iterator[tuple[Place, str]]:  # noqa: ANN401
    """Yield each place in a value with an unknown image of the harness or a misspelt ``${image:NAME}``."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from wrong_images(inner, (*place, key if isinstance(key, int) else str(key)))
    elif isinstance(value, str) and "${image" in value:
        names = list(images_in(value))
        if len(names) != value.count("${image"):
            yield place, f"found {value!r}, expected ${{image:NAME}} or ${{image:NAME:TAG}}"
        for name in names:
            if name not in HARNESS_IMAGES:
                yield place, f"found the image {name}, expected one of: {', '.join(sorted(HARNESS_IMAGES))}"
