"""Every screen: no violations of the rules for accessible pages, light and dark, and no overflow on narrow windows."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from fakes.page_visits import skip_or_fail

ROOT = Path(__file__).resolve().parent.parent.parent
AXE = Path(__file__).parent / 'node_modules' / 'axe-core' / 'axe.min.js'
# What shows that a screen has its content.
SCREENS = {
    'studio': 'ff-run .plan-facts',
    'people': 'ff-people h1',
    'queue': 'ff-queue h1',
    'models': 'ff-models tbody tr',
    'benchmark': 'ff-benchmark form, ff-benchmark button',
    'settings': 'ff-settings table, ff-settings dl',
}


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
        page.evaluate(axe)
        result = page.evaluate("() => axe.run(document, {resultTypes: ['violations'], preload: false})")
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
    page = visit(server, viewport={'width': 390, 'height': 844}, color_scheme='dark').open(name)
    page.locator(SCREENS[name]).first.wait_for()
    width = page.evaluate('document.documentElement.scrollWidth')
    assert width <= 390
