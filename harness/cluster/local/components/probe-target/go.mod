module resilience-harness/probe-target

go 1.26.4
