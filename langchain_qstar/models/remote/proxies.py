"""Which proxy a request goes through, and whose certificates are believed.

The variables are those that `httpx` and with it the `openai` package read: HTTP_PROXY,
HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR. Where we depart: a server on
this machine is spoken to directly, a proxy that no request needs is not looked at, and NO_PROXY
may hold networks (`fe80::/10`), over which httpx stumbles.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from langchain_qstar.errors import MissingExtraError, SettingsError

try:
    import httpx
except ImportError as missing:
    raise MissingExtraError(missing.name or "httpx", "remote") from missing

_HERE: Final = "localhost"


def proxy_for(url: str) -> str | None:
    """The proxy on the way to `url`, None for none; its own password may be in it."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if _is_here(host) or _is_exempt(host):
        return None
    proxies = getproxies()
    if proxy_bypass(host):
        return None
    found = proxies.get(parts.scheme) or proxies.get("all")
    return found if not found or "://" in found else f"http://{found}"


def route(url: str) -> httpx.AsyncBaseTransport:
    """What carries requests to `url`.

    Raises:
        SettingsError: The proxy or the certificates that the environment names cannot be used.
    """
    proxy = proxy_for(url)
    encrypted = "https" in {urlsplit(url).scheme, urlsplit(proxy or "").scheme}
    trusted = _trusted() if encrypted else False
    # Semaphores of our own are the limit; a second one would let requests wait unseen.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
    if proxy is None:
        return httpx.AsyncHTTPTransport(verify=trusted, limits=limits)
    try:
        return httpx.AsyncHTTPTransport(verify=trusted, limits=limits, proxy=httpx.Proxy(proxy))
    except ImportError:
        raise SettingsError(
            f"{named(proxy)} is a SOCKS proxy, which needs: pip install 'httpx[socks]'; or "
            f"except {urlsplit(url).hostname} from it by NO_PROXY"
        ) from None
    except (ValueError, httpx.InvalidURL):
        raise SettingsError(f"{named(proxy)} is no proxy; write http://HOST:PORT") from None


def named(proxy: str) -> str:
    """A proxy as messages name it: where it is and what says so, without its password."""
    found = (name for name, value in os.environ.items() if _is_of(name, value, proxy))
    variable = next(found, "the system's settings")
    scheme, _, rest = proxy.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]} (of {variable})"


def _is_of(name: str, value: str, proxy: str) -> bool:
    return name.lower().endswith("_proxy") and value in {proxy, proxy.removeprefix("http://")}


def _is_here(host: str) -> bool:
    if host == _HERE or host.endswith(f".{_HERE}"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_exempt(host: str) -> bool:
    """Whether NO_PROXY holds a network that the host is in."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    for entry in (os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "").split(","):
        try:
            if address in ipaddress.ip_network(entry.strip().strip("[]"), strict=False):
                return True
        except (ValueError, TypeError):
            continue
    return False


def _trusted() -> ssl.SSLContext:
    try:
        return httpx.create_ssl_context()  # which reads the two variables
    except OSError as error:
        named = [each for each in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(each)]
        variable = next(iter(named), "SSL_CERT_FILE")
        raise SettingsError(
            f"{variable}={os.environ.get(variable)}: no certificates there "
            f"({error.strerror or error})"
        ) from error
