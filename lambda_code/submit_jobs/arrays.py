"""Divide items into arrays, and write each array's items to S3, where its jobs read them."""

import hashlib
import json
import random
import time

from botocore.exceptions import ClientError

from event import BadEvent, digest, jobs_folder
from items import list_objects, read_manifest
from s3 import get, get_if_there, put

MAX_ARRAY_SIZE = 10_000
MAX_MANIFEST_BYTES = 32 * 1024 * 1024  # all lines are as long as the longest: with long items an array has fewer


def plan_arrays(options):
    """Return [{manifest_uri, size, line_bytes}], the plan that the first call made for this execution and step.

    With a trial, its items are the first array.

    Objects may have been added or deleted since, for instance by the first call's jobs. Two calls may also run at
    once. So the plan is written only if there is none yet, and the manifests' names say what is in them.
    """
    # Which plan it is depends on what is asked for: refuse_others() distinguishes a step from another with its name.
    plan_uri = f"{jobs_folder(options)}/plan-{digest(options)}.json"
    plan = get_if_there(plan_uri)
    return json.loads(plan) if plan is not None else write_plan(plan_uri, new_plan(options))


def new_plan(options):
    """A plan of what is there now. Writes the arrays' manifests."""
    if "manifest_uri" in options:
        items = read_manifest(options)
    else:
        items = list_objects(options) if "input_uri" in options else []
    if not items and not options["may_be_empty"]:
        source = options.get("manifest_uri") or f"{options['input_uri']}/"
        raise BadEvent(f"There is nothing to do, because {source} holds no items. If that is fine, pass may_be_empty.")
    items = items[: options["max_jobs"]]
    longest = max(map(len, items), default=0) + 1
    size = min(MAX_ARRAY_SIZE, MAX_MANIFEST_BYTES // longest)
    folder = jobs_folder(options)
    trial = options.get("trial", 0)
    parts = [items[:trial]] if items[:trial] else []
    parts += [items[first : first + size] for first in range(trial, len(items), size)]
    return [write_manifest(folder, part) for part in parts]


def write_plan(plan_uri, plan):
    """Write the plan, unless another call was faster. Returns the plan that holds."""
    for _ in range(20):
        try:
            put(plan_uri, json.dumps(plan), IfNoneMatch="*")
            return plan
        except ClientError as error:
            if error.response["Error"]["Code"] == "PreconditionFailed":  # there is a plan
                return json.loads(get(plan_uri))
            if error.response["Error"]["Code"] != "ConditionalRequestConflict":  # another call is writing one just now
                raise
        time.sleep(random.uniform(0.1, 0.5))
    raise TimeoutError(f"S3 did not settle who writes {plan_uri}. Run the step again.")


def write_manifest(folder, items):
    """Write one array's items, one a line, all lines of one length: {manifest_uri, size, line_bytes}."""
    line_bytes = max(len(item) for item in items) + 1  # JSON texts are ASCII here: a character is a byte
    text = "".join(f"{item:<{line_bytes - 1}}\n" for item in items)
    uri = f"{folder}/items-{hashlib.sha256(text.encode()).hexdigest()[:16]}.jsonl"
    put(uri, text)
    return {"manifest_uri": uri, "size": len(items), "line_bytes": line_bytes}
