"""``python -m components.cli`` is `tav`."""

from components.cli.main import main

if __name__ == "__main__":
    main()
