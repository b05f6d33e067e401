"""A certificate authority for tests: a root, and signers it vouches for, as PEM files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PEM = serialization.Encoding.PEM
Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


def make_key(kind: str = "p256") -> Key:
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(
        {"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "k1": ec.SECP256K1()}[kind]
    )


def make_certificate(
    key: Key, name: str, issuer: str, issuer_key: Key, *, days: int = 30
) -> x509.Certificate:
    """A certificate as C2PA wants them: of a root where both names are one, else of a signer."""
    now = datetime.now(UTC)
    root = name == issuer
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
    ) | {"encipher_only": False, "decipher_only": False}
    usage |= {"digital_signature": not root, "key_cert_sign": root, "crl_sign": root}
    builder = (
        x509.CertificateBuilder()
        .subject_name(_get_name(name))
        .issuer_name(_get_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=root, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
    )
    if not root:
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(purpose, critical=False)
    digest = None if isinstance(issuer_key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(issuer_key, digest)


def _get_name(name: str) -> x509.Name:
    attributes = ((NameOID.ORGANIZATION_NAME, "a2 tests"), (NameOID.COMMON_NAME, name))
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in attributes])


def dump_key(key: Key, password: bytes | None = None) -> bytes:
    lock = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(PEM, form, lock)


@dataclass(frozen=True)
class Authority:
    """A folder with root.pem; `issue` writes NAME.pem, a chain, and NAME.key."""

    folder: Path
    key: Key
    root: bytes

    @classmethod
    def found(cls, folder: Path) -> Authority:
        key = make_key()
        root = make_certificate(key, "root", "root", key).public_bytes(PEM)
        return cls(folder, key, root)

    def issue(self, name: str, kind: str = "p256", *, days: int = 30) -> str:
        """What --sign takes for a new signer."""
        key = make_key(kind)
        own = make_certificate(key, name, "root", self.key, days=days).public_bytes(PEM)
        chain, secret = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        chain.write_bytes(own + self.root)
        secret.write_bytes(dump_key(key))
        return f"{chain},{secret}"
