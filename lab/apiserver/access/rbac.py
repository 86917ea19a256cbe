"""Role-based access control: whether a user may do what a request asks.

Reads the four RBAC kinds from the store and keeps what it made of them until one changes. Members of system:masters may
do everything. It does not stop anybody from granting rights that they do not have themselves (escalation).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from lab.apiserver import status
from lab.apiserver.call import User
from lab.apiserver.selectors import labels_of_selector
from lab.apiserver.status import StatusError
from lab.apiserver.store import Key, Store

Json = dict[str, Any]
GROUP = "rbac.authorization.k8s.io"
CLUSTER_ROLES = f"clusterroles.{GROUP}"
ROLES = f"roles.{GROUP}"
CLUSTER_ROLE_BINDINGS = f"clusterrolebindings.{GROUP}"
ROLE_BINDINGS = f"rolebindings.{GROUP}"
REMEMBERED = 5_000  # pairs of user and namespace


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a user wants to do. For a path that is no resource, `path` is set and all but the verb is empty."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def full_resource(self) -> str:
        """With the subresource, as RBAC rules and refusals write it: `services/status`."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


class Rbac:
    """The roles and bindings in the store. What binds a user is kept until one of the four kinds changes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rules: dict[tuple[str, tuple[str, ...], str], list[Json]] = {}
        for table in (CLUSTER_ROLES, ROLES, CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS):
            store.table(table).listen(lambda _: self._rules.clear())

    def allows(self, user: User, wanted: Attributes) -> bool:
        """Whether a role that binds the user grants this, or the user is of system:masters."""
        if user.is_master:
            return True
        return any(_rule_allows(rule, wanted) for rule in self.rules_for(user, wanted.namespace))

    def require(self, user: User, wanted: Attributes) -> None:
        """Raises the 403 of kube-apiserver unless the user may do this."""
        if self.allows(user, wanted):
            return
        why = _refusal(user, wanted)
        if wanted.path:
            raise StatusError(403, "Forbidden", f"forbidden: {why}", {})
        raise status.forbidden(wanted.group, wanted.full_resource, wanted.name, why)

    def rules_for(self, user: User, namespace: str) -> list[Json]:
        """All rules that bind this user, cluster-wide and in one namespace."""
        question = (user.name, user.groups, namespace)
        rules = self._rules.get(question)
        if rules is None:
            if len(self._rules) > REMEMBERED:
                self._rules.clear()
            rules = self._rules[question] = list(self._find_rules(user, namespace))
        return rules

    def _find_rules(self, user: User, namespace: str) -> Iterator[Json]:
        for record in self._store.table(CLUSTER_ROLE_BINDINGS).records():
            binding = record.value()
            if _binds(binding, user, ""):
                yield from self._role_rules("", binding["roleRef"])
        if namespace:
            for record in self._store.table(ROLE_BINDINGS).records(namespace):
                binding = record.value()
                if _binds(binding, user, namespace):
                    yield from self._role_rules(namespace, binding["roleRef"])

    def _role_rules(self, namespace: str, reference: Json) -> Iterable[Json]:
        cluster = reference.get("kind") == "ClusterRole"
        table = self._store.table(CLUSTER_ROLES if cluster else ROLES)
        record = table.get(Key("" if cluster else namespace, reference["name"]))
        if record is None:
            return ()
        role = record.value()
        rules: list[Json] = list(role.get("rules") or ())
        for selector in (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ():
            matcher = labels_of_selector(selector)
            for other in table.records():
                if other is not record and matcher.matches(other.labels):
                    rules += other.value().get("rules") or ()
        return rules


def _refusal(user: User, wanted: Attributes) -> str:
    """The reason of a 403, in kube-apiserver's words."""
    if wanted.path:
        return f'User "{user.name}" cannot {wanted.verb} path "{wanted.path}"'
    where = f'in the namespace "{wanted.namespace}"' if wanted.namespace else "at the cluster scope"
    return (
        f'User "{user.name}" cannot {wanted.verb} resource "{wanted.full_resource}" '
        f'in API group "{wanted.group}" {where}'
    )


def _binds(binding: Json, user: User, namespace: str) -> bool:
    return any(_is_subject(subject, user, namespace) for subject in binding.get("subjects") or ())


def _is_subject(subject: Json, user: User, namespace: str) -> bool:
    match subject.get("kind"):
        case "User":
            return bool(subject["name"] == user.name)
        case "Group":
            return subject["name"] in user.groups
        case "ServiceAccount":
            where = subject.get("namespace") or namespace
            return user.name == f"system:serviceaccount:{where}:{subject['name']}"
        case _:
            return False


def _rule_allows(rule: Json, wanted: Attributes) -> bool:
    if not _has(rule.get("verbs"), wanted.verb):
        return False
    if wanted.path:
        return any(_path_matches(pattern, wanted.path) for pattern in rule.get("nonResourceURLs") or ())
    if not _has(rule.get("apiGroups"), wanted.group) or not _resource_matches(rule, wanted):
        return False
    names = rule.get("resourceNames")
    return not names or wanted.name in names


def _has(values: list[str] | None, value: str) -> bool:
    return bool(values) and (value in (values or ()) or "*" in (values or ()))


def _resource_matches(rule: Json, wanted: Attributes) -> bool:
    resources = rule.get("resources") or ()
    if "*" in resources or wanted.full_resource in resources:
        return True
    return bool(wanted.subresource) and f"*/{wanted.subresource}" in resources


def _path_matches(pattern: str, path: str) -> bool:
    if pattern.endswith("*"):
        return path.startswith(pattern[:-1])
    return pattern == path
