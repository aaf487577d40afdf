"""HTTP/1.1 as bytes: a request's head read, an answer written. No sockets here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl

MOST_HEAD_BYTES = 64 * 1024


class BadRequest(Exception):
    """A request that is no HTTP we read; `status` is what to answer before closing."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True, slots=True)
class Head:
    """A request's head. Header names are in lower case; a repeated header keeps its last value."""

    method: str
    target: str
    version: str
    headers: Mapping[str, str] = field(repr=False)

    @classmethod
    def read(cls, raw: bytes) -> Head:
        """Return the head in these bytes, which end before the empty line.

        :raises BadRequest: if there is none
        """
        first, *lines = raw.decode("latin-1").split("\r\n")
        words = first.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            raise BadRequest(400, "the first line is no HTTP/1 request line")
        headers = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon or not name or name != name.strip():
                raise BadRequest(400, "a header line has no name")
            headers[name.lower()] = value.strip(" \t")
        return cls(method=words[0], target=words[1], version=words[2], headers=headers)

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def parameters(self) -> dict[str, str]:
        """The query, decoded; of a repeated name the last counts, as in PHP."""
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    @property
    def keep_alive(self) -> bool:
        """Whether the client wants the connection kept open."""
        wish = self.headers.get("connection", "").lower()
        return "close" not in wish if self.version == "HTTP/1.1" else "keep-alive" in wish

    def body_length(self, most: int) -> int:
        """Return how many bytes of body follow.

        :param most: the most bytes that are accepted
        :raises BadRequest: if that isn't told by a sound Content-Length, or is more than `most`
        """
        if "transfer-encoding" in self.headers:
            raise BadRequest(411, "this server wants a Content-Length")
        told = self.headers.get("content-length", "0")
        if not (told.isascii() and told.isdigit()):
            raise BadRequest(400, "Content-Length is no number")
        if len(told) > 18 or int(told) > most:
            raise BadRequest(413, f"the body is longer than {most} bytes")
        return int(told)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, whole: `head()` and `body` are what goes over the wire."""

    status: int
    body: bytes = field(repr=False)
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()

    def head(self, *, keep_alive: bool = True) -> bytes:
        """Return status line and headers, Content-Length always among them."""
        try:
            reason = HTTPStatus(self.status).phrase
        except ValueError:
            reason = "Unknown"
        lines = [
            f"HTTP/1.1 {self.status} {reason}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
            *(f"{name}: {value}" for name, value in self.headers),
            f"Connection: {'keep-alive' if keep_alive else 'close'}",
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def html(status: int, text: str) -> Answer:
    """Return what a web server says by itself, when wolkvox's own program never ran."""
    page = f"<html><head><title>{status}</title></head><body><h1>{status} {text}</h1></body></html>\n"
    return Answer(status, page.encode(), "text/html; charset=utf-8")
