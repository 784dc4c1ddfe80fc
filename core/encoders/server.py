"""Which server a command may speak to, and with which key.

An index may come from anywhere, and it names its server: a query, and the key with it, goes to none but OpenAI's own and
those that the user has named, by --base-url (remembered in the user's cache) or in the environment.
"""

from __future__ import annotations

import ipaddress
import os
import re
from urllib.parse import urlsplit

from core.cache import cache_folder, keep
from core.canonical import digest
from core.errors import MissingError, UsageError, shell

OPENAI = "https://api.openai.com/v1"
KEYS = ("SAMESPACE_API_KEY", "OPENAI_API_KEY")  # the first one that is set
_named: set[str] = set()  # in this process: the cache may not be writable


def default_url() -> str:
    """The base URL where none is named: OPENAI_BASE_URL, else OpenAI's own. Raises UsageError."""
    return check_url(os.environ.get("OPENAI_BASE_URL") or OPENAI)


def check_url(url: str) -> str:
    """`url` as it is recorded. Raises UsageError for one that is no http address or holds what is not to be recorded; what
    it holds is not repeated."""
    fix = "give scheme, host and path only: --base-url https://host/v1; a key goes into the environment"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError("this base URL is no address", fix=fix) from error
    if "@" in parts.netloc or parts.query or parts.fragment or "?" in url or "#" in url:
        raise UsageError("a base URL with a user, a password, a query or a fragment is not taken", fix=fix)
    plain = re.fullmatch(r"[A-Za-z0-9._\-:\[\]]+", parts.netloc) and re.fullmatch(r"[!-~]+", url) and "\\" not in url
    if parts.scheme not in ("http", "https") or not host or not plain:
        raise UsageError("this base URL is no http address", fix=fix)
    return url.rstrip("/")


def name_server(url: str) -> str:
    """`url`, named by the user: from now on this machine may speak to it. Raises what check_url does."""
    url = check_url(url)
    _named.add(url)
    keep(cache_folder() / "servers" / digest(url)[:32], [f"{url}\n".encode()])
    return url


def _is_named(url: str) -> bool:
    if url in _named or url in (OPENAI, (os.environ.get("OPENAI_BASE_URL") or "").rstrip("/")):
        return True
    try:
        return (cache_folder() / "servers" / digest(url)[:32]).read_bytes() == f"{url}\n".encode()
    except OSError:
        return False


def admit(url: str) -> str | None:
    """The key to send to `url`; None where there is none. Raises UsageError for a server that the user never named, or to
    which a key would go in clear text, MissingError where the server takes no request without one."""
    if not _is_named(url):
        raise UsageError(
            "the index names a server that was not named on this machine yet, so neither a text nor a key goes there",
            path=url,
            fix=f"if you trust it, name it once: --base-url {shell(url)}",
        )
    name, key = next(((name, os.environ[name].strip()) for name in KEYS if os.environ.get(name, "").strip()), ("", ""))
    if not key:
        if url == OPENAI:
            raise MissingError("OpenAI's server takes no request without a key", fix="export OPENAI_API_KEY=…")
        return None
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UsageError(f"{name} holds characters that no key has", fix=f"export {name}=… without line breaks")
    parts = urlsplit(url)
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise UsageError(
            f"{name} would go to this server in clear text, for its address begins with http://",
            path=url,
            fix=f"use https://, or where the server needs no key: env -u {name} samespace …",
        )
    return key


def is_ready() -> bool:
    """Whether a model of `default_url` may be asked, as far as the environment says."""
    return any(os.environ.get(name, "").strip() for name in (*KEYS, "OPENAI_BASE_URL"))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
