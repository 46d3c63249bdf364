"""``gui`` and ``run``: serve the web page."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from facefusion.benchmark.options import BenchmarkOptions
from facefusion.cli.invocation import Invocation
from facefusion.cli.parser import given_flags
from facefusion.events import Emit, Message
from facefusion.gui.options import GuiOptions
from facefusion.jobs.options import HaltOptions, NotifyOptions, QueueOptions
from facefusion.options import describe
from facefusion.services.command_line import option_words
from facefusion.services.option_groups import PROCESS_GROUPS
from facefusion.services.options import PageOptions
from facefusion.settings import Layer, layers_of
from facefusion.steps.arguments import STEP_GROUPS

_JOB_GROUPS = (NotifyOptions, QueueOptions, HaltOptions)
GROUPS: tuple[type, ...] = (*STEP_GROUPS, *PROCESS_GROUPS, *_JOB_GROUPS, BenchmarkOptions, GuiOptions, PageOptions)


def run(invocation: Invocation) -> int:
    """Serve the page until SIGINT or SIGTERM."""
    from facefusion.doctor.findings import GROUPS as DOCTOR_GROUPS
    from facefusion.gui.context import CommandFlags, GuiContext
    from facefusion.gui.media_roots import find_roots
    from facefusion.gui.server import create_app, listen, serve

    emit, options = invocation.emit(), invocation.settings[GuiOptions]
    state_path = invocation.jobs_path().absolute() / '.gui'
    roots = find_roots(options.media_roots).including(state_path / 'uploads')
    listening = listen(options)
    address = listening.access.address()
    if not listening.access.is_local:
        text = 'other machines can connect, without encryption: put a proxy with TLS in front of the page'
        emit(Message('warn', 'gui', text))

    def announce() -> None:
        print(address, flush=True)
        emit(Message('info', 'gui', 'open this address in a browser; Ctrl-C ends the page'))
        if invocation.environ.get('SSH_CONNECTION') and listening.access.is_local:
            port = listening.access.port
            text = f'from another machine, first run there: ssh -L {port}:{options.host}:{port} USER@THIS-MACHINE'
            emit(Message('info', 'gui', text))
        if options.open_browser:
            # A browser in a terminal would end this function only when it ends itself.
            threading.Thread(target=open_browser, args=(address, emit), daemon=True).start()

    flags = given_flags(invocation.arguments, GROUPS)
    layers = layers_of(GROUPS, flags, invocation.ini, invocation.environ)
    process_flags = tuple(_process_flags(invocation, layers, PROCESS_GROUPS))
    worker_flags = ('--jobs-path', str(invocation.jobs_path().absolute()), *process_flags)
    command_flags = CommandFlags(
        worker=worker_flags,
        doctor=(*worker_flags[:2], *_process_flags(invocation, layers, DOCTOR_GROUPS)),
        copied=worker_flags if layers['jobs_path'] == 'flag' else process_flags,
    )
    context = GuiContext(invocation, roots, state_path, GROUPS, layers, command_flags)
    serve(create_app(context, listening.access), listening, [announce], [context.shared.broadcast.close])
    return 0


def open_browser(address: str, emit: Emit) -> None:
    """Open the address in the user's browser, or warn that there is none."""
    import webbrowser

    if not webbrowser.open(address):
        emit(Message('warn', 'gui', 'no browser was found: open the address by hand'))


def _process_flags(invocation: Invocation, layers: Mapping[str, Layer], groups: Iterable[type]) -> Iterator[str]:
    """Yield the flags that give another command process options of this one, except the job store."""
    if invocation.arguments.config_path:
        yield from ('--config-path', str(Path(invocation.arguments.config_path).absolute()))
    for group in groups:
        for info in describe(group):
            if layers.get(info.key) == 'flag' and info.key not in ('jobs_path', 'progress', 'profile'):
                yield from option_words(info, getattr(invocation.settings[group], info.key))
