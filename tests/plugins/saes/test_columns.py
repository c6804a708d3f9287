"""Encoding by columns in compiled code gives what encoding by rows gives, bit by bit."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from harness.store.notes import hearing
from harness_saes.core import cells, columns, compiled, picks
from harness_saes.core.config import Config
from harness_saes.core.linear import LinearSae


def needs_numba(test):
    """The first of them in a process compiles for seconds, whichever that is."""
    missing = pytest.mark.skipif(find_spec("numba") is None, reason="numba is not installed")
    return pytest.mark.slow(missing(test))


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """A folder for what is compiled: the tests' environment has none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(tmp_path_factory.mktemp("cache")))
        compiled.kept.cache_clear()
        yield
    compiled.kept.cache_clear()


@pytest.fixture(params=[1, 10**9], ids=["by rows", "by columns"])
def small_blocks(request, monkeypatch):
    """Many blocks of rows and of columns, which do not divide what there is.

    Of the threads, each has some rows, or some of all columns.
    """
    monkeypatch.setattr(cells, "ENOUGH", request.param)
    monkeypatch.setattr(cells, "ROWS", 3)
    for module in (cells, columns):
        monkeypatch.setattr(module, "COLUMNS", 70)


@pytest.fixture(params=[1, 2, 6])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def product(rows, width, seed, levels, dtype=torch.float32):
    """x, w, bias whose product is exact in any order; few levels make many ties."""
    generator = np.random.default_rng(seed)
    whole = [generator.integers(-levels, levels + 1, size) for size in ((rows, 5), (5, width))]
    bias = generator.integers(-levels, levels + 1, width)
    return [torch.from_numpy(each).to(dtype) for each in (*whole, bias)]


def first_largest(a, k):
    """The k largest positive values of each row and 0 elsewhere; of equal ones the first."""
    first = np.argsort(-a, axis=1, kind="stable")[:, :k]
    dense = np.zeros_like(a)
    np.put_along_axis(dense, first, np.take_along_axis(a, first, 1).clip(min=0), 1)
    return dense


@needs_numba
@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 7),
    st.integers(1, 1500),
    st.integers(1, 90),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 3, 1000]),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_top_equals_sorting(rows, width, k, seed, levels, dtype):
    """The k largest positive values of each row; of equal ones those of the first columns."""
    k = min(k, width)
    x, w, bias = product(rows, width, seed, levels, dtype)
    a = (x @ w + bias).numpy()
    found = columns.top(x, w, bias, k)
    assert np.array_equal(found.dense().numpy(), first_largest(a, k))
    for begin, end in zip(found.offsets[:-1], found.offsets[1:], strict=True):
        assert (found.indices[begin:end].diff() > 0).all()
    assert (found.values > 0).all()
    assert found.indices.dtype == found.offsets.dtype == torch.int64


@needs_numba
@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 7),
    st.integers(1, 400),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 1000]),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_above_equals_comparing(rows, width, seed, levels, dtype):
    x, w, bias = product(rows, width, seed, levels, dtype)
    a = x @ w + bias
    threshold = torch.from_numpy(np.random.default_rng(seed).integers(-1, 9, width)).to(dtype)
    expected = picks.active(a, picks.above(a, threshold))
    found = columns.above(x, w, bias, threshold)
    for name in ("offsets", "indices", "values"):
        assert torch.equal(getattr(found, name), getattr(expected, name)), name


@needs_numba
@pytest.mark.parametrize("levels", [2, 50])
def test_blocks_and_threads_change_nothing(levels, small_blocks, threads):
    x, w, bias = product(11, 1000, 4, levels)
    a = x @ w + bias
    assert np.array_equal(columns.top(x, w, bias, 8).dense(), first_largest(a.numpy(), 8))
    limit = torch.full((1000,), levels + 10.0)
    one, other = columns.above(x, w, bias, limit), picks.active(a, picks.above(a, limit))
    for name in ("offsets", "indices", "values"):
        assert torch.equal(getattr(one, name), getattr(other, name))


