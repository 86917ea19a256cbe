"""The real API server in the stand-in's place: what etcd and kube-apiserver need to start on the lab's hub.

Files and command lines only; starting and watching the processes is the caller's. The binaries come from the folder
that KUBEBUILDER_ASSETS names, as for controller tests elsewhere.
"""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import trustme

ASSETS_VARIABLE = "KUBEBUILDER_ASSETS"
SERVICE_RANGES = "10.96.0.0/16,fd00:10:96::/112"
ETCD_URL = "http://127.0.0.1:2379"
"""In the lab's own network namespace: any number of labs use the same port."""


@dataclass(frozen=True)
class RealApiServer:
    """Command lines, in the order to start them, and what a client needs."""

    etcd: list[str]
    apiserver: list[str]
    certificate_authority: Path
    admin_token: str


def assets() -> Path | None:
    """The folder with the binaries; None = the variable is not set. Raises FileNotFoundError when it misses one."""
    folder = os.environ.get(ASSETS_VARIABLE)
    if not folder:
        return None
    for binary in ("etcd", "kube-apiserver"):
        if not os.access(Path(folder, binary), os.X_OK):
            raise FileNotFoundError(f"{ASSETS_VARIABLE} is {folder}, which has no executable {binary}")
    return Path(folder)


def prepare(binaries: Path, directory: Path, address: str, port: int) -> RealApiServer:
    """Write certificates, the key for service account tokens and the administrator's token below `directory`."""
    directory.mkdir(mode=0o700, exist_ok=True)
    authority = trustme.CA()
    certificate = authority.issue_cert(address, "127.0.0.1", "localhost", "kubernetes.default.svc")
    authority.cert_pem.write_to_path(directory / "ca.crt")
    certificate.private_key_pem.write_to_path(directory / "server.key")
    certificate.cert_chain_pems[0].write_to_path(directory / "server.crt")
    token_key = authority.issue_cert("service-accounts.lab").private_key_pem
    token_key.write_to_path(directory / "service-accounts.key")
    token = secrets.token_urlsafe(24)
    tokens = directory / "tokens.csv"
    tokens.touch(mode=0o600)
    tokens.write_text(f'{token},admin,admin,"system:masters"\n')
    return RealApiServer(
        etcd=_etcd_command(binaries, directory),
        apiserver=_apiserver_command(binaries, directory, address, port),
        certificate_authority=directory / "ca.crt",
        admin_token=token,
    )


def _etcd_command(binaries: Path, directory: Path) -> list[str]:
    return [
        str(binaries / "etcd"),
        f"--data-dir={directory / 'etcd'}",
        f"--listen-client-urls={ETCD_URL}",
        f"--advertise-client-urls={ETCD_URL}",
        "--unsafe-no-fsync=true",  # a lab is thrown away; a power cut may take its data with it
    ]


def _apiserver_command(binaries: Path, directory: Path, address: str, port: int) -> list[str]:
    key = directory / "service-accounts.key"
    return [
        str(binaries / "kube-apiserver"),
        f"--etcd-servers={ETCD_URL}",
        f"--secure-port={port}",
        f"--advertise-address={address}",
        f"--cert-dir={directory}",
        f"--tls-cert-file={directory / 'server.crt'}",
        f"--tls-private-key-file={directory / 'server.key'}",
        f"--token-auth-file={directory / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        f"--service-cluster-ip-range={SERVICE_RANGES}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-signing-key-file={key}",
        f"--service-account-key-file={key}",
        "--disable-admission-plugins=ServiceAccount",  # no controller makes the default accounts that it looks for
        "--allow-privileged=true",
    ]
