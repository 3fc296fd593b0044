"""The ledger: done is done, failures stay local, and a killed sweep goes on where it stopped."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest

from elastomath import InputError
from elastomath.runs.ledger import Ledger, run_key, sweep


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "runs" / "ledger.sqlite") as opened:
        yield opened


def square(configuration):
    return {"value": configuration["x"] ** 2}


def test_a_key_names_the_whole_configuration():
    assert run_key({"a": 1, "b": [1, 2]}) == run_key({"b": [1, 2], "a": 1})
    keys = {run_key(c) for c in ({"a": 1}, {"a": 1.5}, {"a": "1"}, {"a": None}, {"b": 1}, {"a": 1, "b": 1}, {})}
    assert len(keys) == 7
    with pytest.raises(ValueError, match="JSON"):
        run_key({"a": float("nan")})


def test_numbers_come_back_to_the_same_bits(ledger):
    result = {"pi": 3.141592653589793, "tiny": 5e-324, "many": [0.1, 1 / 3], "text": "é", "none": None}
    ledger.put({"seed": 0}, result)
    assert ledger.get({"seed": 0}) == result
    ledger.put({"seed": 0}, {"again": 1})
    assert ledger.get({"seed": 0}) == {"again": 1}
    assert ledger.get({"seed": 1}) is None


@pytest.mark.parametrize("pool", [None, ThreadPoolExecutor, ProcessPoolExecutor])
def test_a_sweep_keeps_the_order_and_runs_nothing_twice(ledger, pool):
    configurations = [{"x": x} for x in (3, 1, 2, 3)]
    executor = pool(2) if pool else None
    results, failures = sweep(square, configurations, ledger, executor)
    assert [r["value"] for r in results] == [9, 1, 4, 9]
    assert failures == []
    again, _ = sweep(refuse, configurations, ledger, executor)
    assert again == results
    if executor:
        executor.shutdown()


def refuse(configuration):
    raise AssertionError(f"{configuration} was run again")


def test_a_configuration_that_occurs_twice_is_run_once(ledger):
    seen = []

    def run(configuration):
        seen.append(configuration["x"])
        return {"value": 1}

    results, _ = sweep(run, [{"x": 1}, {"x": 2}, {"x": 1}], ledger)
    assert seen == [1, 2]
    assert results == [{"value": 1}] * 3


def fails_at_two(configuration):
    if configuration["x"] == 2:
        raise ZeroDivisionError("two")
    return square(configuration)


@pytest.mark.parametrize("pool", [None, ThreadPoolExecutor])
def test_one_failed_run_does_not_lose_the_others(ledger, pool, capsys):
    configurations = [{"x": x} for x in (1, 2, 3)]
    results, failures = sweep(fails_at_two, configurations, ledger, pool(2) if pool else None)
    assert results == [{"value": 1}, None, {"value": 9}]
    assert len(failures) == 1
    assert "ZeroDivisionError: two" in failures[0]
    assert run_key({"x": 2}) in failures[0]
    assert ledger.get({"x": 2}) is None
    assert capsys.readouterr().out == ""  # stdout belongs to results
    assert sweep(square, configurations, ledger)[0][1] == {"value": 4}  # and it is tried again


def bad_input(configuration):
    time.sleep(0.01)
    if configuration["x"] == 0:
        raise InputError("no such model")
    return square(configuration)


def test_bad_input_ends_the_sweep_and_cancels_what_waits(ledger):
    configurations = [{"x": x} for x in range(200)]
    with ThreadPoolExecutor(1) as executor:
        with pytest.raises(InputError, match="no such model"):
            sweep(bad_input, configurations, ledger, executor)
        start = time.perf_counter()
    assert time.perf_counter() - start < 1.0  # 199 waiting runs would take 2 s
    with pytest.raises(InputError):
        sweep(bad_input, configurations[:1], ledger)


PROGRAM = """
import os, signal, sys
from elastomath.runs.ledger import Ledger, sweep

