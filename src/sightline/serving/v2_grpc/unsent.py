"""Answers that the library could not send, since their clients had gone: it says so nowhere but in its own log.

There each one is an error with a traceback, though nothing is wrong. So they are taken out of it, and told of in ours as of any
client that hung up: an entry of the library's log is made in the task of its call, where the call's own record is at hand.
"""

import logging

import grpc

from sightline.serving.http.problems import CLIENT_CLOSED_REQUEST
from sightline.serving.http.request_record import RECORD

LIBRARY = logging.getLogger("grpc._cython.cygrpc")


class UnsentAnswers(logging.Filter):
    """Added to the library's log while a server runs."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether an entry of the log is about anything else."""
        if not (record.exc_info and isinstance(record.exc_info[1], grpc.aio.InternalError)):
            return True
        call = RECORD.get()
        if call is not None:
            call.status = CLIENT_CLOSED_REQUEST
        return False
