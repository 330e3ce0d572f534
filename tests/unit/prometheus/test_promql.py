"""What a query reads: selectors, ranges, how far back they reach; and what is wrong with one."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.prometheus.promql import Reading, Selector, misfit, problem, raw_counter

WINDOW = 10.0


def named(name: str) -> tuple[str, str, str]:
    return ("__name__", "=", name)


@pytest.mark.parametrize(
    ("query", "selectors"),
    [
        ("up", ["up"]),
        ("sum by (job, pod) (rate(hits[5s])) / on(job) group_left(pod) count(up) by (job)", ["hits", "up"]),
        ('hits{code!~"5..|}]",path="a[5m]"} # up[5m]', ['hits{code!~"5..|}]",path="a[5m]"}']),
        ('{__name__=~"a|b"} offset 5s', ['{__name__=~"a|b"}']),
        ("a and b or (c unless d) > bool 3 + Inf", ["a", "b", "c", "d"]),
        ('label_replace(a, "x", "$1", "y", "(.*)")', ["a"]),
        ("time() - 5", []),
        ("vector(1)", []),
        ("topk without (x) (3, job:hits:rate)", ["job:hits:rate"]),
    ],
)
def test_selectors_differ_from_functions_keywords_and_labels(query: str, selectors: list[str]) -> None:
    assert [each.text for each in Reading(query, WINDOW).selectors] == selectors


def test_selector_has_its_range_and_enclosing_function() -> None:
    query = 'sum(rate(hits{a="b"}[$window])) + max_over_time(queue[5s]) + up'
    assert Reading(query, WINDOW).selectors == [
        Selector('hits{a="b"}', "$window", "rate", raw=False, matchers=(named("hits"), ("a", "=", "b"))),
        Selector("queue", "5s", "max_over_time", raw=False, matchers=(named("queue"),)),
        Selector("up", "", "", raw=True, matchers=(named("up"),)),
    ]


@pytest.mark.parametrize(
    ("query", "reach"),
    [
        ("up", 0.0),
        ("rate(hits[$window])", WINDOW),
        ("rate(a[5s]) / rate(b[1m30s])", 90.0),
        ("rate(a[1d])", 86400.0),
        ("max_over_time(rate(a[5s])[20s:1s])", 25.0),
        ("max_over_time((sum(rate(a[5s])) by (x))[20s:])", 25.0),
        ("rate(a[5s] offset 1m)", 65.0),
        ("rate(a[5s] offset -1m)", 65.0),
        ("(a + rate(b[5s])) * c", 5.0),
        ("rate(a[5s] @ start())", math.inf),
    ],
)
def test_look_back_of_a_query_is_computed(query: str, reach: float) -> None:
    assert Reading(query, WINDOW).reach == reach


@pytest.mark.parametrize(
    ("query", "reduced", "told"),
    [
        ("sum(increase(hits[$window]))", False, ""),
        ("sum(up)", False, ""),
        ("max_over_time(sum(up)[$window:1s])", False, ""),
        ("sum(increase(hits[5m]))", False, "found the range [5m], expected [$window]"),
        ("sum(increase(hits[4s]))", False, "found the range [4s], expected [$window]"),
        ("sum(increase(hits[$window] offset 5s))", False, "found an offset, an @ or a subquery"),
        ("max_over_time(rate(a[$window])[$window:1s])", False, "found an offset, an @ or a subquery"),
        ("sum(rate(hits[4s]))", True, ""),
        ("sum(up)", True, ""),
        ("sum(rate(hits[$window]))", True, "found [$window] with a reducer"),
        ("sum(rate(hits[3s]))", True, "found the range [3s], expected at least 4 s: 4 scrapes"),
        ("sum(rate(hits[7s]))", True, "found ranges that look back 7 s, expected at most 6 s"),
        ("sum(rate(hits[5m]))", True, "found ranges that look back 300 s, expected at most 6 s"),
    ],
)
def test_query_may_only_read_the_phase(query: str, reduced: bool, told: str) -> None:
    found = misfit(query, WINDOW, 1.0, reduced=reduced)
    assert found.startswith(told) if told else found == ""


@pytest.mark.parametrize(
    ("query", "counter"),
    [
        ("http_requests_total", "http_requests_total"),
        ('sum(http_requests_total{code="200"})', "http_requests_total"),
        ('sum by (pod) ({code="200", __name__="hits_total"})', "hits_total"),
        ('sum({"http_requests_total", code="200"})', "http_requests_total"),
        ('sum({code="200", "http_requests_total"})', "http_requests_total"),
        ("sum(latency_count)", "latency_count"),
        ("sum(hits_total) / count(hits_total)", "hits_total"),
        ('count_values("v", hits_total)', "hits_total"),
        ("sum by (count) (hits_total)", "hits_total"),
        ("count by (pod) (hits_total) * on(pod) (hits_total)", "hits_total"),
        ("sum(hits_total offset $window)", "hits_total"),
        ("sum(hits_total) / sum(hits_total offset $window)", "hits_total"),
        ("sum(hits_total offset $window) - sum(hits_total)", "hits_total"),
        ("sum(hits_total) - sum(misses_total offset $window)", "hits_total"),
        ("sum(hits_total) - sum(hits_total offset $window) + sum(hits_total)", "hits_total"),
        ("sum(increase(hits_total[$window])) + sum(misses_total)", "misses_total"),
        ('sum(latency_seconds_bucket{le="0.1"})', "latency_seconds_bucket"),
        ("sum(increase(hits_total[$window]))", ""),
        ("sum(delta(hits_total[$window]))", ""),
        ("increase(sum(hits_total)[$window:1s])", ""),
        ("increase((hits_total[$window]))", ""),
        ("count(hits_total)", ""),
        ("COUNT BY (pod) (sum(hits_total))", ""),
        ("count(hits_total) by (pod)", ""),
        ("group without(pod)(hits_total)", ""),
        ("absent(hits_total)", ""),
        ("absent_over_time(hits_total[$window])", ""),
        ("max_over_time(hits_total[$window])", ""),
        ("sum(count_over_time(hits_total[$window]))", ""),
        ("hits_total - hits_total offset $window", ""),
        ('sum by (pod) (hits_total{a="b"}) - sum by (pod) (hits_total{a="b"} offset $window)', ""),
        ("sum(queue_length)", ""),
        ("sum(job:hits_total)", ""),
        ("sum(increase(hits[$window])) # hits_total", ""),
    ],
)
def test_the_value_of_a_counter_is_no_count_of_a_phase(query: str, counter: str) -> None:
    found = raw_counter(query)
    assert found.startswith(f"found the raw counter {counter}, which counts from") if counter else found == ""


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("sum(increase(hits[$window]))", ""),
        ('sum(rate(hits{namespace="$namespace",path=~"/a.*"}[5s] offset $window))', ""),
        ("rate(a[5s]) # a comment with ratee( and (", ""),
        ("ratee(x[$window])", "unknown function ratee, did you mean rate?"),
        ("zzzz(x)", "unknown function zzzz"),
        ("sum(increase(hits[$window])", "not valid PromQL: unclosed left parenthesis"),
        ("rate((a[7s]", "not valid PromQL: unclosed left parenthesis"),
        ("rate(a[$range])", "found the variable $range, expected $namespace or $window"),
        ("sum(hits{namespace=$namespace})", "found $namespace outside of quotes, expected it within a string"),
        ("rate(hits)", "not valid PromQL: expected type matrix in call to function 'rate', got vector"),
        ('up{job=~"("}', "not valid PromQL: illegal regex"),
        ("up up", "not valid PromQL"),
        ("", "not valid PromQL"),
    ],
)
def test_query_problem_is_one_sentence(query: str, wrong: str) -> None:
    found = problem(query)
    assert found.startswith(wrong) if wrong else found == ""
    assert "\n" not in found


@pytest.mark.parametrize(
    "query",
    ["-" * 9000 + "a", "(" * 4000 + "a" + ")" * 4000, "a" + "+a" * 4000, "a" + "^a" * 4000, "a" + " or a" * 4000],
)
def test_a_query_too_deep_for_the_parser_is_refused(query: str) -> None:
    """The parser would overflow its stack, and end the whole process."""
    assert "operators and brackets, expected at most 20,000 and 250" in problem(query)
    with pytest.raises(ValueError, match="operators and brackets"):
        Reading(query, WINDOW)


def test_a_query_at_the_bound_is_still_read() -> None:
    assert problem("a" + "+a" * 250) == ""
    assert len(Reading("a" + "+a" * 250, WINDOW).selectors) == 251


@given(st.text(alphabet="abup_total(){}[]=~!\"'`,.:5smd$window +-*/^@ratesumby#\\\n", max_size=60))
def test_any_text_is_read_or_has_a_problem(query: str) -> None:
    if problem(query):
        with pytest.raises(ValueError, match="not valid PromQL"):
            Reading(query, WINDOW)
    else:
        assert Reading(query, WINDOW).reach >= 0
