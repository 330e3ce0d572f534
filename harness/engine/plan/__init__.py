"""The dry run: run the code of an experiment on a model of the cluster and show what it would change."""
