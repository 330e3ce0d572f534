"""Sessions: what a session sends, draws, keeps and waits, and what is wrong with their declaration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.common.errors import InputError
from harness.experiment.load import Load
from harness.experiment.phases import Length, Phases
from harness.objectives.availability import Availability
from harness.traffic.load.behaviour import Behaviour, Reply
from harness.traffic.load.catalogue import Catalogue
from harness.traffic.load.plan import LoadPlan
from tests.unit.judging.test_sample_sizes import sizes

PRODUCTS = "id,title\n7,tea & milk\n8,coffee\n"
SHOP: dict[str, Any] = {
    "think": ["1s", "3s"],
    "data": {"product": PRODUCTS},
    "steps": [
        {"name": "browse"},
        {"name": "search", "path": "/search?q=${product.title}", "chance": "60%"},
        {"name": "cart", "method": "POST", "path": "/cart", "body": "${product.id}", "keep": {"cart": "id=([0-9]+)"}},
        {
            "name": "checkout",
            "method": "POST",
            "path": "/cart/${cart}",
            "headers": {"X-Cart": "${cart}"},
            "chance": 0.5,
        },
    ],
}


@dataclass
class Answer:
    status: int = 200
    body: bytes = b"id=42"
    cookie: str = ""

    def header(self, name: str) -> str:
        return self.cookie if name == "set-cookie" else ""


@dataclass
class FakeClient:
    """A client whose pauses take no time; ``answers`` are those of the steps by name, ``lost`` have none."""

    answers: Mapping[str, Answer] = field(default_factory=dict)
    lost: frozenset[str] = frozenset()
    run: str = "r1"
    sent: list[tuple[str, str, str]] = field(default_factory=list)
    headers: dict[str, Mapping[str, str]] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)
    pauses: list[float] = field(default_factory=list)

    def request(self, method: str, path: str, *, body: bytes, headers: Any, name: str, check: Any) -> Reply | None:
        self.sent.append((name, f"{method} {path}", body.decode()))
        self.headers[name] = headers
        if name in self.lost:
            return None
        answer = self.answers.get(name, Answer())
        self.outcomes[name] = check(answer)
        return answer

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def measure(self, kind: str, name: str, key: str = "") -> AbstractContextManager[Any]:
        self.sent.append((name, kind, key))
        return nullcontext()

    def connection(self) -> AbstractContextManager[Any]:
        return nullcontext()


def session(**changes: Any) -> Behaviour:
    return Catalogue().behaviour("session", {**SHOP, **changes})


def played(behaviour: Behaviour, number: int, **client: Any) -> FakeClient:
    made = FakeClient(**client)
    behaviour.arrive(made, number)  # type: ignore[arg-type]
    return made


def names(client: FakeClient) -> list[str]:
    return [name for name, _, _ in client.sent]


def the_one_with(behaviour: Behaviour, *steps: str) -> int:
    """The number of the first session that takes these steps."""
    return next(number for number in range(1, 200) if names(played(behaviour, number)) == list(steps))


def test_session_keeps_its_row_and_its_cart() -> None:
    whole = the_one_with(session(), "browse", "search", "cart", "checkout")
    client = played(session(), whole)
    product = {"7": "tea%20%26%20milk", "8": "coffee"}[client.sent[2][2]]
    assert [request for _, request, _ in client.sent] == [
        "GET /",
        f"GET /search?q={product}",
        "POST /cart",
        "POST /cart/42",
    ]
    assert client.headers["checkout"] == {"X-Cart": "42"}
    assert len(client.pauses) == 3
    assert all(1 <= pause <= 3 for pause in client.pauses)


def test_sessions_draw_as_declared_and_the_same_in_every_run() -> None:
    behaviour = session()
    taken = Counter(name for number in range(1, 1001) for name in names(played(behaviour, number)))
    assert taken["browse"] == taken["cart"] == 1000
    assert taken["search"] == pytest.approx(600, abs=60)
    assert taken["checkout"] == pytest.approx(500, abs=60)
    assert [played(behaviour, number).sent for number in range(9)] == [
        played(session(), number).sent for number in range(9)
    ]
    assert len({tuple(played(behaviour, number).sent) for number in range(20)}) > 3


def test_flows_are_taken_by_their_weight() -> None:
    flows = {"looks": {"weight": 9, "steps": [{"name": "look"}]}, "buys": {"steps": [{"name": "buy"}]}}
    behaviour = session(steps=[], flows=flows)
    taken = Counter(name for number in range(1, 1001) for name in names(played(behaviour, number)))
    assert taken["buy"] == pytest.approx(100, abs=35)
    assert taken["look"] + taken["buy"] == 1000


@pytest.mark.parametrize(
    ("client", "outcome"),
    [
        ({"answers": {"cart": Answer(503)}}, {"cart": "503"}),
        ({"answers": {"cart": Answer(body=b"full")}}, {"cart": "no cart"}),
        ({"lost": frozenset({"cart"})}, {}),
    ],
)
def test_step_that_fails_ends_its_session(client: dict[str, Any], outcome: dict[str, str]) -> None:
    whole = the_one_with(session(), "browse", "cart", "checkout")
    found = played(session(), whole, **client)
    assert names(found) == ["browse", "cart"]
    assert {name: found.outcomes[name] for name in found.outcomes if name != "browse"} == outcome


def test_step_without_its_value_is_left_out() -> None:
    steps = [
        {"name": "cart", "chance": "1%", "keep": {"cart": "id=(.*)"}},
        {"name": "checkout", "path": "/${cart}"},
        {"name": "leave"},
    ]
    assert names(played(session(steps=steps), 1)) == ["leave"]


def test_cookies_are_sent_back() -> None:
    cookie = "sid=a1; Path=/; Expires=Wed, 21 Oct 2026 07:28:00 GMT, theme=dark; Secure"
    steps = [{"name": "login"}, {"name": "account"}]
    client = played(session(steps=steps), 1, answers={"login": Answer(cookie=cookie)})
    assert client.headers == {"login": {}, "account": {"Cookie": "sid=a1; theme=dark"}}


def test_value_cannot_smuggle_a_header() -> None:
    steps = [{"name": "one", "keep": {"it": "(?s)(.*)"}}, {"name": "two", "headers": {"X-It": "${it}"}}]
    client = played(session(steps=steps), 1, answers={"one": Answer(body="é\r\nX-Evil: ✓".encode())})
    assert client.headers["two"] == {"X-It": "é  X-Evil: ?"}


def test_expected_status_is_good() -> None:
    client = played(session(steps=[{"name": "gone", "expect": 404}]), 1, answers={"gone": Answer(404)})
    assert client.outcomes == {"gone": "ok"}


@pytest.mark.parametrize(
    ("steps", "sent"),
    [
        ([{"name": "buy", "method": "POST"}, {"name": "look"}], [("look", "GET /", "")]),
        ([{"name": "buy", "method": "POST"}], [("connect", "TCP", "")]),
    ],
)
def test_probe_changes_nothing(steps: list[dict[str, Any]], sent: list[tuple[str, str, str]]) -> None:
    client = FakeClient()
    session(steps=steps).probe(client)  # type: ignore[arg-type]
    assert client.sent == sent


def test_limits_of_a_session_are_those_of_all_its_steps() -> None:
    behaviour = session()
    assert behaviour.requests == (2, 4)
    assert behaviour.pauses == 9
    assert behaviour.longest == 4 * 4 + 9


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"steps": []}, "steps are missing"),
        ({"flows": {"a": {"steps": [{"name": "x"}]}}}, "found both steps and flows"),
        ({"think": ["3s", "1s"]}, "think: found 3 s to 1 s, expected the shorter one first"),
        ({"steps": [{"name": "a", "path": "/${cart}"}]}, "steps[0]: found ${cart}, expected one of product.id"),
        ({"steps": [{"name": "a", "path": "/${product.price}"}]}, "expected one of product.id, product.title"),
        ({"steps": [{"name": "a", "keep": {"x": "id"}}]}, "x: found 'id', expected a group around the value"),
        ({"steps": [{"name": "a", "keep": {"x": "("}}]}, "which is no regular expression"),
        ({"steps": [{"name": "a", "path": "/a b"}]}, "found '/a b'"),
        ({"steps": [{"name": "a", "headers": {"X": "a\nb"}}]}, "found the header 'X'"),
        ({"data": {"product": "id\n"}}, "data.product: found 1 lines, expected a header and at least one row"),
        ({"data": {"product": "id,title\n7\n"}}, "data.product: found 1 values in row 2, expected 2"),
        ({"data": {"product": "the id\n7\n"}}, "data.product: found the column 'the id'"),
    ],
)
def test_session_that_cannot_be_played_is_refused(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(InputError) as caught:
        session(**changes)
    assert expected in "\n".join(map(str, caught.value.problems))


def test_files_are_included_wherever_the_load_runs(tmp_path: Path) -> None:
    (tmp_path / "products.csv").write_text(PRODUCTS)
    load = Load.model_validate(
        {
            "rate": 5,
            "target": "service/shop",
            "behaviour": "session",
            "options": {**SHOP, "data": {"product": "${file:products.csv}"}},
        }
    ).located(tmp_path)
    assert load.options["data"] == {"product": PRODUCTS}
    assert load.files == (tmp_path / "products.csv",)
    assert load.located(Path("/elsewhere")).files == load.files
    plan = LoadPlan(Catalogue().profile("steady"), 20, "session", load.options, "h", 1, "r", "e", "n", 60)
    made = plan.settings()
    again = Catalogue().behaviour("session", made.options)
    assert played(again, 3).sent == played(Catalogue().behaviour("session", load.options), 3).sent
    # 20 sessions a second that take up to 25 s each, all at once.
    assert made.pool == 20 * 25 + 64
    assert made.request_limit == 4


def test_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes(b"\xff")
    options = {"a": "${file:none.csv}", "b": ["${file:latin.csv}"]}
    load = Load.model_validate({"rate": 5, "target": "service/shop", "options": options})
    with pytest.raises(InputError) as caught:
        load.located(tmp_path)
    found = [str(problem) for problem in caught.value.problems]
    assert "found ${file:none.csv}, which cannot be read: No such file" in found[0]
    assert "it is not UTF-8" in found[1]


def test_forecast_counts_the_fewest_requests_of_a_session() -> None:
    phases = Phases(baseline=10, fault=Length.of(20), recovery=0, settle=5)
    load = {"rate": 10, "behaviour": "session", "options": SHOP}
    (size,) = sizes(Availability(min="99%", phases=("fault",)), load=load, phases=phases)
    # Sessions of the last 9 s may send their later requests in the next phase.
    assert size.given == 2 * 110 + 90
