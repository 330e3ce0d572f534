"""Connections to an API server, set up like kubectl's: kubeconfig files, credentials, TLS, proxies."""
