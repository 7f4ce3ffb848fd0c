"Fixtures that several tests share"
import pytest

@pytest.fixture(scope='module')
def learn():
    "A learner of three classes, for tests that leave it as it is"
    from small import learner
    return learner()

@pytest.fixture
def closed():
    "Figures are closed after each test"
    import matplotlib.pyplot as plt
    yield
    plt.close('all')
