"""The Kubernetes API: client, resources, permissions, patches, and what objects mean."""
