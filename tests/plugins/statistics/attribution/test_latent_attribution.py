from pathlib import Path
import pytest
from harness_statistics.attribution.samples import latent_attribution
@pytest.mark.parametrize("case", list(latent_attribution(Path())), ids=["ranked", "refused"])
def test_the_laws_of_statistics(case):
    case()
