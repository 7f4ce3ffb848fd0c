"Fixtures that several tests share"
import pytest

@pytest.fixture(scope='module')
def learn():
    "A learner of three classes, for tests that leave it as it is"
    from small import learner
    return learner()

@pytest.fixture(scope='module')
def on_cpu():
    "Numbers to the bit are those of a CPU: loaders and trainings stay there, in processes that a test starts too"
    from fastai.torch_core import defaults
    with pytest.MonkeyPatch.context() as m:
        m.setattr(defaults, 'use_cuda', False) # as `default_device(False)` does
        m.setenv('CUDA_VISIBLE_DEVICES', '')
        yield

@pytest.fixture
def closed():
    "Figures are closed after each test"
    import matplotlib.pyplot as plt
    yield
    plt.close('all')
