"""The values with which a local cluster fills in the addons' manifests."""

from __future__ import annotations

from typing import cast

from harness.cluster import addons
from harness.cluster.components import COMPONENTS, OWN, versions
from harness.cluster.local.boot import ADDONS, addon_values
from harness.cluster.local.images import ImageSet, catalogue
from harness.cluster.local.state import ClusterState


class CatalogueImages:
    """Has the images of the catalogue, and no others."""

    def reference(self, name: str) -> str:
        known = {image.name: image for image in catalogue({**versions((*COMPONENTS, *OWN)), "busybox": "1"})}
        return known[name].reference


def test_every_placeholder_of_the_addons_has_a_value() -> None:
    state = ClusterState("shop", 2, 0, "/binaries", "/images")
    values = addon_values(state, cast("ImageSet", CatalogueImages()))
    assert set(values) >= {name for addon in ADDONS for name in addons.placeholders(addon)}
