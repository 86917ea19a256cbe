"""A small interpreter of classic BPF, so that filters can be tested without a socket."""

from struct import iter_unpack

from speaker.wire.neighbours.filter import ARP_SNAP_BYTES, NDP_SNAP_BYTES, PING_SNAP_BYTES

TO_US, TO_ALL, TO_GROUP, TO_OTHERS = 0, 1, 2, 3


def passes(code: bytes, frame: bytes, *, packet_type: int = TO_ALL, vlan: int | None = None) -> bool:
    """Interpret classic BPF as far as the program uses it. A load beyond the frame ends it with 0, as in the kernel."""
    steps = list(iter_unpack("=HBBI", code))
    ancillary = {0xFFFFF004: packet_type, 0xFFFFF02C: vlan or 0, 0xFFFFF030: int(vlan is not None)}
    accumulator = place = 0
    while True:
        operation, if_true, if_false, operand = steps[place]
        place += 1
        match operation:
            case 0x20 | 0x28 | 0x30:
                size = {0x20: 4, 0x28: 2, 0x30: 1}[operation]
                if operand in ancillary:
                    accumulator = ancillary[operand]
                elif operand + size > len(frame):
                    return False
                else:
                    accumulator = int.from_bytes(frame[operand : operand + size], "big")
            case 0x05:
                place += operand
            case 0x15:
                place += if_true if accumulator == operand else if_false
            case 0x25:
                place += if_true if accumulator > operand else if_false
            case 0x35:
                place += if_true if accumulator >= operand else if_false
            case 0x45:
                place += if_true if accumulator & operand else if_false
            case 0x06:
                assert operand in (0, ARP_SNAP_BYTES, NDP_SNAP_BYTES, PING_SNAP_BYTES)
                return bool(operand)
            case _:
                raise AssertionError(f"instruction {operation:#x}")
