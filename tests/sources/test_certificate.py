"""A client certificate from one secret: in all the forms it comes in, presented for real, and never on a disk."""

from __future__ import annotations

import base64
import os
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ephemeral_secrets.clock import Deadline, SystemClock
from airflow_ephemeral_secrets.errors import SourceFailed, SourceUnavailable
from airflow_ephemeral_secrets.sources.base import Network
from airflow_ephemeral_secrets.sources.certificate import Certificate, read_certificate
from airflow_ephemeral_secrets.sources.exchange import exchange
from tests.peers.rogue import Peer, Rogue, response, tunnel
from tests.peers.tls import serving
from tests.sources.asking import story

PASSPHRASE = b"canary of a passphrase"
CLIENT = "client.test"
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@pytest.fixture(scope="module")
def leaf(authority: trustme.CA) -> trustme.LeafCert:
    """A client certificate that an authority below the trusted one has signed."""
    return authority.create_child_ca().issue_cert(CLIENT)


@pytest.fixture(scope="module")
def other(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("other.test")


def key_of(leaf: trustme.LeafCert) -> Key:
    key = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None)
    assert isinstance(key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey))
    return key


def chain_of(leaf: trustme.LeafCert) -> str:
    return "".join(blob.bytes().decode() for blob in leaf.cert_chain_pems)


def written(leaf: trustme.LeafCert, form: str = "PKCS8", passphrase: bytes | None = None) -> str:
    """Write a private key in PEM."""
    protect = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    kind = getattr(serialization.PrivateFormat, form)
    return key_of(leaf).private_bytes(serialization.Encoding.PEM, kind, protect).decode()


def pfx(leaf: trustme.LeafCert, passphrase: bytes | None = None, *, key: bool = True, chain: bool = True) -> bytes:
    """Write PKCS #12."""
    own, *above = (x509.load_pem_x509_certificate(blob.bytes()) for blob in leaf.cert_chain_pems)
    protect = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    made: bytes = pkcs12.serialize_key_and_certificates(
        b"name", key_of(leaf) if key else None, own, above if chain else None, protect
    )
    return made


def with_empty_passphrase(leaf: trustme.LeafCert) -> bytes:
    """Write PKCS #12 as OpenSSL does for an empty passphrase, which is what Azure Key Vault hands out."""
    text = (written(leaf) + chain_of(leaf)).encode()
    command = ["openssl", "pkcs12", "-export", "-passout", "pass:"]
    return subprocess.run(command, input=text, capture_output=True, check=True).stdout


FORMS: dict[str, Callable[[trustme.LeafCert], str]] = {
    "key first": lambda leaf: written(leaf) + chain_of(leaf),
    "key last": lambda leaf: chain_of(leaf) + written(leaf),
    "key in the middle": lambda leaf: chain_of(leaf).replace(
        "-----END CERTIFICATE-----\n", f"-----END CERTIFICATE-----\n{written(leaf)}", 1
    ),
    "key of the old form": lambda leaf: written(leaf, "TraditionalOpenSSL") + chain_of(leaf),
    "with text between": lambda leaf: f"Bag Attributes\n  name: x\n{written(leaf)}\nsubject=x\n{chain_of(leaf)}\n\n",
    "lines of Windows": lambda leaf: (written(leaf) + chain_of(leaf)).replace("\n", "\r\n"),
    "no newline at the end": lambda leaf: (written(leaf) + chain_of(leaf)).rstrip("\n"),
    "PKCS #12": lambda leaf: base64.b64encode(pfx(leaf)).decode(),
    "PKCS #12 in lines": lambda leaf: base64.encodebytes(pfx(leaf)).decode(),
    "PKCS #12 with an empty passphrase": lambda leaf: base64.b64encode(with_empty_passphrase(leaf)).decode(),
}
FAULTS: dict[str, Callable[[trustme.LeafCert, trustme.LeafCert], str]] = {
    "nothing": lambda leaf, other: "",
    "words": lambda leaf, other: "no certificate",
    "words not in ASCII": lambda leaf, other: "kein Schlüssel",
    "zero": lambda leaf, other: "-----BEGIN CERTIFICATE-----\0",
    "base64 of nothing": lambda leaf, other: base64.b64encode(b"nothing").decode(),
    "no key": lambda leaf, other: chain_of(leaf),
    "no certificate": lambda leaf, other: written(leaf),
    "key of another": lambda leaf, other: written(other) + chain_of(leaf),
    "chain the wrong way round": lambda leaf, other: written(leaf) + chain_of(other) + chain_of(leaf),
    "key with a passphrase": lambda leaf, other: written(leaf, passphrase=PASSPHRASE) + chain_of(leaf),
    "old key with a passphrase": lambda leaf, other: written(leaf, "TraditionalOpenSSL", PASSPHRASE) + chain_of(leaf),
    "broken off": lambda leaf, other: written(leaf) + chain_of(leaf)[:-200],
    "PKCS #12 with a passphrase": lambda leaf, other: base64.b64encode(pfx(leaf, PASSPHRASE)).decode(),
    "PKCS #12 without a key": lambda leaf, other: base64.b64encode(pfx(leaf, key=False)).decode(),
    "PKCS #12 broken off": lambda leaf, other: base64.b64encode(pfx(leaf)[:-9]).decode(),
    "PKCS #12 of raw bytes": lambda leaf, other: pfx(leaf).decode("latin-1"),
}


