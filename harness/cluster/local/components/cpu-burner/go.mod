module resilience-harness/cpu-burner

go 1.26.4
