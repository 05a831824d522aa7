"""Install locked packages with uv, which takes seconds where pip takes minutes: install.py ENVIRONMENT LOCK.

uv does not read pip's settings. So this reads them and hands them on: the package index with its credentials, further
indexes, folders of wheels, and the certificates. Each goes through the environment, where no process list shows it.

https://docs.astral.sh/uv/pip/compatibility/
"""

import ast
import os
import subprocess
import sys

# pip's setting: uv's environment variable.
SETTINGS = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
}


def pip_settings(listed: str) -> dict[str, str]:
    """pip's settings by name, from what `pip config list` prints."""
    settings = {}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        if value.startswith(("'", '"')):
            settings[name.rpartition(".")[2]] = " ".join(ast.literal_eval(value).split())
    return settings


def uv_environment(settings: dict[str, str], known: dict[str, str]) -> dict[str, str]:
    """The environment for uv: `known`, and pip's settings where uv has none of its own."""
    said = {variable: settings[name] for name, variable in SETTINGS.items() if name in settings}
    if "UV_FIND_LINKS" in said:
        said["UV_FIND_LINKS"] = said["UV_FIND_LINKS"].replace(" ", ",")
    # pip takes a package from whichever index has it. uv does so only with this; the hashes decide what is accepted.
    return {"UV_INDEX_STRATEGY": "unsafe-best-match"} | said | known


if __name__ == "__main__":
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    listed = subprocess.run([*pip, "config", "list"], check=True, capture_output=True, text=True).stdout
    uv = [sys.executable, "-m", "uv", "pip", "sync", "--require-hashes", "--python", *sys.argv[1:]]
    uv += [] if sys.stderr.isatty() else ["--quiet"]  # a person sees how far it is, a log need not
    sys.exit(subprocess.run(uv, env=uv_environment(pip_settings(listed), dict(os.environ)), check=False).returncode)
