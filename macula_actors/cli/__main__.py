"""``macula``, which is ``python -m macula_actors.cli``. Ctrl-C ends it with exit code 130, also while it is loaded."""

import sys


def main() -> None:
    """Run the command that the process was started with."""
    try:
        from macula_actors.cli import app  # noqa: PLC0415 -- that takes a while

        app.main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
