"""Open every screen and print its live state as JSON: the program of the test without network.

Usage: python offline_visit.py FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fakes.page_server import page_server
from fakes.page_visits import Visit, open_browser
from playwright.sync_api import expect

SCREENS = ('studio', 'people', 'queue', 'models', 'benchmark', 'settings')


def main(folder: Path) -> None:
    states = {}
    with page_server(folder) as server, open_browser() as browser:
        visitor = Visit(browser, server)
        for name in SCREENS:
            page = visitor.open(name)
            expect(page.locator(f'ff-{name} h1').first).to_be_attached()
            expect(page.locator('.live .state')).to_have_text('Live')
            states[name] = page.locator('.live .state').inner_text()
        visitor.check()
        visitor.context.close()
    print(json.dumps(states))


if __name__ == '__main__':
    main(Path(sys.argv[1]))
