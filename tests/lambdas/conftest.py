from types import SimpleNamespace

import pytest
from article_lambdas import ArticleCheck, ArticleCheckWithReason, ArticleSubmit
from fake_aws import Context, FakeAws, connect, load_lambda


@pytest.fixture
def fake(monkeypatch) -> FakeAws:
    aws = FakeAws()
    monkeypatch.setenv("DEAD_LETTER_QUEUE_URL", aws.sqs.url("dead-letters-sagemaker"))
    for name in ("POLL_MIN_SECONDS", "POLL_MAX_SECONDS", "DEADLINE_SECONDS", "MAX_POLLS", "POLLS_TO_CONFIRM_ERROR"):
        monkeypatch.delenv(name, raising=False)
    return aws


@pytest.fixture
def submit(fake):
    return connect(load_lambda("submit_jobs"), fake)


@pytest.fixture
def check(fake):
    return connect(load_lambda("check_jobs"), fake)


@pytest.fixture
def lambdas(request, fake):
    """Both functions, ours or the article's: `.submit(event)`, `.check` (a handler) on the fake AWS."""
    if request.param == "ours":
        submit, check = connect(load_lambda("submit_jobs"), fake), connect(load_lambda("check_jobs"), fake)
    else:
        submit = ArticleSubmit(fake, filled_in=request.param != "article as printed")
        check = (ArticleCheckWithReason if request.param == "article mended" else ArticleCheck)(fake)
    return SimpleNamespace(submit=lambda event: submit.lambda_handler(event, Context()), check=check.lambda_handler)


@pytest.fixture(scope="session")
def monkeypatch_session():
    """For hypothesis, which runs many examples in one test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEAD_LETTER_QUEUE_URL", FakeAws().sqs.url("dead-letters-sagemaker"))
        patch.setenv("JOB_QUEUES", "queue-sagemaker")
        yield patch
