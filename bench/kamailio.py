"""Debian's Kamailio as a contestant: its configuration, written to a folder of the run.

One UDP listener with one child, no TCP, memory manager `fm`, log level -1. The scripts do the least that
answers or forwards. Kamailio's bare `forward()` leaves Max-Forwards as it came, and no script checks for
mandatory headers: the comparison is in its favour.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from load import HOST

CONFIG = """#!KAMAILIO
debug=-1
log_stderror=yes
fork=yes
children=1
disable_tcp=yes
auto_aliases=no
dns=no
rev_dns=no
listen=udp:{host}:{port}
{body}
"""

NATIVE_REPLY = """loadmodule "sl.so"
request_route { sl_send_reply("200", "OK"); }
"""
NATIVE_FORWARD = """loadmodule "sl.so"
request_route { forward(); }
"""
# The callbacks the script does not have are switched off. Left on, a missing `ksr_onsend_route` leaves a
# Python exception behind, and its traceback is logged for every request sent: a forward then costs about
# six times as much, and comparing with that would be comparing with a mistake.
KEMI = """kemi.onsend_route_callback="none"
kemi.reply_route_callback="none"
loadmodule "sl.so"
loadmodule "{module}"
modparam("app_python3", "load", "{script}")
cfgengine "python"
"""

SCRIPT = """import KSR


class Routes:
    def child_init(self, rank):
        return 0

    def ksr_request_route(self, msg):
        {action}
        return 1


def mod_init():
    return Routes()
"""
KEMI_REPLY = 'KSR.sl.sl_send_reply(200, "OK")'
KEMI_FORWARD = "KSR.forward()"
KEMI_MODULE = "app_python3.so"


def program() -> str | None:
    """Where Kamailio is, or None."""
    return shutil.which("kamailio") or shutil.which("kamailio", path="/usr/sbin:/usr/local/sbin")


def has_kemi() -> bool:
    """Whether Kamailio can load its module for Python scripts. Kamailio knows its module path."""
    found = program()
    if found is None:
        return False
    with tempfile.TemporaryDirectory(prefix="trio-sip-bench-") as folder:
        config = Path(folder, "kamailio.cfg")
        config.write_text(f'#!KAMAILIO\nloadmodule "{KEMI_MODULE}"\nrequest_route {{ drop; }}\n')
        check = subprocess.run([found, "-c", "-f", config], capture_output=True, timeout=20, check=False)
    return check.returncode == 0


def write_native(folder: Path, port: int, route: str) -> list[str | Path]:
    """Write a configuration with `route` as its script; the command that runs it."""
    return _write(folder, port, route)


def write_kemi(folder: Path, port: int, action: str) -> list[str | Path]:
    """Write a configuration with a Python script that does `action`; the command that runs it."""
    script = folder / "routes.py"
    script.write_text(SCRIPT.format(action=action))
    return _write(folder, port, KEMI.format(module=KEMI_MODULE, script=script))


def _write(folder: Path, port: int, body: str) -> list[str | Path]:
    config = folder / "kamailio.cfg"
    config.write_text(CONFIG.format(host=HOST, port=port, body=body))
    found = program()
    if found is None:
        raise FileNotFoundError("kamailio is not installed")
    return [found, "-DD", "-E", "-f", config, "-Y", folder, "-w", folder, "-x", "fm", "-X", "fm"]
