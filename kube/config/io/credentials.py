"""Where the API server is and who we are: kubeconfig or the pod's service account, renewed while we run.

Loads with the `kubernetes` package (tokens, client certificates, exec plugins, basic auth), and adds what it leaves
out: token files are read again (kubelet rotates projected tokens), exec tokens are renewed before they expire, and a
401 has everything read again. Sends nothing to the API server.
"""

import asyncio
import datetime
import hashlib
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml

from kube.config.io.library import ConfigException, Configuration, InClusterConfigLoader, load_kube_config
from kube.config.proxy import proxy_for

SERVICE_ACCOUNT_DIRECTORY = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_FILE_PERIOD_SECONDS = 60.0  # what client-go uses; kubelet rotates at 80% of a life of an hour or more
EXEC_TIMEOUT_SECONDS = 60.0  # a plugin may ask a slow identity provider; one that hangs is left to itself
RELOAD_PAUSE_SECONDS = 5.0  # a burst of 401s reads the files, or runs the plugin, once
EXEC_LIFE_FRACTION = 0.8  # of a token's life is used before the plugin is asked again


class CredentialsError(Exception):
    """The kubeconfig or service account can't be used; the message says why."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What one reading gave. `authorization` is the header's value; `renew_at` is monotonic, None = after a 401."""

    configuration: Configuration
    authorization: str | None
    token_file: Path | None
    renew_at: float | None
    transport: tuple[object, ...]


class Credentials:
    """`kubeconfig` None = in-cluster. `configuration` is for ApiClient; `authorization` goes with each request."""

    def __init__(self, kubeconfig: str | None, loaded: _Loaded, now: float, context: str | None = None) -> None:
        self._kubeconfig = kubeconfig
        self._context = context
        self._loaded = loaded
        self._read_at = now
        self._refused_at = -math.inf
        self._turn = asyncio.Lock()

    @classmethod
    async def load(cls, kubeconfig: str | None, now: float, context: str | None = None) -> Self:
        """`context`: of the kubeconfig; None = its current one. Raises CredentialsError."""
        return cls(kubeconfig, await _load(kubeconfig, now, context), now, context)

    @property
    def configuration(self) -> Configuration:
        """For ApiClient, as it was last read."""
        return self._loaded.configuration

    @property
    def authorization(self) -> str | None:
        """The value of the Authorization header; None when only a client certificate speaks for us."""
        return self._loaded.authorization

    @property
    def transport(self) -> tuple[object, ...]:
        """All that a TLS connection depends on: when it changes, connections must be made anew."""
        return self._loaded.transport

    def is_due(self, now: float) -> bool:
        """Whether `renew` should be called before the next request. Cheap: it is asked each time."""
        loaded = self._loaded
        if loaded.token_file is not None:
            return now - self._read_at >= TOKEN_FILE_PERIOD_SECONDS
        return loaded.renew_at is not None and now >= loaded.renew_at and now - self._read_at >= RELOAD_PAUSE_SECONDS

    async def renew(self, now: float) -> None:
        """Read everything again. When that fails the old credentials stay."""
        async with self._turn:
            if self.is_due(now):  # or somebody else did it while we waited for our turn
                await self._reload(now)

    async def renew_after_refusal(self, refused: str | None, now: float) -> bool:
        """Read everything again, because of a 401 or a certificate that was not accepted; whether to try once more.

        Not worth it when all was read again for the same reason a moment ago.
        """
        async with self._turn:
            if self.authorization != refused:
                return True
            if now - self._refused_at < RELOAD_PAUSE_SECONDS:
                return False
            self._refused_at = now
            await self._reload(now)
            return True

    async def _reload(self, now: float) -> None:
        self._read_at = now
        try:
            self._loaded = await _load(self._kubeconfig, now, self._context)
        except CredentialsError as error:
            import structlog  # takes as long as the rest of this package, and a command never needs it

            structlog.get_logger().warning("credentials could not be read again", error=str(error))


async def _load(kubeconfig: str | None, now: float, context: str | None) -> _Loaded:
    try:
        return _load_service_account() if kubeconfig is None else await _load_kubeconfig(kubeconfig, now, context)
    except (ConfigException, OSError, ValueError, LookupError, TypeError, AttributeError, yaml.YAMLError) as error:
        # The last few are what the library makes of a document that is YAML, but no kubeconfig.
        raise CredentialsError(f"{type(error).__name__}: {error}") from error


