"""What is certain of an experiment before anything is deployed, found on a model in memory."""
