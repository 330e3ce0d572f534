"""Any cluster of a kubeconfig."""
