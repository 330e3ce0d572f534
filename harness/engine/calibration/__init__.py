"""Calibration of the recovery clocks: measure outages of known start and length like those of an experiment.

``target`` is a service in the cluster with outages on demand, ``switch`` is an object whose readiness the harness
changes itself; both report the true start and end of every outage. ``run`` makes the outages, ``measure`` compares the
clocks with the truth, ``store`` keeps the result for later runs. Benchmarks may use the targets separately.
"""

from harness.engine.calibration.switch import ReadinessSwitch
from harness.engine.calibration.target import CalibrationTarget
from harness.engine.calibration.truth import OutageKind, Truth

__all__ = ["CalibrationTarget", "OutageKind", "ReadinessSwitch", "Truth"]
