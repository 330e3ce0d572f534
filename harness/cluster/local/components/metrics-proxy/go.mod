module resilience-harness/metrics-proxy

go 1.26.4
