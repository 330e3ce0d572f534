"""Rewrite namespaces inside texts: host names of Services, names of service accounts, options, settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from harness.experiment.isolation.layout import DEFAULT, Layout

# What may not follow a name, so that only whole names are rewritten.
_END = r"(?![A-Za-z0-9_-])"
# Not followed by a further label: `redis.shop.example.com` is no Service of the namespace shop.
_LAST = rf"{_END}(?!\.[A-Za-z0-9])"
_ANY_HOST = re.compile(r"(?<![\w.-])(?:[a-z0-9*][a-z0-9.-]*\.)?([a-z0-9-]+)\.([a-z0-9-]+)\.svc" + _END)
# The API server's Service exists in every cluster.
_API_SERVER = "kubernetes"


class Texts:
    """Rewrites the texts of one workload. ``places`` maps each of its namespaces to the one that replaces it.

    ``found`` is called with the published namespace of every reference that is rewritten.
    """

    def __init__(self, layout: Layout, places: Mapping[str, str]) -> None:
        self._layout = layout
        self._places = places
        names = [*filter(None, layout.names), *([DEFAULT] if layout.has_default else [])]
        # Longest first, since one name may be the beginning of another.
        some = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True)) or r"(?!)"
        pairs = sorted({(service, alias) for alias in names for service in self._services_of(alias)})
        hosts = "|".join(rf"{re.escape(service)}\.(?:{re.escape(alias)})" for service, alias in pairs) or r"(?!)"
        # Group 1 is what stays, group 2 the namespace.
        self._hosts = re.compile(rf"((?<![A-Za-z0-9_-])(?:[\w$(){{}}*-]+)\.)({some})(?=\.svc{_END})")
        self._accounts = re.compile(rf"(system:serviceaccounts?:)({some})(?=:|{_END})")
        self._short = re.compile(rf"(?:(?<=//)|(?<![\w./-]))((?:[a-z0-9-]+-\d+\.)?)({hosts}){_LAST}")
        self._options = re.compile(r"(--?[\w.-]*namespaces?[ =])([A-Za-z0-9,.-]+)", re.IGNORECASE)
        self._client = re.compile(rf"(\b(?:kubectl|helm)\b[^\n|;&]*? -n[ =]?)({some}){_LAST}")
        self._lines = re.compile(
            rf"^([ \t]*(?:- |export )?[\"']?[\w.-]*namespaces?[\"']?[ \t]*[:=][ \t]*[\"']?)({some})"
            r"(?=[\"']?[ \t]*,?[ \t]*\r?$)",
            re.IGNORECASE | re.MULTILINE,
        )
        whole = re.escape(layout.main) if layout.is_unique else r"(?!)"
        self._whole = re.compile(rf"((?<![A-Za-z0-9-]))({whole})(?![A-Za-z0-9-])")
        self._paths = re.compile(rf"(^|=)({some})(?=/([a-z0-9][a-z0-9.-]*)$)")

    def hosts(self, text: str, found: Callable[[str], None]) -> str:
        """Rewrite what cannot mean anything else: `NAME.NAMESPACE.svc`, and the names of service accounts."""
        text = self._hosts.sub(lambda match: self._host(match, found), text)
        return self._accounts.sub(lambda match: self._replaced(match, found), text)

    def short_hosts(self, text: str, found: Callable[[str], None]) -> str:
        """Rewrite `NAME.NAMESPACE` if NAME is a Service of the workload in that namespace."""

        def replaced(match: re.Match[str]) -> str:
            service, _, name = match[2].rpartition(".")
            return f"{match[1]}{service}.{self._new(name, found)}"

        return self._short.sub(replaced, text)

    def settings(self, text: str, found: Callable[[str], None]) -> str:
        """Rewrite the values of options and of lines in files that are named after a namespace.

        The namespace of a chart's release is rewritten wherever it occurs."""
        text = self._whole.sub(lambda match: self._replaced(match, found), text)
        text = self._options.sub(lambda match: f"{match[1]}{self.names(match[2], found)}", text)
        text = self._client.sub(lambda match: self._replaced(match, found), text)
        return self._lines.sub(lambda match: self._replaced(match, found), text)

    def paths(self, text: str, found: Callable[[str], None]) -> str:
        """Rewrite `NAMESPACE/NAME` and `--option=NAMESPACE/NAME` if it is an object of the workload."""

        def replaced(match: re.Match[str]) -> str:
            meant = self._layout.meant(match[2])
            known = meant is not None and (meant, match[3]) in self._layout.named
            return self._replaced(match, found) if known else match[0]

        return self._paths.sub(replaced, text)

    def name(self, text: str, found: Callable[[str], None]) -> str:
        """Rewrite a text that is a namespace."""
        return self._new(text, found) if self._layout.meant(text) is not None else text

    def names(self, text: str, found: Callable[[str], None]) -> str:
        """Rewrite a text that lists namespaces, separated by commas."""
        return ",".join(
            part.replace(part.strip(), self.name(part.strip(), found)) if part.strip() else part
            for part in text.split(",")
        )

    def outside(self, text: str) -> Iterator[tuple[str, str]]:
        """Yield Service and namespace of each host name in a namespace that is not the workload's."""
        for match in _ANY_HOST.finditer(text):
            if self._layout.meant(match[2]) is None and (match[1], match[2]) != (_API_SERVER, DEFAULT):
                yield match[1], match[2]

    def _host(self, match: re.Match[str], found: Callable[[str], None]) -> str:
        if match[2] == DEFAULT and match[1].rstrip(".") == _API_SERVER:
            return match[0]
        return self._replaced(match, found)

    def _replaced(self, match: re.Match[str], found: Callable[[str], None]) -> str:
        return f"{match[1]}{self._new(match[2], found)}"

    def _new(self, name: str, found: Callable[[str], None]) -> str:
        meant = self._layout.meant(name)
        if meant is None:
            return name
        found(name)
        return self._places[meant]

    def _services_of(self, alias: str) -> Iterator[str]:
        meant = self._layout.meant(alias)
        yield from (service for home, service in self._layout.services if home == meant)
