"""Content credentials (C2PA): a signed statement in the file of what it was made from, and how.

Source: C2PA technical specification 2.2, 8 (ingredients), 13 (claims), 18.15 (actions).
"""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from a2cli import __version__
from a2cli.errors import ConfigError, DataError
from a2cli.files import show_name
from a2cli.images.read import open_file, open_header
from a2cli.images.xmp import SOURCE_TYPE

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.x509 import Certificate

HINT = "install it: pip install 'a2cli[c2pa]'"
FORM = "--sign CERT,KEY takes a certificate chain and its private key, two PEM files"
MAX_BYTES = 1 << 20  # of a PEM file
LEAST_RSA = 2048
SIGNED = ("PNG", "JPEG", "WEBP", "TIFF", "AVIF", "GIF")
# Nothing is asked of the network; no thumbnail shows again what an edit took away.
SETTINGS = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
}


@dataclass(frozen=True)
class Ingredient:
    """A picture an edit was made from: its name without folders, and its path or its bytes."""

    name: str
    content: str | bytes

    def open(self) -> AbstractContextManager[IO[bytes]]:
        """Its bytes as a file."""
        return io.BytesIO(self.content) if isinstance(self.content, bytes) else open_file(self.content)


@dataclass(frozen=True)
class Signer:
    """A certificate chain (PEM), its key (PKCS 8, PEM) and how that signs, in C2PA's words ("es256", ...)."""

    chain: bytes
    key: bytes
    algorithm: str

    def __repr__(self) -> str:
        return f"Signer({self.algorithm})"  # never the key

    def sign(self, data: bytes, format: str, name: str, source: Ingredient, reference: Ingredient) -> bytes:
        """The file `data` with content credentials: edited by a trained model, from `source`, with `reference` put in.

        format: Pillow's name. name: the file's own. A signature differs every time. Raises DataError for a format that
        holds no credentials, and for what the library refuses.
        """
        import c2pa

        check_format(format, name)
        context = c2pa.Context(c2pa.Settings.from_dict(SETTINGS))
        out = io.BytesIO()
        try:
            with c2pa.Builder.from_json(json.dumps(_get_manifest(name)), context) as builder:
                for ingredient, relationship in ((source, "parentOf"), (reference, "inputTo")):
                    with ingredient.open() as file:
                        described = {
                            "title": show_name(ingredient.name),
                            "relationship": relationship,
                            "label": relationship,
                        }
                        builder.add_ingredient(described, _get_mime(file, ingredient.name), file)
                info = c2pa.C2paSignerInfo(self.algorithm, self.chain, self.key, None)
                builder.sign(c2pa.Signer.from_info(info), _MIME[format], io.BytesIO(data), out)
        except c2pa.C2paError as error:
            raise DataError(
                f"{show_name(name)}: cannot be signed: {_shorten(error)}",
                hint="check the certificate and the key of --sign",
            ) from error
        return out.getvalue()


def check_format(format: str, name: str) -> None:
    """DataError for a format that holds no content credentials."""
    if format not in SIGNED:
        raise DataError(f"{show_name(name)}: a {format} holds no content credentials", hint="save it as PNG")


_MIME = {format: f"image/{format.lower()}" for format in (*SIGNED, "BMP")}


