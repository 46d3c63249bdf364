"""Every screen with content: accessible by the rules of axe-core, light and dark, and whole on narrow windows."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.page_server import page_server
from fakes.page_visits import copied, set_draft, skip_or_fail, when_changed

pytestmark = pytest.mark.network
ROOT = Path(__file__).resolve().parent.parent.parent
AXE = Path(__file__).parent / 'node_modules' / 'axe-core' / 'axe.min.js'
# What shows that a screen has its content.
SCREENS = {
    'studio': 'ff-run .plan-facts b',
    'people': 'ff-people .sources, ff-people ff-sources',
    'queue': 'ff-job-card:visible',
    'queue/failed-job': 'ff-job-detail .message.bad',
    'models': 'ff-models tbody tr',
    'benchmark': 'ff-benchmark form, ff-benchmark button',
    'settings': 'ff-settings .advice, ff-settings dl',
}
RUN_SECONDS = 60
# Only the colours of dark pages differ.
AXE_OPTIONS = {
    'light': {'resultTypes': ['violations'], 'preload': False},
    'dark': {'resultTypes': ['violations'], 'preload': False, 'runOnly': ['color-contrast', 'link-in-text-block']},
}


@pytest.fixture(scope='module')
def server(tmp_path_factory, face_clip, example_portrait):
    """A server with a draft, and with jobs that wait, that are done and that failed."""
    folder = tmp_path_factory.mktemp('screens')
    clip, portrait = copied(face_clip, folder, 'clip.mp4'), copied(example_portrait, folder, 'portrait.png')
    args = {'source_paths': [str(portrait)], 'target_path': str(clip), 'output_path': str(folder / 'output.mp4')}
    with page_server(folder) as running:
        set_draft(running, **args)
        for name in ('drafted-job', 'queued-job', 'second-queued-job', 'completed-job', 'failed-job'):
            steps = [{'args': {**args, 'output_path': str(folder / f'{name}.mp4'), 'trim_frame_end': 4}}]
            if name == 'failed-job':
                # The file is a clip until the job is submitted.
                steps[0]['args']['target_path'] = str(copied(face_clip, folder, 'changed.mp4'))
            running.post('/jobs', {'id': name, 'steps': steps, 'submit': name != 'drafted-job'}, 201)
        (folder / 'changed.mp4').write_bytes(b'no clip')
        for name in ('failed-job', 'completed-job'):
            run_alone(running, name)
        yield running


def run_alone(server, job_id: str) -> None:
    """Run a job while the other queued ones wait, as ``facefusion job-run`` does."""
    command = [sys.executable, str(ROOT / 'facefusion.py'), 'job-run', job_id]
    environ = {
        **os.environ,
        'FACEFUSION_HOME': str(ROOT),
        'FACEFUSION_JOBS_PATH': str(server.folder / 'jobs'),
        'FACEFUSION_OFFLINE': 'yes',
        'PYTHONPATH': str(ROOT),
    }
    subprocess.run(command, cwd=server.folder, env=environ, capture_output=True, timeout=RUN_SECONDS, check=False)


@pytest.fixture(scope='module')
def axe():
    """The script of axe-core, installed with npm as its lock file says."""
    spec = importlib.util.spec_from_file_location('check_page', ROOT / 'scripts' / 'check_page.py')
    check_page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(check_page)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('npm_config_fetch_retries', '0')
        patch.setenv('npm_config_fetch_timeout', '60000')
        obstacle = check_page.prepare()
    if obstacle:
        skip_or_fail(f'axe-core is missing: {obstacle}')
    return AXE.read_text(encoding='utf-8')


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_no_screen_has_a_serious_accessibility_violation(visit, server, axe, scheme):
    # axe-core adds styles of its own, which the policy of the page refuses.
    visitor = visit(server, color_scheme=scheme, reduced_motion='reduce', bypass_csp=True)
    found = {}
    for name, content in SCREENS.items():
        page = visitor.open(name)
        page.locator(content).first.wait_for()
        if name == 'studio':
            when_changed(page, '')
            page.get_by_role('button', name='Faces', exact=True).click()
            page.locator('.face-box').first.wait_for()
        page.evaluate(axe)
        result = page.evaluate('(options) => axe.run(document, options)', AXE_OPTIONS[scheme])
        found[name] = [
            f'{each["impact"]} {each["id"]}: {node["html"][:200]} {node["failureSummary"]}'
            for each in result['violations']
            if each['impact'] in ('serious', 'critical')
            for node in each['nodes']
        ]
        page.close()
    assert found == {name: [] for name in SCREENS}


@pytest.mark.parametrize('name', SCREENS)
def test_a_screen_fits_a_window_of_390_pixels(visit, server, name):
    visitor = visit(server, viewport={'width': 390, 'height': 844}, color_scheme='dark')
    page = visitor.open(name)
    page.locator(SCREENS[name]).first.wait_for()
    page.wait_for_timeout(300)
    assert page.evaluate('document.documentElement.scrollWidth') <= 390
    text = page.evaluate('document.body.textContent')
    assert not [word for word in ('undefined', 'NaN', '[object') if word in text]


def test_the_first_steps_fit_above_the_run_buttons_on_a_narrow_window(visit, server):
    draft = server.get('/draft')['args']
    set_draft(server)
    page = visit(server, viewport={'width': 390, 'height': 844}).open()
    page.get_by_role('button', name='Choose a target').wait_for()
    guide, run = page.locator('.start > p').bounding_box(), page.locator('ff-run').bounding_box()
    set_draft(server, **draft)
    assert guide['y'] + guide['height'] <= run['y']


def test_dark_and_light_pages_have_the_colours_of_the_system(visit, server):
    background = 'getComputedStyle(document.documentElement).backgroundColor'
    shades = {}
    for scheme in ('light', 'dark'):
        page = visit(server, color_scheme=scheme).open('models')
        page.locator(SCREENS['models']).first.wait_for()
        shades[scheme] = sum(int(part) for part in re.findall(r'\d+', page.evaluate(background))[:3])
    assert shades['light'] > 600
    assert shades['dark'] < 150
