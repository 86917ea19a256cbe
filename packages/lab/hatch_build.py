"""What a wheel of berth-lab holds: the lab's modules, which lie at the top of the repository, and Berth's chart.

An editable installation holds none of it: the repository itself is put on Python's path.
"""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CONTENTS = {"../../bench": "bench", "../../lab": "lab", "../../charts/berth": "lab/charts/berth"}


class LabBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """`version`: "standard" or "editable"."""
        if version == "standard":
            build_data["force_include"].update(CONTENTS)
