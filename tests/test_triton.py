"Kernels for a GPU give the results of the layers. Triton interprets them on a CPU; the last tests run on a GPU"
import os, subprocess, sys
import pytest, torch
from torch.nn import functional as F
from xceptiontime.models import InceptionTime, XceptionTime, fast, layers
from xceptiontime.models import xceptiontime as models
from xceptiontime.models.fast import door, gpu
from xceptiontime.models.masks import real_steps

ROOM = 'xceptiontime.models.fast.kernels'

def forget():
    "Import the kernels again, with the current environment"
    sys.modules.pop(ROOM, None)
    if hasattr(fast, 'kernels'): del fast.kernels
    gpu.kernels.cache_clear()
    gpu.works_on.cache_clear()

@pytest.fixture
def taken(monkeypatch):
    "Interpret the kernels on this CPU; returns the list of called functions"
    pytest.importorskip('triton', reason='Triton is needed, which PyTorch brings on Linux')
    forget()
    calls = []
    def on_gpu(x): return x.dtype in (torch.float32, torch.bfloat16) and gpu.works_on(x.device, x.dtype)
    def applied(function, *args): return calls.append(function) or gpu.applied(function, *args)
    monkeypatch.setenv('TRITON_INTERPRET', '1')
    for room in (layers,door):
        monkeypatch.setattr(room, 'on_gpu', on_gpu)
        monkeypatch.setattr(room, 'applied', applied)
    monkeypatch.setattr(models, 'applies', lambda *args: False) # the path for a CPU
    yield calls
    forget()

def gradients(m, x, lengths=None):
    "Scores, running statistics and all gradients after a step of training"
    x = x.clone().requires_grad_()
    out = m(x, lengths)
    m.zero_grad()
    (out*torch.arange(1, 6, device=x.device)).sum().backward()
    return [out.detach(), x.grad, *(p.grad for p in m.parameters()), *m.buffers()]

def network(arch=XceptionTime, **kwargs):
    torch.manual_seed(0)
    return arch(3, 5, nf=1, ks=(7,5,3), **kwargs)

def twin(m):
    "A copy of the network in float64"
    res = type(m)(**m.init_args).double()
    res.load_state_dict(m.state_dict())
    return res

@pytest.mark.parametrize('bottleneck,lengths', [(True,[22,9,2]), pytest.param(False, None, marks=pytest.mark.slow)])
def test_scores_and_gradients_are_those_of_the_layers(taken, bottleneck, lengths):
    m,x = network(bottleneck=bottleneck),torch.randn(3, 3, 22)
    exact = gradients(twin(m), x.double(), lengths)
    assert not taken
    for a,b in zip(gradients(m, x, lengths), exact, strict=True):
        torch.testing.assert_close(a.double(), b.double(), rtol=2e-4, atol=2e-5)
    assert taken==[gpu.FiltersFunction,gpu.MaximaFunction]*4

def test_maxima_of_the_other_network(taken):
    m,x = network(InceptionTime, depth=3),torch.randn(3, 3, 22)
    m.inceptionblock.inception[0].convs[0].register_forward_hook(lambda *args: None) # disables the path for a CPU
    exact = gradients(twin(m), x.double(), [22,9,2])
    for a,b in zip(gradients(m, x, [22,9,2]), exact, strict=True):
        torch.testing.assert_close(a.double(), b.double(), rtol=2e-4, atol=2e-5)
    assert taken==[gpu.MaximaFunction]*3

@pytest.mark.slow
def test_a_hook_on_a_layer_sees_it(taken):
    m,x = network().eval(),torch.randn(2, 3, 12)
    seen = []
    with torch.no_grad():
        want = m(x)
        m.block.xception[1].convs[0].depthwise_conv.register_forward_hook(lambda m, i, o: seen.append(o.shape))
        torch.testing.assert_close(m(x), want, rtol=1e-4, atol=1e-5)
    assert taken.count(gpu.FiltersFunction)==4+3 and len(seen)==1

