"""Looking ahead: an experiment's own code, played on a model of the cluster, tells what it would do to the real."""
