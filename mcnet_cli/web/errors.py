"""What the server refuses: one form of answer for all errors, with the codes that the command ends with."""

import logging
import traceback
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from mcnet_cli.errors import Failure, InputError, McnetError, UsageError

RETRY_AFTER_S = 10

log = logging.getLogger(__name__)


class Unknown(McnetError):  # noqa: N818 - often nobody's mistake: what was asked for has expired
    """There is nothing by this name, or it has been removed since."""

    exit_code = 3


class TooMuch(McnetError):  # noqa: N818 - nobody's mistake: the server is busy or full
    """The server has no room for this at the moment; the same request may succeed later."""

    exit_code = 5


STATUSES = ((Unknown, 404), (TooMuch, 503), (UsageError, 400), (InputError, 422))  # others: 500


def error_answer(
    status: int, code: int, message: str, hint: str | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """An error as every address answers it. code: the exit code that the command would end with."""
    return JSONResponse({"error": Failure(code, message, hint).as_json()}, status, headers)


async def answer_failure(_request: Request, error: Exception) -> JSONResponse:
    """An expected failure, as the command line would tell it."""
    assert isinstance(error, McnetError)
    status = next((status for kind, status in STATUSES if isinstance(error, kind)), 500)
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else None
    return error_answer(status, error.exit_code, str(error), error.hint, headers)


async def answer_refusal(_request: Request, error: Exception) -> JSONResponse:
    """What the framework refuses: an unknown address, a method or a form that makes no sense."""
    assert isinstance(error, HTTPException)
    return error_answer(error.status_code, 2, error.detail, headers=error.headers)


async def answer_bug(_request: Request, error: Exception) -> JSONResponse:
    """A bug: the visitor learns that there is one, and whoever runs the server sees where it is."""
    report_bug(error)
    return error_answer(500, 1, "this is a bug in mcnet", "the server's terminal says more")


def report_bug(error: BaseException) -> None:
    """Shows a bug to whoever runs the server."""
    log.error("a bug in mcnet. Please report it:\n%s", "".join(traceback.format_exception(error)))
