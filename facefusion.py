"""Run FaceFusion from its checkout: ``python facefusion.py COMMAND ...`` equals ``facefusion COMMAND ...``."""

from facefusion.cli.main import run

if __name__ == '__main__':
    run()
