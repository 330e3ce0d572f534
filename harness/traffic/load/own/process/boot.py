"""Start one of the programs of this folder: ``python boot.py run|look SETTINGS``.

A script and not ``python -m``: the interpreter may not have the harness, and its search path must stay as it is.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from pathlib import Path

PACKAGE = "resilience_locust"


def main() -> None:
    """Run the program that the command line names, with the settings of the file that it names."""
    folder = Path(__file__).resolve().parent
    # Python put this folder first: `import run` in a locustfile must find the user's run.py.
    sys.path[:] = [entry for entry in sys.path if not entry or Path(entry).resolve() != folder]
    spec = importlib.util.spec_from_file_location(
        PACKAGE, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = package
    spec.loader.exec_module(package)
    _, program, settings = sys.argv
    importlib.import_module(f"{PACKAGE}.{program}").main(json.loads(Path(settings).read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
