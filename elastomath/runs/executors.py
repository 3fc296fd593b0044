"""Executors by name: processes of this machine, SLURM through submitit, a Dask cluster; each a `concurrent.futures.Executor`."""

from __future__ import annotations

import contextlib
import functools
import os
import pickle
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from ..errors import InputError, with_extra
from ..memory import affordable

KINDS: Final = ("here", "local", "slurm", "slurm-local", "tcp://HOST:PORT")
"""What `open_executor` takes."""
THREADS: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
)
"""Variables by which libraries are told, before they are loaded, how many threads to start."""
PROCESS_BYTES: Final = 100_000_000
"""What a process takes at least."""
Call = Callable[[], Any]
Outcome = tuple[bool, Any]
"""(True, result) or (False, exception): what comes back from elsewhere."""
_starting = threading.Lock()


class WorkerDiedError(RuntimeError):
    """The process of one run ended before the run did: killed (out of memory, often), or it left by itself."""


@contextlib.contextmanager
def open_executor(spec: str, *, workers: int = 1, **options: Any) -> Iterator[Executor | None]:
    """A `concurrent.futures.Executor` by its name, for `elastomath.runs.ledger.sweep`; closed at the end of the block.

    - ``here``: None, runs are made in this process, one after another;
    - ``local``: ``workers`` processes of this machine, started afresh (spawn), one thread each. A process that is killed takes
      its own run with it (`WorkerDiedError`), no other; the next run gets a new process. None outlives this one;
    - ``slurm``: submitit's jobs, at most ``workers`` at a time; ``slurm-local``: the same without a scheduler, as subprocesses.
      Options: ``folder``, seen by all nodes (default ``out/jobs``, for ``slurm-local`` a temporary one); ``poll``, seconds between looks
      at a job; all others are submitit's parameters (``timeout_min``, ``slurm_partition``, ``mem_gb``, ``gpus_per_node`` ...);
    - ``tcp://HOST:PORT`` (or tls): all workers of a Dask scheduler. Option: ``timeout``, seconds to wait for its answer.

    An exception inside the block cancels what waits and ends what runs. Functions and arguments have to be picklable, and
    elastomath has to be installed where they run.

    Raises InputError for an unknown name, workers < 1, an option that is none, a missing extra (``slurm``,
    ``dask``), no SLURM here, and a scheduler that does not answer in time.

    >>> with open_executor("local", workers=1) as executor:
    ...     executor.submit(pow, 2, 10).result()
    1024
    """
    if workers < 1:
        raise InputError(f"{workers} workers", where="executor", mend="give at least 1")
    affordable(workers, PROCESS_BYTES, "workers", "executor")
    if spec == "here" or spec == "local":
        _no_more(options, spec)
    if spec == "here":
        yield None
    elif spec == "local":
        with _closing(_Processes(workers)) as executor:
            yield executor
    elif spec in ("slurm", "slurm-local"):
        with contextlib.ExitStack() as stack:
            folder = options.pop("folder", None)
            if folder is None and spec == "slurm-local":
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="elastomath-jobs-"))
            poll = float(options.pop("poll", 0.1 if spec == "slurm-local" else 2.0))
            cluster = _cluster(spec, Path(folder or "out/jobs"), options)
            yield stack.enter_context(_closing(_Jobs(cluster, workers, poll, spec == "slurm-local")))
    elif "://" in spec:
        timeout = float(options.pop("timeout", 10.0))
        _no_more(options, spec)
        with _dask(spec, timeout) as executor:
            yield executor
    else:
        raise InputError(f"unknown executor {spec!r}", where="executor", mend=f"choose one of {', '.join(KINDS)}")


@contextlib.contextmanager
def few_threads(count: int = 1) -> Iterator[None]:
    """At most ``count`` threads of BLAS and OpenMP inside the block, where threadpoolctl is installed.

    The last bits of a sum depend on how many threads share it: what has to be equal on every executor runs inside.
    """
    try:
        import threadpoolctl
    except ModuleNotFoundError:
        yield
        return
    with threadpoolctl.threadpool_limits(count):
        yield


# --- what all kinds share ----------------------------------------------------------------------------------------------


class _Elsewhere(ThreadPoolExecutor):
    """A thread for each worker, that waits for a run made elsewhere: order, cancelling and results are the standard library's."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers, thread_name_prefix="elastomath-run")
        self.stopped = threading.Event()

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return super().submit(self._call, functools.partial(function, *args, **kwargs))

    def _call(self, call: Call) -> Any:
        if self.stopped.is_set():
            raise WorkerDiedError("the executor was closed")
        well, value = self.outcome(call)
        if well:
            return value
        raise value

    def outcome(self, call: Call) -> Outcome:
        """Make one run elsewhere and wait for it."""
        raise NotImplementedError

    def end(self) -> None:
        """End what runs."""
        self.stopped.set()


@contextlib.contextmanager
def _closing(executor: _Elsewhere) -> Iterator[Executor]:
    try:
        yield executor
    except BaseException:
        executor.end()
        raise
    finally:
        executor.shutdown(cancel_futures=True)
        executor.end()


def outcome(call: Call) -> Outcome:
    """What a function gives, exceptions included, in a form that can be sent back."""
    try:
        return True, call()
    except (Exception, SystemExit) as error:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # some exceptions cannot be built again from their arguments
            return False, RuntimeError(f"{type(error).__name__}: {error}")
        return False, error


def _no_more(options: dict[str, object], spec: str) -> None:
    if options:
        raise InputError(
            f"options {', '.join(sorted(options))}", where=f"executor {spec}", mend="it takes none of them"
        )


# --- processes of this machine -----------------------------------------------------------------------------------------


class _Processes(_Elsewhere):
    """A process for each thread; one that dies is replaced and costs its own run only."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self._mine = threading.local()
        self._all: list[_Process] = []
        self._guard = threading.Lock()

    def outcome(self, call: Call) -> Outcome:
        process: _Process | None = getattr(self._mine, "process", None)
        if process is None or not process.alive:
            with self._guard:
                if self.stopped.is_set():
                    return False, WorkerDiedError("the executor was closed")
                process = self._mine.process = _Process()
                self._all = [other for other in self._all if other.alive] + [process]
        return process.ask(call)

    def end(self) -> None:
        super().end()
        with self._guard:
            for process in self._all:
                process.end()


