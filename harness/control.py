"""What the control arm says of an objective, and what that does to the finding of the arm that was broken.

The control arm is the same workload under the same load at the same time, to which nothing is done. What it misses, the
machine missed: as a steady state that does not hold lets nothing be concluded, so does one that does not last. A share
of requests can say more, since the two arms can be subtracted: a loss beyond the control arm's own that takes up the
whole error budget by itself is the fault's, however noisy the machine was.

The bounds of the difference take requests as independent. Those of one outage are not: they bound the difference in
this run, not what another run would show; for that there are repeats.
"""

from __future__ import annotations

from dataclasses import replace

from harness.objective import Beside, Finding
from harness.statistics import ShareDifference, newcombe
from harness.verdict import Verdict

ARM = "the control arm, to which nothing was done,"


def compare(finding: Finding, control: Finding, confidence: float) -> Finding:
    """The finding in the light of the control arm's, with both and their difference (see ``Beside``).

    HELD and BROKEN stand only where noise is not the explanation. A miss stands when the control arm held, or when the
    loss that it does not share is proven to be worse than none (the control arm being undecided) or than the whole
    error budget (the control arm having missed it too). HELD stands unless the control arm missed the objective.
    """
    difference = _difference(finding, control, confidence)
    beside = replace(finding, beside=_beside(control, difference))
    if finding.verdict is Verdict.INCONCLUSIVE or control.verdict is Verdict.HELD:
        return beside
    # What the broken arm lost for certain beyond the control arm, a share; 0 when the two cannot be subtracted.
    loss = max(0.0, -difference.high) if difference else 0.0
    if control.verdict is Verdict.BROKEN:
        return _beside_a_miss(beside, control, loss)
    return _beside_nothing(beside, control, loss)


def _beside_a_miss(finding: Finding, control: Finding, loss: float) -> Finding:
    if finding.verdict is Verdict.HELD:
        return _undecided(finding, f"but {ARM} broke it ({_said(control)}): the machine was too noisy to judge it")
    limit = (finding.limit or 0.0) / 100
    budget = 1 - limit if finding.comparison == ">=" else limit
    if loss > budget:
        return _told(finding, f"{ARM} broke it too ({_said(control)}), but {_lost(loss)} is more than was allowed")
    return _undecided(finding, f"{ARM} broke it too ({_said(control)}): the noise alone explains it")


def _beside_nothing(finding: Finding, control: Finding, loss: float) -> Finding:
    if finding.verdict is Verdict.HELD:
        return finding
    if loss > 0:
        return _told(finding, f"{ARM} decides nothing ({_said(control)}), but {_lost(loss)} is not its noise")
    return _undecided(finding, f"{ARM} does not tell whether noise explains it: {control.reason}")


def _difference(finding: Finding, control: Finding, confidence: float) -> ShareDifference | None:
    if finding.good is None or control.good is None or not finding.samples or not control.samples:
        return None
    return newcombe(finding.good, finding.samples, control.good, control.samples, confidence)


def _beside(control: Finding, difference: ShareDifference | None) -> Beside:
    if difference is None:
        return Beside(control)
    return Beside(control, *(100 * each for each in difference))


def _said(control: Finding) -> str:
    if control.observed is None:
        return control.reason
    shown = f"{control.observed:.2f}".rstrip("0").rstrip(".")
    return f"{shown}%" if control.unit == "%" else f"{shown} {control.unit}".strip()


def _lost(loss: float) -> str:
    return f"a loss of at least {loss * 100:.2f} points beyond it"


def _told(finding: Finding, text: str) -> Finding:
    return replace(finding, reason=f"{finding.reason}; {text}")


def _undecided(finding: Finding, text: str) -> Finding:
    return replace(_told(finding, text), verdict=Verdict.INCONCLUSIVE)
