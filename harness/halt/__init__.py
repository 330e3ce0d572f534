"""The emergency stop: an order in the cluster that every run obeys within two seconds, and a file on this machine."""