@pytest.mark.slow
def test_frozen_weights_have_no_gradient(taken, monkeypatch):
    m,x = network(),torch.randn(2, 3, 12)
    m.block.requires_grad_(False)
    m.block.xception[0].bottleneck.requires_grad_(True)
    def never(*args): pytest.fail('the gradients of frozen weights were computed')
    assert gpu.works_on(x.device, x.dtype)
    monkeypatch.setattr(gpu.kernels(), 'filters_weight_gradient', never)
    m(x).sum().backward()
    assert [n for n,p in m.block.named_parameters() if p.grad is not None]==['xception.0.bottleneck.weight']
    assert all(p.grad is not None for p in m.head.parameters())

@pytest.mark.slow
def test_autocast_brings_all_to_one_dtype(taken):
    m,x = network().block.xception[0],torch.randn(2, 3, 12)
    want = m(x)
    with torch.autocast('cpu', torch.bfloat16): out = m(x)
    assert taken.count(gpu.FiltersFunction)==2 and out.dtype==torch.bfloat16
    torch.testing.assert_close(out.float(), want, rtol=.05, atol=.05)
    out.sum().backward()
    assert m.bottleneck.weight.grad.dtype==m.convs[0].depthwise_conv.weight.grad.dtype==torch.float32

@pytest.mark.slow
def test_a_network_of_an_earlier_version_runs(taken):
    m,x = network().eval().requires_grad_(False),torch.randn(2, 3, 12)
    want = m(x)
    for module in m.block.xception: del module.convs.as_built # as in a pickle of that time
    torch.testing.assert_close(m(x), want, rtol=1e-4, atol=1e-5)
    assert taken.count(gpu.FiltersFunction)==4

KERNELS = 'filters', 'filters_input_gradient', 'filters_weight_gradient', 'maxima', 'maxima_gradient'

@pytest.mark.parametrize('name', KERNELS)
def test_a_kernel_that_is_wrong_is_not_used(taken, monkeypatch, name):
    m,x = network().eval().requires_grad_(False),torch.randn(2, 3, 12)
    right = getattr(gpu.kernels(), name)
    def wrong(*args):
        res = right(*args)
        return res*1.001 if isinstance(res, torch.Tensor) else (*res[:-1], res[-1]*1.001)
    monkeypatch.setattr(gpu.kernels(), name, wrong)
    with pytest.warns(UserWarning, match='in place of faster kernels: they differ by'): m(x)
    assert not taken

def test_without_triton_the_layers_run(monkeypatch):
    forget()
    with monkeypatch.context() as m:
        m.setitem(sys.modules, ROOM, None) # an import of it fails
        assert gpu.kernels() is None
    forget()

COMPILED = """
import re
import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import MockTensor
from xceptiontime.models.fast import kernels

class NoGPU:
    "A driver that only tells for which kind of GPU to compile"
    def __init__(self, capability): self.capability = capability
    def get_current_target(self): return GPUTarget('cuda', self.capability, 32)
    def get_current_device(self): return self.capability
    def get_current_stream(self, device): return 0

def compiled(kernel, *args, **kwargs):
    asm = kernel.warmup(*args, grid=(1,), **kwargs).asm
    assert asm['cubin']
    print(kernel.fn.__name__, len(re.findall(r'ld\\.global\\S*\\.v4', asm['ptx'])), asm['ptx'].count('bar.sync'))

for capability,dtype,align in ((75, torch.float16, 1), (90, torch.float32, 4)):
    driver.set_active(NoGPU(capability))
    x,ks,sizes = MockTensor(dtype),(39,19,9),(16, 24, 128, 32, align)
    xs,ws = (x,)*3,(MockTensor(torch.float32),)*3
    compiled(kernels.filter_kernel, x, ws, xs, *sizes, ks, 512)
    compiled(kernels.filter_input_kernel, xs, ws, x, *sizes, ks, 512)
    compiled(kernels.filter_weight_kernel, x, xs, ws[0], *sizes, ks, 256, num_warps=1)
    compiled(kernels.max_kernel, x, x, *sizes, 256)
    compiled(kernels.max_input_kernel, x, x, x, *sizes, 256)
"""

