"""The steps of one run: site, deployment, phases, load, prober, abort watch, clean-up."""
