"""``gui`` and ``run``: serve the web page."""

from __future__ import annotations

from facefusion.cli.invocation import Invocation
from facefusion.engines.process_settings import tune_process
from facefusion.events import Message
from facefusion.gui.options import GuiOptions
from facefusion.jobs.options import HaltOptions, NotifyOptions
from facefusion.services.option_groups import PROCESS_GROUPS
from facefusion.services.options import PageOptions
from facefusion.steps.arguments import STEP_GROUPS

GROUPS: tuple[type, ...] = (*STEP_GROUPS, *PROCESS_GROUPS, NotifyOptions, HaltOptions, GuiOptions, PageOptions)


def run(invocation: Invocation) -> int:
    """Serve the page until SIGINT or SIGTERM."""
    tune_process()
    from facefusion.gui.context import GuiContext
    from facefusion.gui.media_roots import find_roots
    from facefusion.gui.server import create_app, listen, serve

    emit, options = invocation.emit(), invocation.settings[GuiOptions]
    roots = find_roots(options.media_roots)
    listening = listen(options)
    address = listening.access.address()
    if not listening.access.is_local:
        text = 'other machines can connect, without encryption: put a proxy with TLS in front of the page'
        emit(Message('warn', 'gui', text))

    def announce() -> None:
        print(address, flush=True)
        if options.open_browser:
            import webbrowser

            if not webbrowser.open(address):
                emit(Message('warn', 'gui', 'no browser was found: open the address by hand'))

    context = GuiContext(invocation, roots, invocation.jobs_path() / '.gui')
    serve(create_app(context, listening.access), listening, [announce])
    return 0