@pytest.mark.slow
def test_kernels_compile_without_a_gpu(tmp_path):
    "Triton's interpreter takes more than its compiler does; a T4 and an H100 stand for old and new GPUs"
    pytest.importorskip('triton', reason='Triton is needed, which PyTorch brings on Linux')
    env = {k: v for k,v in os.environ.items() if k!='TRITON_INTERPRET'}|{'TRITON_CACHE_DIR': str(tmp_path)}
    ran = subprocess.run([sys.executable, '-c', COMPILED], env=env, capture_output=True, text=True)
    assert ran.returncode==0, ran.stderr[-2000:]
    kinds = [(int(wide),int(waits)) for _,wide,waits in map(str.split, ran.stdout.splitlines())]
    assert len(kinds)==10 and {waits for _,waits in kinds}=={0} # a thread reads its steps itself
    assert [wide for wide,_ in kinds[:5]]==[0]*5 and min(wide for wide,_ in kinds[5:])>=6 # of four steps at once

def relative(a, b):
    a,b = a.detach().double().cpu(),b.detach().double().cpu()
    return ((a-b).norm()/b.norm().clamp(min=1e-12)).item()

@pytest.mark.parametrize('shape', [(5,12,512),(3,6,1001),(40,64,40),(2,3,1)])
@pytest.mark.parametrize('dtype,most', [(torch.float32,1e-5),(torch.bfloat16,3e-2)])
@pytest.mark.parametrize('ragged', [False,True])
def test_a_module_on_a_gpu(cuda, shape, dtype, most, ragged):
    "Against float64 on the CPU: output, and the gradients of input and weights"
    torch.manual_seed(0)
    B,C,L = shape
    m,x = models.XceptionModule(C, 16).cuda(),torch.randn(shape, device='cuda').to(dtype)
    exact,x64 = models.XceptionModule(C, 16).double(),x.double().cpu().requires_grad_()
    x.requires_grad_()
    exact.load_state_dict(m.state_dict())
    lengths = torch.randint(1, L+1, (B,))
    mask = torch.arange(L) < lengths[:,None] if ragged else None
    with real_steps(None if mask is None else mask.cuda()), torch.autocast('cuda', dtype, enabled=dtype!=torch.float32):
        out = m(x)
    with real_steps(mask): out64 = exact(x64)
    g = torch.randn(out.shape)
    got = torch.autograd.grad(out, [x,*m.parameters()], g.cuda().to(out.dtype))
    want = torch.autograd.grad(out64, [x64,*exact.parameters()], g.double())
    assert gpu.works_on(x.device, dtype) and relative(out, out64)<most
    for a,b in zip(got, want, strict=True): assert relative(a, b)<most

@pytest.mark.parametrize('arch', [XceptionTime,InceptionTime])
def test_a_gpu_gives_the_same_twice(cuda, arch):
    m,x = arch(3, 5).cuda(),torch.randn(8, 3, 130, device='cuda')
    assert gpu.works_on(x.device, x.dtype, False)
    torch.use_deterministic_algorithms(True)
    try: runs = [gradients(m, x)[1:-len(list(m.buffers()))] for _ in range(2)]
    finally: torch.use_deterministic_algorithms(False)
    for a,b in zip(*runs): assert a.equal(b)

def test_a_recorded_step_gives_the_same(cuda):
    m,x = XceptionTime(3, 5).cuda().eval().requires_grad_(False),torch.randn(8, 3, 130, device='cuda')
    want = m(x)
    assert gpu.works_on(x.device, x.dtype, False)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph): out = m(x)
    graph.replay()
    torch.testing.assert_close(out, want)

def test_pooling_on_a_gpu(cuda):
    x = torch.randn(3, 5, 77, device='cuda', requires_grad=True)
    for size in (1,50,100):
        out,g = layers.AdaptiveAvgPool1d(size)(x),torch.randn(3, 5, size, device='cuda')
        want = torch.autograd.grad(F.adaptive_avg_pool1d(x.double(), size), x, g.double())[0]
        torch.testing.assert_close(torch.autograd.grad(out, x, g)[0], want, rtol=1e-5, atol=1e-6)
