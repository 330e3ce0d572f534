"""A host that resolves elsewhere during the run ends it; a name server that does not answer does not."""

from __future__ import annotations

from harness.common.clock import FakeClock
from harness.engine.steps.host_watch import HostWatch
from harness.safety.guard.hosts import Host


class Names:
    """A name server with one answer, or none."""

    def __init__(self, *addresses: str) -> None:
        self.answer: tuple[str, ...] | None = addresses

    def __call__(self, name: str) -> list[str]:
        assert name == "shop.test"
        if self.answer is None:
            raise OSError("no answer")
        return list(self.answer)


def watched(names: Names, **entry: object) -> HostWatch:
    host = Host.model_validate({"name": "shop.test", **entry})
    return HostWatch(["shop.test", "shop.test"], [host], FakeClock(), names)


def test_new_address_is_the_reason_to_end() -> None:
    names = Names("10.0.0.1", "10.0.0.2")
    watch = watched(names)
    for answer in (("10.0.0.2", "10.0.0.1"), ("10.0.0.2",), None):
        names.answer = answer
        watch.look()
        assert watch.reason() is None
    names.answer = ("10.0.0.1", "203.0.113.9")
    watch.look()
    told = "the host shop.test resolves elsewhere: to 203.0.113.9, and to 10.0.0.1, 10.0.0.2 at the start of the load"
    assert watch.reason() == told
    names.answer = ("10.0.0.1",)
    watch.look()
    assert watch.reason() == told


def test_host_may_change_between_its_listed_addresses() -> None:
    names = Names("10.0.0.1")
    watch = watched(names, addresses=["10.0.0.0/24"])
    names.answer = ("10.0.0.7",)
    watch.look()
    assert watch.reason() is None
    names.answer = ("10.0.1.7",)
    watch.look()
    assert watch.reason() is not None


def test_watch_runs_in_a_thread_until_it_is_left() -> None:
    names = Names("10.0.0.1")
    watch = watched(names)
    names.answer = ("10.0.0.7",)
    with watch:
        watch._thread.join(0.2)
    assert not watch._thread.is_alive()
    assert watch.reason() is not None
