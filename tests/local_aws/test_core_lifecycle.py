"""Starting, finding and stopping the server from other processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from processes import is_alive

import local_aws

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path):
    yield tmp_path / "home"
    local_aws.stop(tmp_path / "home")


def command(*arguments: str, home: Path) -> subprocess.CompletedProcess:
    line = [sys.executable, "-m", "local_aws", *arguments, "--home", str(home)]
    return subprocess.run(line, capture_output=True, text=True, timeout=90, check=False)


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not is_alive(pid):
            return True
        time.sleep(0.02)
    return False


def test_a_second_start_finds_the_first(home: Path) -> None:
    first = local_aws.start(port=0, home=home)
    assert local_aws.start(home=home) == first
    assert local_aws.find(home) == first
    other = command("start", home=home)
    assert other.returncode == 0 and first.endpoint_url in other.stdout
    assert local_aws.stop(home)
    assert local_aws.find(home) is None
    assert not local_aws.stop(home)


def test_the_server_outlives_the_process_that_started_it(home: Path) -> None:
    started = command("start", "--port", "0", home=home)
    assert started.returncode == 0, started.stderr
    server = local_aws.find(home)
    assert server and str(server.pid) in started.stdout
    assert command("status", home=home).returncode == 0


def test_the_messages_name_this_environments_python_for_a_terminal_at_the_repositorys_root() -> None:
    python = local_aws.COMMAND.split()[0]
    line = [python, "-c", "import sys; print(sys.prefix)"]
    seen = subprocess.run(line, cwd=local_aws.ROOT, capture_output=True, text=True, check=True).stdout
    assert Path(seen.strip()) == Path(sys.prefix)


def test_a_killed_server_is_said_to_be_dead_and_replaced(home: Path) -> None:
    dead = local_aws.start(port=0, home=home)
    os.kill(dead.pid, signal.SIGKILL)
    assert gone(dead.pid)
    status = command("status", home=home)
    assert status.returncode == 3 and "died" in status.stdout and "python -m local_aws start" in status.stdout
    assert local_aws.start(port=0, home=home).instance != dead.instance


def test_a_stale_record_never_points_at_a_stranger(home: Path) -> None:
    """The pid and the port of server.json may belong to other programs by now; none of them is touched."""
    home.mkdir()
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        stranger.settimeout(0.1)
        record = {"port": stranger.getsockname()[1], "pid": os.getpid(), "instance": "old"}
        (home / "server.json").write_text(json.dumps(record))
        stranger.close()
        assert local_aws.find(home) is None
        assert not local_aws.stop(home)  # this very process would have been the victim
    (home / "server.json").write_text("not json")
    assert local_aws.find(home) is None


def test_a_taken_port_is_one_clear_sentence(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(local_aws.LocalAwsError, match=f"Port {port} .* taken by another program. .* --port N"):
            local_aws.start(port=port, home=home)


@pytest.mark.thorough
def test_servers_that_start_at_once_have_ports_of_their_own(tmp_path: Path) -> None:
    """A port is taken before it is told: nobody gets it in between."""
    homes = [tmp_path / str(number) for number in range(3)]
    starting = [
        subprocess.Popen([sys.executable, "-m", "local_aws", "start", "--home", home], stdout=subprocess.DEVNULL)
        for home in homes
    ]
    try:
        assert [process.wait(90) for process in starting] == [0, 0, 0]
        servers = [local_aws.find(home) for home in homes]
        assert len({server.port for server in servers if server}) == 3
    finally:
        for home in homes:
            local_aws.stop(home)


def test_another_port_than_the_running_ones_is_one_clear_sentence(home: Path) -> None:
    server = local_aws.start(port=0, home=home)
    with pytest.raises(local_aws.LocalAwsError, match=f"already runs on port {server.port}"):
        local_aws.start(port=server.port + 1, home=home)


def test_a_server_that_cannot_come_up_says_why(home: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "a-file"
    blocked.write_text("")
    with pytest.raises(local_aws.LocalAwsError, match=r"did not start. Its log ends: .*a-file"):
        local_aws.start(port=0, home=home, state_dir=blocked / "state")


def test_nothing_of_the_users_aws_reaches_the_server(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREALREALREALREAL")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "real-secret")
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("SOME_TOKEN", "real-secret")
    server = local_aws.start(port=0, home=home)
    environment = Path(f"/proc/{server.pid}/environ").read_bytes().decode()
    assert "real-secret" not in environment and "production" not in environment and "AKIAREAL" not in environment
    assert f"HOME={home}" in environment


def test_only_the_owner_sees_the_servers_files(home: Path) -> None:
    local_aws.start(port=0, home=home)
    assert home.stat().st_mode & 0o777 == 0o700
    assert (home / "server.log").stat().st_mode & 0o777 == 0o600


def test_a_state_directory_survives_a_killed_server(home: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"

    def client(service: str):
        server = local_aws.start(port=0, home=home, state_dir=state)
        return boto3.client(
            service, endpoint_url=server.endpoint_url, region_name="us-east-1", aws_access_key_id="test",
            aws_secret_access_key="test",
        )  # fmt: skip

    client("s3").create_bucket(Bucket="kept-bucket")
    client("s3").put_object(Bucket="kept-bucket", Key="k", Body=b"kept")
    client("sqs").create_queue(QueueName="kept-queue")
    saved = state / "ministack" / "sqs.json"
    deadline = time.monotonic() + 20
    while not (saved.exists() and "kept-queue" in saved.read_text()):
        assert time.monotonic() < deadline, "the server never saved its queues"
        time.sleep(0.05)
    server = local_aws.find(home)
    assert server
    os.kill(server.pid, signal.SIGKILL)
    assert gone(server.pid)
    assert client("s3").get_object(Bucket="kept-bucket", Key="k")["Body"].read() == b"kept"
    assert client("sqs").list_queues()["QueueUrls"]
    assert state.stat().st_mode & 0o777 == 0o700


# --- in the foreground -----------------------------------------------------------------------------------------------


@pytest.fixture
def serve(home: Path) -> Iterator[Callable[[], subprocess.Popen]]:
    """Starts `serve`, as often as it is called."""
    running = []

    def start() -> subprocess.Popen:
        line = [sys.executable, "-m", "local_aws", "serve", "--home", str(home), "--port", "0"]
        running.append(subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        return running[-1]

    yield start
    for process in running:
        process.terminate()
        process.communicate(timeout=30)


def running_server(home: Path) -> local_aws.ServerInfo:
    deadline = time.monotonic() + 30
    while not (server := local_aws.find(home)):
        assert time.monotonic() < deadline, "the server did not come up"
        time.sleep(0.02)
    return server


@pytest.mark.thorough
def test_a_server_in_the_foreground_is_found_and_stopped_like_another(home: Path, serve: Callable) -> None:
    process = serve()
    server = running_server(home)
    assert server.pid == process.pid
    assert local_aws.start(home=home) == server
    assert local_aws.stop(home)
    assert process.wait(10) == 0
    assert local_aws.find(home) is None
    assert local_aws.start(port=0, home=home).pid != server.pid


@pytest.mark.sampled(1)
@pytest.mark.parametrize("way", ["start", "serve"])
def test_a_second_server_of_one_home_is_refused_and_hurts_nothing(home: Path, serve: Callable, way: str) -> None:
    if way == "start":
        local_aws.start(port=0, home=home)
    else:
        serve()
    first = running_server(home)
    [work] = home.glob("**/.made-by-local-aws")
    (work.parent / "of the first").write_text("x")
    second = serve()
    said, _ = second.communicate(timeout=30)
    assert second.returncode == 1
    assert said == (
        f"The embedded AWS of {home} already runs, at {first.endpoint_url} (process {first.pid}). Use that, or stop it "
        f"first with `{local_aws.COMMAND} stop --home {home}`.\n"
    )
    assert local_aws.find(home) == first
    assert (work.parent / "of the first").exists()


@pytest.mark.thorough
def test_of_two_started_at_once_in_the_foreground_one_serves(home: Path, serve: Callable) -> None:
    processes = [serve(), serve()]
    server = running_server(home)
    [loser] = [process for process in processes if process.pid != server.pid]
    said, _ = loser.communicate(timeout=30)
    assert loser.returncode == 1 and "already runs" in said and len(said.splitlines()) == 1
    assert local_aws.find(home) == server


def test_a_start_waits_for_a_server_that_is_coming_up(home: Path, serve: Callable) -> None:
    process, lock = serve(), home / "lock"
    deadline = time.monotonic() + 30
    # The file is there a moment before it is locked. To try the lock would take it from the server.
    while not (lock.exists() and f":{lock.stat().st_ino} " in Path("/proc/locks").read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.002)
    assert local_aws.start(home=home).pid == process.pid


@pytest.mark.thorough
def test_a_killed_server_leaves_no_lock(home: Path, serve: Callable) -> None:
    first = local_aws.start(port=0, home=home)
    os.kill(first.pid, signal.SIGKILL)
    assert gone(first.pid)
    process = serve()
    assert running_server(home).pid == process.pid


# --- what is the user's ----------------------------------------------------------------------------------------------


def test_only_directories_of_its_own_are_deleted(home: Path) -> None:
    """`home` may be any directory, and hold anything."""
    home.mkdir()
    files = [home / "work" / "thesis.txt", home / "jobs" / "x", home / "tmp" / "y"]
    for file in files:
        file.parent.mkdir()
        file.write_text("precious")
    local_aws.start(port=0, home=home)
    local_aws.stop(home)
    assert [file.read_text() for file in files] == ["precious"] * 3
    assert not list(home.glob("**/.made-by-local-aws"))


def test_a_directory_that_is_not_its_own_but_has_the_name_is_left_alone(home: Path) -> None:
    theirs = home / "local-aws-work" / "x"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("precious")
    with pytest.raises(local_aws.LocalAwsError, match=r"local-aws-work is not the embedded AWS's .* another --home"):
        local_aws.start(port=0, home=home)
    assert theirs.read_text() == "precious"


def test_what_a_killed_server_left_is_deleted(home: Path) -> None:
    first = local_aws.start(port=0, home=home)
    [marker] = home.glob("**/.made-by-local-aws")
    (marker.parent / "left").write_text("x")
    os.kill(first.pid, signal.SIGKILL)
    assert gone(first.pid)
    local_aws.start(port=0, home=home)
    assert marker.exists()
    assert not (marker.parent / "left").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a network of its own")
def test_a_machine_without_the_loopback_address_is_told_how_to_add_it(tmp_path):
    """As on a machine with IPv6 alone."""
    network = ["unshare", "--net", "sh", "-c", 'ip link set lo up && ip address del 127.0.0.1/8 dev lo && "$@"', "sh"]
    if shutil.which("unshare") is None or subprocess.run([*network, "true"], check=False).returncode:
        pytest.skip("this machine lets nothing have a network of its own")
    command = [*network, sys.executable, "-m", "local_aws", "start", "--home", tmp_path]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    assert tried.returncode == 1
    assert "no address 127.0.0.1" in tried.stderr and "sudo ip address add" in tried.stderr
    assert "Traceback" not in tried.stderr
