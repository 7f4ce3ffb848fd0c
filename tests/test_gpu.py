"Waits for a GPU, and differences on a GPU, as far as a CPU can show them"
import copy, json, os, subprocess, sys
import numpy as np, pytest, torch
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from fastai.callback.core import Callback
from fastai.learner import Recorder
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from networks import plain, seasoned
from small import X, classes, learner, ragged
from xceptiontime.data import dataset
from xceptiontime.data.dataset import TSTensor
from xceptiontime.data.given import model_series
from xceptiontime.models import layers, masks
from xceptiontime.models.inception import InceptionTime
from xceptiontime.models.masks import length_mask, real_steps
from xceptiontime.models.xceptiontime import XceptionTime
from xceptiontime.processing.preprocess import MISSING, SCALES, Preprocess
from xceptiontime.train.callbacks import KeepFinite, Run

BY_NAME = ('item','tolist','__bool__','__int__','__float__','__index__','cpu','numpy','nonzero',
           'is_nonzero')

class _Operations(TorchDispatchMode):
    "Calls `fetched` for each operation whose value or shape the host needs"
    def __init__(self, fetched):
        super().__init__()
        self.fetched = fetched
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        masks = [o for a in args if isinstance(a, (list,tuple)) for o in a]
        tensors = [o for o in masks if isinstance(o, torch.Tensor)]
        by_mask = name.startswith('index') and any(o.dtype==torch.bool for o in tensors)
        if by_mask or name in ('_local_scalar_dense','equal','nonzero','masked_select','unique_dim','_unique2'):
            self.fetched(name)
        return func(*args, **(kwargs or {}))

@contextmanager
def fetches(now=lambda name: name):
    "A list that grows by `now(name)` with each value that leaves a tensor; on a GPU the host would wait for it"
    seen,depth = [],[0]
    def spied(name, f):
        def spy(*args, **kwargs):
            if not depth[0]: seen.append(now(name))
            depth[0] += 1 # nested calls belong to the same wait
            try: return f(*args, **kwargs)
            finally: depth[0] -= 1
        return spy
    with pytest.MonkeyPatch.context() as m, _Operations(lambda name: depth[0] or seen.append(now(name))):
        for name in BY_NAME: m.setattr(torch.Tensor, name, spied(name, getattr(torch.Tensor, name)))
        yield seen

def test_fetches_are_counted():
    x = torch.tensor([1.,2.])
    asking = [lambda: x.sum().item(), lambda: bool(x[0]>0), lambda: x.tolist(), lambda: x.cpu(), lambda: x[x>1],
              lambda: float(x[0]), lambda: x.equal(x), lambda: torch.zeros(2).index_put((x>1,), x[:1])]
    for f in asking:
        with fetches() as seen: f()
        assert len(seen)==1, seen
    with fetches() as seen: torch.where(x>1, x, 0).sum().add_(x[0])
    assert not seen

class _Spoil(Callback):
    "Makes the loss NaN from one batch on"
    def __init__(self, at): self.at = at
    def after_pred(self):
        if self.training and self.train_iter>=self.at: self.learn.pred = self.pred*float('nan')

def _fitted(learn, epochs, **kwargs):
    learn.remove_cbs([learn.progress])
    with learn.no_logging(): learn.fit(epochs, **kwargs)
    return learn

def _state(learn): return {k: t.clone() for k,t in learn.model.state_dict().items()}

@pytest.mark.parametrize('every,expected', [(1,[0,1,2,3,4,5]), (4,[3,5]), (16,[5])])
def test_loss_is_looked_at_every_so_many_batches(every, expected):
    "In the batches between, the host waits neither for the loss nor for the optimizer"
    learn = learner(bs=2) # 6 batches
    learn.remove_cbs([Recorder,learn.progress]) # which read each loss
    learn.keep_finite.every = every
    at = ['before',None]
    class Place(Callback):
        order = -10
        def before_batch(self): at[:] = ['batch' if self.training else 'validation',self.iter]
        def after_train(self): at[:] = ['end',None]
    with fetches(lambda name: (*at,name)) as seen, learn.no_logging():
        learn.fit(1, 1e-3, cbs=Place())
    assert [i for kind,i,_ in seen if kind=='batch']==[i for i in expected if i<5 or every==1]
    assert len([1 for kind,*_ in seen if kind=='end'])==(2 if every>1 else 1) # the rest of the losses, the weights

