"""Requests in columns are the same requests, however they were read and whatever is selected from them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from harness.model.request_store import RequestStore
from harness.model.requests import Requests, RequestSample

instants = some.floats(0, 100).map(lambda at: round(at, 6))
samples = some.lists(
    some.builds(
        RequestSample,
        instants,
        instants,
        instants,
        some.booleans(),
        some.sampled_from(["ok", "503", "timeout", "ü"]),
        some.sampled_from(["GET /", "POST /ü"]),
        some.sampled_from(["", "", "key-1", "ключ"]),
    ),
    max_size=30,
)


def row(one: RequestSample) -> tuple[float, float, float, bool, str, str, str]:
    return one.intended, one.started, one.finished, one.ok, one.outcome, one.name, one.key


@settings(deadline=None)
@given(samples)
def test_samples_come_back_as_they_went_in(given_samples: list[RequestSample]) -> None:
    requests = Requests(given_samples)
    assert list(requests) == given_samples
    assert [requests[index] for index in range(len(requests))] == given_samples
    assert list(reversed(requests)) == given_samples[::-1]
    assert requests.keys == [one.key for one in given_samples]
    assert requests.keyed.tolist() == [one.key != "" for one in given_samples]


@settings(deadline=None)
@given(samples, some.integers(-35, 35), some.integers(-35, 35), some.sampled_from([1, 2, -1]))
def test_slices_are_those_of_a_list(given_samples: list[RequestSample], start: int, stop: int, step: int) -> None:
    requests = Requests(given_samples)
    assert list(requests[start:stop:step]) == given_samples[start:stop:step]
    odd = requests.take(np.arange(1, len(requests), 2))
    assert list(odd[start:stop:step]) == given_samples[1::2][start:stop:step]


@pytest.mark.parametrize("index", [3, -4])
def test_an_index_outside_is_an_error(index: int) -> None:
    requests = Requests([RequestSample(1.0, 1.0, 1.0, True, "ok", "GET /")] * 3)
    with pytest.raises(IndexError):
        requests[index]


@settings(deadline=None)
@given(samples)
def test_outcomes_are_counted_in_the_order_of_appearance(given_samples: list[RequestSample]) -> None:
    requests = Requests(given_samples)
    bad = [one for one in given_samples if not one.ok]
    assert list(requests.outcomes.items()) == list(Counter(one.outcome for one in given_samples).items())
    assert list(requests.where(~requests.ok).outcomes.items()) == list(Counter(one.outcome for one in bad).items())
    assert requests.failed == len(bad)
    numeric = requests.has_outcome(str.isdigit).tolist()
    assert numeric == [one.outcome.isdigit() for one in given_samples]


@settings(deadline=None)
@given(samples, some.lists(some.integers(0, 30), max_size=4), instants, some.sampled_from([0.0, 12.5]))
def test_requests_since_an_instant_are_all_found(
    given_samples: list[RequestSample], cuts: list[int], at: float, origin: float
) -> None:
    """Also if they were not read in the order of their ends."""
    store = RequestStore()
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), 30], strict=True):
        store.append([row(one) for one in given_samples[begin:end]])
    requests = Requests.of(store, origin)
    expected = [one.finished - origin for one in given_samples if one.finished - origin >= at]
    assert requests.ended_since(at).finished.tolist() == expected
    odd = requests.take(np.arange(1, len(requests), 2))
    assert odd.ended_since(at).finished.tolist() == [end for end in odd.finished.tolist() if end >= at]


@settings(deadline=None)
@given(samples, some.lists(some.tuples(instants, instants), max_size=3))
def test_due_requests_have_their_intended_start_in_a_span(
    given_samples: list[RequestSample], spans: list[tuple[float, float]]
) -> None:
    due = Requests(given_samples).due_in(spans)
    assert list(due) == [one for one in given_samples if any(start <= one.intended < end for start, end in spans)]


@settings(deadline=None)
@given(samples, samples)
def test_later_requests_do_not_change_a_view(earlier: list[RequestSample], later: list[RequestSample]) -> None:
    store = RequestStore()
    store.append([row(one) for one in earlier])
    seen = Requests.of(store, 0.0)
    for _ in range(20):
        store.append([row(one) for one in later])
    assert list(seen) == earlier
    assert list(Requests.of(store, 0.0)) == [*earlier, *later * 20]


def test_times_count_from_the_origin() -> None:
    store = RequestStore()
    store.append([(10.5, 10.75, 11.0, True, "ok", "GET /", "")])
    (one,) = Requests.of(store, 10.0)
    assert one == RequestSample(0.5, 0.75, 1.0, True, "ok", "GET /")
    assert one.latency == Requests.of(store, 10.0).latency[0] == 0.5


def test_a_view_cannot_be_written_to() -> None:
    requests = Requests([RequestSample(1.0, 1.0, 1.0, True, "ok", "GET /")])
    with pytest.raises(ValueError, match="read-only"):
        requests.finished[0] = 2.0


def test_a_hundred_thousand_requests_take_few_bytes() -> None:
    """33 bytes each, with room to grow; as objects they took 370."""
    store = RequestStore()
    for batch in range(100):
        store.append([(batch + n / 1000, 1.0, 2.0, True, "ok", "GET /", "") for n in range(1000)])
    columns = (store.intended, store.started, store.finished, store.ok, store.outcome, store.name)
    assert sum(column.values.nbytes for column in columns) <= 2 * 33 * store.size


@settings(deadline=None)
@given(some.lists(some.tuples(some.integers(0, 2), some.integers(0, 4)), max_size=12), some.integers(0, 20))
def test_requests_of_a_source_are_those_appended_as_its_own(parts: list[tuple[int, int]], skipped: int) -> None:
    store, sources = RequestStore(), list[int]()
    for source, count in parts:
        store.append([(float(len(sources) + n), 0.0, 0.0, True, "ok", "", "") for n in range(count)], source)
        sources += [source] * count
    requests = Requests.of(store, 0.0)
    for source in range(3):
        expected = [float(index) for index, of in enumerate(sources) if of == source]
        assert requests.of_source(source).intended.tolist() == expected
        later = requests[skipped:].of_source(source).intended.tolist()
        assert later == [at for at in expected if at >= skipped]
        odd = requests.take(np.arange(1, len(requests), 2)).of_source(source).intended.tolist()
        assert odd == [at for at in expected if at % 2 == 1]
