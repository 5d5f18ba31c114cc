"""Find the proxy of a host by the rules of Go's httpproxy package."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.settings import urls
from nemo_jobs_cli.settings.model import Proxy

if TYPE_CHECKING:
    from collections.abc import Mapping


def proxy_for(url: str, environ: Mapping[str, str]) -> Proxy | None:
    """Return the proxy for a base URL, or None.

    Under CGI, HTTP_PROXY is ignored, because a request header could set it (httpoxy).
    """
    origin = urls.origin_of(url)
    names = [f"{origin.scheme}_proxy", f"{origin.scheme}_proxy".upper(), "all_proxy", "ALL_PROXY"]
    if "REQUEST_METHOD" in environ and "HTTP_PROXY" in names:
        names.remove("HTTP_PROXY")
    variable = _first_set(names, environ)
    if variable is None or urls.is_loopback(url):
        return None
    exempt = environ.get(_first_set(["no_proxy", "NO_PROXY"], environ) or "", "")
    host = urls.to_ascii(origin.host).strip("[]").rstrip(".")
    if any(_matches(entry, host, origin.port) for entry in re.split(r"[\s,]+", exempt.lower())):
        return None
    proxy = environ[variable].strip()
    return Proxy(proxy if "://" in proxy else f"http://{proxy}", variable)


def _first_set(names: list[str], environ: Mapping[str, str]) -> str | None:
    """Return the first variable that is not empty or blank, or None."""
    return next((name for name in names if environ.get(name, "").strip()), None)


def _matches(entry: str, host: str, port: int) -> bool:
    """Return whether an entry of NO_PROXY exempts a host."""
    if entry == "*":
        return True
    address = _address(host)
    if "/" in entry:
        return address is not None and _contains(entry, address)
    with_port = re.fullmatch(r"(\[.*\]|[^:]*):([0-9]{1,5})", entry)
    name = (with_port[1] if with_port else entry).strip("[]")
    if not name or (with_port and int(with_port[2]) != port):
        return False
    if address is not None:
        return bool(_address(name) == address)
    bare = urls.to_ascii(name.lstrip("*.").rstrip("."))
    return host.endswith(f".{bare}") or (host == bare and name[0] not in "*.")


def _address(text: str) -> Any:
    """Return an IP address (IPv4 also for `::ffff:10.1.2.3`), None for a name."""
    import ipaddress

    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _contains(network: str, address: Any) -> bool:
    import ipaddress

    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