def load_signer(spec: str) -> Signer:
    """What `--sign CERT,KEY` names, checked: both readable, the key unlocked and the certificate's, still valid.

    Raises ConfigError without the extra or for another form, DataError for files that cannot sign.
    """
    try:
        import c2pa  # noqa: F401
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
    except ImportError:
        raise ConfigError("--sign needs c2pa-python", hint=HINT) from None
    certificate_path, key_path = _split(spec)
    chain, secret = _read(certificate_path), _read(key_path)
    shown, shown_key = show_name(str(certificate_path)), show_name(str(key_path))
    try:
        certificates = x509.load_pem_x509_certificates(chain)
    except ValueError:
        raise DataError(f"{shown}: holds no certificate", hint=FORM) from None
    try:
        key = serialization.load_pem_private_key(secret, password=None)
    except TypeError:
        raise DataError(f"{shown_key}: the key is locked with a password", hint="unlock a copy") from None
    except ValueError:
        raise DataError(f"{shown_key}: holds no private key", hint=FORM) from None
    algorithm = _choose_algorithm(key, shown_key)
    _check_certificate(certificates[0], key, shown, shown_key)
    form = serialization.PrivateFormat.PKCS8
    encoding, no_lock = serialization.Encoding.PEM, serialization.NoEncryption()
    clean = b"".join(certificate.public_bytes(encoding) for certificate in certificates)
    return Signer(clean, key.private_bytes(encoding, form, no_lock), algorithm)


def _split(spec: str) -> tuple[Path, Path]:
    """CERT,KEY at the comma that leaves two files, if one does; names may hold commas themselves."""
    parts = spec.split(",")
    pairs = [(",".join(parts[:i]), ",".join(parts[i:])) for i in range(1, len(parts))]
    if not pairs or not all(pairs[0]):
        raise ConfigError(f"--sign {show_name(spec)!r} does not name two files", hint=FORM)
    there = [sum(map(os.path.isfile, pair)) for pair in pairs]
    certificate, key = pairs[there.index(max(there))]
    return Path(certificate), Path(key)


def _read(path: Path) -> bytes:
    with open_file(path) as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise DataError(f"{show_name(str(path))}: too large for a PEM file", hint=FORM)
    return data


def _choose_algorithm(key: PrivateKeyTypes, shown: str) -> str:
    """How a key signs (C2PA 13.2.1); DataError for kinds the specification has no name for."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, ec.EllipticCurvePrivateKey):
        curves = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
        if key.curve.name in curves:
            return curves[key.curve.name]
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= LEAST_RSA:
        return "ps256"
    raise DataError(
        f"{shown}: content credentials are not signed with such a key",
        hint=f"P-256, P-384, P-521, Ed25519, or RSA of {LEAST_RSA} bits or more",
    )


def _check_certificate(certificate: Certificate, key: PrivateKeyTypes, shown: str, shown_key: str) -> None:
    if certificate.public_key() != key.public_key():
        raise DataError(
            f"{shown}: its first certificate is not of the key {shown_key}",
            hint="the signer's own certificate comes first, then those that vouch for it",
        )
    if certificate.issuer == certificate.subject:
        raise DataError(
            f"{shown}: the certificate is signed by itself",
            hint="content credentials need one that an authority signed, and that authority's behind it",
        )
    now = datetime.now(UTC)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        until = f"{certificate.not_valid_before_utc:%Y-%m-%d} to {certificate.not_valid_after_utc:%Y-%m-%d}"
        raise DataError(f"{shown}: valid from {until}, not today", hint="renew it")


def _get_manifest(name: str) -> dict[str, Any]:
    """The claim: a photo was opened, and edited by a model that was shown the reference."""
    generator = {"name": "a2", "version": __version__}
    actions = [
        {"action": "c2pa.opened", "parameters": {"ingredientIds": ["parentOf"]}},
        {
            "action": "c2pa.edited",
            "digitalSourceType": SOURCE_TYPE,
            "softwareAgent": generator,
            "parameters": {"ingredientIds": ["inputTo"]},
        },
    ]
    return {
        "claim_generator_info": [generator],
        "title": show_name(name),
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}, "created": True}],
    }


def _get_mime(file: IO[bytes], name: str) -> str:
    """The media type of a picture by its content; the place in the file is its start."""
    with open_header(file, name, max_pixels=sys.maxsize) as image:
        format = str(image.format)
    file.seek(0)
    return _MIME["JPEG" if format == "MPO" else format]


def _shorten(error: Exception) -> str:
    return show_name(" ".join(str(error).split()))[:200]
