"""The calibrated stopwatch: outages of known start and length, measured by the harness as it measures any other.

``target`` is a service in the cluster with outages on demand, ``switch`` an object whose readiness the harness itself
turns off and on; both tell the truth of every outage. ``run`` makes the outages, ``measure`` holds what the clocks say
against the truth, ``store`` keeps the result for later runs. Other benchmarks may use the targets on their own.
"""

from harness.calibration.switch import ReadinessSwitch
from harness.calibration.target import CalibrationTarget
from harness.calibration.truth import OutageKind, Truth

__all__ = ["CalibrationTarget", "OutageKind", "ReadinessSwitch", "Truth"]