class _Process:
    """One spawned process at the other end of a pipe."""

    def __init__(self) -> None:
        from multiprocessing import get_context

        context = get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other,), daemon=True)
        with _one_thread():
            self._process.start()
        other.close()
        self.alive = True

    def ask(self, call: Call) -> Outcome:
        try:
            message = pickle.dumps(call)
        except Exception as error:  # a lambda, an open file: nothing was sent
            return False, error
        try:
            self._pipe.send_bytes(message)
            reply: Outcome = self._pipe.recv()
        except (EOFError, OSError):
            self.alive = False
            self._process.join()
            code = self._process.exitcode or 0
            how = f"was killed by signal {-code} (out of memory?)" if code < 0 else f"left with exit code {code}"
            return False, WorkerDiedError(f"the process of this run {how}")
        return reply

    def end(self) -> None:
        self.alive = False
        if self._process.is_alive():
            self._process.terminate()
        self._process.join()


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Children that start inside get one thread; the variables of this process are as they were."""
    with _starting:
        before = {name: os.environ.get(name) for name in THREADS}
        os.environ.update(dict.fromkeys(THREADS, "1"))
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def _serve(pipe: Any) -> None:
    """The life of a process: runs as they are asked for, until the pipe closes or the parent is gone."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides
    threading.Thread(target=_follow_parent, daemon=True).start()
    while True:
        try:
            message = pipe.recv_bytes()
        except (EOFError, OSError):
            return
        try:
            call: Call = pickle.loads(message)
        except Exception as error:
            reply: Outcome = (False, RuntimeError(f"cannot be read in the process of the run: {error}"))
        else:
            reply = outcome(call)
        try:
            answer = pickle.dumps(reply)
        except Exception as error:
            answer = pickle.dumps((False, RuntimeError(f"the result cannot be sent back: {error}")))
        pipe.send_bytes(answer)


def _follow_parent() -> None:
    from multiprocessing import parent_process
    from multiprocessing.connection import wait

    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


# --- submitit ----------------------------------------------------------------------------------------------------------


class _Jobs(_Elsewhere):
    """A submitit job for each run. Its futures are no concurrent futures, and a local one starts at once: both are mended here."""

    def __init__(self, cluster: Any, workers: int, poll: float, local: bool) -> None:
        super().__init__(workers)
        self._cluster, self._poll, self._local = cluster, poll, local
        self._guard = threading.Lock()

    def outcome(self, call: Call) -> Outcome:
        with self._guard, _one_thread():  # submitit's executors keep a list that threads may not share
            job = self._cluster.submit(outcome, call)
        pause = min(0.02, self._poll)
        while not job.done():
            if self.stopped.wait(pause):
                job.cancel()
                return False, WorkerDiedError("the executor was closed")
            pause = min(pause * 1.5, self._poll)
        if self._local and not job.paths.result_pickle.exists():  # a shared folder may be late, one disk is not
            return False, WorkerDiedError(f"job {job.job_id} ended without a result (killed?)")
        try:
            reply: Outcome = job.result()
        except Exception as error:  # killed, out of memory or time: submitit says so in many lines
            reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
            return False, WorkerDiedError(f"job {job.job_id} ended without a result: {reason}")
        return reply


def _cluster(spec: str, folder: Path, options: dict[str, object]) -> Any:
    submitit = _extra("submitit", "slurm", spec)
    try:
        cluster = submitit.AutoExecutor(folder=folder, cluster="slurm" if spec == "slurm" else "local")
        cluster.update_parameters(**({"timeout_min": 24 * 60} | options))
    except (RuntimeError, OSError) as error:
        raise InputError(
            f"no SLURM here: {error}", where="executor slurm", mend="start on a login node, or take --executor local"
        ) from error
    except (NameError, TypeError, ValueError) as error:
        raise InputError(str(error), where=f"executor {spec}", mend="give parameters of submitit") from error
    return cluster


# --- Dask --------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _dask(address: str, timeout: float) -> Iterator[Executor]:
    distributed = _extra("distributed", "dask", address)
    try:
        client = distributed.Client(address, timeout=timeout, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise InputError(
            f"no Dask scheduler answered within {timeout:g} s",
            where=address,
            mend="start one (dask scheduler, dask worker), or correct the address",
        ) from error
    try:
        until = time.monotonic() + timeout
        while not client.scheduler_info(n_workers=-1)["workers"]:
            if time.monotonic() > until:
                raise InputError(
                    f"the Dask scheduler has no worker after {timeout:g} s", where=address, mend="start dask worker"
                )
            time.sleep(0.1)
        executor: Executor = client.get_executor(retries=0)
        try:
            yield executor
        finally:
            executor.shutdown(wait=False)
    finally:
        client.close()


def _extra(module: str, extra: str, spec: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise InputError(
            f"the package {module} is not installed", where=f"executor {spec}", mend=with_extra(extra)
        ) from error


HERE = "here"
"""The executor that is none: runs are made in this process, one after another."""
