"""Clients made before a fork: the child gets connections of its own, or both processes would read each other's answers.

It gets them right after the fork, while it has one thread: later ones need no check and no lock.
"""

import os
import weakref
from typing import Protocol


class Forked(Protocol):
    """A client."""

    def _renew_after_fork(self) -> None: ...


_clients: "weakref.WeakSet[Forked]" = weakref.WeakSet()


def renew_in_children(client: Forked) -> None:
    """Have `_renew_after_fork` of a client called in every process that this one forks."""
    _clients.add(client)


def _renew_all() -> None:
    for client in list(_clients):
        client._renew_after_fork()


os.register_at_fork(after_in_child=_renew_all)
