"""Clusters: the Kubernetes API, nodes, and every kind of cluster behind one protocol."""
