"""Nothing to set up here: the plugin comes with the installed package, and experiments are collected by themselves."""
