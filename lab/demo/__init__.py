"""The demo: Berth's main job end to end, on real packets and real processes, told as it happens."""
