"""The emergency stop: an order in the cluster that every run obeys within two seconds, or a file on this machine."""
