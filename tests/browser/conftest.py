"""A JupyterLab for the tests and a Chromium to look at it with."""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

import local_aws

pytest.register_assert_rewrite("whole_notebook")  # so that a failure shows the values

# A reader's settings but for three: no question about news, nothing saved into the repository, and every cell in the
# page, not only those scrolled into view, so that a test finds them.
SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
}

# What keeps Chromium from calling home at each start; no sandbox, since CI runs as root in one of its own.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab: its address and token, and the folder it shows."""

    url: str
    token: str
    folder: Path

    def page_of(self, notebook: str) -> str:
        """The address that opens this notebook, a path below the folder, in a workspace of its own."""
        workspace = re.sub(r"\W", "-", notebook)
        return f"{self.url}lab/workspaces/{workspace}/tree/{notebook}?token={self.token}&reset"


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's path."""
    browser = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not browser:
        pytest.fail(
            "No Chromium is installed: `make chromium` installs Debian's as root; elsewhere install Chromium or Chrome "
            "and set CHROMIUM to its path.",
            pytrace=False,
        )
    return browser


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """Of a module, not of the session: while it is open, an event loop is, which other tests would trip over."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def start_lab(tmp_path_factory: pytest.TempPathFactory):
    """Starts JupyterLab on a folder, with an embedded AWS of its own that the notebooks' kernels find."""
    home = tmp_path_factory.mktemp("lab")
    aws_home = home / "aws"
    for plugin, settings in SETTINGS.items():
        path = home / "settings" / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings))
    token = secrets.token_hex(16)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SAGEMAKER_BATCH_")} | {
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTER_TOKEN": token,  # not on the command line, which any user of the machine can read
        "LOCAL_AWS_HOME": str(aws_home),
    }
    started: list[subprocess.Popen] = []

    def start(folder: Path, theme: str = "JupyterLab Light") -> Lab:
        themes = home / "settings" / "@jupyterlab" / "apputils-extension" / "themes.jupyterlab-settings"
        themes.write_text(json.dumps({"theme": theme}))
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", "--port=0", "--allow-root"]
        options = [
            f"--ServerApp.root_dir={folder}",
            f"--FileCheckpoints.checkpoint_dir={home / 'checkpoints'}",  # not into the repository
            "--LabApp.expose_app_in_browser=True",
        ]
        log = (home / f"jupyterlab-{len(started)}.log").open("w")
        process = subprocess.Popen([*command, *options], env=environment, stdout=log, stderr=subprocess.STDOUT)
        started.append(process)
        return Lab(_address(home / "runtime" / f"jpserver-{process.pid}.json", process, Path(log.name)), token, folder)

    yield start
    for process in started:
        process.terminate()
    for process in started:
        process.wait(timeout=30)
    local_aws.stop(aws_home)


def _address(info: Path, process: subprocess.Popen, log: Path) -> str:
    """Where the server listens, as soon as it answers; it writes the file `info` when it has a port."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if info.exists() and info.read_text().endswith("}"):
            url = json.loads(info.read_text())["url"]
            try:
                urllib.request.urlopen(f"{url}api", timeout=5).close()
                return url
            except urllib.error.URLError:
                pass  # not listening yet
        time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-4000:]}")
