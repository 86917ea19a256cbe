"""Sessions and packets with little to write."""

from speaker.wire.bfd.packets import Diagnostic, Packet, State, parse
from speaker.wire.bfd.session import Parameters, Session

SECOND = 1_000_000
OURS, THEIRS = 7, 9


def parameters(desired=300_000, required=300_000, multiplier=3, *, is_passive=False) -> Parameters:
    return Parameters(desired, required, multiplier, is_passive)


def packet(state=State.DOWN, *, yours=OURS, mine=THEIRS, poll=False, final=False, demand=False, **fields) -> Packet:
    """From the peer."""
    rest = {"multiplier": 3, "desired_min_tx": 300_000, "required_min_rx": 300_000, "diagnostic": 0} | fields
    return Packet(
        state=state,
        is_poll=poll,
        is_final=final,
        is_demand=demand,
        my_discriminator=mine,
        your_discriminator=yours,
        **rest,
    )


def sent(session: Session, now: float, chance: float = 1.0) -> list[Packet]:
    """All that it sends at that time."""
    packets = []
    while (datagram := session.due(now, chance)) is not None:
        made = parse(datagram)
        assert isinstance(made, Packet)
        packets.append(made)
        assert len(packets) < 5
    return packets


def session_that_is(state: State, asked: Parameters | None = None, now: float = 0.0) -> Session:
    """In that state, with all said that there was to say."""
    session = Session(OURS, asked or parameters(), now)
    heard = {State.DOWN: (), State.INIT: (State.DOWN,), State.UP: (State.DOWN, State.UP), State.ADMIN_DOWN: ()}
    for each in heard[state]:
        session.receive(packet(each, yours=OURS if each is State.UP else 0), now)
    if state is State.ADMIN_DOWN:
        session.disable(now)
    sent(session, now)
    assert session.state is state
    return session


def settled(asked: Parameters | None = None, now: float = 0.0) -> Session:
    """Up, and the peer has confirmed the timers."""
    session = session_that_is(State.UP, asked, now)
    session.receive(packet(State.UP, final=True), now)
    sent(session, now)
    return session


def until_sent(session: Session, now: float, chance: float = 1.0) -> tuple[float, Packet]:
    """When it sends its next packet after `now`, and which."""
    for _ in range(10):
        deadline = session.deadline()
        assert deadline is not None
        now = max(now, deadline)
        packets = sent(session, now, chance)
        if packets:
            return now, packets[0]
    raise AssertionError("it does not send")


__all__ = [
    "OURS",
    "SECOND",
    "THEIRS",
    "Diagnostic",
    "packet",
    "parameters",
    "sent",
    "session_that_is",
    "settled",
    "until_sent",
]
