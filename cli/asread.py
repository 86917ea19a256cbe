"""YAML as Kubernetes reads it. Pure.

PyYAML goes by YAML 1.1, in which 64512:7 is a number to the base of 60 and 2026-01-01 a date: a community and a version
would come out as something else.
"""

import re
from typing import Any

import yaml

_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_OTHER_WAYS = frozenset({_INT, _FLOAT, "tag:yaml.org,2002:timestamp"})
_NUMBER = "-+0123456789."


class _Loader(yaml.SafeLoader):
    """With other resolvers, below."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in forms if tag not in _OTHER_WAYS]
    for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_INT, re.compile(r"^[-+]?(?:0x[0-9a-fA-F]+|0|[1-9][0-9]*)$"), list(_NUMBER))
_Loader.add_implicit_resolver(
    _FLOAT, re.compile(r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$"), list(_NUMBER)
)


def documents(text: str) -> list[Any]:
    """All in it. Raises yaml.YAMLError, and ValueError also for what is nested too deeply to be read."""
    try:
        return list(yaml.load_all(text, Loader=_Loader))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