@pytest.fixture
def demanding(authority: trustme.CA) -> ssl.SSLContext:
    """A server that serves nobody without a certificate."""
    context = serving(authority)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def who(peer: Peer) -> None:
    """Answer with whom the client's certificate names."""
    peer.read()
    assert isinstance(peer.connection, ssl.SSLSocket)
    presented = x509.load_der_x509_certificate(peer.connection.getpeercert(binary_form=True) or b"")
    names = presented.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    peer.send(response(names.get_values_for_type(x509.DNSName)[0].encode()))


def present(url: str, certificate: Certificate | None, ca_file: str, proxy: str | None = None) -> str:
    network = Network(ca_file=ca_file, proxy=proxy)
    deadline = Deadline(SystemClock(), 10)
    answer = exchange("POST", url, headers={}, body=b"", network=network, deadline=deadline, certificate=certificate)
    return answer.body.decode()


@pytest.mark.parametrize("form", FORMS)
def test_is_presented(form: str, leaf: trustme.LeafCert, demanding: ssl.SSLContext, ca_file: str) -> None:
    """In whatever form the secret holds it, a server that demands a certificate gets it, with its chain."""
    certificate = read_certificate(FORMS[form](leaf), "client-cert")
    with Rogue(who, tls=demanding) as server:
        assert present(server.url, certificate, ca_file) == CLIENT


def test_is_demanded(demanding: ssl.SSLContext, ca_file: str) -> None:
    """The server of these tests serves nobody without a certificate, and that is a failure like others."""
    with Rogue(who, tls=demanding) as server, pytest.raises(SourceFailed) as caught:
        present(server.url, None, ca_file)

    assert caught.value.code != "tls"
    assert server.requests == []


def test_of_strangers_is_refused(demanding: ssl.SSLContext, ca_file: str) -> None:
    """A certificate that the server does not trust proves nothing, and is no matter of our trust."""
    stranger = Certificate(trustme.CA().issue_cert(CLIENT).private_key_and_cert_chain_pem.bytes())
    with Rogue(who, tls=demanding) as server, pytest.raises(SourceFailed) as caught:
        present(server.url, stranger, ca_file)

    assert caught.value.code != "tls"
    assert server.requests == []


@pytest.mark.parametrize("fault", FAULTS)
def test_unusable_is_said(fault: str, leaf: trustme.LeafCert, other: trustme.LeafCert) -> None:
    """What is no certificate with its private key is named by its secret, with the forms that are, and not shown."""
    text = FAULTS[fault](leaf, other)
    with pytest.raises(SourceUnavailable) as caught:
        read_certificate(text, "client-cert")

    error = caught.value
    assert error.code == "certificate_unusable"
    assert error.message == "secret client-cert is not a certificate with its private key"
    assert "PEM" in str(error.hint)
    assert (error.__cause__, error.__context__) == (None, None)
    assert not text or text[:40] not in story(error)


