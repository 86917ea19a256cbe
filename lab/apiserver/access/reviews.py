"""Questions instead of objects: access reviews, token reviews, and `who am I`.

They are answered and not stored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lab.apiserver import status
from lab.apiserver.access.rbac import Attributes, Rbac
from lab.apiserver.access.tokens import ISSUER, Tokens
from lab.apiserver.call import Call, User

Json = dict[str, Any]


class Reviews:
    """Answers the kinds that are only created: the answer is the object with its `status`."""

    def __init__(self, rbac: Rbac, tokens: Tokens) -> None:
        self._rbac = rbac
        self._tokens = tokens
        self._answers: dict[str, Callable[[Call, Json], Json]] = {
            "selfsubjectaccessreviews": self._self_access,
            "subjectaccessreviews": self._access,
            "localsubjectaccessreviews": self._access,
            "selfsubjectrulesreviews": self._rules,
            "selfsubjectreviews": self._self,
            "tokenreviews": self._token,
        }

    def answer(self, call: Call) -> Json:
        """The review that the call sends, with its answer. Raises StatusError (400) for one about no user."""
        review = call.object()
        review.setdefault("spec", {})
        review["status"] = self._answers[call.resource.plural](call, review["spec"])
        if call.resource.plural == "selfsubjectreviews":
            review.pop("spec", None)
        return review

    def _self_access(self, call: Call, spec: Json) -> Json:
        return self._decide(call.user, spec)

    def _access(self, call: Call, spec: Json) -> Json:
        if not spec.get("user") and not spec.get("groups"):
            raise status.bad_request("at least one of user or group must be specified")
        extra = {key: tuple(values) for key, values in (spec.get("extra") or {}).items()}
        user = User(spec.get("user", ""), tuple(spec.get("groups") or ()), spec.get("uid", ""), extra)
        return self._decide(user, spec)

    def _decide(self, user: User, spec: Json) -> Json:
        wanted = spec.get("resourceAttributes") or {}
        other = spec.get("nonResourceAttributes") or {}
        attributes = Attributes(
            verb=(wanted or other).get("verb", ""),
            group=wanted.get("group", ""),
            resource=wanted.get("resource", ""),
            subresource=wanted.get("subresource", ""),
            namespace=wanted.get("namespace", ""),
            name=wanted.get("name", ""),
            path=other.get("path", ""),
        )
        return {"allowed": self._rbac.allows(user, attributes)}

    def _rules(self, call: Call, spec: Json) -> Json:
        rules = self._rbac.rules_for(call.user, spec.get("namespace", ""))
        if call.user.is_master:
            rules = [
                {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
                {"verbs": ["*"], "nonResourceURLs": ["*"]},
            ]
        resources = [rule for rule in rules if "nonResourceURLs" not in rule]
        others = [rule for rule in rules if "nonResourceURLs" in rule]
        return {"resourceRules": resources, "nonResourceRules": others, "incomplete": False}

    def _self(self, call: Call, spec: Json) -> Json:
        return {"userInfo": user_info(call.user)}

    def _token(self, call: Call, spec: Json) -> Json:
        token = spec.get("token", "")
        user = self._tokens.user_of(token)
        if user is None:
            return {"authenticated": False, "user": {}, "error": "[invalid bearer token, token lookup failed]"}
        audiences = (self._tokens.claims(token) or {}).get("aud", [ISSUER])
        wanted = spec.get("audiences") or audiences
        shared = [audience for audience in wanted if audience in audiences]
        if not shared:
            return {"authenticated": False, "user": {}, "error": "token audiences do not match"}
        return {"authenticated": True, "user": user_info(user), "audiences": shared}


def user_info(user: User) -> Json:
    """A UserInfo, without what is empty."""
    info: Json = {"username": user.name, "uid": user.uid, "groups": list(user.groups)}
    info["extra"] = {key: list(values) for key, values in user.extra.items()}
    return {key: value for key, value in info.items() if value}
