"""Image references, read as container runtimes read them."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_HOST = "docker.io"


@dataclass(frozen=True, slots=True)
class Reference:
    """A whole reference: registry host, path, and a tag or a digest or both."""

    host: str
    path: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Return a reference with all defaults filled in: ``nginx`` is ``docker.io/library/nginx:latest``."""
        host, slash, path = text.partition("/")
        # The rule of github.com/distribution/reference: the first part is a host only if it has a dot or a port, or is
        # localhost.
        if not slash or not ("." in host or ":" in host or host == "localhost"):
            host, path = DEFAULT_HOST, text
        # An old name of the same registry.
        host = DEFAULT_HOST if host == "index.docker.io" else host
        path, _, digest = path.partition("@")
        path, _, tag = path.partition(":")
        if host == DEFAULT_HOST and "/" not in path:
            path = f"library/{path}"
        return cls(host, path, tag or ("" if digest else "latest"), digest)

    @property
    def repository(self) -> str:
        """Host and path, without tag and digest."""
        return f"{self.host}/{self.path}"

    @property
    def target(self) -> str:
        """What a registry resolves: the digest if there is one, otherwise the tag."""
        return self.digest or self.tag

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.repository}{tag}{f'@{self.digest}' if self.digest else ''}"


def whole_reference(reference: str) -> str:
    """Return an image reference with all defaults filled in: ``nginx`` is ``docker.io/library/nginx:latest``."""
    return str(Reference.parse(reference))
