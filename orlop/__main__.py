"""`python -m orlop` is the `orlop` command."""

from orlop.cli.app import main

if __name__ == "__main__":
    main()
