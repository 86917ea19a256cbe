"""The user of a request: that of its bearer token, or the one whom this user impersonates.

What a token says is in access/tokens.py, and what a user may do in access/rbac.py. Client certificates are not known.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote

from aiohttp import hdrs, web

from lab.apiserver import status
from lab.apiserver.access.rbac import Attributes, Rbac
from lab.apiserver.access.tokens import Tokens, service_account_user
from lab.apiserver.call import ANONYMOUS, AUTHENTICATED, User

_USER = "Impersonate-User"
_GROUP = "Impersonate-Group"
_UID = "Impersonate-Uid"
_EXTRA = "impersonate-extra-"


class Authentication:
    """Finds the user of a request by its headers."""

    def __init__(self, tokens: Tokens, rbac: Rbac) -> None:
        self._tokens = tokens
        self._rbac = rbac

    def user_of(self, request: web.BaseRequest) -> User:
        """The user; anonymous without credentials.

        Raises StatusError: 401 for credentials that are not good, 403 for an impersonation that is not allowed.
        """
        credentials = request.headers.get(hdrs.AUTHORIZATION)
        if credentials is None:
            return ANONYMOUS
        scheme, _, token = credentials.partition(" ")
        user = self._tokens.user_of(token.strip()) if scheme.lower() == "bearer" else None
        if user is None:
            raise status.unauthorized()
        if _USER not in request.headers:
            return user
        return self._impersonated(user, request)

    def _impersonated(self, user: User, request: web.BaseRequest) -> User:
        """The user that `user` wants to be taken for; each part of it has to be allowed (verb `impersonate`)."""
        name = request.headers[_USER]
        given = request.headers.getall(_GROUP, [])
        is_account = name.startswith("system:serviceaccount:") and name.count(":") == 3
        for resource, subject in (
            ("serviceaccounts" if is_account else "users", name),
            *(("groups", g) for g in given),
        ):
            wanted = Attributes("impersonate", resource=resource, name=subject.rpartition(":")[2])
            self._rbac.require(user, wanted)
        extra = _extra(request)
        if is_account and not given:
            _, _, namespace, account = name.split(":")
            return service_account_user(namespace, account, extra=extra)
        groups = tuple(dict.fromkeys((*given, AUTHENTICATED)))
        return User(name, groups, request.headers.get(_UID, ""), extra)


def _extra(request: web.BaseRequest) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for key, value in _extra_headers(request):
        found[key] = (*found.get(key, ()), value)
    return found


def _extra_headers(request: web.BaseRequest) -> Iterator[tuple[str, str]]:
    for header, value in request.headers.items():
        if header.lower().startswith(_EXTRA):
            yield unquote(header[len(_EXTRA) :].lower()), value
