"""Run one step with the HTTP interface of FaceFusion: create a job, follow its events, and fetch the result.

    python http_api.py ADDRESS TARGET RESULT KEY=VALUE...

ADDRESS is the address that `facefusion gui` printed. TARGET is a file on this machine, which is sent to the server.
KEY is an option of `facefusion headless-run`, VALUE is JSON, such as processors='["face_debugger"]'. Only the standard
library is used.
"""

import http.client
import json
import sys
from pathlib import Path
from urllib.parse import parse_qs, quote, urlencode, urlsplit


class Server:
    """A running page."""

    def __init__(self, address):
        parts = urlsplit(address)
        self.place = parts.netloc
        self.headers = {'Authorization': 'Bearer ' + parse_qs(parts.query)['token'][0]}

    def open(self, method, path, body=None, query=None):
        """Send a request and return its reply, which is a readable file."""
        connection = http.client.HTTPConnection(self.place, timeout=600)
        target = '/api/v1/' + path + ('?' + urlencode(query) if query else '')
        connection.request(method, target, body, self.headers)
        reply = connection.getresponse()
        if reply.status >= 400:
            error = json.load(reply)
            sys.exit(f'{error["message"]} [{error["reference"]}]\n{error["cause"]}\n{error["hint"]}')
        return reply

    def json(self, method, path, body=None):
        """Send JSON and return the JSON of the reply."""
        return json.load(self.open(method, path, None if body is None else json.dumps(body)))

    def upload(self, path):
        """Send a file to the server and return its path there."""
        with open(path, 'rb') as file:
            return json.load(self.open('PUT', 'uploads/' + quote(Path(path).name), file))['path']

    def events(self):
        """Yield the name and data of each event."""
        name = ''
        for line in self.open('GET', 'events'):
            if line.startswith(b'event: '):
                name = line[7:].strip().decode()
            elif line.startswith(b'data: '):
                yield name, json.loads(line[6:])


def main(address, target, result, *words):
    """Run one step and write its result."""
    server = Server(address)
    args = {key: json.loads(value) for key, _, value in (word.partition('=') for word in words)}
    there = server.upload(target)
    args |= {'target_path': there, 'output_path': str(Path(there).with_name('result-' + Path(there).name))}
    events = server.events()
    # The first event arrives when the stream is open, so that no later event is missed.
    next(events)
    job = server.json('POST', 'jobs', {'steps': [{'args': args}], 'run': True})
    for name, data in events:
        if name != 'job' or data['id'] != job['id']:
            continue
        progress = data['progress']
        if progress:
            print(f'{progress["stage"]}: {progress["done"]} of {progress["total"]} frames')
        if data['state'] in ('completed', 'failed'):
            break
    job = server.json('GET', 'jobs/' + job['id'])
    if job['state'] == 'failed':
        sys.exit(f'{job["error"]["message"]}\n{job["error"]["hint"]}')
    with (
        open(result, 'wb') as file,
        server.open('GET', 'files/content', query={'path': job['outputs'][0]['path']}) as reply,
    ):
        while part := reply.read(1 << 20):
            file.write(part)
    print('wrote', result)


if __name__ == '__main__':
    main(*sys.argv[1:])
