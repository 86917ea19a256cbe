"""To wait for an event or for a time, whichever comes first."""

import asyncio


async def wait_or_wake(event: asyncio.Event, seconds: float) -> None:
    """Until the event is set, which is done here after so many seconds. Whoever waits clears it."""
    timer = asyncio.get_running_loop().call_later(seconds, event.set)
    try:
        await event.wait()
    finally:
        timer.cancel()
