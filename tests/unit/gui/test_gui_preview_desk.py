from __future__ import annotations

import asyncio
import threading

import pytest

from facefusion.gui.preview_desk import PreviewDesk


class Previewer:
    def __init__(self) -> None:
        self.freed = 0

    def free(self) -> None:
        self.freed += 1


def test_only_the_first_and_the_latest_of_many_requests_are_made():
    made, begun, go_on = [], threading.Event(), threading.Event()

    def make(number):
        def work(flag):
            made.append(number)
            begun.set()
            go_on.wait(5)
            return number

        return work

    async def ask():
        desk = PreviewDesk(Previewer())
        async with desk.open():
            first = asyncio.create_task(desk.preview(make(0)))
            await asyncio.to_thread(begun.wait, 5)
            others = [asyncio.create_task(desk.preview(make(number))) for number in range(1, 5)]
            await asyncio.sleep(0.05)
            go_on.set()
            return await asyncio.gather(first, *others)

    assert asyncio.run(ask()) == [0, None, None, None, 4] and made == [0, 4]


def test_models_are_freed_once_after_a_time_without_requests(no_thread_stays):
    async def wait():
        previewer = Previewer()
        desk = PreviewDesk(previewer, idle_seconds=0.05)
        async with desk.open():
            await asyncio.sleep(0.15)
            freed = [previewer.freed]
            await desk.run(lambda: None)
            await asyncio.sleep(0.3)
            freed.append(previewer.freed)
        return freed

    assert asyncio.run(wait()) == [0, 1]


def test_an_error_of_a_preview_reaches_its_request_and_the_desk_goes_on():
    def fail(flag):
        raise ValueError('broken')

    async def ask():
        desk = PreviewDesk(Previewer())
        async with desk.open():
            with pytest.raises(ValueError, match='broken'):
                await desk.preview(fail)
            return await desk.preview(lambda flag: 7)

    assert asyncio.run(ask()) == 7