def _load_service_account() -> _Loaded:
    directory = Path(SERVICE_ACCOUNT_DIRECTORY)
    token_file = directory / "token"
    configuration = Configuration()
    InClusterConfigLoader(
        token_filename=str(token_file), cert_filename=str(directory / "ca.crt"), try_refresh_token=False
    ).load_and_set(configuration)
    return _loaded(configuration, _bearer(token_file), token_file, None)


async def _load_kubeconfig(kubeconfig: str, now: float, context: str | None) -> _Loaded:
    _refuse_unusable(kubeconfig)
    configuration = Configuration()
    async with asyncio.timeout(EXEC_TIMEOUT_SECONDS):
        loader = await load_kube_config(
            kubeconfig, context=context, client_configuration=configuration, persist_config=False
        )
    user, base = _user_of(kubeconfig, loader.current_context["context"].get("user"))
    authorization = configuration.api_key.get("BearerToken")
    if "exec" in user and authorization is None and configuration.cert_file is None:
        raise CredentialsError("the exec plugin of the kubeconfig gave neither a token nor a certificate")
    token_file = base / user["tokenFile"] if user.get("tokenFile") else None
    if token_file is not None:
        authorization = _bearer(token_file)
    expires = getattr(loader, "exec_plugin_expiry", None)
    renew_at = None if expires is None else now + EXEC_LIFE_FRACTION * _seconds_until(expires)
    return _loaded(configuration, authorization and authorization.strip(), token_file, renew_at)


def _refuse_unusable(kubeconfig: str) -> None:
    """The library goes on without a file that is missing, to a failure that names none; and of another it says what its
    parser said, in several lines."""
    for path in kubeconfig.split(os.pathsep):
        file = Path(path).expanduser()
        if not file.is_file():
            raise CredentialsError(f"there is no kubeconfig file {path}")
        try:
            document = yaml.safe_load(file.read_bytes())
        except OSError as error:
            raise CredentialsError(f"the kubeconfig {path} can't be read: {error.strerror}") from error
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f" in line {mark.line + 1}" if mark is not None else ""
            raise CredentialsError(f"the kubeconfig {path} is no YAML{where}") from error
        if not isinstance(document, dict):
            raise CredentialsError(f"the kubeconfig {path} is no kubeconfig: it has no fields")


def _user_of(kubeconfig: str, name: str | None) -> tuple[dict[str, Any], Path]:
    """The user entry and the folder its relative paths start from; the first file that has the name counts."""
    for path in kubeconfig.split(os.pathsep):
        file = Path(path).expanduser()
        document = yaml.safe_load(file.read_text()) or {}
        for entry in document.get("users") or []:
            if entry.get("name") == name:
                return entry.get("user") or {}, file.resolve().parent
    return {}, Path()


def _loaded(
    config: Configuration, authorization: str | None, token_file: Path | None, renew_at: float | None
) -> _Loaded:
    # OpenSSL's strict mode (on by default from Python 3.13) refuses CAs without an authority key identifier, which
    # older cluster tools made, and which every Go client accepts.
    config.disable_strict_ssl_verification = True
    if config.proxy is None:
        config.proxy = proxy_for(config.host, os.environ)
    # The contents, read now: files are replaced in place.
    digests = map(_digest, (config.ssl_ca_cert, config.cert_file, config.key_file))
    transport = (config.host, config.verify_ssl, config.tls_server_name, config.proxy, *digests)
    return _Loaded(config, authorization, token_file, renew_at, transport)


def _bearer(token_file: Path) -> str:
    token = token_file.read_text().strip()
    if not token:
        raise CredentialsError(f"the token file {token_file} is empty")
    return f"Bearer {token}"


def _digest(file: str | None) -> bytes | None:
    if file is None:
        return None
    try:
        return hashlib.sha256(Path(file).read_bytes()).digest()
    except OSError:
        return b"unreadable"


def _seconds_until(expires: datetime.datetime) -> float:
    return max(0.0, (expires - datetime.datetime.now(datetime.UTC)).total_seconds())
