"""`python -m kube.process.io.selfsigned`: a new key and a certificate for it by itself, as PEM on its output.

A process of its own: the library takes 20 MB that no other part of a program needs.
"""

import datetime
import socket
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAYS = 3650
"""It lives as long as the process that asked for it."""

MOST_NAME = 64
"""RFC 5280: ub-common-name."""


def self_signed(host: str, now: datetime.datetime) -> bytes:
    """For the name `host`, from a day before `now` on, for clocks that differ."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:MOST_NAME] or "berth")])
    day = datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + DAYS * day)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host or "berth")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.PEM) + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


if __name__ == "__main__":
    sys.stdout.buffer.write(self_signed(socket.gethostname(), datetime.datetime.now(datetime.UTC)))
