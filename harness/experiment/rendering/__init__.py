"""Workloads that a program renders: kustomizations with kubectl, Helm charts with helm. The result is plain manifests.

Rendering reads files of the project only: no cluster is contacted, and no network is used except for a chart in an OCI
registry.
"""
