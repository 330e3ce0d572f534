"""Block Locust's pytest plugin in sessions that do not request it.

Locust is a dependency of the harness, and its plugin loads itself into every pytest session: it defines ``--host`` and
``-H``, which a project's conftest may define too, and older versions import gevent, which patches sockets and threads
of the whole process. To use the plugin, request it with ``-p locust``.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

NAMES = ("locust", "pytest_locust", "pytest_locust.plugin")
_OPTION = "--host"


def block(plugins: pytest.PytestPluginManager) -> None:
    """Prevent the plugin from loading, if it is not loaded yet."""
    for name in NAMES:
        if not plugins.has_plugin(name):
            plugins.set_blocked(name)


def drop(config: pytest.Config, parser: pytest.Parser) -> None:
    """Unload the plugin and its option if it was loaded before ``block`` ran.

    No-op if the user requested it with ``-p`` or PYTEST_PLUGINS.
    """
    requested = [*config.known_args_namespace.plugins, *os.environ.get("PYTEST_PLUGINS", "").split(",")]
    if set(NAMES) & {name.strip() for name in requested}:
        return
    plugins = config.pluginmanager
    for name in NAMES:
        plugin = plugins.get_plugin(name)
        if plugin is not None:
            plugins.unregister(plugin)
            _forget_option(parser)
            # Its default would override the default of a conftest's --host.
            vars(config.option).pop("host", None)
            plugins.set_blocked(name)


def _forget_option(parser: pytest.Parser) -> None:
    # pytest has no API to remove an option, and a conftest that defines the same option would fail to load.
    internals: Any = parser
    group = internals._anonymous  # noqa: SLF001
    mine = [option for option in group.options if _OPTION in option.names()]
    group.options = [option for option in group.options if option not in mine]
    # pytest 8 has no such attribute here: it builds the argument parser from the groups later.
    arguments: Any = getattr(internals, "optparser", None)
    if arguments is None:
        return
    for option in mine:
        for name in option.names():
            arguments._option_string_actions.pop(name, None)  # noqa: SLF001
            internals._opt2dest.pop(name, None)  # noqa: SLF001
        for actions in (arguments._actions, group._arggroup._group_actions):  # noqa: SLF001
            actions[:] = [action for action in actions if _OPTION not in action.option_strings]
