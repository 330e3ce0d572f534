"""What an experiment may write under ``prober``, and what each mistake is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.common.errors import InputError
from harness.experiment.json_schema import experiment_schema
from harness.experiment.loading import load_experiment
from harness.experiment.sources import Sources
from tests.fake_run import EXPERIMENT, write_project

GOOD = """\
prober:
  - http: {target: "service/shop:http", path: /readyz}
    rate: 20/s
  - {name: kept, http: {target: service/shop}, rate: 100/s, connection: kept, timeout: 50ms}
  - {tcp: {target: service/shop}}
  - {grpc: {target: service/shop, service: shop.v1}, connection: kept}
  - {dns: {target: service/shop, name: shop.default.svc}}
objectives:"""


def text(prober: str) -> str:
    return EXPERIMENT.replace("objectives:", prober)


def test_all_kinds_of_probes_are_read(tmp_path: Path) -> None:
    found = load_experiment(write_project(tmp_path, text(GOOD)), Sources.for_root(tmp_path)).prober
    assert [(one.title, one.protocol, one.connection) for one in found] == [
        ("http shop", "http", "new"),
        ("kept", "http", "kept"),
        ("tcp shop", "tcp", "new"),
        ("grpc shop kept", "grpc", "kept"),
        ("dns shop", "dns", "new"),
    ]
    assert (found[1].rate, found[1].timeout) == (100.0, 0.05)
    assert found[0].aim.options() == {"method": "GET", "path": "/readyz", "status": 0}
    assert found[3].aim.options() == {"service": "shop.v1"}


@pytest.mark.parametrize(
    ("old", "new", "place", "told"),
    [
        ("rate: 20/s", "rate: 200/s", "prober[0].rate", "expected from 0.5/s to 100/s"),
        ("timeout: 50ms", "timeout: 1ms", "prober[1].timeout", "expected from 10ms to 10s"),
        ("path: /readyz", "path: readyz", "prober[0].http.path", "expected a path"),
        ("path: /readyz", 'path: "/a b"', "prober[0].http.path", "percent-encoded"),
        (
            "{target: service/shop, name: shop.default.svc}",
            "{target: ingress/shop, name: a}",
            "prober[4].dns",
            "DNS uses",
        ),
        (
            "{tcp: {target: service/shop}}",
            '{tcp: {target: {service: shop, auth: {bearer: "${env:A}"}}}}',
            "prober[2].tcp",
            "auth",
        ),
        ("path: /readyz", "pth: /readyz", "prober[0].http.pth", "unknown key"),
        ("path: /readyz", "status: 99", "prober[0].http", "from 100 to 599"),
        ('"service/shop:http"', "service/shp", "prober[0].http.target", "the workload has no Service shp"),
        ('"service/shop:http"', "service/shop:web", "prober[0].http.target", "expected one of http, 80"),
        ("{tcp: {target: service/shop}}", "{rate: 5/s}", "prober[2]", "found none, expected exactly one of http, tcp"),
        (
            "{tcp: {target: service/shop}}",
            "{tcp: {target: service/shop}, dns: {target: service/shop, name: a}}",
            "prober[2]",
            "found tcp and dns",
        ),
        ("{tcp: {target: service/shop}}", "{tcp: {target: service/shop}, connection: kept}", "prober[2]", "only http"),
        ("shop.default.svc", '"-bad-"', "prober[4].dns.name", "expected a full domain name"),
        ("name: kept", "name: http shop", "prober[1].name", "found 'http shop'"),
        ("name: kept, ", "", "", ""),
        ("{tcp: {target: service/shop}}", "{http: {target: service/shop}}", "prober[2]", "a second stream named"),
    ],
)
def test_every_mistake_has_its_place(tmp_path: Path, old: str, new: str, place: str, told: str) -> None:
    file = write_project(tmp_path, text(GOOD.replace(old, new)))
    if not told:
        load_experiment(file, Sources.for_root(tmp_path))
        return
    with pytest.raises(InputError) as caught:
        load_experiment(file, Sources.for_root(tmp_path))
    (problem,) = caught.value.problems
    assert (problem.field, told in problem.message) == (place, True), str(problem)
    assert problem.line is not None


def test_schema_describes_the_prober() -> None:
    definitions = experiment_schema()["$defs"]
    assert set(definitions["Probing"]["properties"]) >= {"http", "tcp", "grpc", "dns", "rate", "connection", "timeout"}
