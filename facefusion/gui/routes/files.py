"""``/files``, ``/files/content``, ``/uploads``: browse folders, read files in ranges, and receive files."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response

from facefusion.errors import UsageError
from facefusion.gui.context import GuiContext, in_thread
from facefusion.gui.file_listing import list_folder
from facefusion.gui.media_library import FileKey, key_of
from facefusion.gui.media_roots import MediaRoots
from facefusion.gui.options import GuiOptions
from facefusion.gui.replies import json_reply
from facefusion.gui.route_group import RouteGroup, route
from facefusion.gui.uploads import receive

# Types that a browser shows without running a script in them; all others are downloaded.
_INLINE = {
    '.jpg': 'image/jpeg',
    '.jpeg': 'image/jpeg',
    '.png': 'image/png',
    '.webp': 'image/webp',
    '.bmp': 'image/bmp',
    '.mp4': 'video/mp4',
    '.m4v': 'video/mp4',
    '.mov': 'video/quicktime',
    '.webm': 'video/webm',
    '.mkv': 'video/x-matroska',
    '.mp3': 'audio/mpeg',
    '.m4a': 'audio/mp4',
    '.aac': 'audio/aac',
    '.wav': 'audio/wav',
    '.flac': 'audio/flac',
    '.ogg': 'audio/ogg',
    '.opus': 'audio/ogg',
}


def routes(context: GuiContext) -> RouteGroup:
    """Return the routes of files."""
    limit = int(context.settings[GuiOptions].upload_limit * 1e9)

    async def browse(request: Request) -> Response:
        query = request.query_params
        folder, kind = query.get('dir', ''), query.get('kind', 'all')
        return json_reply(await in_thread(lambda: list_folder(context.roots, folder, kind)))

    async def content(request: Request) -> Response:
        path = await in_thread(lambda: readable_file(context.roots, request.query_params.get('path', '')))
        kind = _INLINE.get(path.suffix.lower())
        return FileResponse(
            path,
            media_type=kind or 'application/octet-stream',
            # The target of a link may have a name that is not UTF-8.
            filename=path.name.encode('utf-8', 'replace').decode(),
            content_disposition_type='inline' if kind and 'download' not in request.query_params else 'attachment',
            headers={'cache-control': 'private, no-cache'},
        )

    async def upload(request: Request) -> Response:
        length = request.headers.get('content-length', '')
        if length.isdecimal() and int(length) > limit:
            raise UsageError(
                'upload-too-large', f'the upload is larger than {limit / 1e9:g} GB', hint='raise --upload-limit'
            )
        name = request.path_params['name']
        try:
            found = await receive(context.state_path / 'uploads', name, request.stream(), limit)
        except ClientDisconnect:
            return Response(status_code=400)
        return json_reply(found, 201)

    return RouteGroup(
        [route('/files', browse), route('/files/content', content), route('/uploads/{name}', upload, 'PUT')]
    )


def readable_key(roots: MediaRoots, path: str) -> FileKey:
    """Return a regular file inside the roots, with its state.

    Raises MediaError media-missing, media-not-a-file, and the errors of ``MediaRoots.resolve``.
    """
    return key_of(roots.resolve(path), path)


def readable_file(roots: MediaRoots, path: str) -> Path:
    """Return the path of a regular file inside the roots; raises the errors of ``readable_key``."""
    return readable_key(roots, path).path
