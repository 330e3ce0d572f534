"""Who uses a cluster: a run's claim, its Lease, and the lock of its workers."""
