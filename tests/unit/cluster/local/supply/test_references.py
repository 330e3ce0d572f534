"""Image references: the defaults that container runtimes fill in."""

from __future__ import annotations

import pytest

from harness.cluster.local.supply.references import Reference, whole_reference

SUM = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("shop/web", "docker.io/shop/web:latest"),
        ("index.docker.io/library/nginx", "docker.io/library/nginx:latest"),
        ("docker.io/nginx:1", "docker.io/library/nginx:1"),
        ("localhost/web:1", "localhost/web:1"),
        ("localhost:5000/web", "localhost:5000/web:latest"),
        ("registry.example:443/a/b:c", "registry.example:443/a/b:c"),
        (f"nginx@{SUM}", f"docker.io/library/nginx@{SUM}"),
        (f"nginx:1@{SUM}", f"docker.io/library/nginx:1@{SUM}"),
    ],
)
def test_defaults_are_filled_in(text: str, whole: str) -> None:
    assert whole_reference(text) == whole
    assert whole_reference(whole) == whole


def test_registry_resolves_the_digest_before_the_tag() -> None:
    assert Reference.parse(f"nginx:1@{SUM}").target == SUM
    assert Reference.parse("nginx:1").target == "1"
    assert Reference.parse("localhost:5000/web").repository == "localhost:5000/web"
