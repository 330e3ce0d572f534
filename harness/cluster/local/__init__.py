"""A real Kubernetes on this machine, from Debian packages and Go modules."""
