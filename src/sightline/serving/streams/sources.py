"""Where a stream's video comes from: an open file without a path, or an address that was checked.

A file below the operator's folder is opened name by name without following links, and only the descriptor goes on: the decoder
never learns a path, and nothing can be exchanged in between. An upload lies in a file without a name, gone with its descriptor.
"""

import os
import re
import stat
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from sightline.core.errors import InvalidInput, NotFound
from sightline.data.video.containers import CONTAINERS

URL_PROTOCOLS = {
    "rtsp": "rtsp,rtp,tcp",
    "rtsps": "rtsp,rtsps,rtp,tcp,tls",
    "http": "http,tcp",
    "https": "https,http,tls,tcp",
}
URL_FORMATS = f"{CONTAINERS},rtsp,rtp,sdp,mpjpeg"
MAX_URL_LENGTH = 2048
# What stands between "//" and the path, read alike by everyone. FFmpeg takes the host before a "[" that does not come first,
# Python the one within the brackets: the second would be checked, the first be asked.
PLACE = re.compile(r"(?P<user>[^\[\]\\]*@)?(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?\])(?::[0-9]+)?")


class VideoSource(msgspec.Struct, frozen=True, kw_only=True):
    """Attributes: name: for people, without secrets. descriptor: of the open file, -1 for an address. url: "" for a file."""

    name: str
    descriptor: int = -1
    url: str = ""

    @property
    def formats(self) -> str:
        """What FFmpeg may take it for."""
        return URL_FORMATS if self.url else CONTAINERS

    @property
    def protocols(self) -> str:
        """What FFmpeg may speak to reach it."""
        return URL_PROTOCOLS[urlsplit(self.url).scheme.lower()] if self.url else ""

    def close(self) -> None:
        """Close the file."""
        if self.descriptor >= 0:
            os.close(self.descriptor)


def open_file_source(folder: Path, name: str) -> VideoSource:
    """Open a file below `folder`. Blocking.

    Args:
        folder: the operator's.
        name: relative, with "/" between its parts.

    Raises: InvalidInput for a name that leads elsewhere; NotFound for what is not there, is no plain file, or is a link.
    """
    parts = name.split("/")
    if not name or "\0" in name or "\\" in name or any(part in ("", ".", "..") for part in parts):
        raise InvalidInput(f"expected the name of a file in the server's folder of videos, got {name[:200]!r}")
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
            os.close(directory)
            directory = inner
        # O_NONBLOCK: a pipe among the files must not hold the server.
        descriptor = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError as error:
        raise NotFound(f"there is no video {name[:200]!r} in the server's folder of videos") from error
    finally:
        os.close(directory)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotFound(f"there is no video {name[:200]!r} in the server's folder of videos")
    return VideoSource(name=name, descriptor=descriptor)


def parse_url(url: str) -> VideoSource:
    """Check the form of an address; where it may lead is the caller's rule.

    Returns: the source; its `url` is written anew from the parts that were read, so that nobody reads others in it.

    Raises: InvalidInput.
    """
    if len(url) > MAX_URL_LENGTH or not url.isprintable() or " " in url:
        raise InvalidInput(f"expected an address of at most {MAX_URL_LENGTH} printable characters, got {len(url)}")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidInput("expected an address such as rtsp://camera:554/stream, got one that cannot be read") from error
    if parts.scheme.lower() not in URL_PROTOCOLS or not host:
        raise InvalidInput(f"expected an address of {', '.join(URL_PROTOCOLS)} with a host, got {parts.scheme[:20]!r}")
    place = PLACE.fullmatch(parts.netloc)
    if place is None:
        raise InvalidInput(
            "expected a host such as camera.example:554 or [2001:db8::1]:554 in the address, got other characters in it; "
            "write names in ASCII (xn--...) and brackets of a password as %5B and %5D"
        )
    shown = f"{f'[{host}]' if ':' in host else host}{'' if port is None else f':{port}'}{parts.path}"
    query = f"?{parts.query}" if parts.query else ""
    # Names and passwords for the camera stay out of every answer, and so does the query, which may hold a token.
    return VideoSource(name=f"{parts.scheme}://{shown}", url=f"{parts.scheme}://{place['user'] or ''}{shown}{query}")
