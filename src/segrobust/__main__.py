"""``python -m segrobust``: the command line."""

from segrobust.cli.main import main

if __name__ == "__main__":
    main()
