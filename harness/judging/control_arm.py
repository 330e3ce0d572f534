"""Compare the finding of an objective with that of the control arm.

The control arm is the same workload under the same load at the same time, without faults. If it misses an objective,
the machine was too noisy, and the miss of the arm under fault proves nothing. For a share of requests the two arms can
be subtracted: if the loss beyond that of the control arm alone exceeds the error budget, the fault caused the miss,
however noisy the machine was.

The bounds of the difference treat requests as independent, which those of one outage are not. So they are bounds for
this run, not for other runs; use repeats for that.
"""

from __future__ import annotations

from dataclasses import replace

from harness.model.finding import Beside, Finding
from harness.model.verdict import Verdict
from harness.stats.bounds import ShareDifference, newcombe

ARM = "the control arm, without faults,"


def compare(finding: Finding, control: Finding, confidence: float) -> Finding:
    """Return the finding with that of the control arm and their difference (see ``Beside``).

    The verdict becomes INCONCLUSIVE if noise can explain it. BROKEN stays if the control arm held, or if the loss
    beyond that of the control arm is proven to be above zero (control arm INCONCLUSIVE) or above the whole error budget
    (control arm BROKEN). HELD stays unless the control arm is BROKEN.
    """
    difference = _difference(finding, control, confidence)
    beside = replace(finding, beside=_control_finding(control, difference))
    if finding.verdict is Verdict.INCONCLUSIVE or control.verdict is Verdict.HELD:
        return beside
    # The proven loss beyond that of the control arm, as a share; 0 if the two cannot be subtracted.
    loss = max(0.0, -difference.high) if difference else 0.0
    if control.verdict is Verdict.BROKEN:
        return _with_broken_control(beside, control, loss)
    return _with_undecided_control(beside, control, loss)


def _with_broken_control(finding: Finding, control: Finding, loss: float) -> Finding:
    if finding.verdict is Verdict.HELD:
        return _undecided(
            finding, f"but {ARM} missed it too ({_observed(control)}): the machine was too noisy to judge it"
        )
    # Limits of shares are in percent.
    limit = (finding.limit or 0.0) / 100
    budget = 1 - limit if finding.comparison == ">=" else limit
    if loss > budget:
        return _with_text(
            finding, f"{ARM} missed it too ({_observed(control)}), but {_loss(loss)} exceeds the whole error budget"
        )
    return _undecided(finding, f"{ARM} missed it too ({_observed(control)}): noise alone can explain it")


def _with_undecided_control(finding: Finding, control: Finding, loss: float) -> Finding:
    if finding.verdict is Verdict.HELD:
        return finding
    if loss > 0:
        return _with_text(finding, f"{ARM} is INCONCLUSIVE ({_observed(control)}), but {_loss(loss)} is not noise")
    return _undecided(finding, f"{ARM} is INCONCLUSIVE, so noise may explain it: {control.reason}")


def _difference(finding: Finding, control: Finding, confidence: float) -> ShareDifference | None:
    if finding.good is None or control.good is None or not finding.samples or not control.samples:
        return None
    return newcombe(finding.good, finding.samples, control.good, control.samples, confidence)


def _control_finding(control: Finding, difference: ShareDifference | None) -> Beside:
    if difference is None:
        return Beside(control)
    return Beside(control, *(100 * each for each in difference))


def _observed(control: Finding) -> str:
    if control.observed is None:
        return control.reason
    shown = f"{control.observed:.2f}".rstrip("0").rstrip(".")
    return f"{shown}%" if control.unit == "%" else f"{shown} {control.unit}".strip()


def _loss(loss: float) -> str:
    return f"a loss of at least {loss * 100:.2f} percentage points beyond it"


def _with_text(finding: Finding, text: str) -> Finding:
    return replace(finding, reason=f"{finding.reason}; {text}")


def _undecided(finding: Finding, text: str) -> Finding:
    return replace(_with_text(finding, text), verdict=Verdict.INCONCLUSIVE)
