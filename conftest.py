"""Nothing to set up here: the plugin comes with the installed package, and experiments are collected by themselves."""

# For the tests of the plugin itself: pytest accepts this in a root conftest only.
pytest_plugins = ["pytester"]
