"""kind: a cluster in containers, made with a config of the harness's own and deleted unless kept.

An existing kind cluster is used as it is and never deleted. The rest of the code sees no difference to any other
kubeconfig, but for three things: images are loaded from an archive, NodePorts are published on 127.0.0.1, and nodes are
containers, whose power and network can be taken away.
"""