@needs_numba
def test_infinity_is_the_largest_and_nan_is_never_active():
    """NaN takes no place either: the k largest of the others are found."""
    x, w = torch.ones(1, 1), torch.arange(2000.0).roll(700)[None]
    w[0, [3, 900]] = torch.tensor([torch.inf, -torch.inf])
    w[0, [0, 5, 1999]] = torch.nan
    bias = torch.zeros(2000)
    found = columns.top(x, w, bias, 3)
    a = w[0].nan_to_num(-1, posinf=1e9)
    assert sorted(found.indices.tolist()) == sorted(a.topk(3).indices.tolist())
    everything = columns.top(x, w, bias, 2000)
    assert everything.indices.tolist() == (w[0] > 0).nonzero().squeeze(1).tolist()
    above = columns.above(x, w, bias, torch.full((2000,), 1990.0))
    assert above.indices.tolist() == (w[0] > 1990).nonzero().squeeze(1).tolist()


@needs_numba
@pytest.mark.parametrize("architecture", ["standard", "topk", "jumprelu", "gated", "batchtopk"])
def test_a_large_call_encodes_by_columns_and_gives_the_same(architecture, monkeypatch):
    torch.manual_seed(0)
    tensors = {
        "W_enc": torch.randn(16, 3000),
        "W_dec": torch.randn(3000, 16),
        "b_dec": torch.randn(16),
        "b_enc": torch.randn(3000),
        "threshold": torch.rand(3000) * 4,
        "topk_threshold": torch.tensor(3.0),
        "b_gate": torch.randn(3000) - 6,
        "b_mag": torch.randn(3000),
        "r_mag": torch.randn(3000),
    }
    if architecture == "gated":
        del tensors["b_enc"]
    k = 20 if architecture == "topk" else None
    sae = LinearSae(Config(architecture, 16, 3000, k=k), tensors)
    x = torch.randn(40, 16)
    expected = sae.encode(x)
    monkeypatch.setattr(columns, "LEAST", 1)
    used = []
    for name in ("top", "above"):
        real = getattr(columns, name)
        monkeypatch.setattr(
            columns, name, lambda *given, real=real: (used.append(real), real(*given))[1]
        )
    found = sae.encode(x)
    assert used
    assert torch.equal(found.offsets, expected.offsets)
    assert torch.equal(found.indices, expected.indices)
    torch.testing.assert_close(found.values, expected.values)


class TestWorks:
    """Compiled code that does not work ends no run: it is looked at before it is used."""

    @pytest.fixture(autouse=True)
    def fresh(self, monkeypatch):
        monkeypatch.setattr(columns, "LEAST", 1)
        monkeypatch.setattr(columns, "kept", lambda: "/folder")
        columns.works.cache_clear()
        yield
        columns.works.cache_clear()

    def said(self):
        with hearing() as notes:
            assert not columns.pays(torch.ones(2, 3), 5)
            assert not columns.pays(torch.ones(2, 3), 5)
        (note,) = notes
        assert "The run goes on without it" in note
        assert "remove the folder /folder" in note
        return note

    @needs_numba
    def test_it_does(self):
        for dtype in (torch.float32, torch.float64):
            with hearing() as notes:
                assert columns.pays(torch.ones(2, 3, dtype=dtype), 5)
            assert not notes

    def test_numba_that_cannot_be_imported(self, monkeypatch):
        """As it says itself of a numpy that is too new for it."""
        for name in [one for one in sys.modules if one.partition(".")[0] == "numba"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "numba", None)
        assert "numba" in self.said()

    @needs_numba
    def test_numba_that_is_turned_off(self, monkeypatch):
        from numba.core import config

        monkeypatch.setattr(config, "DISABLE_JIT", 1)
        assert "NUMBA_DISABLE_JIT" in self.said()

    @needs_numba
    @pytest.mark.parametrize("kernel", ["add_columns", "settle", "take_above", "move_rows"])
    def test_code_that_fails(self, kernel, monkeypatch):
        from harness_saes.core import kernels

        def torn(*given):
            raise EOFError("Ran out of input")

        monkeypatch.setattr(kernels, kernel, torn)
        assert "EOFError: Ran out of input" in self.said()

    @needs_numba
    @pytest.mark.parametrize("kernel", ["add_columns", "gathered", "move_rows"])
    def test_code_that_does_nothing(self, kernel, monkeypatch):
        from harness_saes.core import kernels

        monkeypatch.setattr(kernels, kernel, lambda *given: None)
        monkeypatch.setattr(np, "empty", np.zeros)
        assert self.said()


