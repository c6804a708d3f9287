"""The statistic `kept_vectors`: its laws, and what it takes."""

from __future__ import annotations

import pytest

from harness_statistics import samples
from harness_statistics.kept_vectors.options import KeptVectorsOptions


def test_the_laws_hold(tmp_path):
    for sample in samples.kept_vectors(tmp_path):
        sample()


@pytest.mark.parametrize("given", [{}, {"direction": "a", "sae": "b"}], ids=["neither", "both"])
def test_it_keeps_a_direction_or_a_decoder(given):
    with pytest.raises(ValueError, match="give either direction or sae"):
        KeptVectorsOptions.model_validate(given)
