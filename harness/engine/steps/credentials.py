"""Read the certificates and secrets that targets name, just before a process needs them.

Certificates become part of the process's settings. Private keys and credentials are only put into its environment.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from harness.cluster.kube.client import KubeApi
from harness.cluster.kube.permissions import Permission
from harness.cluster.kube.resources import CONFIG_MAPS, SECRETS
from harness.common.clock import Clock
from harness.common.errors import ApiError, Inconclusive, InputError, Problem, TimedOut
from harness.common.waiting import wait_until
from harness.experiment.declaration import Experiment
from harness.traffic.load.secrets import check_secrets as check_variables
from harness.traffic.target.credentials import Stored, TargetAuth, TargetTls, read_pem, stored, variable
from harness.traffic.target.declaration import Target
from harness.traffic.target.endpoint import Tls, replaced
from harness.traffic.target.tls import context_of

_PREFIX = "HARNESS_TARGET_"
_KINDS = {"secret": SECRETS, "configmap": CONFIG_MAPS}


def needed_for(targets: Iterable[Target]) -> frozenset[Permission]:
    """Return the permissions to read what targets name: only those Secrets and ConfigMaps."""
    return frozenset(
        Permission("experiment", "", _KINDS[found.kind].plural, "get", found.name)
        for target in targets
        for found in target.stored()
    )


def check_secrets(experiment: Experiment, environ: Mapping[str, str]) -> None:
    """Check that every environment variable is set that the load and the targets name.

    Raises InputError with all that are not, each with the experiment's file and the field that names it.
    """
    places: list[tuple[str, Mapping[str, object]]] = []
    for name, load in experiment.every_load.items():
        field = f"loads.{name}" if name else "load"
        places.append((f"{field}.options", load.options))
        places.append((f"{field}.target", _named(load.target)))
    places += [(f"prober[{number}]", _named(each.aim.target)) for number, each in enumerate(experiment.prober)]
    problems: list[Problem] = []
    for field, options in places:
        try:
            check_variables(options, environ)
        except InputError as error:
            problems += [replace(problem, file=experiment.file, field=field) for problem in error.problems]
    if problems:
        raise InputError(problems)


def _named(target: Target) -> dict[str, object]:
    return {"variables": [f"${{env:{name}}}" for name in target.variables()]}


class Credentials:
    """The credentials for the targets of one process. ``secrets`` are the variables of its environment.

    Files are relative to ``folder``. A Secret that a controller has yet to create is waited for up to ``seconds``.
    """

    def __init__(
        self,
        api: KubeApi,
        namespace: str,
        folder: Path,
        *,
        clock: Clock,
        seconds: float,
        meanwhile: Callable[[], None] = lambda: None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.secrets: dict[str, str] = {}
        self._api, self._namespace, self._folder = api, namespace, folder
        self._clock, self._seconds, self._meanwhile = clock, seconds, meanwhile
        self._environ = environ

    def tls(self, declared: TargetTls, server_name: str) -> Tls:
        """Return the TLS settings of a target, with references to ``secrets``. Raises Inconclusive."""
        key = self._text(declared.key)
        found = Tls(
            server_name=server_name,
            ca=self._text(declared.ca),
            certificate=self._text(declared.certificate),
            key=self._hidden(key) if key else "",
            insecure=declared.insecure,
        )
        try:
            # Checked here, since the process would only end with a traceback.
            context_of(found, replaced(found.key, self.secrets))
        except ValueError as error:
            raise Inconclusive(f"tls: {error}") from error
        return found

    def authorization(self, declared: TargetAuth) -> str:
        """Return a reference to the Authorization header. Raises Inconclusive."""
        secret = self._text(declared.secret).strip()
        if declared.basic:
            secret = b64encode(f"{declared.basic.username}:{secret}".encode()).decode()
        if not secret.isascii() or not secret.isprintable():
            raise Inconclusive(f"auth: {declared.secret} has characters that a header must not have")
        return self._hidden(f"{declared.scheme} {secret}")

    def _hidden(self, value: str) -> str:
        name = f"{_PREFIX}{len(self.secrets) + 1}"
        self.secrets[name] = value
        return f"${{env:{name}}}"

    def _text(self, source: str) -> str:
        if not source:
            return ""
        if name := variable(source):
            if name not in self._environ:
                raise Inconclusive(f"the environment variable {name} is not set")
            return self._environ[name]
        if found := stored(source):
            return self._stored(found)
        try:
            return read_pem(self._folder / source)
        except ValueError as error:
            raise Inconclusive(f"tls: found {source!r}, {error}") from error

    def _stored(self, wanted: Stored) -> str:
        def look() -> tuple[str | None, str]:
            self._meanwhile()
            try:
                found = self._api.get(_KINDS[wanted.kind], wanted.name, self._namespace)
            except ApiError as error:
                if not error.not_found:
                    raise
                return None, "it does not exist"
            text = (found.get("data") or {}).get(wanted.key)
            if text is None:
                return None, f"it has no key {wanted.key}"
            return (b64decode(text).decode() if wanted.kind == "secret" else str(text)), ""

        named = f"{_KINDS[wanted.kind].kind} {wanted.name}"
        try:
            return wait_until(f"the {named} of a target", look, self._seconds, self._clock)
        except TimedOut as error:
            raise Inconclusive(str(error)) from error
        except ValueError as error:
            raise Inconclusive(f"the key {wanted.key} of {named} is not text") from error
