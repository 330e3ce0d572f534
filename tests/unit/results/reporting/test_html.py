"""The report as a file: whole, offline, readable without a script, and deaf to whatever a cluster says."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest

from harness.model.requests import Requests, RequestSample
from harness.model.timeline import Injection, Interval, Phase, Timeline
from harness.model.verdict import Verdict
from harness.results.record import ExperimentRecord, PhaseRecord
from harness.results.reporting.chart import build_chart
from harness.results.reporting.html import TEMPLATES, render
from harness.results.reporting.overview import headline, run_verdict
from harness.results.reporting.panels import _columns, _span, panels
from harness.results.reporting.store import slug
from tests.unit.results.reporting import sample_runs

VOID = {"meta", "link"}


class Page(HTMLParser):
    """Every element with its attributes, the text, and whether all that was opened was closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def attributes(self, name: str) -> list[str]:
        return [attributes[name] or "" for _, attributes in self.elements if name in attributes]


def test_untrusted_text_adds_no_element_or_attribute() -> None:
    """A run full of markup has the very elements and attributes of the same run full of words."""
    hostile, harmless = Page(render(sample_runs.hostile())), Page(render(sample_runs.harmless()))
    evidence = {"a", "bdi"}  # a path that leads out of the run's folder is no link; see the next test
    shape = [(tag, sorted(attributes)) for tag, attributes in hostile.elements if tag not in evidence]
    assert shape == [(tag, sorted(attributes)) for tag, attributes in harmless.elements if tag not in evidence]
    text = "".join(hostile.text)
    for string in sample_runs.HOSTILE:
        assert string in text


def test_evidence_links_lead_only_into_the_runs_folder() -> None:
    outside = [
        "javascript:alert(1)",
        "https://evil.example/x",
        "/etc/passwd",
        "../../other/run",
        "a\\b",
        "//evil/x",
        "",
    ]
    inside = ["experiments/a/events.txt", "experiments/a/log of #1?.txt", "experiments/a/<b>.txt"]
    record = sample_runs.broken().model_copy(update={"evidence_files": [*outside, *inside]})
    links = [link for link in Page(render(sample_runs.run(record))).attributes("href") if link.startswith("exp")]
    assert links == [
        "experiments/a/events.txt",
        "experiments/a/log%20of%20%231%3F.txt",
        "experiments/a/%3Cb%3E.txt",
    ]