@pytest.mark.parametrize("fault", ["key with a passphrase", "old key with a passphrase"])
def test_nobody_is_asked_for_a_passphrase(fault: str, leaf: trustme.LeafCert, tmp_path: Path) -> None:
    """OpenSSL would ask the terminal, and a worker would hang; ours neither asks nor waits."""
    secret = tmp_path / "secret"
    secret.write_text(FAULTS[fault](leaf, leaf))
    program = (
        "import sys; from airflow_ephemeral_secrets.sources.certificate import read_certificate\n"
        "try: read_certificate(open(sys.argv[1]).read(), 'x')\nexcept Exception as error: print(error.code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(secret)],
        stdin=subprocess.PIPE,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert (done.stdout.strip(), done.stderr) == ("certificate_unusable", "")


@pytest.fixture
def written_files(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """Watch which files with a name are opened to be written, by anyone in this process."""
    seen: set[str] = set()
    watching = True

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if watching and event == "open" and isinstance(arguments[0], (str, bytes)):
            path, _, flags = arguments
            if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                seen.add(os.fsdecode(path))
        if watching and event.startswith("tempfile."):
            seen.add(event)

    sys.addaudithook(hook)
    yield seen
    watching = False


def test_is_never_on_a_disk(
    leaf: trustme.LeafCert, demanding: ssl.SSLContext, ca_file: str, written_files: set[str]
) -> None:
    """Neither to read it nor to present it is any file written, in any folder."""
    texts = {form: make(leaf) for form, make in FORMS.items()}
    with tempfile.TemporaryFile(), Rogue(who, tls=demanding) as server:
        assert written_files, "the watch sees a temporary file"
        written_files.clear()
        for form, text in texts.items():
            assert present(server.url, read_certificate(text, form), ca_file) == CLIENT

    assert written_files == set()


def test_leaves_no_descriptor(leaf: trustme.LeafCert) -> None:
    """The memory that OpenSSL reads it from is given back, whether it was usable or not."""
    good, bad = FORMS["key first"](leaf), chain_of(leaf)
    read_certificate(good, "x")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        read_certificate(good, "x")
        with pytest.raises(SourceUnavailable):
            read_certificate(bad, "x")

    assert len(os.listdir("/proc/self/fd")) == before


def test_shows_nothing(leaf: trustme.LeafCert) -> None:
    """A certificate can be printed."""
    assert repr(read_certificate(FORMS["key first"](leaf), "x")) == "Certificate(...)"
    assert f"{[Certificate(b'secret')]}" == "[Certificate(...)]"


def test_requests_share_no_certificate(
    leaf: trustme.LeafCert, other: trustme.LeafCert, authority: trustme.CA, ca_file: str
) -> None:
    """Each request presents its own certificate, and one without presents none, in whatever order they come."""
    asking = serving(authority)
    authority.configure_trust(asking)
    asking.verify_mode = ssl.CERT_OPTIONAL

    def named(peer: Peer) -> None:
        assert isinstance(peer.connection, ssl.SSLSocket)
        if peer.connection.getpeercert():
            who(peer)
        else:
            peer.read()
            peer.send(response(b"nobody"))

    one, two = (read_certificate(FORMS["key first"](cert), "x") for cert in (leaf, other))
    with Rogue(named, tls=asking) as server:
        came = [present(server.url, certificate, ca_file) for certificate in (None, one, None, two, one, two, None)]

    assert came == ["nobody", CLIENT, "nobody", "other.test", CLIENT, "other.test", "nobody"]


def test_proxy_does_not_see_it(
    leaf: trustme.LeafCert, authority: trustme.CA, demanding: ssl.SSLContext, ca_file: str
) -> None:
    """A proxy that is reached by TLS and asks for certificates gets none: it is the provider's to see."""
    curious = serving(authority)
    authority.configure_trust(curious)
    curious.verify_mode = ssl.CERT_OPTIONAL
    presented: list[object] = []

    def look(peer: Peer) -> None:
        assert isinstance(peer.connection, ssl.SSLSocket)
        presented.append(peer.connection.getpeercert())
        peer.read()
        peer.send(response(status=502))

    certificate = read_certificate(FORMS["key first"](leaf), "x")
    with Rogue(look, tls=curious) as proxy, pytest.raises(SourceFailed):
        present("https://idp.test", certificate, ca_file, proxy.url)
    with Rogue(tunnel) as proxy, Rogue(who, tls=demanding) as server:
        assert present(server.url, certificate, ca_file, proxy.url) == CLIENT

    assert len(presented) == 1
    assert not presented[0]


def test_without_its_package_is_unavailable(leaf: trustme.LeafCert, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where PKCS #12 cannot be read for want of a package, the error says what to install."""
    text = FORMS["PKCS #12"](leaf)
    for name in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(SourceUnavailable) as caught:
        read_certificate(text, "client-cert")

    assert caught.value.code == "package_missing"


@given(st.one_of(st.binary(max_size=200).map(lambda raw: base64.b64encode(raw).decode()), st.text(max_size=100)))
@settings(max_examples=60)
def test_anything_else_is_unusable(text: str) -> None:
    """Whatever the secret holds, what is no certificate is an error of ours."""
    for prefix in ("", "-----BEGIN CERTIFICATE-----\n", "-----BEGIN PRIVATE KEY-----\n"):
        with pytest.raises(SourceUnavailable):
            read_certificate(prefix + text, "x")


@given(st.integers(0), st.binary(min_size=1, max_size=3))
@settings(max_examples=60)
def test_damaged_pkcs12_is_unusable_or_whole(leaf: trustme.LeafCert, at: int, garbage: bytes) -> None:
    """Damage anywhere in PKCS #12 is an error of ours, or does not matter."""
    whole = bytearray(pfx(leaf))
    at %= len(whole)
    whole[at : at + len(garbage)] = garbage
    with suppress(SourceUnavailable):
        assert read_certificate(base64.b64encode(bytes(whole)).decode(), "x").pem
