import io
import linecache
import os
import zipfile

import pytest
from botocore.exceptions import ClientError

from utils import iam, lambdas

ECHO = b"""
import os
def lambda_handler(event, context):
    if "raise" in event:
        raise ValueError(event["raise"])
    return {"event": event, "setting": os.environ.get("SETTING")}
"""


def zipped(source: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("lambda_function.py"), source)
    return buffer.getvalue()


@pytest.fixture
def ensure(session, config):
    """Deploys a function as notebook 03 does."""
    role = iam.ensure_roles(session, config)["data_lambda"]

    def deploy(code: bytes = ECHO, **changes) -> str:
        settings = {"timeout_seconds": 30, "environment": {"SETTING": "a"}, **changes}
        return lambdas.ensure_function(
            session, config.count_inputs_function, code=zipped(code), role=role, tags=config.tags, **settings
        )

    return deploy


@pytest.mark.parametrize("name", ["submit_jobs", "check_jobs", "count_inputs", "merge_results"])
def test_a_package_is_the_same_bytes_for_the_same_files(name, monkeypatch, tmp_path):
    package = lambdas.package(name)
    copy = tmp_path / name
    copy.mkdir()
    modules = sorted((lambdas.LAMBDA_CODE / name).glob("*.py"))
    for path in reversed(modules):
        (copy / path.name).write_bytes(path.read_bytes())
        os.utime(copy / path.name, (0, 0))
        (copy / path.name).chmod(0o600)
    (copy / "__pycache__").mkdir()
    (copy / "__pycache__" / "lambda_function.pyc").write_bytes(b"")
    monkeypatch.setattr(lambdas, "LAMBDA_CODE", tmp_path)
    assert lambdas.package(name) == package
    (copy / "README.md").write_text("It explains, and is not needed to run.")
    assert lambdas.package(name) == package
    assert zipfile.ZipFile(io.BytesIO(package)).namelist() == [path.name for path in modules]


def test_the_functions_to_take_home_are_written_as_zips(tmp_path):
    paths = lambdas.write_packages(tmp_path / "build")
    assert [path.name for path in paths] == ["submit_jobs.zip", "check_jobs.zip"]
    assert [path.read_bytes() for path in paths] == [lambdas.package("submit_jobs"), lambdas.package("check_jobs")]


def test_a_folder_without_a_function_is_an_error():
    with pytest.raises(FileNotFoundError, match=r"lambda_code/nothing has no lambda_function\.py"):
        lambdas.package("nothing")


def test_a_function_is_deployed_with_its_configuration_and_a_log_that_ends(session, config, ensure):
    arn = ensure()
    function = session.client("lambda").get_function(FunctionName=config.count_inputs_function)
    assert function["Configuration"]["FunctionArn"] == arn
    assert (function["Configuration"]["Runtime"], function["Configuration"]["Timeout"]) == ("python3.13", 30)
    assert function["Tags"] == config.tags
    group = session.client("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{config.count_inputs_function}")
    assert group["logGroups"][0]["retentionInDays"] == 14
    assert lambdas.invoke(session, config.count_inputs_function, {"n": 1}) == {"event": {"n": 1}, "setting": "a"}


def test_only_what_differs_is_updated(session, config, ensure, calls):
    arn = ensure()
    for changes, written in (
        ({}, []),
        ({"environment": {"SETTING": "b"}}, ["UpdateFunctionConfiguration"]),
        ({"environment": {"SETTING": "b"}, "timeout_seconds": 40}, ["UpdateFunctionConfiguration"]),
        ({"environment": {"SETTING": "b"}, "timeout_seconds": 40, "code": ECHO + b"#"}, ["UpdateFunctionCode"]),
        ({"code": ECHO}, ["UpdateFunctionCode", "UpdateFunctionConfiguration"]),
        ({"environment": None}, ["UpdateFunctionConfiguration"]),
    ):
        calls.made.clear()
        assert ensure(**changes) == arn
        assert calls.writes == written, changes
    assert lambdas.invoke(session, config.count_inputs_function, {})["setting"] is None


def test_another_owners_function_is_refused_untouched(session, config, ensure, calls):
    arn = ensure()
    session.client("lambda").untag_resource(Resource=arn, TagKeys=list(config.tags))
    session.client("logs").delete_log_group(logGroupName=config.lambda_log_group(config.count_inputs_function))
    calls.made.clear()
    name = config.count_inputs_function
    with pytest.raises(iam.NameConflict, match=f'The function "{name}" exists and is not this kit\'s, since it lacks'):
        ensure(ECHO + b"#", timeout_seconds=31)
    assert calls.writes == []


def test_a_role_that_lambda_does_not_know_yet_is_waited_for(ensure, calls, no_waiting):
    young = "The role defined for the function cannot be assumed by Lambda."
    calls.refuse("CreateFunction", "InvalidParameterValueException", young, times=2)
    ensure()
    assert calls.made.count("CreateFunction") == 3
    assert len(no_waiting) >= 2


def test_an_update_in_progress_is_waited_for(ensure, calls, no_waiting):
    ensure()
    calls.refuse("UpdateFunctionCode", "ResourceConflictException", "An update is in progress for resource")
    calls.refuse("UpdateFunctionConfiguration", "ResourceConflictException", "An update is in progress for resource")
    ensure(ECHO + b"#", timeout_seconds=31)
    assert calls.made.count("UpdateFunctionCode") == calls.made.count("UpdateFunctionConfiguration") == 2


def test_what_waiting_does_not_help_is_raised_at_once(ensure, calls, no_waiting):
    calls.refuse("CreateFunction", "InvalidParameterValueException", "Uploaded file must be a non-empty zip")
    with pytest.raises(ClientError, match="non-empty zip"):
        ensure()
    assert no_waiting == []


def test_a_function_that_raises_is_an_error_with_its_words(session, config, ensure):
    ensure()
    with pytest.raises(lambdas.FunctionFailed, match=r"^ValueError: no such month$"):
        lambdas.invoke(session, config.count_inputs_function, {"raise": "no such month"})


def test_a_missing_function_says_which_notebook_deploys_it(session, config):
    with pytest.raises(LookupError, match="Run notebook 03_lambdas"):
        lambdas.function_arn(session, config.submit_jobs_function)


def test_a_cell_is_packaged_whole_as_the_function():
    source = 'GREETING = "hello"\n\n\ndef lambda_handler(event, context):\n    return GREETING\n'
    linecache.cache["a cell"] = (len(source), None, source.splitlines(keepends=True), "a cell")
    variables = {}
    exec(compile(source, "a cell", "exec"), variables)
    code = lambdas.package_cell(variables["lambda_handler"])
    with zipfile.ZipFile(io.BytesIO(code)) as archive:
        assert archive.read("lambda_function.py").decode() == source
    assert code == lambdas.package_cell(variables["lambda_handler"])


def test_a_cell_whose_text_is_lost_must_run_again():
    variables = {}
    exec(compile("def lambda_handler(event, context): ...", "a lost cell", "exec"), variables)
    with pytest.raises(LookupError, match=r"The cell that defines lambda_handler is unknown. Run it again"):
        lambdas.package_cell(variables["lambda_handler"])
