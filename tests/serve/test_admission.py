import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from hangtag.errors import DeadlineExceeded, Overloaded
from serve.admission import Admission, within


class Crowd:
    """Callers who hold their turns until they are told to go; knows the order in which they got them."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.served: list[str] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._told: dict[str, asyncio.Event] = {}

    async def come(self, *names: str) -> None:
        """Each name is a tenant's letter and a number."""
        for name in names:
            self._told[name] = asyncio.Event()
            self._tasks[name] = asyncio.create_task(self._stay(name))
            await settle()

    async def go(self, *names: str) -> None:
        for name in names:
            self._told[name].set()
            await settle()

    async def give_up(self, name: str) -> None:
        self._tasks[name].cancel()
        await settle()

    async def _stay(self, name: str) -> None:
        async with self.admission.turn(name[0]):
            self.served.append(name)
            await self._told[name].wait()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def run(scene: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(scene())  # type: ignore[arg-type]


def test_only_so_many_run_and_only_so_many_wait() -> None:
    async def scene() -> None:
        crowd = Crowd(Admission(running=2, waiting=1))
        await crowd.come("a1", "a2", "a3")
        assert (crowd.served, crowd.admission.running, crowd.admission.waiting) == (["a1", "a2"], 2, 1)
        with pytest.raises(Overloaded) as caught:
            async with crowd.admission.turn("b"):
                raise AssertionError("there is no room")
        assert caught.value.retry_after > 0
        await crowd.go("a1")
        assert (crowd.served, crowd.admission.running, crowd.admission.waiting) == (["a1", "a2", "a3"], 2, 0)
        await crowd.go("a2", "a3")
        assert crowd.admission.running == 0

    run(scene)


def test_tenants_are_served_in_turns() -> None:
    async def scene() -> None:
        crowd = Crowd(Admission(running=1, waiting=99))
        await crowd.come("a0", "a1", "a2", "a3", "b1", "b2", "c1")
        for name in ("a0", "a1", "b1", "c1", "a2", "b2", "a3"):
            await crowd.go(name)
        assert crowd.served == ["a0", "a1", "b1", "c1", "a2", "b2", "a3"]
        assert (crowd.admission.running, crowd.admission.waiting) == (0, 0)

    run(scene)


def test_who_gives_up_leaves_no_gap() -> None:
    async def scene() -> None:
        crowd = Crowd(Admission(running=1, waiting=2))
        await crowd.come("a0", "a1", "b1")
        await crowd.give_up("a1")
        assert crowd.admission.waiting == 1
        await crowd.come("a2")
        await crowd.give_up("b1")
        await crowd.give_up("a0")
        assert crowd.served == ["a0", "a2"]
        await crowd.go("a2")
        assert (crowd.admission.running, crowd.admission.waiting) == (0, 0)

    run(scene)


def test_a_turn_that_comes_while_its_caller_gives_up_goes_to_the_next() -> None:
    async def scene() -> None:
        crowd = Crowd(Admission(running=1, waiting=2))
        await crowd.come("a0", "a1", "b1")
        crowd._told["a0"].set()
        await asyncio.sleep(0)  # a0 leaves: a1 has its turn and does not know yet
        crowd._tasks["a1"].cancel()
        await settle()
        assert crowd.served == ["a0", "b1"]
        await crowd.go("b1")
        assert (crowd.admission.running, crowd.admission.waiting) == (0, 0)

    run(scene)


def test_an_error_ends_a_turn() -> None:
    async def scene() -> None:
        admission = Admission(running=1, waiting=0)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                async with admission.turn("a"):
                    raise ZeroDivisionError
        assert admission.running == 0

    run(scene)


async def a_turn(admission: Admission, seconds: float, *, within: float = 60) -> None:
    async with admission.turn("a", time.monotonic() + within):
        await asyncio.sleep(seconds)


async def refused(admission: Admission, tenant: str, *, within: float) -> Overloaded:
    with pytest.raises(Overloaded) as caught:
        async with admission.turn(tenant, time.monotonic() + within):
            raise AssertionError("it is known that this will be too late")
    return caught.value


def test_who_cannot_be_answered_in_time_is_refused_at_once() -> None:
    async def scene() -> None:
        admission = Admission(running=2, waiting=99)
        await a_turn(admission, 0.2)
        turns = [asyncio.create_task(a_turn(admission, 0.2)) for _ in range(6)]  # four of them wait: two turns of 0.2 s
        await settle()
        assert admission.waiting == 4
        error = await refused(admission, "a", within=0.4)
        assert "4 requests wait" in str(error)
        assert 0.4 < error.retry_after < 1
        other = asyncio.create_task(a_turn(admission, 0, within=5))
        await asyncio.gather(*turns, other)
        assert (admission.running, admission.waiting) == (0, 0)

    run(scene)


def test_another_tenants_line_is_not_waited_for() -> None:
    async def scene() -> None:
        admission = Admission(running=1, waiting=99)
        await a_turn(admission, 0.1)
        turns = [asyncio.create_task(a_turn(admission, 0.1)) for _ in range(8)]
        await settle()
        await refused(admission, "a", within=0.6)
        async with admission.turn("b", time.monotonic() + 0.6):  # behind one of a's seven
            assert admission.waiting == 6
        await asyncio.gather(*turns)

    run(scene)


def test_a_turn_that_comes_too_late_goes_to_the_next() -> None:
    async def scene() -> None:
        admission = Admission(running=1, waiting=99)
        await a_turn(admission, 0.2)
        first = asyncio.create_task(a_turn(admission, 0.5))  # longer than was to be expected
        await settle()
        late = asyncio.create_task(refused(admission, "a", within=0.6))
        await settle()
        patient = asyncio.create_task(a_turn(admission, 0))
        assert "too late" in str(await late)
        await asyncio.gather(first, patient)
        assert (admission.running, admission.waiting) == (0, 0)

    run(scene)


def test_a_free_turn_is_given_whatever_is_expected_of_it() -> None:
    async def scene() -> None:
        admission = Admission(running=1, waiting=99)
        await a_turn(admission, 0.2)
        await a_turn(admission, 0, within=0.1)

    run(scene)


def test_what_takes_too_long_is_stopped() -> None:
    async def scene() -> None:
        forever = asyncio.create_task(asyncio.Event().wait())
        with pytest.raises(DeadlineExceeded, match=r"0\.01 seconds"):
            async with within(0.01):
                await forever
        assert forever.cancelled()
        with pytest.raises(TimeoutError):  # of what is done itself, no deadline
            async with within(60):
                raise TimeoutError
        async with within(60):
            pass

    run(scene)
