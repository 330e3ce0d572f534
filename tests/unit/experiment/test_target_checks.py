"""A target's files and names are checked before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.common.errors import InputError
from harness.experiment.loading import load_experiment
from harness.experiment.sources import Sources
from harness.experiment.target_checks import shown
from tests.fake_run import EXPERIMENT, write_project
from tests.integration.secure_server import Authority

AUTHORITY = Authority()
CLIENT = AUTHORITY.issue("load.test")
SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: login}\nstringData: {token: a}\n"


def problems(root: Path, target: str) -> list[str]:
    """What is wrong with an experiment whose load has this target."""
    text = EXPERIMENT.replace("faults:", f"load: {{rate: 5/s, target: {target}}}\nfaults:", 1)
    file = write_project(root, text)
    (root / "experiments" / "workloads" / "shop" / "secret.yaml").write_text(SECRET)
    for name, content in {"ca.pem": AUTHORITY.pem, "c.pem": CLIENT.certificate, "k.pem": CLIENT.key}.items():
        (file.parent / name).write_text(content)
    (file.parent / "other.pem").write_text(AUTHORITY.issue("other.test").key)
    (file.parent / "text.pem").write_text("text")
    try:
        load_experiment(file, Sources.for_root(root))
    except InputError as error:
        return [f"{problem.field}: {problem.message}" for problem in error.problems]
    return []


def test_good_files_and_secrets_are_accepted(tmp_path: Path) -> None:
    tls = "{ca: ca.pem, certificate: c.pem, key: k.pem}"
    assert problems(tmp_path, f"{{service: shop, host: shop.test, tls: {tls}}}") == []
    assert problems(tmp_path, "{service: shop, auth: {bearer: secret/login:token}}") == []
    # A controller may create it.
    assert problems(tmp_path, "{service: shop, auth: {bearer: secret/other:token}}") == []


@pytest.mark.parametrize(
    ("tls", "found"),
    [
        ("{ca: no.pem}", ["load.target.tls.ca: found 'no.pem', which does not exist"]),
        ("{ca: workloads}", ["load.target.tls.ca: found 'workloads', which is not a file"]),
        ("{ca: text.pem}", ["load.target.tls.ca: found 'text.pem': the CA certificates cannot be read as PEM"]),
        (
            "{certificate: c.pem, key: other.pem}",
            [
                "load.target.tls.certificate: found 'c.pem': the client certificate and its key cannot be used: key "
                "values mismatch"
            ],
        ),
        (
            "{ca: no.pem, certificate: no.pem, key: no.pem}",
            [
                f"load.target.tls.{field}: found 'no.pem', which does not exist"
                for field in ("ca", "certificate", "key")
            ],
        ),
    ],
    ids=["missing", "folder", "text", "mismatch", "all"],
)
def test_unusable_files_are_listed(tmp_path: Path, tls: str, found: list[str]) -> None:
    assert problems(tmp_path, f"{{service: shop, host: shop.test, tls: {tls}}}") == found


INGRESS = """\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop}
spec:
  tls: [{hosts: [shop.test], secretName: shop-tls}]
  rules:
    - host: shop.test
      http:
        paths:
          - {path: /cart, pathType: Prefix, backend: {service: {name: shop, port: {number: 80}}}}
"""


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("ingress/shop", []),
        ("{ingress: shop, via: service/edge/controller}", []),
        ("{ingress: shop, via: 'service/shop:http'}", []),
        ("ingress/shp", ["load.target: found ingress/shp, but the workload has no Ingress shp"]),
        ("httproute/shop", ["load.target: found httproute/shop, but the workload has no HTTPRoute shop"]),
        (
            "{ingress: shop, host: b.test}",
            ["load.target: found the host b.test, expected one of Ingress shop: shop.test"],
        ),
        ("{ingress: shop, path: /x}", ["load.target: found the path /x, expected one of Ingress shop: /cart"]),
        (
            "{ingress: shop, via: service/gw}",
            [
                "load.target: found via: service/gw, but the workload has no Service gw; of another namespace: "
                "service/NAMESPACE/gw"
            ],
        ),
        (
            "{ingress: shop, via: 'service/shop:web'}",
            ["load.target: found via: service/shop:web, expected one of the ports http, 80 of Service shop"],
        ),
    ],
)
def test_ingress_is_compared_with_the_workload(tmp_path: Path, target: str, found: list[str]) -> None:
    folder = write_project(tmp_path, EXPERIMENT).parent / "workloads" / "shop"
    (folder / "ingress.yaml").write_text(INGRESS)
    assert problems(tmp_path, target) == found


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("service/shop", "service/shop"),
        ("ingress/shop", "ingress/shop → https://shop.test/cart"),
        ("{ingress: shop, via: service/edge/gw}", "ingress/shop → https://shop.test/cart via service/edge/gw"),
        ("{service: shop, host: shop.test, tls: {}}", "service/shop → https://shop.test"),
        ("https://shop.test/api", "https://shop.test/api"),
    ],
)
def test_target_is_shown_with_what_the_manifests_have(tmp_path: Path, target: str, text: str) -> None:
    file = write_project(tmp_path, EXPERIMENT.replace("faults:", f"load: {{rate: 5/s, target: {target}}}\nfaults:", 1))
    (file.parent / "workloads" / "shop" / "ingress.yaml").write_text(INGRESS)
    experiment = load_experiment(file, Sources.for_root(tmp_path))
    assert shown(experiment.targets[0], experiment.workload) == text


def test_arms_cannot_share_a_host(tmp_path: Path) -> None:
    text = EXPERIMENT.replace("faults:", "control: true\nload: {rate: 5/s, target: 'https://shop.test/'}\nfaults:", 1)
    with pytest.raises(InputError, match="found a control arm, but the target is https"):
        load_experiment(write_project(tmp_path, text), Sources.for_root(tmp_path))


def test_key_that_the_workloads_secret_lacks_is_reported(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, "{service: shop, auth: {bearer: secret/login:tokn}}")
    assert found == "load.target: found secret/login:tokn, expected one of its keys: token"
