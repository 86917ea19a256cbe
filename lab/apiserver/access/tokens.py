"""The user of a bearer token: of the admin's, and of those that TokenRequest issues to ServiceAccounts.

Tokens of ServiceAccounts are JWTs signed with a key of this server, bound to the ServiceAccount's uid and, if asked,
to a pod or node (KEP-1205, KEP-4193). What the user may do is in rbac.py.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import msgspec

from lab.apiserver import fielderrors, status
from lab.apiserver.call import AUTHENTICATED, MASTERS, Call, User
from lab.apiserver.store import Key, Store

Json = dict[str, Any]

ISSUER = "https://kubernetes.default.svc.cluster.local"
DEFAULT_SECONDS = 3600
MINIMUM_SECONDS = 600
NODE_NAME = "authentication.kubernetes.io/node-name"
NODE_UID = "authentication.kubernetes.io/node-uid"
POD_NAME = "authentication.kubernetes.io/pod-name"
POD_UID = "authentication.kubernetes.io/pod-uid"
CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"


def service_account_user(
    namespace: str, name: str, uid: str = "", extra: dict[str, tuple[str, ...]] | None = None
) -> User:
    """A ServiceAccount as a user: its name and the groups that every account is in."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
    return User(f"system:serviceaccount:{namespace}:{name}", groups, uid, extra or {})


class Tokens:
    """Issues tokens, and finds the user of one. `signing_key` signs those of ServiceAccounts."""

    def __init__(self, store: Store, admin_token: str, signing_key: bytes) -> None:
        self._store = store
        self._key = signing_key
        self._fixed = {admin_token: User("kubernetes-admin", (MASTERS, AUTHENTICATED))}
        self._verified: dict[str, Json] = {}  # signature checked; what it is bound to is looked up each time

    def add(self, token: str, user: User) -> None:
        """A token of fixed meaning, for tests and for people."""
        self._fixed[token] = user

    def user_of(self, token: str) -> User | None:
        """The user of a token.

        None if the token is unknown, expired, not ours, or bound to an account, pod or node that is gone.
        """
        return self._fixed.get(token) or self._service_account(token)

    def claims(self, token: str) -> Json | None:
        """The claims of a token of ours whose signature and time are good."""
        claims = self._verified.get(token)
        if claims is None:
            claims = self._verify(token)
            if claims is None:
                return None
            self._verified[token] = claims
        return claims if claims["exp"] > time.time() else None

    def _service_account(self, token: str) -> User | None:
        claims = self.claims(token)
        if claims is None:
            return None
        bound: Json = claims["kubernetes.io"]
        namespace, account = bound["namespace"], bound["serviceaccount"]
        extra: dict[str, tuple[str, ...]] = {CREDENTIAL_ID: (f"JTI={claims['jti']}",)}
        if not self._exists("serviceaccounts", namespace, account):
            return None
        if pod := bound.get("pod"):
            if not self._exists("pods", namespace, pod):
                return None
            extra |= {POD_NAME: (pod["name"],), POD_UID: (pod["uid"],)}
        if node := bound.get("node"):
            if not pod and not self._exists("nodes", "", node):
                return None
            extra |= {NODE_NAME: (node["name"],), NODE_UID: (node.get("uid", ""),)}
        return service_account_user(namespace, account["name"], account["uid"], extra)

    def _exists(self, plural: str, namespace: str, reference: Json) -> bool:
        record = self._store.table(plural).get(Key(namespace, reference["name"]))
        return record is not None and record.uid == reference["uid"]

    def issue(self, call: Call) -> Json:
        """TokenRequest: POST .../serviceaccounts/NAME/token."""
        request = call.object()
        account = self._store.table("serviceaccounts").get(Key(call.namespace, call.name))
        if account is None:
            raise status.not_found("", "serviceaccounts", call.name)
        spec: Json = request.setdefault("spec", {})
        spec.setdefault("audiences", [ISSUER])
        seconds = spec.setdefault("expirationSeconds", DEFAULT_SECONDS)
        if seconds < MINIMUM_SECONDS:
            wrong = fielderrors.invalid(
                "spec.expirationSeconds", seconds, "may not specify a duration less than 10 minutes"
            )
            raise status.invalid("authentication.k8s.io", "TokenRequest", "", [wrong])
        spec.setdefault("boundObjectRef", None)
        now = int(time.time())
        claims = {
            "aud": spec["audiences"],
            "exp": now + seconds,
            "iat": now,
            "iss": ISSUER,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": {
                "namespace": call.namespace,
                "serviceaccount": {"name": call.name, "uid": account.uid},
                **self._bound_to(call, spec["boundObjectRef"]),
            },
            "nbf": now,
            "sub": f"system:serviceaccount:{call.namespace}:{call.name}",
        }
        expiry = datetime.fromtimestamp(now + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        request["metadata"] = {
            "name": call.name,
            "namespace": call.namespace,
            "creationTimestamp": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        request["status"] = {"token": self._sign(claims), "expirationTimestamp": expiry}
        return request

    def _bound_to(self, call: Call, reference: Json | None) -> Json:
        """The claims for the object that the token shall not outlive; a pod brings its node."""
        if not reference:
            return {}
        plural = {"Pod": "pods", "Node": "nodes", "Secret": "secrets"}.get(reference.get("kind", ""))
        if plural is None:
            raise status.bad_request(f"cannot bind token for serviceaccount {call.name!r} to {reference.get('kind')!r}")
        namespace = "" if plural == "nodes" else call.namespace
        record = self._store.table(plural).get(Key(namespace, reference.get("name", "")))
        if record is None:
            raise status.not_found("", plural, reference.get("name", ""))
        if reference.get("uid") not in (None, "", record.uid):
            why = f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record"
            raise status.conflict("", plural, reference["name"], why)
        claims: Json = {plural.removesuffix("s"): {"name": record.key.name, "uid": record.uid}}
        node_name = record.value().get("spec", {}).get("nodeName") if plural == "pods" else None
        if node_name:
            node = self._store.table("nodes").get(Key("", node_name))
            claims["node"] = {"name": node_name} | ({"uid": node.uid} if node else {})
        return claims

    def _sign(self, claims: Json) -> str:
        head = {"alg": "HS256", "typ": "JWT"}
        body = ".".join(_unpadded(msgspec.json.encode(part)) for part in (head, claims))
        return f"{body}.{_unpadded(self._mac(body))}"

    def _verify(self, token: str) -> Json | None:
        body, dot, signature = token.rpartition(".")
        if not dot or not hmac.compare_digest(_unpadded(self._mac(body)), signature):
            return None
        try:
            payload = body.partition(".")[2]
            claims: Json = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        except (binascii.Error, msgspec.DecodeError):
            return None
        return claims

    def _mac(self, body: str) -> bytes:
        return hmac.digest(self._key, body.encode(), hashlib.sha256)


def _unpadded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
