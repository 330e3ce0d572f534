"""Add the objectives to the JUnit file of ``--junitxml``, after pytest has written it."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from xml.etree.ElementTree import ParseError

import pytest

from harness.pytest_plugin.terminal import progress
from harness.results.reporting.junit import with_objectives
from harness.results.reporting.store import write_atomically


class JunitFile:
    """The plugin of the process with the terminal: it alone writes the file, also with pytest-xdist."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self) -> Generator[None, None, None]:
        yield
        path = getattr(self._config.option, "xmlpath", None)
        if not path or not Path(path).is_file():
            return
        try:
            text = Path(path).read_bytes()
            if (found := with_objectives(text)) != text:
                write_atomically(Path(path), found.decode())
        except (OSError, ParseError, UnicodeDecodeError) as error:
            # The file of pytest is complete without them.
            progress(self._config, f"warning: the objectives were not added to {path}: {error}")
