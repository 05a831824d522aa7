"""The process that runs a Python function: one invocation after the other, and errors as Lambda's runtime names them.

MiniStack writes this file beside the function's code and runs it. Standard input and output are pipes to MiniStack:
one line of JSON in for each invocation, one out. They are set aside before the function's code is loaded, so that it
reads nothing from the one and writes nothing to the other: what it prints goes to its log.

https://github.com/aws/aws-lambda-python-runtime-interface-client/blob/main/awslambdaric/bootstrap.py
"""

import importlib
import json
import os
import select
import sys
import threading
import time
import traceback
from pathlib import Path

ANSWER_BYTES = 6_291_556  # what Lambda answers at most
INIT_SECONDS = 10  # how long Lambda waits for a function's code to be loaded


class FunctionError(Exception):
    def __init__(self, kind, message, trace=()):
        super().__init__(message)
        self.kind, self.message, self.trace = kind, message, list(trace)


class Context:
    def __init__(self, about, invocation):
        environment = os.environ.get
        self.function_name = about.get("function_name", "")
        self.function_version = environment("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        self.memory_limit_in_mb = about.get("memory", 128)
        self.invoked_function_arn = invocation.get("invoked_function_arn", about.get("arn", ""))
        self.aws_request_id = invocation.get("request_id", "")
        self.log_group_name = environment("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/" + self.function_name)
        self.log_stream_name = environment("AWS_LAMBDA_LOG_STREAM_NAME", "")
        self.identity = self.client_context = None
        self._deadline = time.monotonic() + float(environment("_LAMBDA_TIMEOUT", "3"))

    def get_remaining_time_in_millis(self):
        return max(0, int((self._deadline - time.monotonic()) * 1000))


def main():
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    end_with_the_server(requests.fileno())
    about = json.loads(requests.readline())
    os.environ.update(about.get("env", {}))
    add_to_path(about["code_dir"])
    globals()["_ms_install_invoke_depth"]()  # MiniStack's, which is in front of this file when it runs
    loaded = initialize(answers, about)
    for line in requests:
        message = json.loads(line)
        invocation = message.get("ctx") or {}
        set_or_remove("_X_AMZN_TRACE_ID", invocation.get("trace_id"))
        set_or_remove("_MINISTACK_INVOKE_DEPTH", invocation.get("depth"))
        try:
            handler = loaded()
        except FunctionError as error:
            say(answers, {"status": "error", **described(error)})
            continue
        except SystemExit as error:
            end(error)
        try:
            say(answers, invoke(handler, message["event"], Context(about, invocation)))
        except FunctionError as error:
            # The process goes on, as Lambda's runtime does after what a function raises.
            say(answers, {"status": "ok", "raised": described(error)})
        except SystemExit as error:
            end(error)


def initialize(answers, about):
    """Load the function's code, then say that it is ready: Lambda counts this time in no invocation's timeout.

    After INIT_SECONDS it is said to be ready all the same. What is left then counts in the first invocation.

    https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
    """
    once = threading.Lock()

    def ready():
        if once.acquire(blocking=False):
            say(answers, {"status": "ready", "cold": True})

    late = threading.Timer(INIT_SECONDS, ready)
    late.daemon = True
    late.start()
    try:
        handler = load(about["module"], about["handler"])
        loaded = lambda: handler  # noqa: E731 - what the first invocation gets
    except (FunctionError, SystemExit) as error:
        failure = error

        def loaded():
            raise failure

    late.cancel()
    ready()
    return loaded


def end(error):
    """At once: a pipe that closes before the process has ended would have MiniStack end it, by a signal."""
    os._exit(error.code if isinstance(error.code, int) else int(error.code is not None))


def described(error):
    """What the function's caller and its log are told."""
    log = f"[ERROR] {error.kind}: {error.message}\n"
    if error.trace:
        log += "Traceback (most recent call last):\n" + "".join(error.trace)
    return {"error": error.message, "errorType": error.kind, "stackTrace": error.trace, "trace": log}


def end_with_the_server(pipe):
    """A function that runs when the server is killed would run on, beside its second invocation after a restart."""

    def watch():
        poll = select.poll()
        poll.register(pipe, 0)  # its other end's end alone, which the server alone has
        poll.poll()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def say(answers, answer):
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


def set_or_remove(name, value):
    if value:
        os.environ[name] = str(value)
    else:
        os.environ.pop(name, None)


def add_to_path(code):
    import site

    sys.path.insert(0, code)
    for layer in filter(None, os.environ.get("_LAMBDA_LAYERS_DIRS", "").split(os.pathsep)):
        packages = Path(layer) / "python"
        if packages.is_dir():
            sys.path.insert(0, str(packages))
            version = f"python{sys.version_info.major}.{sys.version_info.minor}"
            site.addsitedir(str(packages / "lib" / version / "site-packages"))


def load(module, name):
    try:
        loaded = importlib.import_module(module)
    except ImportError as error:
        raise FunctionError("Runtime.ImportModuleError", f"Unable to import module '{module}': {error}") from None
    except SyntaxError as error:
        place = f'  File "{error.filename}" Line {error.lineno}\n    {error.text}'
        why = f"Syntax error in module '{module}': {error}"
        raise FunctionError("Runtime.UserCodeSyntaxError", why, [place]) from None
    except Exception as error:  # noqa: BLE001 - whatever the function's code raises
        raise raised(error) from None
    if not hasattr(loaded, name):
        raise FunctionError("Runtime.HandlerNotFound", f"Handler '{name}' missing on module '{module}'")
    return getattr(loaded, name)


def invoke(handler, event, context):
    try:
        result = handler(event, context)
    except Exception as error:  # noqa: BLE001 - whatever the function's code raises
        raise raised(error) from None
    try:
        size = len(json.dumps(result, ensure_ascii=False).encode())
    except (TypeError, ValueError, RecursionError) as error:  # a lone surrogate is a ValueError
        raise FunctionError("Runtime.MarshalError", f"Unable to marshal response: {error}") from None
    if size > ANSWER_BYTES:
        why = f"Response payload size exceeded maximum allowed payload size ({ANSWER_BYTES} bytes)."
        raise FunctionError("Function.ResponseSizeTooLarge", why)
    return {"status": "ok", "result": result}


def raised(error):
    """What the function raised, with its traceback from its own first line on."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    frames = [frame for frame in own if "importlib" not in frame.filename]
    return FunctionError(type(error).__name__, str(error), traceback.format_list(frames))


main()
