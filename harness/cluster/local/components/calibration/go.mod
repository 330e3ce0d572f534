module resilience-harness/calibration

go 1.26.4