def run(configuration):
    with open(sys.argv[2], "a") as log:
        log.write(f"{configuration['x']}\\n")
    if len(open(sys.argv[2]).readlines()) == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    return {"value": configuration["x"] ** 2}

with Ledger(sys.argv[1]) as ledger:
    results, failures = sweep(run, [{"x": x} for x in range(6)], ledger)
print([r["value"] for r in results])
"""


def test_a_killed_sweep_goes_on_where_it_stopped(tmp_path):
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "l.sqlite"), str(tmp_path / "log")]
    killed = subprocess.run([*command, "4"], capture_output=True, text=True, check=False)
    assert killed.returncode == -9
    ended = subprocess.run([*command, "0"], capture_output=True, text=True, check=False)
    assert ended.stdout.strip() == "[0, 1, 4, 9, 16, 25]"
    runs = [int(line) for line in (tmp_path / "log").read_text().split()]
    assert runs == [0, 1, 2, 3, 3, 4, 5]  # only the run that was cut off is made again


def test_two_drivers_may_write_at_once(tmp_path):
    with Ledger(tmp_path / "l.sqlite") as one, Ledger(tmp_path / "l.sqlite") as two:
        one.put({"x": 1}, {"value": 1})
        two.put({"x": 2}, {"value": 2})
        assert one.get({"x": 2}) == {"value": 2}
        assert two.get({"x": 1}) == {"value": 1}


def test_a_file_that_is_no_ledger_is_refused_and_kept(tmp_path):
    text = tmp_path / "notes.sqlite"
    text.write_text("this is no database, but somebody's notes " * 50)
    before = text.read_bytes()
    with pytest.raises(InputError, match="cannot open the ledger") as caught:
        Ledger(text)
    assert str(text) in str(caught.value)
    assert text.read_bytes() == before
    with pytest.raises(InputError):
        Ledger(tmp_path)


def test_a_disk_that_fills_is_one_line(tmp_path):
    with Ledger(tmp_path / "l.sqlite") as ledger:
        ledger.put({"x": -1}, {})
        ledger._connection.execute("PRAGMA max_page_count = 4")
        with pytest.raises(InputError, match="cannot record a run") as caught:
            ledger.put({"x": 1}, {"long": "x" * 1_000_000})
        assert "run the same command again" in str(caught.value)
        assert ledger.get({"x": 1}) is None


def test_a_failed_run_is_kept_apart_with_its_reason_until_it_ends_well(ledger):
    configurations = [{"x": x} for x in (1, 2, 3)]
    sweep(fails_at_two, configurations, ledger)
    assert ledger.failures() == {run_key({"x": 2}): "ZeroDivisionError: two"}
    sweep(fails_at_two, configurations, ledger)  # fails again: still one reason
    assert len(ledger.dump()["failures"]) == 1
    sweep(square, configurations, ledger)
    assert ledger.dump()["failures"] == []
    ledger.fail({"x": 2}, "late news of another driver")  # a run that ended well stays so
    assert ledger.failures() == {}


def test_a_ledger_depends_on_the_runs_alone(tmp_path):
    configurations = [{"x": x, "name": "é"} for x in range(8)]
    dumps = []
    for place, parts in (("whole", [configurations]), ("cut", [configurations[5:], configurations[:3][::-1]])):
        with Ledger(tmp_path / place) as ledger, ThreadPoolExecutor(3) as pool:
            for part in parts:
                sweep(fails_at_two, part, ledger, pool if place == "cut" else None)
            sweep(fails_at_two, configurations, ledger, pool)
            dumps.append(ledger.dump())
    assert dumps[0] == dumps[1]
    assert [len(dumps[0][name]) for name in ("runs", "failures")] == [7, 1]
    keys = [row["key"] for row in dumps[0]["runs"]]
    assert keys == sorted(keys)
    assert all(run_key(row["configuration"]) == row["key"] for row in dumps[0]["runs"])


def test_results_are_what_the_ledger_holds_the_first_time_too(ledger):
    first, _ = sweep(lambda _: {"pair": (1, 2)}, [{}], ledger)
    again, _ = sweep(refuse, [{}], ledger)
    assert first == again == [{"pair": [1, 2]}]


def test_what_another_driver_made_meanwhile_is_not_made_again(tmp_path):
    with Ledger(tmp_path / "l") as mine, Ledger(tmp_path / "l") as other:

        def run(configuration):
            if configuration["x"] == 2:
                refuse(configuration)
            other.put({"x": 2}, {"value": "theirs"})
            return {"value": "mine"}

        results, failures = sweep(run, [{"x": 1}, {"x": 2}], mine)
        assert (results, failures) == ([{"value": "mine"}, {"value": "theirs"}], [])


def breaks_the_pool(configuration):
    if configuration["x"] == 0:
        os._exit(1)
    return square(configuration)


def test_a_pool_that_breaks_is_a_reason_not_an_end(ledger):
    configurations = [{"x": x} for x in range(4)]
    with ProcessPoolExecutor(1) as pool:
        sweep(square, configurations[3:], ledger, pool)
        results, failures = sweep(breaks_the_pool, configurations, ledger, pool)
        assert results[3] == {"value": 9}
        assert any("BrokenProcessPool" in failure for failure in failures)
        assert len(ledger.failures()) == len(failures)
    results, failures = sweep(square, configurations, ledger)
    assert (results[0], failures, ledger.failures()) == ({"value": 0}, [], {})


@pytest.mark.parametrize("cut", [100, 5000, 9000])
def test_a_damaged_ledger_is_one_line(tmp_path, cut):
    path = tmp_path / "l.sqlite"
    with Ledger(path) as ledger:
        for x in range(40):
            ledger.put({"x": x}, {"text": "y" * 400})
    content = bytearray(path.read_bytes())
    assert len(content) > 10_000
    path.write_bytes(content[:cut])
    with pytest.raises(InputError) as caught, Ledger(path) as ledger:
        ledger.dump()
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_damaged_row_is_one_line(tmp_path):
    with Ledger(tmp_path / "l.sqlite") as ledger:
        ledger.put({"x": 1}, {"value": 1})
        ledger._connection.execute("UPDATE runs SET result = '{\"val'")
        with pytest.raises(InputError, match="a run in the ledger is damaged"):
            ledger.get({"x": 1})


def test_a_ledger_of_an_earlier_version_goes_on(tmp_path):
    with sqlite3.connect(tmp_path / "l.sqlite") as old:
        old.execute("CREATE TABLE runs (key TEXT PRIMARY KEY, configuration TEXT NOT NULL, result TEXT NOT NULL)")
        old.execute("INSERT INTO runs VALUES (?, '{\"x\": 1}', '{\"value\": 1}')", (run_key({"x": 1}),))
    with Ledger(tmp_path / "l.sqlite") as ledger:
        assert ledger.get({"x": 1}) == {"value": 1}
        assert ledger.failures() == {}


def test_a_pool_that_was_broken_before_fails_every_run_and_records_why(ledger):
    with ProcessPoolExecutor(1) as pool:
        assert pool.submit(os._exit, 1).exception() is not None
        results, failures = sweep(square, [{"x": 1}, {"x": 2}], ledger, pool)
    assert results == [None, None]
    assert len(failures) == len(ledger.failures()) == 2


def test_a_ledger_with_a_blank_page_is_refused_when_it_is_opened(tmp_path):
    """A lookup alone might not pass through that page, and a run would be lost in silence."""
    path = tmp_path / "l.sqlite"
    with Ledger(path) as ledger:
        for x in range(300):
            ledger.put({"x": x}, {"text": "y" * 50})
        (size,) = ledger._connection.execute("PRAGMA page_size").fetchone()
    whole = path.read_bytes()
    for page in range(1, len(whole) // size):
        path.write_bytes(whole[: page * size] + bytes(size) + whole[(page + 1) * size :])
        with pytest.raises(InputError, match="cannot open the ledger"):
            Ledger(path)
    path.write_bytes(whole)
    with Ledger(path) as ledger:
        assert len(ledger.dump()["runs"]) == 300