@pytest.mark.parametrize('at', [0,1,7])
def test_late_look_puts_the_same_weights_back(at):
    res = []
    for every in (1,3,16):
        learn = learner(bs=2)
        learn.keep_finite.every = every
        with pytest.raises(FloatingPointError) as e: _fitted(learn, 3, lr=1e-2, cbs=_Spoil(at))
        res.append((str(e.value), _state(learn)))
    words,state = res[0]
    assert f'got nan in epoch {at//6}, batch {at%6}; ' in words
    for w,s in res[1:]: assert w==words and all(torch.equal(s[k], state[k]) for k in state)

def test_validation_within_an_epoch_leaves_the_losses_to_be_looked_at():
    class Before(Callback):
        looks_only,order = True,-20
        def after_train(self):
            before = len(self.learn.keep_finite.seen)
            self.learn.validate()
            counts.append((before, len(self.learn.keep_finite.seen)))
    learn,counts = learner(bs=4),[]
    learn.keep_finite.every = 16
    _fitted(learn, 2, cbs=Before())
    assert counts==[(3,3),(3,3)]

def test_interrupted_training_keeps_no_nan():
    "Ctrl-C before the losses are checked"
    class Interrupt(Callback):
        def before_batch(self):
            if self.train_iter==4:
                raise KeyboardInterrupt
    learn = learner(bs=2)
    learn.keep_finite.every = 16
    with pytest.raises(FloatingPointError, match='epoch 0, batch 2'):
        _fitted(learn, 3, lr=1e-2, cbs=[_Spoil(2),Interrupt()])
    assert all(t.isfinite().all() for t in _state(learn).values())

@pytest.mark.parametrize('every', [1,16])
def test_training_goes_on_after_a_loss_of_nan(every):
    "The averages of the optimizer are reset"
    learn = learner(bs=2)
    learn.keep_finite.every = every
    with pytest.raises(FloatingPointError): _fitted(learn, 1, lr=1e-2, cbs=_Spoil(1))
    before = _state(learn)
    assert not any('sqr_avg' in s for s in learn.opt.state.values())
    with learn.no_logging(): learn.fit(2, 1e-3)
    after = _state(learn)
    assert all(t.isfinite().all() for t in after.values()) and np.isfinite(learn.recorder.values[-1][0])
    weight = 'block.xception.0.bottleneck.weight'
    assert not torch.equal(before[weight], after[weight])

