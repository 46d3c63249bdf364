"""Options of the web page."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.options import option


@dataclass(frozen=True, slots=True)
class GuiOptions:
    """Address, access and folders of the web page."""

    host: str = option(
        'text',
        '127.0.0.1',
        'address to listen on; any other than a loopback address requires --token',
        section='uis',
        metavar='ADDRESS',
        stored='job',
    )
    port: int = option(
        'int', 7860, 'port to listen on; 0 takes a free one', section='uis', minimum=0, maximum=65535, stored='job'
    )
    token: str | None = option(
        'text', None, 'access token of the page; default: a new random one at every start', section='uis', stored='job'
    )
    media_roots: tuple[str, ...] = option(
        'path',
        (),
        'folders whose files the page may read and write; default: the home folder and the working folder',
        section='uis',
        metavar='FOLDER',
        is_list=True,
        stored='job',
    )
    upload_limit: float = option(
        'float',
        20.0,
        'gigabytes of the largest file that the page uploads',
        section='uis',
        metavar='GB',
        minimum=0,
        maximum=10_000,
        stored='job',
    )
    open_browser: bool = option('flag', False, 'open the page in a browser', section='uis', stored='job')
