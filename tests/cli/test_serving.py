"""Where `gptwright serve` listens."""

from __future__ import annotations

import socket

import pytest

from gptwright.cli.serving import _in_url, _listen
from gptwright.errors import InputError


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "::1", "::"])
def test_a_host_of_either_protocol_is_listened_on(host: str) -> None:
    if ":" in host and not socket.has_dualstack_ipv6():
        pytest.skip("needs IPv6")
    with _listen(host, 0) as listening:
        port = listening.getsockname()[1]
        reached = {"0.0.0.0": ["127.0.0.1"], "::": ["127.0.0.1", "::1"]}.get(host, [host])
        for address in reached:
            socket.create_connection((address, port), timeout=10).close()
        with pytest.raises(InputError, match=r"cannot listen on \S+:\d+ \(Address"):
            _listen(host, port)


def test_an_address_stands_in_brackets_where_it_has_colons() -> None:
    assert [_in_url(host) for host in ("::1", "127.0.0.1", "here")] == ["[::1]", "127.0.0.1", "here"]
    with pytest.raises(
        InputError, match=r"cannot listen on nowhere\.invalid:8000 \(.+\): give another --port or --host"
    ):
        _listen("nowhere.invalid", 8000)