@pytest.mark.parametrize("name", ["mixed", "hostile", "run"])
def test_file_is_self_contained(name: str) -> None:
    """No script, no handler, no address beyond the run's folder, and a policy that forbids the rest."""
    page = Page(render(getattr(sample_runs, name)()))
    tags = {tag for tag, _ in page.elements}
    assert tags.isdisjoint({"script", "iframe", "object", "embed", "form", "base", "img", "image", "use"})
    assert not [key for _, attributes in page.elements for key in attributes if key.startswith("on") or key == "src"]
    for address in page.attributes("href"):
        parts = urlsplit(address)
        assert address == "data:," or (parts.scheme, parts.netloc, parts.path[:1] == "/") == ("", "", False), address
    policy = next(attributes for tag, attributes in page.elements if attributes.get("http-equiv"))
    assert policy["content"] == (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    assert "url(" not in (TEMPLATES / "report.css").read_text()
    assert "@import" not in (TEMPLATES / "report.css").read_text()


def test_every_anchor_has_a_target_and_every_id_is_unique() -> None:
    page = Page(render(sample_runs.mixed()))
    ids = page.attributes("id")
    assert len(set(ids)) == len(ids)
    assert {link[1:] for link in page.attributes("href") if link.startswith("#")} <= set(ids)
    assert {slug(record) for record in sample_runs.mixed().experiments} <= set(ids)


def test_verdict_and_violations_come_first() -> None:
    text = " ".join("".join(Page(render(sample_runs.mixed())).text).split())
    first_screen = text[text.index("Resilience report") : text.index("Experiments HELD")]
    counts = "5 experiments: 1 broke, 1 inconclusive, 2 held, 1 interrupted."
    for words in ("BROKEN", counts, "kill-all", "86.9%", "8.1 s (user)"):
        assert words in first_screen
    assert "−13\N{NO-BREAK SPACE}points" in "".join(Page(render(sample_runs.mixed())).text)
    assert "broke availability, as expected" in text


def test_skipped_experiments_are_on_the_first_screen() -> None:
    html = render(sample_runs.skipping(sample_runs.experiment()))
    text = " ".join("".join(Page(html).text).split())
    text = text[text.index("Resilience report") : text.index("Experiments HELD")]
    assert "1 experiment held, 1 skipped. 1 twin skipped." in text
    assert text.count("add an opt-in") == 40
    assert "Skipped: pair[weak]: the guard allows <2> pods" in text


def test_every_stage_of_an_experiment_can_be_rendered() -> None:
    """Declared only, observed only, without load, faults, objectives, chart or environment: a page all the same."""
    bare = ExperimentRecord(id="a.yaml::a", name="a")
    for record in (bare, bare.model_copy(update={"stage": "closed"}), sample_runs.cut_short()):
        made = sample_runs.run(record).model_copy(update={"environment": None, "finished": ""})
        text = "".join(Page(render(made)).text)
        assert "INCONCLUSIVE" in text
        assert "The run was interrupted." in text
    assert "No experiment was run" in "".join(Page(render(sample_runs.run())).text)


def test_a_twin_that_did_not_break_is_no_success() -> None:
    page = Page(render(sample_runs.run(sample_runs.experiment(), sample_runs.twin(held=True))))
    text = " ".join("".join(page.text).split())
    assert "1 twin did not break: an experiment that cannot fail proves nothing." in text
    assert "must break availability, but did not" in text
    assert text.index("INCONCLUSIVE") < text.index("HELD")


def test_interrupted_twin_is_not_one_that_did_not_break() -> None:
    cut = sample_runs.twin(held=True).model_copy(update={"interrupted": True, "reason": "interrupted by SIGTERM"})
    assert headline(sample_runs.run(cut)) == "1 twin interrupted."
    both = sample_runs.run(sample_runs.experiment(), sample_runs.twin(), cut)
    assert headline(both) == "1 experiment held. 1 twin broke as expected. 1 twin interrupted."
    assert run_verdict(both) is Verdict.INCONCLUSIVE
    text = " ".join("".join(Page(render(both)).text).split())
    assert "must break availability; interrupted" in text
    assert "did not" not in text[: text.index("Experiments")]


def test_interrupted_experiments_are_counted_apart() -> None:
    held, other = sample_runs.experiment(), sample_runs.experiment("b", interrupted=True, passed=False)
    assert headline(sample_runs.run(held, other)) == "2 experiments: 1 held, 1 interrupted."
    assert headline(sample_runs.run(other)) == "1 experiment interrupted."


def test_sixty_experiments_stay_a_few_megabytes() -> None:
    html = render(sample_runs.many(60))
    assert len(html.encode()) < 4_000_000
    assert html.count('class="experiment"') == 60


def test_a_first_screen_lists_no_more_failures_than_it_holds() -> None:
    broken = [sample_runs.broken().model_copy(update={"id": str(index), "name": f"b-{index}"}) for index in range(30)]
    html = render(sample_runs.run(*broken))
    first_screen = html[: html.index("<main>")]
    assert first_screen.count("<li>") == 9
    assert "22 more in the table below." in first_screen


def test_the_chart_names_its_failures_and_its_faults() -> None:
    rows = panels(sample_runs.broken())
    titles = [row.title for row in rows if row.title]
    assert titles == ["Requests a second", "Latency, logarithmic", "Replicas", "Disruption, as each clock saw it"]
    requests = next(row for row in rows if row.title == "Requests a second")
    failed = sum(not request.ok for request in sample_runs.timeline(sample_runs.Shape(outage=(20.04, 28.1))).requests)
    assert requests.keys[1] == ("failed", f"{failed} failed, most at +1\N{NO-BREAK SPACE}s: 50 a second")
    assert "fault 1 injected at 0" in rows[0].plot


@pytest.mark.parametrize(("lead", "seconds"), [(0.1, 20), (0.7, 20), (0.1, 300)])
def test_failure_after_the_fault_is_not_shown_before_it(lead: float, seconds: int) -> None:
    """With any phase before the fault; above 240 bins, columns of several bins as well."""
    zero = seconds + lead
    made = Timeline(origin=0.0, wall_origin=0.0)
    made.phases = [Phase("baseline", 0.0, zero), Phase("fault", zero, zero + 40)]
    made.injections = [Injection("podKill", (), Interval(zero, zero + 0.05))]
    times = [index / 50 for index in range(50 * (seconds + 40))]
    failing = min(each for each in times if each > zero)
    made.requests = Requests(
        RequestSample(at, at, at + 0.01, at != failing, "refused" if at == failing else "ok", "GET /") for at in times
    )
    base = sample_runs.experiment(chart=build_chart(made))
    phases = [PhaseRecord(name=phase.name, start=phase.start, end=phase.end) for phase in made.phases]
    record = base.model_copy(update={"phases": phases, "faults": [sample_runs.fault(made.injections[0])]})
    requests = next(row for row in panels(record) if row.title.startswith("Requests"))
    assert requests.keys[1][1].startswith("1 failed, most at 0\N{NO-BREAK SPACE}s: ")
    # The short part of the first bin is no peak of the rate.
    assert max(c.good for c in _columns(record.chart, _span(record))) == pytest.approx(50, abs=4)


def test_phase_that_ended_early_shows_its_longest_length() -> None:
    base = sample_runs.experiment()
    phases = [phase.model_copy(update={"at_most": 30.0} if phase.name == "fault" else {}) for phase in base.phases]
    (fault,) = (phase for phase in phases if phase.name == "fault")
    assert fault.end
    axis = panels(base.model_copy(update={"phases": phases}))[0]
    assert f"<title>fault: {fault.end - fault.start:g} s of at most 30 s</title>" in axis.plot
    assert "<title>baseline</title>" in axis.plot


def test_single_failure_among_thousands_is_visible() -> None:
    """Two pixels at the least, whatever the scale: the last failure is the one that a reader looks for."""
    record = sample_runs.experiment()
    assert record.chart
    chart = record.chart.model_copy(deep=True)
    chart.good, chart.failed = [5000] * len(chart.good), [0] * len(chart.good)
    chart.failed[30] = 1
    requests = next(row for row in panels(record.model_copy(update={"chart": chart})) if row.title.startswith("Req"))
    path = re.search(r'd="M[\d.]+ ([\d.]+)V([\d.]+)H[\d.]+V[\d.]+Z" class="area failed"', requests.plot)
    assert path
    assert float(path[1]) - float(path[2]) >= 2


def test_the_rest_of_a_bin_is_no_dip() -> None:
    """The last bin ends with the last phase: its count is divided by the time it really covers."""
    record = sample_runs.experiment(shape=sample_runs.Shape(rate=50, end=62.0))
    requests = next(row for row in panels(record) if row.title.startswith("Req"))
    good = re.search(r'd="([^"]*)" class="area good"', requests.plot)
    assert good
    tops = {float(top) for top in re.findall(r"V([\d.]+)H", good[1])}
    assert max(tops) - min(tops) < 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_contrast_meets_aa(scheme: str) -> None:
    """WCAG 2.2, 1.4.3: at least 4.5:1 between text and what lies behind it, in both colour schemes."""
    css = (TEMPLATES / "report.css").read_text()
    dark = re.search(r"prefers-color-scheme: dark\) \{(.*?)\n\}", css, re.DOTALL)
    assert dark
    colours = dict(re.findall(r"--([\w-]+): (#\w+)", css.split("@media")[0] if scheme == "light" else dark[1]))
    pairs = [(text, "paper") for text in ("ink", "soft", "link", "held", "broken", "inconclusive")]
    pairs += [(verdict, f"{verdict}-wash") for verdict in ("held", "broken", "inconclusive")]
    pairs += [("ink", "wash"), ("soft", "wash"), *(("ink", f"{v}-wash") for v in ("held", "broken", "inconclusive"))]
    for text, ground in pairs:
        assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)


