"""Servers on loopback with certificates made for the test: HTTP/1.1 and HTTP/2, with TLS and without."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded
from h2.exceptions import ProtocolError

DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as PEM texts."""

    certificate: str
    key: str


class Authority:
    """A certificate authority."""

    def __init__(self, name: str = "test authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        made = self._builder(self._name, self._key.public_key(), -DAY, 30 * DAY)
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        made = made.add_extension(identifier, critical=False)
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        self.pem = _pem(made.add_extension(usage, critical=True).sign(self._key, hashes.SHA256()))

    def issue(self, name: str, *, since: datetime.timedelta = -DAY, until: datetime.timedelta = DAY) -> Pair:
        """Return a certificate for a server's host name, which is good for a client too."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = self._builder(subject, key.public_key(), since, until)
        made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        made = made.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        own = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        signed = made.add_extension(own, critical=False).sign(self._key, hashes.SHA256())
        text = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return Pair(_pem(signed), text.decode())

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, since: datetime.timedelta, until: datetime.timedelta
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        made = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key)
        return (
            made.serial_number(x509.random_serial_number()).not_valid_before(now + since).not_valid_after(now + until)
        )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


@dataclass
class Seen:
    """What one request looked like to the server."""

    path: str
    headers: dict[str, str]
    protocol: str
    server_name: str
    client: str
    connection: int
    body: bytes = b""


@dataclass
class Server:
    """A server with one thread per connection."""

    port: int
    requests: list[Seen] = field(default_factory=list)
    answer: Callable[[Seen], tuple[int, dict[str, str], bytes, dict[str, str]]] = lambda _: (200, {}, b"hi", {})


@contextmanager
def secure_server(
    folder: Path,
    pair: Pair | None = None,
    *,
    clients: str = "",
    protocols: Sequence[str] = ("h2", "http/1.1"),
    http2: bool = False,
    talk: Callable[[socket.socket], None] | None = None,
) -> Iterator[Server]:
    """Serve on loopback: with TLS if there is a certificate, for clients of the authority ``clients`` if there is one.

    Without TLS, ``http2`` chooses the protocol. ``talk`` replaces HTTP by a protocol of the test.
    """
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    server = Server(listener.getsockname()[1])
    names: dict[int, str] = {}
    context = _context(folder, pair, clients, protocols, names) if pair else None

    def serve(plain: socket.socket, number: int) -> None:
        with suppress(OSError, ProtocolError), plain:
            connection = context.wrap_socket(plain, server_side=True) if context else plain
            with connection:
                chosen, client = ("h2" if http2 else "http/1.1"), ""
                if isinstance(connection, ssl.SSLSocket):
                    chosen = connection.selected_alpn_protocol() or "http/1.1"
                    subject = (connection.getpeercert() or {}).get("subject", ())
                    client = next((value for part in subject for _, value in part), "")
                name = names.get(id(connection), "")
                if talk:
                    talk(connection)
                elif chosen == "h2":
                    _http2(server, connection, name, client, number)
                else:
                    _http1(server, connection, name, client, number)

    def accept() -> None:
        number = 0
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                number += 1
                threading.Thread(target=serve, args=(connection, number), daemon=True).start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield server
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join(5)


def _context(folder: Path, pair: Pair, clients: str, protocols: Sequence[str], names: dict[int, str]) -> ssl.SSLContext:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "server.pem"
    file.write_text(pair.certificate + pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    context.set_alpn_protocols(list(protocols))
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=clients)

    def named(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        names[id(connection)] = name or ""

    context.sni_callback = named  # type: ignore[assignment]
    return context


def _http1(server: Server, connection: socket.socket, name: str, client: str, number: int) -> None:
    buffer = b""
    while True:
        while b"\r\n\r\n" not in buffer:
            new = connection.recv(65536)
            buffer += new
            if not new or not buffer[:1].isalpha():
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" if new else b"")
                return
        head, _, buffer = buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
        seen = Seen(first.split(" ")[1], headers, "http/1.1", name, client, number)
        server.requests.append(seen)
        status, _, body, _ = server.answer(seen)
        connection.sendall(f"HTTP/1.1 {status} Something\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)


def _http2(server: Server, connection: socket.socket, name: str, client: str, number: int) -> None:
    state = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
    state.initiate_connection()
    connection.sendall(state.data_to_send())
    open_requests: dict[int, Seen] = {}
    while data := connection.recv(65536):
        for event in state.receive_data(data):
            stream = getattr(event, "stream_id", None) or 0
            if isinstance(event, RequestReceived):
                headers = {str(key): str(value) for key, value in event.headers or ()}
                open_requests[stream] = Seen(headers[":path"], headers, "h2", name, client, number)
            elif isinstance(event, DataReceived):
                open_requests[stream].body += event.data or b""
                state.acknowledge_received_data(event.flow_controlled_length or 0, stream)
            elif isinstance(event, StreamEnded):
                seen = open_requests.pop(stream)
                server.requests.append(seen)
                status, answered, body, trailers = server.answer(seen)
                state.send_headers(stream, [(":status", str(status)), *answered.items()])
                state.send_data(stream, body, end_stream=not trailers)
                if trailers:
                    state.send_headers(stream, list(trailers.items()), end_stream=True)
        connection.sendall(state.data_to_send())
