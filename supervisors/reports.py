"""Crash, supervisor and progress reports, through loguru.

Silent until the program says ``logger.enable("supervisors")``. Each record carries in ``extra`` what Erlang's
reports do: ``report``, and by kind ``supervisor``, ``context``, ``reason``, ``offender``, ``process``.

Erlang: ``supervisor`` error reports (supervisor(3erl)), ``proc_lib`` crash reports, progress reports.
"""

from typing import TYPE_CHECKING, Any, Literal

from loguru import logger

from supervisors.exit_reason import Crashed, ExitReason

if TYPE_CHECKING:
    from supervisors.ref import Ref

__all__ = [
    "Context",
    "report_abandoned",
    "report_crash",
    "report_dropped",
    "report_immortal",
    "report_port",
    "report_progress",
    "report_supervisor",
    "report_unexpected",
]

Context = Literal["start_error", "child_terminated", "shutdown_error", "shutdown"]


def report_crash(process: "Ref", reason: ExitReason, last_message: object) -> None:
    """Report that ``process`` ended abnormally, with what it was doing."""
    error = reason.error if isinstance(reason, Crashed) else None
    bound = logger.bind(report="crash", process=str(process), reason=reason, last_message=_brief(last_message))
    bound.opt(exception=error).error("{} crashed: {!r}", process, reason)


def report_supervisor(supervisor: "Ref", context: Context, reason: ExitReason, offender: object) -> None:
    """Report what went wrong (``context``) with the child ``offender``, and why."""
    bound = logger.bind(
        report="supervisor", supervisor=str(supervisor), context=context, reason=reason, offender=offender
    )
    bound.error("{}: {} of child {!r}: {!r}", supervisor, context, offender, reason)


def report_port(process: "Ref", port: object, error: Exception) -> None:
    """Report that ``port``, which ``process`` owned, could not be closed."""
    bound = logger.bind(report="port", process=str(process), port=_brief(port))
    bound.opt(exception=error).error("{} left {} behind: closing it failed", process, _brief(port))


def report_progress(supervisor: "Ref", started: "Ref", child: object) -> None:
    """Report that ``supervisor`` started ``child``."""
    bound = logger.bind(report="progress", supervisor=str(supervisor), started=str(started), offender=child)
    bound.info("{}: started {!r} as {}", supervisor, child, started)


def report_unexpected(process: "Ref", message: object) -> None:
    """Report a message that ``process`` has no clause for, and ignored."""
    logger.bind(report="unexpected", process=str(process)).error("{} got unexpected {}", process, _brief(message))


def report_dropped(process: "Ref", dropped: int, bound: int) -> None:
    """Report that a full mailbox dropped messages; said at 1, 10, 100, ..."""
    logger.bind(report="dropped", process=str(process), dropped=dropped).warning(
        "{} dropped {} messages: its mailbox is at its bound of {}", process, dropped, bound
    )


def report_immortal(process: Any) -> None:
    """Report a coroutine that went on when it was closed: it is abandoned, its process is dead."""
    logger.bind(report="immortal", process=str(process)).error(
        "{} has a callback that swallows its own end; it was abandoned", process
    )


def report_abandoned(process: "Ref") -> None:
    """Report that ``process`` ended while its thread did not: that is left behind, and may still be at work."""
    logger.bind(report="abandoned", process=str(process)).error(
        "{} was ended without its thread, which ends after the message it is at", process
    )


def _brief(message: object) -> str:
    return type(message).__name__