@pytest.mark.parametrize('kind,device,expected', [('training','meta',16), ('training','cpu',1), ('lr search','meta',1)])
def test_a_gpu_is_not_waited_for_in_each_batch(kind, device, expected, monkeypatch):
    "With losses on the meta device, which have no values"
    cb,looks = KeepFinite(),[]
    cb.learn = SimpleNamespace(this_run=Run(kind), yb=(1,), opt=SimpleNamespace(hypers=[]), training=False,
                               loss=torch.zeros((), device=device), epoch=0, iter=0)
    cb._forget()
    def look():
        looks.append(len(cb.seen))
        cb.seen = []
    monkeypatch.setattr(cb, '_look', look)
    for _ in range(32): cb.after_loss()
    assert looks==[expected]*(32//expected)

def test_every_is_a_whole_number():
    with pytest.raises((TypeError,ValueError), match='every: expected a whole number'): KeepFinite(every=0)

NETWORKS = [XceptionTime, partial(XceptionTime, residual=False), partial(XceptionTime, bottleneck=False, head='linear'),
            InceptionTime]

@pytest.mark.parametrize('arch', NETWORKS)
@pytest.mark.parametrize('train', [True,False])
def test_masked_forward_fetches_nothing(arch, train):
    "On the meta device, whose tensors have no values"
    m = arch(3, 5, nf=4).train(train).to('meta')
    x,n = torch.zeros(4, 3, 50, device='meta'),torch.tensor([50,1,20,3], device='meta')
    with fetches() as seen:
        out = m(x, n)
        if train: out.sum().backward()
        assert m.forward_features(x, n).device.type=='meta' and out.shape==(4,5)
    assert not seen

@pytest.mark.parametrize('scale', SCALES)
def test_preprocessing_of_a_batch_fetches_nothing(scale):
    x,n = np.random.default_rng(0).normal(size=(4,3,50)).astype(np.float32),np.array([50,1,20,3])
    for missing in MISSING:
        for more in ({}, dict(resample=20), dict(mu=255.)):
            p = Preprocess(missing=missing, scale=scale, **more).fit(x, n)
            with fetches() as seen: p(torch.from_numpy(x), torch.from_numpy(n))
            assert not seen, (missing,more)

def test_masked_step_of_a_learner_fetches_nothing():
    "Batches of a ragged loader: what is counted is what the check of lengths on a CPU takes, and on a GPU not"
    learn = learner(ragged, bs=4)
    x,n,y = learn.dls.train.one_batch()
    assert learn.model(x, n).shape==(4,3)
    with pytest.MonkeyPatch.context() as m:
        m.setattr(layers, 'check_lengths', lambda lengths, x: lengths.as_subclass(torch.Tensor))
        with fetches() as seen:
            learn.loss_func(learn.model(x, n), y).backward()
            learn.opt_func(learn.splitter(learn.model), lr=1e-3).step()
    assert not seen

def test_wrong_lengths_raise_wherever_the_network_is():
    m = XceptionTime(3, 5, nf=1).to('meta')
    x = torch.zeros(2, 3, 10, device='meta')
    for bad in ([0,5], [5,11], np.array([5,11]), torch.tensor([-1,5])):
        with pytest.raises(ValueError, match='from 1 to 10, the length of x, got (0|11|-1)'): m(x, bad)
    with pytest.raises(ValueError, match='one for each of the 2 series'): m(x, torch.ones(3, device='meta').long())
    with pytest.raises(TypeError, match='expected whole numbers'): m(x, torch.ones(2, device='meta'))

def _by_selection(self, x):
    "PyTorch's BatchNorm on the steps without padding"
    mask = layers.current_mask()
    if mask is None or not (self.training or self.running_mean is None): return nn.BatchNorm1d.forward(self, x)
    x = x.transpose(1, 2)
    real = nn.BatchNorm1d.forward(self, x[mask])
    return real.new_zeros(x.shape).index_put((mask,), real).transpose(1, 2)

@pytest.mark.parametrize('kind', [{}, dict(momentum=None), dict(affine=False), dict(track_running_stats=False)])
def test_masked_batchnorm_is_pytorchs_of_the_real_steps(kind, monkeypatch):
    torch.manual_seed(0)
    a = layers.BatchNorm1d(3, **kind).double()
    b = copy.deepcopy(a)
    mask = length_mask(torch.tensor([9,1,4]), 9)
    for i in range(3):
        x = torch.randn(3, 3, 9, dtype=torch.float64)*5 + 100
        x[~mask[:,None].expand(x.shape)] = float('nan')
        xs = x.clone().requires_grad_(),x.clone().requires_grad_()
        with real_steps(mask): outs = a(xs[0]),_by_selection(b, xs[1])
        g = torch.randn(outs[0].shape, dtype=torch.float64)
        for o in outs: (o*g).sum().backward()
        torch.testing.assert_close(outs[0], outs[1], rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(xs[0].grad, xs[1].grad, rtol=1e-9, atol=1e-11)
    for s,t in zip([*a.buffers(),*(p.grad for p in a.parameters())], [*b.buffers(),*(p.grad for p in b.parameters())]):
        torch.testing.assert_close(s, t, rtol=1e-10, atol=1e-10)

@pytest.mark.parametrize('dtype', [torch.float16,torch.bfloat16])
def test_masked_batchnorm_in_half_precision(dtype):
    "As under autocast: sums are of float32"
    bn,mask = layers.BatchNorm1d(2),length_mask(torch.tensor([4000,3000]), 4000)
    x = (torch.randn(2, 2, 4000)*50 + 300).to(dtype)
    with real_steps(mask): out,exact = bn(x),layers.BatchNorm1d(2)(x.float())
    assert out.dtype==dtype and (out.float()-exact).abs().max()<.02

@contextmanager
def _asked_for_a_fixed_order():
    "The computation of a GPU under `torch.use_deterministic_algorithms(True)`, on the CPU"
    with pytest.MonkeyPatch.context() as m:
        for room in (masks,layers): m.setattr(room, 'in_fixed_order', lambda x: True)
        for place,name in ((masks,'max_pool2d'), (nn.AdaptiveAvgPool1d,'forward'), (torch.Tensor,'cumsum')):
            m.setattr(place, name, lambda *args, **kwargs: pytest.fail('it has no fixed order on a GPU'))
        yield

def test_order_is_fixed_where_it_is_asked_for_and_needed(monkeypatch):
    monkeypatch.setattr(torch, 'are_deterministic_algorithms_enabled', lambda: True)
    x = torch.ones(1)
    assert not masks.in_fixed_order(x) and masks.in_fixed_order(SimpleNamespace(is_cuda=True))
    monkeypatch.setattr(torch, 'are_deterministic_algorithms_enabled', lambda: False)
    assert not masks.in_fixed_order(SimpleNamespace(is_cuda=True))

@pytest.mark.parametrize('arch', NETWORKS)
@pytest.mark.parametrize('lengths', [None,[70,30,9,2]])
def test_fixed_order_gives_the_same_values_and_gradients(arch, lengths):
    "In float64, with ties, as in constant series"
    def ran():
        m = plain(seasoned(arch, 3, 5, nf=2))
        x = torch.randn(4, 3, 70, dtype=torch.float64)
        x[0] = x[0].round()
        x[1,:,10:60] = 0
        x.requires_grad_()
        out = m(x, lengths)
        (out*torch.arange(5)).sum().backward()
        return [out, x.grad, *(p.grad for p in m.parameters()), *m.buffers()]
    usual = ran()
    with _asked_for_a_fixed_order(): fixed = ran()
    for a,b in zip(usual, fixed, strict=True): torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)

@pytest.mark.parametrize('ks', [1,3,9])
def test_running_max_in_a_fixed_order(ks):
    "Of equal values the first has the gradient, NaN goes through, and no step is read beyond the ends"
    torch.manual_seed(0)
    x = torch.randint(-2, 3, (3,2,7)).double()
    x[0,0,3] = float('nan')
    g,res = torch.randn(3, 2, 7, dtype=torch.float64),[]
    for fixed in (False,True):
        own = x.clone().requires_grad_()
        with _asked_for_a_fixed_order() if fixed else nullcontext(): out = masks.running_max(own, ks)
        out.backward(g)
        res.append((out.detach(),own.grad))
    torch.testing.assert_close(res[0][0], res[1][0], rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(res[0][1], res[1][1], rtol=1e-12, atol=1e-12)

def test_running_sum_in_a_fixed_order():
    for n in (1,2,3,8,100):
        x = torch.randn(2, 3, n, dtype=torch.float64)
        with _asked_for_a_fixed_order(): fixed = masks.running_sum(x)
        torch.testing.assert_close(fixed, x.cumsum(-1))

def test_series_on_a_gpu_become_an_array(monkeypatch):
    "NumPy asks for a copy on the CPU, in a plot too"
    x,asked = TSTensor(torch.arange(6.).reshape(2, 3)),[]
    monkeypatch.setattr(TSTensor, 'cpu', lambda self: asked.append(1) or self.as_subclass(torch.Tensor))
    for a in (np.asarray(x), np.array(x, dtype=np.float64)):
        np.testing.assert_array_equal(a, [[0,1,2],[3,4,5]])
    assert len(asked)>=2 and np.array(x, dtype=np.float64).dtype==np.float64

def test_network_and_preprocessing_on_two_devices():
    "As after `learn.model.cpu()`: series are preprocessed where the statistics are, and go to the network from there"
    for Xs in (X, ragged):
        pred = learner(Xs).predictor()
        series,lengths = model_series(Xs, pred.preprocess)
        pred.model = copy.deepcopy(pred.model).to('meta')
        z,n = pred._inputs(series, lengths, np.arange(3) if lengths is None else np.argsort(lengths)[:3])
        assert z.device.type=='meta' and (n is None or n.device.type=='meta')

def test_targets_are_counted_before_the_network_runs():
    learn = learner()
    learn.model.register_forward_pre_hook(lambda *args: pytest.fail('it ran'))
    with pytest.raises(ValueError, match='y: expected 3 targets for as many series, got 2'):
        learn.get_X_preds(X[:3], classes[:2])
    with pytest.raises(ValueError, match='y: expected 3 targets'):
        learn.get_X_preds(ragged[:3], classes[:2], with_loss=True)

def test_loss_is_taken_where_batches_are(monkeypatch):
    "The loss holds the weights of classes"
    learn,asked = learner(),[]
    def loss_func(pred, targets):
        asked.append((pred.device.type, targets.device.type))
        return torch.arange(3.)
    loss_func.reduction,learn._loss_func = 'none',loss_func # without the check of a loss
    monkeypatch.setattr(type(learn.dls), 'device', torch.device('meta'))
    *_,losses = learn.get_X_preds(X[:3], classes[:3], with_loss=True)
    assert asked==[('meta','meta')] and losses.tolist()==[0,1,2]

bench = Path(__file__).parent.parent/'benchmarks'

def test_benchmark_without_a_gpu():
    env = {**os.environ, 'CUDA_VISIBLE_DEVICES':''}
    run = subprocess.run([sys.executable, bench/'gpu.py'], capture_output=True, text=True, env=env)
    assert run.returncode==1 and run.stdout==''
    assert run.stderr=='gpu: expected a machine with a GPU that PyTorch can use (CUDA), got none\n'

SMALLEST = dict(cases=[((2,1,8),('fp32','bf16'))], shapes=[(2,1,8)], n=1, # steps
                shape=(8,1,8), n_steps=2, train=8, valid=4, L=8, rounds=1, # losses, epochs
                gb=.002, sizes=(16,), processes=1, most=.1, warm=2) # a file

@pytest.fixture
def gpu(monkeypatch):
    "The benchmark, with a network small enough for a CPU"
    monkeypatch.syspath_prepend(str(bench))
    import gpu
    monkeypatch.setattr(gpu, 'network', lambda name, c_in: XceptionTime(c_in, 6, nf=2))
    return gpu

@pytest.fixture
def graphs(gpu, monkeypatch):
    "Counts captured networks in place of a GPU"
    def graphed(m):
        taken.append(m)
        return m
    taken = []
    monkeypatch.setattr(gpu, 'graphed', graphed)
    return taken

def test_benchmark_says_why_nothing_was_replayed(gpu, capsys):
    "On a CPU no step is replayed"
    gpu.steps(report := gpu.Report(), ['ours'], torch.device('cpu'), **SMALLEST)
    assert '3 not: inputs are not on a GPU' in report.kept['notes'][0]

def rows(text):
    "The cells of the printed tables, by the table's name"
    res,lines = {},[l for l in text.splitlines() if l]
    for l in lines:
        if not l.startswith('|'): table = res.setdefault(l.rsplit(' (', 1)[0], [])
        else: table.append([c.strip() for c in l.strip('|').split('|')])
    return {k: [dict(zip(t[0], cells, strict=True)) for cells in t[2:]] for k,t in res.items()}

def test_benchmark_of_steps(gpu, graphs, tmp_path, capsys):
    "Our network with and without CUDA graphs beside tsai's; the file has the printed figures"
    report = gpu.Report(tmp_path/'gpu.json', gpu='none')
    for name in ('steps','evaluation','lengths','curve'):
        gpu.PARTS[name](report, ['ours','tsai'], torch.device('cpu'), **SMALLEST)
    printed,kept = rows(capsys.readouterr().out),json.loads((tmp_path/'gpu.json').read_text())
    assert kept['gpu']=='none' and list(kept['tables'])==list(printed)
    for k,table in printed.items():
        said = [{c: v if isinstance(v, str) else f'{v:,}' for c,v in r.items()} for r in kept['tables'][k]]
        assert table==said
    assert [len(t) for t in printed.values()]==[2,2,2,2]
    assert [r['precision'] for r in printed['Training step']]==['fp32','bf16']
    assert [r['graphs'] for r in printed['Lengths']]==['yes','no']
    step = kept['tables']['Training step'][0]
    assert step['ratio']==pytest.approx(step['ours, ms']/step['tsai, ms'], abs=.01)
    assert {r['with graphs to without'] for r in kept['tables']['Largest relative difference of the loss']}=={0}
    assert len(graphs)==2+2+2+1 # steps and evaluation of ours; lengths, losses

def test_benchmark_without_graphs_and_without_tsai(gpu, monkeypatch, capsys):
    monkeypatch.setattr(gpu, 'graphed', None)
    report = gpu.Report()
    for name in ('steps','evaluation','lengths'): gpu.PARTS[name](report, ['ours'], torch.device('cpu'), **SMALLEST)
    printed = rows(capsys.readouterr().out)
    step,asked,masked = (printed[k] for k in ('Training step','Evaluation','Lengths'))
    assert all(r['tsai, ms']==r['ratio']=='' and float(r['ours, ms'])>0 for r in step+asked)
    assert step[0]['without graphs, ms']=='' and [r['graphs'] for r in masked]==['no']

def test_benchmark_with_a_tsai_that_cannot_be_imported(gpu, monkeypatch, capsys):
    "It needs packages that may be missing"
    def fails(name):
        raise ModuleNotFoundError("No module named 'numba'")
    monkeypatch.setattr(gpu, 'find_spec', lambda name: None)
    assert gpu.libraries()==['ours'] and not capsys.readouterr().out
    monkeypatch.setattr(gpu, 'find_spec', lambda name: name)
    monkeypatch.setattr(gpu.importlib, 'import_module', fails)
    assert gpu.libraries()==['ours'] and "tsai is left out: No module named 'numba'" in capsys.readouterr().out

def test_command_of_the_benchmark(gpu, monkeypatch):
    "The saved command has no path of this machine"
    monkeypatch.setattr(sys, 'argv', ['gpu.py','steps','--json','/somewhere/gpu.json','--gb','.5','--quick'])
    assert gpu.command(gpu.arguments())=='python benchmarks/gpu.py steps --quick --gb 0.5'

def test_benchmark_goes_on_after_a_part_that_fails(gpu, monkeypatch, capsys):
    def fails(*args, **how):
        raise RuntimeError('out of memory')
    monkeypatch.setitem(gpu.PARTS, 'steps', fails)
    report = gpu.Report()
    assert gpu.run(['steps','lengths'], report, ['ours'], torch.device('cpu'), **SMALLEST)==['steps']
    assert list(report.kept['tables'])==['Lengths'] and 'out of memory' in capsys.readouterr().err
    assert gpu.run(['lengths'], report, ['ours'], torch.device('cpu'), minutes=0)==[]
    assert capsys.readouterr().out=='lengths is left out, as the time is over\n'

def test_turns(gpu, monkeypatch):
    "Each is first in every second turn"
    asked = []
    monkeypatch.setattr(gpu, 'milliseconds', lambda f, device: asked.append(f()) or float(len(asked)))
    assert gpu.turns([lambda: 'a', None, lambda: 'b'], None, 3)==[4.,None,3.]
    assert ''.join(asked)=='abbaab'

def test_benchmark_of_memory(gpu, monkeypatch):
    "Memory held after some steps, with captured graphs, counts; memory of other networks does not"
    held,calls = [100],[]
    def f():
        calls.append(1)
        held[0] = 100+300*(len(calls)>2)
    for k in ('empty_cache','synchronize','reset_peak_memory_stats'): monkeypatch.setattr(torch.cuda, k, lambda: None)
    for k in ('memory_reserved','max_memory_reserved'): monkeypatch.setattr(torch.cuda, k, lambda: held[0]*2**20)
    assert gpu.with_memory(lambda: f, torch.device('cuda'))==(f,300) and len(calls)==9

@pytest.mark.slow
def test_benchmark_of_epochs(gpu, tmp_path, monkeypatch, capsys):
    device,report = torch.device('cpu'),gpu.Report()
    for name in ('difference','epochs','file'): gpu.PARTS[name](report, ['ours'], device, **SMALLEST)
    tables = report.kept['tables']
    assert tables['Difference to float64 on the CPU'][0]['scores']<1e-5
    assert tables['Epoch'][0]['ours, s']>0
    mapped = tables['Epoch from a file']
    assert [(r['series in'],r['batches of'],r['processes']) for r in mapped]==[
        ('memory',16,0),('0.0 GB file',16,0),('0.0 GB file',16,1)]
    for r in mapped:
        assert r['ratio']==pytest.approx(r['epoch, ms a batch']/r['network alone, ms a batch'], rel=.02)
    assert rows(capsys.readouterr().out)['Epoch from a file'][2]['processes']=='1'

@pytest.mark.slow
def test_benchmark_of_determinism(gpu):
    "On a CPU, a seed is sufficient"
    try: assert len({gpu.digest(torch.device('cpu')) for _ in range(2)})==1
    finally: torch.use_deterministic_algorithms(False)

def _share(dl):
    "The loader of one process among several"
    pytest.importorskip('accelerate')
    from xceptiontime.train.distributed import TSDistributedDL
    class Agreed(TSDistributedDL):
        def _broadcast(self, t, rank): return list(t)
    return Agreed(dl, rank=0, world_size=1, device=dl.device)

@pytest.mark.parametrize('kind,num_workers', [('cuda',0),('cuda',1),('mps',0),('mps',1),('cpu',0),('cpu',1)])
@pytest.mark.parametrize('distributed', [False,True])
def test_batches_go_to_a_gpu_from_pinned_memory(kind, num_workers, distributed, monkeypatch):
    "The host then does not wait for the GPU, as it would for a copy from other memory"
    dl = learner(ragged, bs=4, num_workers=num_workers).dls.train
    pinned,sent = [],[]
    def pin(self):
        pinned.append(self)
        return self
    def to_device(b, device, non_blocking=False):
        sent.append((len(b), device.type, non_blocking))
        return b
    monkeypatch.setattr(torch.Tensor, 'pin_memory', pin)
    monkeypatch.setattr(dataset, 'to_device', to_device)
    monkeypatch.setattr(dataset.PreprocessBatch, 'to', lambda self, device: None)
    expected = [tuple(map(torch.Tensor.clone, b)) for b in dl.new(shuffle=False)]
    dl = dl.new(shuffle=False)
    dl.device = torch.device(kind)
    got = list(_share(dl) if distributed else dl)
    assert len(got)==3 and all(torch.equal(s, t) for a,b in zip(got, expected) for s,t in zip(a, b))
    assert sent==([] if kind=='cpu' else [(3,kind,kind=='cuda')]*3) and len(pinned)==(9 if kind=='cuda' else 0)
