"""Where the images of a user's workload come from: container runtimes, archives, registries; and how they get there."""
