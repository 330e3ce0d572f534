"""Lookup of profiles and behaviours by name: first in the user's ``loadprofiles`` folders, then in the shipped one.

``builtin/<name>`` always refers to the shipped one, even if the user has one of the same name.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from harness.common.documents import Document
from harness.common.errors import InputError, Problem
from harness.common.shipped import shipped
from harness.traffic.load.behaviour import Behaviour
from harness.traffic.load.composition import ProfileSpec
from harness.traffic.load.profile import Profile, load_profile

FOLDER = "loadprofiles"
BUILTIN = "builtin/"
SHIPPED = shipped(FOLDER)

# Importing one of these patches the whole process, and the harness imports behaviour files too.
_PATCHES_THE_PROCESS = frozenset({"locust", "gevent", "geventhttpclient"})


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The folders to search, in order; the last one is shipped with the harness."""

    folders: tuple[Path, ...] = (SHIPPED,)

    @classmethod
    def for_roots(cls, roots: Iterable[Path]) -> Catalogue:
        """Return the catalogue of a user's project: the ``loadprofiles`` folder of each root, then the shipped one."""
        return cls((*(root / FOLDER for root in roots), SHIPPED))

    def profile(self, wanted: str | ProfileSpec) -> Profile:
        """Load a profile by its name, or compose it. Raises InputError; for an unknown name it lists the known ones."""
        if isinstance(wanted, ProfileSpec):
            return wanted.resolved(self.profile)
        return load_profile(self._file(wanted, "load profile", ".yaml"))

    def behaviour(self, name: str, options: Mapping[str, object]) -> Behaviour:
        """Load the behaviour ``name`` and set its options. Raises InputError with every invalid option."""
        behaviour = load_behaviour(self.behaviour_file(name))
        try:
            return behaviour.model_validate(dict(options))
        except ValidationError as error:
            known = ", ".join(field.alias or key for key, field in behaviour.model_fields.items())
            raise InputError(
                [_option_problem(problem, name, known) for problem in _unplaced(options, error)]
            ) from error

    def behaviour_file(self, name: str) -> Path:
        """Return the Python file of a behaviour. Raises InputError for an unknown name."""
        return self._file(name, "load behaviour", ".py")

    def names(self, suffix: str) -> list[str]:
        """Return the names of all files with this suffix, sorted."""
        files = (file for folder in self.folders if folder.is_dir() for file in folder.glob(f"*{suffix}"))
        return sorted({file.stem for file in files if not file.stem.startswith("_")})

    def _file(self, name: str, kind: str, suffix: str) -> Path:
        folders = (SHIPPED,) if name.startswith(BUILTIN) else self.folders
        stem = name.removeprefix(BUILTIN)
        # The name becomes part of a path; without slashes and dots it cannot lead out of the folders.
        if re.fullmatch(r"[a-z0-9]([-_a-z0-9]*[a-z0-9])?", stem):
            for folder in folders:
                try:
                    if (folder / f"{stem}{suffix}").is_file():
                        return folder / f"{stem}{suffix}"
                except OSError:
                    # The name is too long for a file, so no folder has it.
                    break
        known = ", ".join(self.names(suffix)) or "(there are none)"
        raise InputError([Problem(f"found the {kind} {name!r}, expected one of: {known}")])


def load_behaviour(file: Path) -> type[Behaviour]:
    """Import the behaviour class of a Python file. Raises InputError if that fails or there is not exactly one."""
    # Checked before the import, because a patched process cannot be restored.
    _refuse_patches(file)
    module = _import(file)
    found = [
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, Behaviour) and member.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise InputError([Problem(f"found {len(found)} subclasses of Behaviour, expected one", file)])
    if inspect.isabstract(found[0]):
        raise InputError([Problem(f"{found[0].__name__} has no method arrive(self, client, number)", file)])
    return found[0]


def _refuse_patches(file: Path) -> None:
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except (OSError, SyntaxError, ValueError) as error:
        line = error.lineno if isinstance(error, SyntaxError) else None
        raise InputError([Problem(f"cannot be read as Python: {error}", file, line)]) from error
    problems = []
    for statement in tree.body:
        if isinstance(statement, ast.Import):
            modules = [alias.name for alias in statement.names]
        else:
            modules = [statement.module or ""] if isinstance(statement, ast.ImportFrom) else []
        problems += [
            Problem(f"imports {module} at module level, which patches the process; import it inside arrive", file, line)
            for module in modules
            if module.partition(".")[0] in _PATCHES_THE_PROCESS
            for line in [statement.lineno]
        ]
    if problems:
        raise InputError(problems)


def _import(file: Path) -> ModuleType:
    # Imported under a separate name and not through sys.path: loadprofiles/http.py must not shadow the stdlib's http.
    name = f"resilience_load_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise InputError([Problem("cannot be imported", file)])
    module = importlib.util.module_from_spec(spec)
    # As in importlib's recipe: pydantic looks up the names in annotations in the module of that name.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (ImportError, NameError, AttributeError, TypeError, ValueError, LookupError, OSError) as error:
        raise InputError([Problem(f"cannot be imported: {type(error).__name__}: {error}", file)]) from error
    return module


def _unplaced(options: Mapping[str, Any], error: ValidationError) -> list[Problem]:
    return Document(Path(), dict(options), {}).problems(error)


def _option_problem(problem: Problem, behaviour: str, known: str) -> Problem:
    message = problem.message
    if message == "unknown key":
        message = f"unknown option of the load behaviour {behaviour}, expected one of: {known}"
    return Problem(message, field=f"options.{problem.field}" if problem.field else "options")
