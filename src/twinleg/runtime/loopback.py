"""Whether an address is this machine's own, by what it says and not by what it resolves to."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

LOOPBACK = "127.0.0.0/8, ::1 or localhost"


def on_this_machine(url: str) -> bool:
    """Only 127.0.0.0/8, ::1 and localhost: another name that leads here today may lead elsewhere tomorrow."""
    try:
        host = urlsplit(url).hostname or ""
        if host == "localhost":
            return True
        address = ip_address(host)
    except ValueError:
        return False
    mapped = address.version == 6 and address.ipv4_mapped is not None  # newer Pythons take these for loopback, too
    return address.is_loopback and not mapped