def contrast(first: str, second: str) -> float:
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    parts = [int(digits[index : index + 2], 16) / 255 for index in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_each_verdict_has_a_distinct_shape_and_word() -> None:
    """Colour never alone carries meaning."""
    shapes = set()
    for verdict in Verdict:
        judged = sample_runs.experiment(verdict=verdict, passed=verdict is Verdict.HELD)
        html = render(sample_runs.run(judged))
        banner = html[html.index('class="banner') : html.index("</h1>")]
        assert f"<h1>{verdict}" in banner
        shapes.add(re.search(r"<svg.*?</svg>", banner, re.DOTALL)[0])  # type: ignore[index]
    assert len(shapes) == 3


def test_users_that_wait_are_shown_with_what_they_hide() -> None:
    shown = render(sample_runs.run(sample_runs.experiment().model_copy(update={"load": sample_runs.users()})))
    assert "A closed model hides stalls" in shown
    assert "2,811 requests by at most 40 users" in shown
    assert "3 without an end" in shown
    assert '<td class="figure">61%</td><td class="figure">512</td>' in shown
    assert "no such article" in shown
    assert "A closed model hides stalls" not in render(sample_runs.run())


def test_hostile_text_of_a_locustfile_stays_text() -> None:
    hostile = "<script>alert(1)</script>"
    load = sample_runs.users().model_copy(
        update={"exceptions": {hostile: 1}, "notes": [hostile], "waited": {hostile: 0.5}}
    )
    assert hostile not in render(sample_runs.run(sample_runs.experiment().model_copy(update={"load": load})))
