"Fixtures that several tests share"
import pytest

@pytest.fixture(scope='module')
def learn():
    "A learner of three classes, for tests that do not change it"
    from small import learner
    return learner()

@pytest.fixture
def cuda(monkeypatch, visible_devices):
    "A GPU; without it the test is skipped. Other tests run on the CPU"
    import torch
    from fastai.torch_core import defaults
    if not torch.cuda.is_available(): pytest.skip('a GPU that PyTorch can use (CUDA) is needed')
    monkeypatch.setattr(defaults, 'use_cuda', None)
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False) # results close to those of a CPU
    monkeypatch.setattr(torch.cuda, '_cached_device_count', None) # a test may have cached a count of 0
    if visible_devices is None: monkeypatch.delenv('CUDA_VISIBLE_DEVICES')
    else: monkeypatch.setenv('CUDA_VISIBLE_DEVICES', visible_devices)
    return torch.device('cuda', torch.cuda.current_device())

@pytest.fixture(params=[pytest.param('cpu', marks=pytest.mark.slow), 'cuda'])
def device(request):
    "The device of a test of behaviour: the CPU, and a GPU if there is one"
    import torch
    return torch.device('cpu') if request.param=='cpu' else request.getfixturevalue('cuda')

@pytest.fixture
def closed():
    "Figures are closed after each test"
    import matplotlib.pyplot as plt
    yield
    plt.close('all')
