"""The queue in a browser: order, cancel, retry, failures, and a board with many jobs."""

from __future__ import annotations

import time

import pytest
from fakes.job_stores import make_queued, make_record, make_store
from fakes.page_server import page_server
from fakes.page_visits import copied, set_draft
from fakes.tiny_clip import make_tiny_clip
from playwright.sync_api import expect

pytestmark = pytest.mark.network
RUN_MS = 120_000
MANY = 1000


@pytest.fixture(scope='module')
def files(tmp_path_factory, face_clip, example_portrait):
    """A folder with a portrait, a clip, and a clip without faces that takes some seconds."""
    folder = tmp_path_factory.mktemp('files')
    copied(face_clip, folder, 'clip.mp4')
    copied(example_portrait, folder, 'portrait.png')
    make_tiny_clip(folder / 'long.mp4', 3000)
    return folder


@pytest.fixture
def server(tmp_path, files):
    """A server with an empty store."""
    with page_server(tmp_path, str(files)) as running:
        yield running


def add_job(server, files, job_id: str, target: str = 'clip.mp4', **how) -> None:
    """Create a job that puts the portrait into a file of the folder."""
    args = {
        'source_paths': [str(files / 'portrait.png')],
        'target_path': str(files / target),
        'output_path': str(server.folder / f'{job_id}.mp4'),
    }
    server.post('/jobs', {'id': job_id, 'steps': [{'args': args}], **how}, 201)


def titles(page, state: str) -> list[str]:
    """Return the jobs of a column in their order."""
    return page.get_by_role('region', name=state).locator('.job-title').all_inner_texts()


def fill_store(folder, count: int) -> None:
    """Add jobs as copies of two, alternately a queued and a drafted one; to create each of them would take long."""
    store = make_store(folder)
    make_queued(store, make_record('job-0000', folder=folder))
    store.create(make_record('job-0001', folder=folder))
    for number in range(2, count):
        pattern = f'job-{number % 2:04}'
        path = store.root / ('drafted' if number % 2 else 'queued') / f'{pattern}.json'
        text = path.read_text(encoding='utf-8')
        path.with_name(f'job-{number:04}.json').write_text(text.replace(pattern, f'job-{number:04}'), encoding='utf-8')


def column(page, state: str):
    return page.get_by_role('region', name=state)


def test_queued_jobs_change_places_by_keyboard(server, visit, files):
    for name in ('first', 'second', 'third'):
        add_job(server, files, name, submit=True)
    page = visit(server).open('queue')
    button = page.get_by_role('button', name='Move third up')
    expect(button).to_be_visible()
    assert titles(page, 'Queued') == ['first', 'second', 'third']
    button.focus()
    page.keyboard.press('Enter')
    expect(page.get_by_text('third is number 2 of 3 in the queue.')).to_be_attached()
    assert titles(page, 'Queued') == ['first', 'third', 'second']
    # The focus stays on the button, so that the next press moves the job on.
    page.keyboard.press('Enter')
    expect(page.get_by_text('third is number 1 of 3 in the queue.')).to_be_attached()
    queued = [job['id'] for job in server.get('/jobs')['jobs']]
    assert queued == titles(page, 'Queued') == ['third', 'first', 'second']


def test_a_queued_job_is_dragged_to_another_place(server, visit, files):
    for name in ('first', 'second', 'third'):
        add_job(server, files, name, submit=True)
    page = visit(server).open('queue')
    cards = column(page, 'Queued').locator('ff-job-card')
    expect(cards).to_have_count(3)
    cards.nth(2).drag_to(cards.nth(0), target_position={'x': 60, 'y': 4})
    expect(page.get_by_text('third is number 1 of 3 in the queue.')).to_be_attached()
    assert titles(page, 'Queued') == ['third', 'first', 'second']