@needs_numba
def test_no_token_has_no_latent():
    x, w, ones = torch.ones(0, 3), torch.ones(3, 9), torch.ones(9)
    for found in (columns.top(x, w, ones, 2), columns.above(x, w, ones, ones)):
        assert (found.tokens, len(found.values), found.d_sae) == (0, 0, 9)


@pytest.mark.slow
def test_small_calls_do_not_import_numba(warm_python):
    """Its import takes longer than it would save."""
    code = (
        "import sys, torch; from harness_saes.core.config import Config;"
        "from harness_saes.core.linear import LinearSae;"
        "w = torch.ones(4, 8); sae = LinearSae(Config('topk', 4, 8, k=2), {'W_enc': w,"
        "'W_dec': w.T, 'b_dec': torch.ones(4), 'b_enc': torch.ones(8)});"
        "sae.encode(torch.ones(3, 4)); sys.exit('numba' in sys.modules)"
    )
    subprocess.run([*warm_python, "-c", code], check=True, timeout=300)


class TestKept:
    """Where compiled code is kept, and what is said where it cannot be."""

    @pytest.fixture(autouse=True)
    def fresh(self, monkeypatch):
        monkeypatch.setattr(compiled, "find_spec", lambda name: object())
        compiled.kept.cache_clear()
        yield
        compiled.kept.cache_clear()

    def test_in_the_persons_folder_for_caches(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
        assert compiled.kept() == tmp_path / "compiled"
        assert not list((tmp_path / "compiled").iterdir())

    def test_nothing_is_compiled_where_nothing_is_kept(self, monkeypatch):
        monkeypatch.setenv("HARNESS_CACHE", "")
        assert compiled.kept() is None

    def test_a_folder_that_cannot_be_written_is_noted(self, tmp_path, monkeypatch):
        (tmp_path / "compiled").write_text("a file")
        monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
        with hearing() as notes:
            assert compiled.kept() is None
        assert len(notes) == 1
        assert "compiled code cannot be kept here" in notes[0]

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device")
    def test_a_full_disk_is_noted(self, tmp_path, monkeypatch):
        """It takes new files, and nothing in them."""
        monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
        monkeypatch.setattr(
            compiled.tempfile,
            "TemporaryFile",
            lambda dir: Path("/dev/full").open("wb"),  # noqa: SIM115
        )
        with hearing() as notes:
            assert compiled.kept() is None
        assert "No space left" in notes[0]

    @pytest.mark.parametrize("mode", [0o770, 0o777, 0o702])
    def test_no_code_is_run_that_others_may_have_put_there(self, mode, tmp_path, monkeypatch):
        """numba unpickles what it finds: a cache that people share must not be such a place."""
        (tmp_path / "compiled").mkdir()
        (tmp_path / "compiled").chmod(mode)
        monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
        with hearing() as notes:
            assert compiled.kept() is None
        assert "other users may write" in notes[0]

    def test_no_code_is_run_of_another_user_or_behind_a_link(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
        assert compiled.kept() == tmp_path / "compiled"
        assert (tmp_path / "compiled").stat().st_mode & 0o777 == 0o700
        about = (tmp_path / "compiled").stat()
        monkeypatch.setattr(compiled.os, "geteuid", lambda: about.st_uid + 1)
        assert "another user's" in compiled.why_not_ours(about)
        (tmp_path / "link").symlink_to(tmp_path / "compiled")
        assert "link" in compiled.why_not_ours((tmp_path / "link").lstat())

    def test_without_numba_there_is_none(self, tmp_path, monkeypatch):
        monkeypatch.setattr(compiled, "find_spec", lambda name: None)
        monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
        assert compiled.kept() is None
