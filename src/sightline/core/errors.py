"""Every error Sightline raises on purpose, under five heads; the message says what was expected, what came, what to do.

Engine code raises these and knows nothing of HTTP or exit codes; `HTTP_STATUS` and `EXIT_CODE` are read at the border only.
A message names a parameter of a verb in backticks, which the command line turns into the option that sets it.

    SightlineError
    ├── InvalidInput          the caller's data or arguments are wrong              422
    │   ├── UnreadableImage       bytes that are not a picture we can decode
    │   ├── ImageTooLarge         more pixels than the limit, found before decoding
    │   ├── UnreadableVideo       a file that is not a video we can decode
    │   ├── UnreadableDataset     labels that do not follow their format
    │   ├── CorruptFile           bytes that do not match their recorded hash
    │   ├── AccessDenied          server and client do not trust each other: a key, a certificate
    │   └── UnknownHost           a name that leads to no address, perhaps for now
    ├── NotFound              a name, file or id that is not there                  404
    ├── Conflict              it is there, but its state forbids this               409
    │   ├── LossyExport           the format cannot carry what the data holds
    │   └── GateFailed            no compiled candidate kept its accuracy
    ├── Unsupported           this build or device cannot do that                   501
    │   └── MissingPackage        an optional package is not installed
    └── Exhausted             a limit of time, memory or queue was reached          503
        ├── QueueFull             a model's queue has no room; says when to come again
        ├── QueueTimeout          a request's time was up before its turn came
        └── Unreachable           nobody is there to ask
"""


class SightlineError(Exception):
    """Base of all errors raised on purpose; `str(error)` is one line fit for a user."""


class InvalidInput(SightlineError):  # noqa: N818 - the five heads read as nouns everywhere: Python, HTTP, CLI, docs
    """The caller's data or arguments are wrong."""


class UnreadableImage(InvalidInput):
    """Bytes that are not a picture we can decode."""


class ImageTooLarge(InvalidInput):
    """A picture with more pixels than the limit; found in its header, before decoding."""


class UnreadableVideo(InvalidInput):
    """A file that is not a video we can decode."""


class UnreadableDataset(InvalidInput):
    """Labels that do not follow the format they claim."""


class CorruptFile(InvalidInput):
    """A file whose hash is not the recorded one."""


class AccessDenied(InvalidInput):
    """A server refuses its client, or has a certificate that the client does not trust; raised by clients."""


class UnknownHost(InvalidInput):
    """A host name that has no address, perhaps only for a moment."""


class NotFound(SightlineError):  # noqa: N818
    """A name, file or id that is not there."""


class Conflict(SightlineError):  # noqa: N818
    """The thing is there, but its present state forbids this."""


class LossyExport(Conflict):
    """The format cannot carry what the data holds, and the loss was not allowed."""


class GateFailed(Conflict):
    """No compiled candidate of the wanted precision kept its accuracy."""


class Unsupported(SightlineError):  # noqa: N818
    """This build or device cannot do that."""


class MissingPackage(Unsupported):
    """An optional package is not installed; the message names the extra to install."""


class Exhausted(SightlineError):  # noqa: N818
    """A limit of time, memory or queue length was reached; `retry_after_s` says when to try again, or None.

    Args:
        message: one line fit for a user.
        retry_after_s: seconds after which another try may succeed; None: unknown.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class QueueFull(Exhausted):
    """A model's queue has no room for one more request; `retry_after_s` estimates when it will have.

    Args:
        message: one line fit for a user.
        retry_after_s: seconds until what waits now will have been answered.
    """

    def __init__(self, message: str, retry_after_s: float | None = 1.0) -> None:
        super().__init__(message, retry_after_s)


class QueueTimeout(Exhausted):
    """A request whose time was up before its turn came."""


class Unreachable(Exhausted):
    """No server is there: nothing accepts connections at the address, or its name has none; raised by clients."""


# Read by the border only (`cli`, `serving`): the first matching class wins.
HTTP_STATUS: dict[type[SightlineError], int] = {
    InvalidInput: 422,
    NotFound: 404,
    Conflict: 409,
    Unsupported: 501,
    Exhausted: 503,
}
EXIT_CODE: dict[type[SightlineError], int] = {
    InvalidInput: 2,
    NotFound: 3,
    Conflict: 4,
    Unsupported: 5,
    Exhausted: 6,
}


def find_by_head(table: dict[type[SightlineError], int], error: SightlineError) -> int:
    """Return the number that `table` gives to the head `error` stands under."""
    for head, number in table.items():
        if isinstance(error, head):
            return number
    raise KeyError(f"{type(error).__name__} stands under none of the five heads of core/errors.py")


def find_public_type(error: SightlineError) -> str:
    """Name of the nearest class of this module, by which another process can raise the error again."""
    names: list[str] = [kind.__name__ for kind in type(error).__mro__ if globals().get(kind.__name__) is kind]
    return names[0]


def make_public(kind: str, message: str) -> SightlineError:
    """The error of another process. Args: kind: what `find_public_type` said there; message: its text."""
    named: type[SightlineError] = globals().get(kind, SightlineError)
    return named(message)
