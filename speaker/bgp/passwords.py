"""The passwords of BGPPeers, as they were read last. Pure.

A password that was read stays in use until another one is read or the peer names another Secret: a Secret that is
deleted and made again, or that is not read yet after a new registration, tears no session down. A password is no
permission: to end a session, delete its BGPPeer.
"""

from collections.abc import Collection, Mapping

from crds.bgppeer import PasswordSecretRef

Secrets = Mapping[str, Mapping[str, bytes]]
"""The data of the Secrets in Berth's namespace, by name. Empty = it was looked for, and is not there; one that is
missing here has not been read yet."""


class Passwords:
    """Lives as long as the process, and is never written anywhere."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[PasswordSecretRef, str]] = {}

    def of(self, peer: str, ref: PasswordSecretRef, secrets: Secrets) -> str | None:
        """The one to use for that BGPPeer; None = none was ever read from there."""
        if password := _read(ref, secrets):
            self._known[peer] = ref, password
        known = self._known.get(peer)
        return known[1] if known is not None and known[0] == ref else None

    def forget_others(self, wanted: Collection[str]) -> None:
        """Only these BGPPeers want a password."""
        self._known = {peer: known for peer, known in self._known.items() if peer in wanted}


def is_missing(ref: PasswordSecretRef, secrets: Secrets) -> bool:
    """Whether the Secret was read and has no password that can be used, or is not there."""
    return ref.name in secrets and not _read(ref, secrets)


def _read(ref: PasswordSecretRef, secrets: Secrets) -> str | None:
    value = secrets.get(ref.name, {}).get(ref.key)
    try:
        return value.decode() if value is not None else None
    except UnicodeDecodeError:
        return None
