"""Requests that offer another protocol (`Upgrade: h2c`, as clients in Java do by default) are served in this one.

A server may pass such an offer over (RFC 9110, 7.8). httptools cannot: behind a head that makes one it reads no body,
and the request would be taken for an empty one.
"""

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class PlainParser(httptools.HttpRequestParser):
    """Tells `protocol` of each such request once more, as if it had made no offer."""

    def __init__(self, protocol: HttpToolsProtocol) -> None:
        super().__init__(protocol)
        # As uvicorn has it: what comes behind a last request is passed over.
        self.set_dangerous_leniencies(lenient_data_after_close=True)
        self._protocol = protocol

    def feed_data(self, data: bytes) -> None:  # type: ignore[override] # nobody feeds it anything else
        """Reads on. Raises httptools.HttpParserError, or HttpParserUpgrade behind a CONNECT."""
        while True:
            try:
                super().feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                if not has_offer(self):
                    raise
                data = self._head() + data[offer.args[0] :]
            else:
                return

    def _head(self) -> bytes:
        version = self.get_http_version().encode()
        lines = [self.get_method() + b" " + self._protocol.url + b" HTTP/" + version]
        lines += [name + b": " + value for name, value in self._protocol.headers if name != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])


def has_offer(parser: httptools.HttpRequestParser) -> bool:
    """Whether the head that just ended makes an offer; then it comes again. CONNECT makes none: it is an order."""
    return parser.should_upgrade() and parser.get_method() != b"CONNECT"
