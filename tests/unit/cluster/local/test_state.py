"""What is remembered of a cluster, and its share of the machine's ports."""

from pathlib import Path

import pytest

from harness.cluster.local.paths import ClusterPaths
from harness.cluster.local.state import SLOTS, ClusterState, free_slot, taken_slots
from harness.common.errors import ClusterBroken

FIRST_PORT_FOR_OUTGOING_CONNECTIONS = 32768


def state_of(slot: int, name: str = "shop") -> ClusterState:
    return ClusterState(name, 2, slot, "/bin-folder", "/images-folder")


def test_a_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    paths = ClusterPaths(tmp_path / "shop")
    state_of(3).save(paths)
    assert ClusterState.load(paths) == state_of(3)


def test_missing_state_file_is_no_state(tmp_path: Path) -> None:
    assert ClusterState.load(ClusterPaths(tmp_path / "shop")) is None


def test_damaged_state_names_the_file_and_the_remedy(tmp_path: Path) -> None:
    paths = ClusterPaths(tmp_path)
    paths.state.write_text("{")
    with pytest.raises(ClusterBroken, match=r"cluster\.json is damaged.*cluster down"):
        ClusterState.load(paths)


def test_no_two_slots_share_a_port() -> None:
    ports: list[int] = []
    for slot in range(SLOTS):
        state = state_of(slot)
        low, high = state.node_ports
        ports += [state.api_port, *range(low, high + 1)]
    assert len(ports) == len(set(ports))
    assert max(ports) < FIRST_PORT_FOR_OUTGOING_CONNECTIONS


def test_prometheus_has_a_port_of_the_clusters_own_range() -> None:
    low, high = state_of(5).node_ports
    assert low <= state_of(5).prometheus_port <= high


def test_slots_of_other_clusters_are_taken(tmp_path: Path) -> None:
    state_of(0, "a").save(ClusterPaths(tmp_path / "a"))
    state_of(2, "b").save(ClusterPaths(tmp_path / "b"))
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged/cluster.json").write_text("{}")
    assert taken_slots(tmp_path) == {0, 2}


def test_the_first_slot_that_is_free_in_both_senses_is_chosen() -> None:
    in_use = state_of(1).node_ports[1]
    assert free_slot({0}, lambda port: port != in_use) == 2


def test_running_out_of_slots_is_an_error_that_names_the_ports() -> None:
    with pytest.raises(ClusterBroken, match="no free range of ports"):
        free_slot(range(SLOTS), lambda _port: True)
