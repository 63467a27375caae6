import pytest

from serve.engines.member import LONGEST_PAUSE, MOST_FAILURES, Member
from serve.engines.server import Model, Server

MODEL = Model("base", 512, frozenset())


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def member(clock: Clock) -> Member:
    made = Member(Server("http://a:1"), clock)
    made.admit(MODEL)
    return made


def test_a_server_is_used_until_it_failed_several_times_in_a_row(member: Member) -> None:
    for _ in range(MOST_FAILURES - 1):
        member.failed("500")
    member.succeeded()
    for _ in range(MOST_FAILURES - 1):
        member.failed("500")
    assert member.is_used
    member.failed("500")
    assert not member.is_used
    assert member.troubles() == ["http://a:1 is not used: 500 (3 failures in a row)"]


def test_pauses_become_longer_until_it_answers(member: Member, clock: Clock) -> None:
    pauses = []
    for _ in range(8):
        member.leave_out("down")
        begun = clock.now
        while not member.is_due:
            clock.now += 0.5
        pauses.append(clock.now - begun)
        member.admit(MODEL)
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
    assert max(pauses) == LONGEST_PAUSE
    member.succeeded()
    member.leave_out("down")
    clock.now += 1
    assert member.is_due


def test_requests_that_fail_together_are_one_failure(member: Member, clock: Clock) -> None:
    for _ in range(6):
        member.leave_out("down")
    clock.now += 1
    assert member.is_due
    member.leave_out("still down")  # found by looking
    assert not member.is_due
    clock.now += 2
    assert member.is_due


def test_one_that_comes_back_has_everything_to_prove(member: Member) -> None:
    member.learn("a", None)
    member.learn("b", "no such vocabulary")
    assert (member.keeps("a"), member.keeps("b"), member.keeps("c")) == (True, False, None)
    assert member.troubles() == ["http://a:1 is not used for all vocabularies: no such vocabulary"]
    member.forget_refusals()
    assert (member.keeps("a"), member.keeps("b")) == (True, None)
    member.leave_out("down")
    member.admit(MODEL)
    assert member.keeps("a") is None


def test_requests_are_counted_while_they_are_there(member: Member) -> None:
    with member.busy():
        with member.busy():
            assert member.in_flight == 2
        assert member.in_flight == 1
    assert member.in_flight == 0
