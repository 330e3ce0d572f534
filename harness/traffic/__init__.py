"""Traffic to the workload: the load generator and the prober, each in a separate process."""
