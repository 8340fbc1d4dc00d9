"""Run the command line as `python -m ansorc`."""

from ansorc.tools.ansorc import main

if __name__ == "__main__":
    main()
