"""Run FaceFusion from its checkout: ``python facefusion.py COMMAND`` is the same as ``facefusion COMMAND``."""

from facefusion.cli.main import run

if __name__ == '__main__':
    run()
