"""What the allocator reads of a ReleaseConfirmation: which releases one process of a node's speaker has confirmed.

Why a copy that a watch keeps will do is in allocator.release.barrier. The full type is crds.releaseconfirmation.
"""

import msgspec

from kube.decoding import decoder
from kube.objects import KubeObject


class ConfirmationStatus(msgspec.Struct, frozen=True, gc=False):
    """`status`; a map that is null says nothing."""

    incarnation: str = ""
    released: dict[str, int] | None = None


class Confirmation(KubeObject, frozen=True, kw_only=True, gc=False):
    """One ReleaseConfirmation; its name is its node's."""

    status: ConfirmationStatus | None = None

    def confirmed_by(self, incarnation: str) -> dict[str, int]:
        """What this process has confirmed: generations by the uid of the IPAllocation. What another process, or one
        that does not say which it is, has confirmed counts for nothing."""
        if self.status is None or not incarnation or self.status.incarnation != incarnation:
            return {}
        return self.status.released or {}


decode_confirmation = decoder(Confirmation)
