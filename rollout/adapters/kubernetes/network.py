"""What the network is and does, in few words."""

from __future__ import annotations

import ipaddress
import os
import ssl

import aiohttp


def why(error: Exception) -> str:
    """What the network did, in as few words as the system has for it."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorError) and not isinstance(error, ssl.SSLError):
        cause = error.os_error
        if cause.errno is not None and cause.errno > 0:
            return os.strerror(cause.errno).lower()
        return (cause.strerror or str(cause)).lower()
    return str(error) or type(error).__name__


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
