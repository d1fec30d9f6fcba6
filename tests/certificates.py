"""Certificates in files: self-signed ones, and those of a throw-away authority."""

import datetime
import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LIFETIME = datetime.timedelta(days=2)


def write(folder: Path, name: str) -> tuple[Path, Path]:
    """A new certificate for `name` and its key, as `certificate.pem` and `key.pem` in `folder`."""
    key = _new_key()
    return _files(folder, key, _signed(name, name, key, key, (_alternatives([name]), False)))


@dataclass(frozen=True)
class Authority:
    """A certificate authority nobody has heard of."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: _new_key())

    @property
    def name(self) -> str:
        """What its own certificate says."""
        return "An authority for tests"

    def write(self, file: Path) -> Path:
        """Its own certificate, for those who shall believe it."""
        usage = x509.KeyUsage(
            key_cert_sign=True,
            crl_sign=True,
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        extensions = (x509.BasicConstraints(ca=True, path_length=None), True), (usage, True)
        file.write_bytes(_signed(self.name, self.name, self.key, self.key, *extensions).public_bytes(serialization.Encoding.PEM))
        return file

    def issue(self, folder: Path, *names: str) -> tuple[Path, Path]:
        """A certificate for host names or addresses and its key, as `certificate.pem` and `key.pem` in `folder`."""
        key = _new_key()
        return _files(folder, key, _signed(names[0], self.name, key, self.key, (_alternatives(names), False)))


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternatives(names: Any) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([_general(name) for name in names])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _signed(subject: str, issuer: str, key: Any, signer: Any, *extensions: tuple[Any, bool]) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(_name(issuer), _name(subject), key.public_key(), x509.random_serial_number(), now, now + LIFETIME)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(signer, hashes.SHA256())


def _files(folder: Path, key: Any, certificate: x509.Certificate) -> tuple[Path, Path]:
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    kind = serialization.PrivateFormat.PKCS8
    files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption()))
    return files
