import signal
import subprocess
import sys

import pytest

from tfdl import errors
from tfdl.training import interruption


def test_nothing_happens_without_a_signal():
    stops = interruption.Interruption()
    stops.check()
    assert not stops.is_requested


@pytest.mark.parametrize(("name", "exit_code"), [("SIGTERM", 75), ("SIGINT", 130)])
def test_the_first_signal_is_remembered_until_it_is_asked_for(name, exit_code):
    stops = interruption.Interruption()
    with stops.listening():
        signal.raise_signal(getattr(signal, name))
        assert stops.is_requested
    with pytest.raises(errors.InterruptedRun, match=f"stopped by {name}$") as caught:
        stops.check()
    assert caught.value.exit_code == exit_code
    assert caught.value.remedy == "resume with the same command"


def test_workers_agree_to_stop_or_to_go_on():
    stops = interruption.Interruption()
    with pytest.raises(errors.InterruptedRun, match="sent to another worker") as caught:
        stops.check(agree=lambda is_requested: is_requested + 1)
    assert caught.value.exit_code == 75
    with stops.listening():
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(errors.InterruptedRun) as caught:
        stops.check(agree=int)
    assert caught.value.exit_code == 130


def test_the_earlier_handlers_come_back_also_after_an_error():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    stops = interruption.Interruption()
    with stops.listening():
        signal.raise_signal(signal.SIGTERM)
    with pytest.raises(errors.InterruptedRun), stops.listening():
        stops.check()
    after = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    assert before == after


PROGRAM = """
import signal
from tfdl.training import interruption
with interruption.Interruption().listening():
    for name in {names}:
        signal.raise_signal(getattr(signal, name))
        print(name, flush=True)
"""


@pytest.mark.parametrize(
    ("names", "exit_code"), [(["SIGTERM", "SIGTERM"], 75), (["SIGTERM", "SIGINT"], 130)]
)
def test_the_second_signal_ends_the_process_at_once(names, exit_code):
    program = PROGRAM.format(names=names)
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == exit_code
    assert ended.stdout == "SIGTERM\n"
