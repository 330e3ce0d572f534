"""kind: a cluster in containers, created with the harness's config and deleted unless kept.

An existing kind cluster is used as it is and never deleted. It differs from any other kubeconfig cluster in three
things: images are loaded from an archive, NodePorts are published on 127.0.0.1, and nodes are containers that can be
stopped and cut off the network.
"""