def test_a_failed_job_shows_its_cause_and_hint_and_a_retry_completes_it(server, visit, files):
    target = files / 'vanishes.mp4'
    copied(files / 'clip.mp4', files, target.name)
    add_job(server, files, 'mishap', target.name, submit=True)
    target.unlink()
    visitor = visit(server)
    page = visitor.open('queue')
    column(page, 'Queued').get_by_role('button', name='Run', exact=True).click()
    failed = column(page, 'Failed')
    expect(failed.get_by_role('link', name='mishap')).to_be_visible(timeout=RUN_MS)
    error = server.get('/jobs/mishap')['error']
    failed.get_by_role('link', name='mishap').click()
    box = page.locator('ff-job-detail .message.bad').first
    for part in (error['message'], error['hint']):
        expect(box).to_contain_text(part[1:])
    copied(files / 'clip.mp4', files, target.name)
    page.get_by_role('button', name='Retry').click()
    expect(page.get_by_role('heading', level=1)).to_contain_text('completed', timeout=RUN_MS)
    assert (server.folder / 'mishap.mp4').is_file()


def test_a_running_job_shows_its_progress_and_is_cancelled(server, visit, files):
    add_job(server, files, 'lengthy', 'long.mp4', submit=True)
    page = visit(server).open('queue')
    column(page, 'Queued').get_by_role('button', name='Run', exact=True).click()
    running = column(page, 'Running')
    expect(running.locator('.job-rate')).to_contain_text('%', timeout=RUN_MS)
    running.get_by_role('button', name='Cancel').click()
    page.get_by_role('dialog').get_by_role('button', name='Cancel the job').click()
    expect(column(page, 'Failed').get_by_role('link', name='lengthy')).to_be_visible()
    assert titles(page, 'Running') == []
    assert not (server.folder / 'lengthy.mp4').exists()


def test_a_job_completes_when_its_browser_is_closed(server, visit, files):
    add_job(server, files, 'alone', submit=True)
    first = visit(server)
    page = first.open('queue')
    column(page, 'Queued').get_by_role('button', name='Run', exact=True).click()
    expect(column(page, 'Running').get_by_role('link', name='alone')).to_be_visible(timeout=RUN_MS)
    first.context.close()
    page = visit(server).open('queue')
    expect(column(page, 'Completed').get_by_role('link', name='alone')).to_be_visible(timeout=RUN_MS)


def test_steps_of_a_draft_are_removed_and_added_from_the_studio(server, visit, files):
    add_job(server, files, 'job')
    set_draft(server, target_path=str(files / 'clip.mp4'), output_path=str(server.folder / 'other.mp4'))
    page = visit(server).open('queue/job')
    page.get_by_role('button', name='Remove step 1').click()
    expect(page.get_by_text('This job has no steps yet.')).to_be_visible()
    page.get_by_role('button', name='Add the step of the Studio').click()
    expect(page.get_by_text('other.mp4')).to_be_visible()
    (step,) = server.get('/jobs/job')['steps']
    assert step['args']['output_path'] == str(server.folder / 'other.mp4')


def test_a_job_is_deleted_after_a_question(server, visit, files):
    add_job(server, files, 'unwanted')
    page = visit(server).open('queue')
    page.get_by_role('button', name='Delete unwanted').click()
    page.get_by_role('dialog', name='Delete unwanted?').get_by_role('button', name='Cancel').click()
    expect(column(page, 'Drafted').get_by_role('link', name='unwanted')).to_be_visible()
    page.get_by_role('button', name='Delete unwanted').click()
    page.get_by_role('dialog').get_by_role('button', name='Delete the job').click()
    expect(column(page, 'Drafted').get_by_role('link', name='unwanted')).to_be_hidden()
    assert server.get('/jobs') == {'jobs': []}


def test_a_thousand_jobs_stay_usable(server, visit, files):
    fill_store(server.folder, MANY)
    visitor = visit(server)
    began = time.monotonic()
    page = visitor.open('queue')
    expect(column(page, 'Queued').get_by_role('heading')).to_contain_text(str(MANY // 2))
    expect(column(page, 'Queued').get_by_role('link', name='job-0000')).to_be_visible()
    assert time.monotonic() - began < 25
    began = time.monotonic()
    column(page, 'Queued').get_by_role('button', name='Move job-0002 up').click()
    expect(page.get_by_text('job-0002 is number 1 of 500 in the queue.')).to_be_attached()
    page.get_by_role('link', name='job-0004').click()
    expect(page.get_by_role('heading', level=1)).to_contain_text('job-0004')
    page.get_by_role('link', name='All jobs').click()
    column(page, 'Queued').get_by_role('button', name='Show 100 more of 500').click()
    expect(column(page, 'Queued').locator('ff-job-card')).to_have_count(200)
    assert time.monotonic() - began < 25
