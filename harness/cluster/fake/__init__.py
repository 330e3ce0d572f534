"""A cluster in memory, for unit tests and for the model that dry runs use."""
