"""Recognize the try that a message belongs to. RetryPipelineExecution runs the waiting step again, with a new token.

The message doesn't say that it is a retry. So each try keeps a record beside the files of submit_jobs for the step,
try-1-0a1b2c3d.json and so on, with its token and the jobs it has submitted again. Of two calls, S3 lets only one write.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

import hashlib
import itertools
import json
import time

from aws import error_code, put_object, read_object
from errors import PollLater, UnconfirmedError
from log import log
from model import LEASE_SECONDS, Try

MISSING = ("NoSuchKey", "AccessDenied")  # S3 says AccessDenied of a missing object where the bucket may not be listed
OVERTAKEN = ("PreconditionFailed", "ConditionalRequestConflict")
TRIES_TO_WRITE = 5


def folder_of(step):
    """The s3:// prefix under which submit_jobs keeps its files for the step, as far as the step's inputs name it."""
    uri = step.report_uri or (step.job_ids if step.job_ids.startswith("s3://") else "")
    return uri.rpartition("/")[0]


def join(step):
    """The step's Try, with a record from now on. Without a folder, or for a try before the latest, it has no number.

    Raises:
        PollLater: S3 can't be reached now, or another call has written the record at the same moment.
    """
    folder = folder_of(step)
    if not folder:
        return Try()
    try:
        this = find(step, folder)
        if step.stopping and this.number and not this.stopping:
            this = change(this, stopping=True)
        return this
    except UnconfirmedError as error:
        log("can't record the tries, so a retry of the step would submit nothing", level="ERROR", error=str(error))
        return Try()


def find(step, folder):
    replaced: dict[str, dict] = {}
    jobs = hashlib.sha256(step.job_ids.encode()).hexdigest()[:8]  # two steps may share a folder: a trial and the rest
    for number in itertools.count(1):
        uri = f"{folder}/try-{number}-{jobs}.json"
        record, etag = read(uri) or begin(uri, step)
        replaced |= record["jobs"]
        this = Try(number, uri, etag, record, replaced)
        if record["token"] == step.token:
            return this
        if time.time() > record["sent"] > step.sent:  # a time ahead is of a clock that was set back since
            return Try()  # a late copy of a message whose step has been retried since
    raise AssertionError("itertools.count ends never")


def read(uri):
    """A record and its ETag, or None if there is none."""
    try:
        body, etag = read_object(uri)
    except UnconfirmedError as error:
        if error_code(error) in MISSING:
            return None
        raise
    return json.loads(body), etag


def begin(uri, step):
    record = {"token": step.token, "sent": step.sent, "stopping": step.stopping, "submitting_until": 0, "jobs": {}}
    try:
        return record, put_object(uri, json.dumps(record), IfNoneMatch="*")
    except UnconfirmedError as error:
        if error_code(error) in OVERTAKEN:
            raise PollLater(f"another call has just written {uri}") from error
        raise


def change(this, jobs=None, **fields):
    """Change a try's record, whatever other calls write meanwhile. Returns the Try as it is then."""
    for _ in range(TRIES_TO_WRITE):
        record = {**this.record, **fields, "jobs": {**this.record["jobs"], **(jobs or {})}}
        try:
            etag = put_object(this.uri, json.dumps(record), IfMatch=this.etag)
            return Try(this.number, this.uri, etag, record, {**this.replaced, **record["jobs"]})
        except UnconfirmedError as error:
            if error_code(error) not in OVERTAKEN:
                raise
        this = read_again(this)
    raise PollLater(f"other calls keep writing {this.uri}")


def read_again(this):
    record, etag = read(this.uri) or (this.record, this.etag)
    return Try(this.number, this.uri, etag, record, this.replaced)


def end(this):
    """Record that a try fails, before its step is answered. SQS may deliver its message again, even after a retry.

    Returns:
        The Try as it is then.
    """
    if not this.number or this.over:
        return this
    try:
        return change(this, over=True)
    except UnconfirmedError as error:
        log("can't record the end of the try", level="ERROR", error=str(error))
        return this


def lease(this):
    """Reserve a try's submitting for this call. Raises PollLater if another call has changed the record meanwhile.

    The reservation ends when `change` sets submitting_until to the past. It runs out if this call is interrupted.
    """
    record = {**this.record, "submitting_until": time.time() + LEASE_SECONDS}
    try:
        etag = put_object(this.uri, json.dumps(record), IfMatch=this.etag)
        return Try(this.number, this.uri, etag, record, this.replaced)
    except UnconfirmedError as error:
        if error_code(error) in OVERTAKEN:
            raise PollLater("another call submits the failed jobs again") from error
        raise
