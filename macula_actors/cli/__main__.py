"""``python -m macula_actors.cli`` is ``macula``."""

from macula_actors.cli.app import main

if __name__ == "__main__":
    main()
