"""How speakers rank among each other as owners of addresses, by what each says of itself. Pure."""

from speaker.wire.messages import Member


def tier(*, is_leaving: bool, is_behind: bool, is_member: bool) -> int:
    """Owners come from the best tier that has a candidate; 0 is the best.

    The order, worst first: a node that leaves; a node that is cut off from the API server while others are not, since
    its knowledge grows old; a node that came back lately and waits for its turn (speaker.members.membership).
    """
    return 4 * is_leaving + 2 * is_behind + (not is_member)


def tier_of(member: Member) -> int:
    """That of a speaker that is heard."""
    return tier(is_leaving=member.is_leaving, is_behind=member.is_behind, is_member=member.is_member)
