"""Runs Python tests with many seeds of SOFTCANN_SCHEDULE. torch is imported once; each seed is a fork of that process.

    python -m tests.stress.schedules --seeds=1-200 tests/python/test_stream_event.py [pytest's arguments]

What the tests start with ``[sys.executable, "-c", code]`` is forked off as well, from a process that has touched no device either.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Pipe

LIMIT = 1800  # seconds that a seed may take, also on a busy machine; more is a hang

ordinary_run = subprocess.run


def run_tests(arguments, server):
    """In the process of one seed."""
    import pytest

    def run(command, env=None, cwd=None, capture_output=False, text=False, timeout=None, **others):
        if command[:2] != [sys.executable, "-c"] or len(command) != 3 or others or not (capture_output and text):
            return ordinary_run(command, env=env, cwd=cwd, capture_output=capture_output, text=text, timeout=timeout, **others)
        with tempfile.TemporaryDirectory() as directory:
            paths = [os.path.join(directory, name) for name in ("out", "err")]
            server.send((command[2], dict(os.environ if env is None else env), cwd or os.getcwd(), *paths))
            code = server.recv()
            texts = []
            for path in paths:
                with open(path) as file:
                    texts.append(file.read())
        return subprocess.CompletedProcess(command, code, *texts)

    subprocess.run = run
    return pytest.main(["-q", "-p", "no:cacheprovider", *arguments])


def become_program(request):
    """In a new process: makes it look as if started for the program, and returns that."""
    code, environment, directory, out, err = request
    for descriptor, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, descriptor)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    sys.argv = ["-c"]
    return code


def serve(seed, arguments, log):
    """One seed, in a process of its own. Returns (exit code, None), or (None, a program) in the process that is to run it."""
    os.setsid()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.environ["SOFTCANN_SCHEDULE"] = str(seed)
    here, there = Pipe()
    tests = os.fork()
    if tests == 0:
        here.close()
        status = run_tests(arguments, there)
        sys.stdout.flush()
        os._exit(status)
    there.close()
    while True:
        try:
            request = here.recv()
        except EOFError:
            return os.waitstatus_to_exitcode(os.waitpid(tests, 0)[1]), None
        program = os.fork()
        if program == 0:
            here.close()
            return None, become_program(request)
        here.send(os.waitstatus_to_exitcode(os.waitpid(program, 0)[1]))


def end(process):
    try:
        os.killpg(process, signal.SIGKILL)
    except ProcessLookupError:
        pass


def main():
    """The exit code, or a program in the process that is to run it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", default="1-200")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    args, rest = parser.parse_known_args()
    first, _, last = args.seeds.partition("-")
    import pytest  # noqa: F401
    import torch  # noqa: F401
    import torch_npu  # noqa: F401

    waiting = list(range(int(last or first), int(first) - 1, -1))
    running, failed, total = {}, [], len(waiting)
    logs = tempfile.mkdtemp()  # no context manager, which the processes that become programs would leave
    while waiting or running:
        while waiting and len(running) < args.jobs:
            seed = waiting.pop()
            log = os.path.join(logs, str(seed))
            process = os.fork()
            if process == 0:
                code, program = serve(seed, rest, log)
                if program is not None:
                    return program
                os._exit(code & 0xFF)
            running[process] = (seed, log, time.monotonic() + LIMIT)
        time.sleep(0.05)
        for process, (seed, log, deadline) in list(running.items()):
            done, status = os.waitpid(process, os.WNOHANG)
            late = done == 0 and time.monotonic() > deadline
            if late:
                end(process)
                _, status = os.waitpid(process, 0)
            if done or late:
                del running[process]
                if status != 0:
                    failed.append(seed)
                    with open(log, errors="replace") as file:
                        text = file.read()
                    print(f"--- seed {seed}: {'hangs' if late else 'wrong'}\n{text[-6000:]}", flush=True)
                end(process)
    shutil.rmtree(logs)
    print(f"{total} schedules, {len(failed)} wrong" + (f": {sorted(failed)}" if failed else ""), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    outcome = main()
    if isinstance(outcome, str):
        # Here, so that the program ends as the interpreter does.
        exec(compile(outcome, "<string>", "exec"), {"__name__": "__main__", "__builtins__": __builtins__})
    else:
        sys.exit(outcome)
