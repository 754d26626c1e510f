"""The first calls of a process, all at once: what they find is not made yet."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

TRIES = 60
"""Without a schema made before there are threads, about one in 30 failed: a call was Internal, or all ended."""

SCRIPT = """
    import os, sys, threading
    from pathlib import Path
    from werkzeug.test import EnvironBuilder, run_wsgi_app
    from webchat_soap.app import create_app
    from webchat_soap.settings import Settings

    sys.setswitchinterval(1e-6)
    app = create_app(Settings(data_dir=Path(sys.argv[1])))
    envelope = (
        '<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body><GetLimits xmlns="urn:webchat:v1"/></Body>'
        '</Envelope>'
    )

    def answer_first_calls():
        together, wrong = threading.Barrier(8), []

        def call():
            environ = EnvironBuilder("/webchat", method="POST", data=envelope, content_type="text/xml").get_environ()
            together.wait()
            answer, status, headers = run_wsgi_app(app, environ)
            if status != "200 OK":
                wrong.append(status)

        threads = [threading.Thread(target=call) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return wrong

    failed = 0
    for _ in range(int(sys.argv[2])):
        pid = os.fork()
        if pid == 0:
            os._exit(1 if answer_first_calls() else 0)
        failed += os.waitpid(pid, 0)[1] != 0
    print(failed)
"""


def test_the_first_calls_of_a_process_may_come_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(tmp_path / "data"), str(TRIES)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split() == ["0"], ended.stderr[-3000:]
