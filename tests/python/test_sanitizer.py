"""The stream sanitizer: what it reports, and what it leaves alone."""

import pytest
import torch
import torch_npu  # noqa: F401
from torch_npu.npu._sanitizer import Sanitizer, StreamRaceError

pytestmark = pytest.mark.skipif(not torch.npu.is_available(), reason="no npu")


@pytest.fixture
def side():
    torch.npu.synchronize()
    return torch.npu.Stream()


def first_place(x):
    return x.fill_(1)


def second_place(x):
    return x + 1


def test_read_after_write_names_both_operators_and_both_places(side):
    with Sanitizer():
        x = torch.zeros(10, device="npu")
        first_place(x)
        with torch.npu.stream(side), pytest.raises(StreamRaceError) as raised:
            second_place(x)
    text = str(raised.value)
    assert "aten.add" in text and "aten.fill_" in text and "read self" in text and "wrote self" in text
    assert "in second_place" in text and "in first_place" in text
    assert f"stream {side.stream_id}" in text and text.index("second_place") < text.index("first_place")


@pytest.mark.parametrize("how", ["wait_stream", "event", "synchronize", "stream.synchronize", "event.synchronize", "accelerator"])
def test_ordered_streams_are_left_alone(side, how):
    with Sanitizer():
        x = torch.zeros(10, device="npu")
        main = torch.npu.current_stream()
        if how == "wait_stream":
            side.wait_stream(main)
        elif how == "event":
            side.wait_event(main.record_event())
        elif how == "synchronize":
            torch.npu.synchronize()
        elif how == "stream.synchronize":
            main.synchronize()
        elif how == "event.synchronize":
            main.record_event().synchronize()
        else:
            torch.accelerator.synchronize()
        with torch.npu.stream(side):
            x.add_(1)
        with pytest.raises(StreamRaceError):
            x.sum()  # the way back needs an order too
        main.wait_stream(side)
        assert x.sum().item() == 10


def test_an_event_recorded_too_early_orders_nothing_later(side):
    with Sanitizer():
        x = torch.zeros(10, device="npu")
        event = torch.npu.current_stream().record_event()
        x.fill_(1)
        side.wait_event(event)
        with torch.npu.stream(side), pytest.raises(StreamRaceError, match="fill_"):
            x + 1


def test_two_readers_and_apart_halves_are_no_race(side):
    x = torch.zeros(10, device="npu")
    torch.npu.synchronize()
    with Sanitizer():
        x + 1
        with torch.npu.stream(side):
            x + 2
        torch.npu.synchronize()
        x[:5].fill_(1)
        with torch.npu.stream(side):
            x[5:].fill_(2)
            with pytest.raises(StreamRaceError):
                x[4:].fill_(3)


def test_memory_used_again_too_early(side):
    with Sanitizer():
        x = torch.zeros(1000, device="npu")
        side.wait_stream(torch.npu.current_stream())
        with torch.npu.stream(side):
            x + 1
        address = x.data_ptr()
        del x
        with pytest.raises(StreamRaceError, match="record_stream"):
            for _ in range(10):
                assert torch.ones(1000, device="npu").data_ptr() != 0
        torch.npu.synchronize()
        y = torch.zeros(1000, device="npu")
        side.wait_stream(torch.npu.current_stream())
        with torch.npu.stream(side):
            y + 1
        y.record_stream(side)
        del y
        for _ in range(10):
            torch.ones(1000, device="npu")
    assert address


def test_copies_to_the_host_wait_and_plain_training_is_clean():
    with Sanitizer():
        model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1)).to("npu")
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(3):
            loss = model(torch.randn(8, 4).npu()).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            assert loss.item() >= 0


def test_variable_turns_it_on(run_python):
    done = run_python("""
import torch, torch_npu
x = torch.ones(3, device="npu")
with torch.npu.stream(torch.npu.Stream()):
    x + 1
""", check=False, TORCH_NPU_SANITIZER="1")
    assert done.returncode == 1 and "StreamRaceError" in done.stderr and "aten.add" in done.stderr
