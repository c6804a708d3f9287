"""Work on several threads is that of one, and leaves torch as it was."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, get_ident

import pytest
import torch

from harness_saes.core.threads import side_by_side


@pytest.fixture(params=[1, 2, 3], autouse=True)
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_what_is_found_is_in_the_order_of_the_pieces():
    assert side_by_side(lambda n: n * n, range(50)) == [n * n for n in range(50)]
    assert side_by_side(str, []) == []


def test_pieces_are_worked_on_at_once(threads):
    together = Barrier(threads, timeout=60)

    def work(piece):
        together.wait()
        return get_ident()

    assert len(set(side_by_side(work, range(threads)))) == threads


def test_each_thread_uses_one_of_torch_and_all_others_use_what_they_did(threads):
    assert side_by_side(lambda _: torch.get_num_threads(), range(9)) == [1] * 9
    assert torch.get_num_threads() == threads
    with ThreadPoolExecutor(1) as new:
        assert new.submit(torch.get_num_threads).result() == threads
    # Once more, with threads that were there.
    assert side_by_side(lambda _: torch.get_num_threads(), range(9)) == [1] * 9


def test_another_number_of_threads_is_taken_when_it_is_set(threads):
    side_by_side(str, range(4))
    torch.set_num_threads(threads + 1)
    together = Barrier(threads + 1, timeout=60)
    assert len(side_by_side(lambda _: together.wait(), range(threads + 1))) == threads + 1


@torch.no_grad()
def test_no_gradient_is_recorded():
    weights = torch.ones(3, requires_grad=True)
    assert not any(one.requires_grad for one in side_by_side(lambda n: weights * n, range(4)))


def test_what_goes_wrong_on_a_thread_is_raised_here():
    def work(piece):
        raise ArithmeticError(f"piece {piece}")

    with pytest.raises(ArithmeticError, match="piece 0"):
        side_by_side(work, range(4))


def test_inside_a_piece_there_is_one_thread(threads):
    def work(piece):
        return len(set(side_by_side(lambda _: get_ident(), range(3))))

    if threads > 1:
        assert side_by_side(work, range(4)) == [1] * 4


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_forked_process_has_threads_of_its_own(warm_python):
    code = (
        "import os, torch; from harness_saes.core.threads import side_by_side;"
        "torch.set_num_threads(2); side_by_side(str, range(4)); child = os.fork();"
        "child or os._exit(side_by_side(abs, range(4)) != [0, 1, 2, 3]);"
        "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    subprocess.run([*warm_python, "-c", code], check=True, timeout=120)
