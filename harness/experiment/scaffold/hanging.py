"""The drafts of faults that processes survive: one that hangs, and one whose health an own switch sets."""

from __future__ import annotations

from dataclasses import replace

from harness.experiment.scaffold import twins
from harness.experiment.scaffold.draft import Commented, Draft, Limits, TwinDraft, tens
from harness.experiment.scaffold.parts import NO_TWIN, after_undo, loaded, phase_lengths, recovery_time, served
from harness.experiment.scaffold.subject import Subject

SHUTDOWN = 30  # Kubernetes' default of terminationGracePeriodSeconds


def process_hang(subject: Subject, limits: Limits) -> Draft:
    """Return the draft for a process that hangs."""
    process = _process(subject)
    fault = Commented(
        {
            "processHang": {
                "selector": subject.selector,
                "count": 1,
                "container": subject.container["name"],
                "process": process,
            }
        },
        f"stopped, not killed: only a probe can notice it; `{process}` is a guess, the name is in /proc/PID/comm",
    )
    if subject.probe("livenessProbe"):
        return _restarted(subject, limits, fault)
    if (subject.replicas or 1) > 1 and loaded(subject) and subject.probe("readinessProbe"):
        return _unready(subject, limits, fault)
    return _unnoticed(subject, limits, fault)


def pod_request(subject: Subject, limits: Limits) -> Draft:
    """Return the draft for a switch that makes a pod not ready."""
    port = subject.port if isinstance(subject.port, int) else 8080
    switch = {
        "request": {"method": "POST", "path": "/readyz/disable", "port": port},
        "undo": {"method": "POST", "path": "/readyz/enable", "port": port},
    }
    fault = Commented(
        {"podRequest": {"selector": subject.selector, "count": 1, **switch}},
        "the paths are a guess: name the requests that set and reset a switch of your application",
    )
    several = (subject.replicas or 1) > 1 and loaded(subject) and subject.probe("readinessProbe")
    found = (_unready if several else _unnoticed)(subject, limits, fault)
    return replace(found, hypothesis=f"A pod of {subject.name} whose switch is set costs at most its own requests.")


def _restarted(subject: Subject, limits: Limits, fault: Commented) -> Draft:
    """Return the draft for a process that hangs and whose container has a liveness probe."""
    grace = int(subject.source.spec.get("terminationGracePeriodSeconds") or SHUTDOWN)
    fault_seconds = tens(subject.detection("livenessProbe") + grace + 10)
    # From the injection: the probe notices it, the process is killed, and a new one starts.
    limits = replace(limits, recovery=limits.recovery + fault_seconds)
    restarts = Commented(
        {"restarts": {"of": subject.name, "min": 1, "max": 1, "onlyVictims": True}},
        "the liveness probe restarts the container that hangs, and no other",
    )
    return Draft(
        f"A process of {subject.name} that hangs is restarted by the liveness probe.",
        fault,
        (restarts, *served(subject, limits, ("settle",)), recovery_time(subject, limits)),
        phase_lengths(fault_seconds, limits.recovery),
        f"{fault_seconds} s: the liveness probe needs {subject.detection('livenessProbe')} s, and a process that "
        f"hangs is killed only after its {grace} s to shut down",
        twins.without_probe(subject, "livenessProbe", "nothing restarts a process that hangs", ("restarts",)),
    )


def _unready(subject: Subject, limits: Limits, fault: Commented) -> Draft:
    """Return the draft for a process that hangs and that only a readiness probe notices; other pods serve."""
    detection = subject.detection("readinessProbe")
    fault_seconds = tens(max(20, 4 * detection))
    least = {"min": f"{round(100 - 50 / (subject.replicas or 1))}%", "phases": ["fault"]}
    kept = Commented({"availability": least}, "half of what is lost if the pod keeps its share of requests")
    return Draft(
        f"A process of {subject.name} that hangs gets no requests once the readiness probe notices it.",
        fault,
        (kept, after_undo(subject, limits)),
        phase_lengths(fault_seconds, limits.recovery),
        f"{fault_seconds} s: the readiness probe needs {detection} s",
        twins.without_probe(
            subject, "readinessProbe", "the pod that hangs keeps its share of requests", ("availability",)
        ),
    )


def _unnoticed(subject: Subject, limits: Limits, fault: Commented) -> Draft:
    """Return the draft for a process that hangs until the fault is undone."""
    replicas = subject.replicas or 1
    twin: TwinDraft | None = None
    objectives: tuple[Commented, ...] = (*served(subject, limits, ("settle",)), after_undo(subject, limits))
    if replicas > 1 and loaded(subject) and subject.kind == "Deployment":
        least = {"min": f"{round(100 - 100 / replicas - 15)}%", "phases": ["fault"]}
        objectives = (Commented({"availability": least}, "without a probe, one pod's share is lost"), *objectives)
        twin = twins.one_replica(subject, ("availability",), "no other pod serves while the only process hangs")
    return Draft(
        f"A process of {subject.name} that hangs costs at most its own requests, and serves again when it continues.",
        fault,
        objectives,
        phase_lengths(20, limits.recovery),
        "nothing notices the process that hangs, so the fault ends when it is undone",
        twin,
        NO_TWIN.format(what=f"one pod and no liveness probe in {subject.name}"),
    )


def _process(subject: Subject) -> str:
    """Return the likely name of the main process: the command's, or else the image's. At most 15 characters."""
    command = subject.container.get("command")
    image = str(subject.container.get("image", "")).removeprefix("${image:").rstrip("}")
    name = str(command[0]) if isinstance(command, list) and command else image.partition("@")[0]
    found = name.rpartition("/")[2]
    return (found if isinstance(command, list) and command else found.partition(":")[0])[:15] or "main"
