"""The one way to wait: pauses that grow, an end, and the last answer or an error that says what is wrong."""

import pytest
from botocore.exceptions import ClientError

from utils.support.waiting import has_code, retry_on, wait


def test_the_answer_that_will_do_is_returned_and_the_pauses_grow(no_waiting):
    answers = iter(["CREATING", "CREATING", "CREATING", "VALID"])
    assert wait(lambda: next(answers), until=lambda answer: answer == "VALID", seconds=60) == "VALID"
    assert len(no_waiting) == 3
    assert all(0.1 <= pause <= 0.25 for pause in no_waiting)


def test_no_pause_is_longer_than_the_longest(no_waiting):
    answers = iter([0] * 50 + [1])
    wait(lambda: next(answers), until=bool, seconds=3600, longest_pause=2)
    assert max(no_waiting) == 2


def test_without_words_the_last_answer_is_returned_whatever_it_is():
    assert wait(lambda: "CREATING", until=lambda _: False, seconds=0) == "CREATING"


def test_with_words_they_say_what_is_wrong():
    with pytest.raises(TimeoutError, match="it is still CREATING"):
        wait(lambda: "CREATING", until=lambda _: False, seconds=0, otherwise=lambda answer: f"it is still {answer}")


def refusals(*codes):
    """A call that AWS refuses with these codes, one after another, and then answers."""
    left = list(codes)

    def call():
        if left:
            raise ClientError({"Error": {"Code": left.pop(0), "Message": ""}}, "Call")
        return "answer"

    return call


def test_a_refusal_that_passes_is_waited_for(no_waiting):
    assert retry_on(has_code("Busy"), seconds=60)(refusals("Busy", "Busy"))() == "answer"
    assert len(no_waiting) == 2


@pytest.mark.parametrize(("seconds", "codes"), [(60, ["Denied"]), (0, ["Busy"])])
def test_another_refusal_and_one_that_does_not_pass_are_raised(no_waiting, seconds, codes):
    with pytest.raises(ClientError, match=codes[0]):
        retry_on(has_code("Busy"), seconds=seconds)(refusals(*codes))()
    assert not no_waiting
