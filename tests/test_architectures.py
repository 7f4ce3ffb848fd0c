"Features, heads and architectures of a user: the same numbers on both paths, up to the exported file"
import copy
import numpy as np, pytest, torch
from torch import nn
from networks import counted, plain
from small import onnx_session
from xceptiontime.models.fast import door as fast
from xceptiontime.models import xceptiontime as models
from xceptiontime.runtime.export import export_onnx
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.models.layers import BN1d, Conv1d, GAP1d
from xceptiontime.train.learner import ts_learner
from xceptiontime.models.masks import length_mask, real_steps
from xceptiontime.models.xceptiontime import XceptionTime
from xceptiontime.processing.preprocess import Preprocess
from xceptiontime.runtime import Predictor, register_arch
from xceptiontime.runtime.folder import ARCHS
from xceptiontime.processing.tasks import Classification

CASES = [*(dict(head=h) for h in models.HEADS), dict(residual=False, adaptive_size=7),
         dict(bottleneck=False, head='linear')]

def near(a, b, tol=1e-10): torch.testing.assert_close(a, b, rtol=tol, atol=tol)

def network(seed=0, **kw):
    "A network in double precision whose BatchNorms have seen data"
    torch.manual_seed(seed)
    m = XceptionTime(3, 5, **{'nf':4, **kw}).double()
    with torch.no_grad(): m(torch.randn(8, 3, 30).double()*3 + 1)
    return m

@pytest.fixture
def taken(monkeypatch): return counted(monkeypatch, models, 'fast_forward') # counts calls of the fast path

@pytest.mark.parametrize('lengths', [None,[40,3,25,40]], ids=['full','ragged'])
@pytest.mark.parametrize('kw', CASES, ids=str)
def test_features_are_the_same_on_either_path(kw, lengths, taken):
    for train in (True,False):
        m = network(**kw).train(train)
        p,x = plain(m),torch.randn(4, 3, 40).double()
        x1,x2 = x.clone().requires_grad_(),x.clone().requires_grad_()
        a,b = m.forward_features(x1, lengths),p.forward_features(x2, lengths)
        g = torch.randn(4, 32).double()
        for o in (a,b): (o*g).sum().backward()
        near(a, b)
        near(x1.grad, x2.grad, 1e-9)
        for (k,s),t in zip(m.named_parameters(), p.parameters()):
            if k.startswith('head.3'): assert s.grad is None and t.grad is None
            else: near(s.grad, t.grad, 1e-9)
        for s,t in zip(m.buffers(), p.buffers()): near(s, t)
    assert len(taken)==4 # each network has seen a batch before
    with torch.no_grad():
        f = m.fuse()
        for q in (f, plain(f)): near(q.forward_features(x, lengths), a.detach(), 1e-9)
        if lengths:
            alone = torch.cat([m.forward_features(x[i:i+1,:,:n]) for i,n in enumerate(lengths)])
            near(a.detach(), alone)
    assert not m.training

def test_features_check_their_input():
    m = network()
    with pytest.raises(ValueError, match='x: expected a tensor'): m.forward_features(torch.zeros(2, 4, 9).double())
    with pytest.raises(ValueError, match='lengths: expected numbers from 1 to 9'):
        m.forward_features(torch.zeros(2, 3, 9).double(), [9,10])
    x = torch.randn(2, 3, 9).double()
    x[1,:,4:] = float('nan')
    assert m.eval().forward_features(x, [9,4]).isfinite().all()

def test_a_custom_head_is_exact_and_learns():
    def head(ni, c_out, steps):
        return nn.Sequential(nn.Conv1d(ni, 6, 5), nn.BatchNorm1d(6), nn.Flatten(), nn.Linear(6*(steps-4), c_out))
    m = network(custom_head=head, adaptive_size=9)
    x,n = torch.randn(3, 3, 40).double(),[40,2,17]
    x[1,:,2:],x[2,:,17:] = float('nan'),1e6
    with torch.no_grad():
        m.eval()
        near(m(x, n), torch.cat([m(x[i:i+1,:,:k]) for i,k in enumerate(n)]))
        shorter = m.train()(x[...,:40], n)
        near(m(torch.cat([x, x.new_full((3,3,60), 7.)], 2), n), shorter, 1e-9)
    m(x, n).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in m.parameters())

def test_a_custom_head_leaves_no_trace_of_its_trial():
    head = nn.Sequential(nn.BatchNorm1d(128), nn.BatchNorm1d(128), nn.Flatten(), nn.Linear(128*50, 2))
    head[1].eval() # a frozen BatchNorm stays frozen
    state = copy.deepcopy(head.state_dict())
    m = XceptionTime(3, 2, nf=4, custom_head=head)
    assert m.head[1] is head and head[0].training and not head[1].training
    assert all(torch.equal(a, b) for a,b in zip(head.state_dict().values(), state.values()))
    assert all(p.grad is None for p in head.parameters())

def test_default_network_draws_the_same_numbers():
    "The argument `head` does not change the initial weights of the published network"
    torch.manual_seed(3)
    a = XceptionTime(3, 2, nf=4, head='linear')
    torch.manual_seed(3)
    block,last = models.XceptionBlock(3, 4),Conv1d(32, 2, bias=True)
    torch.testing.assert_close(a.head[3].weight, last.weight, rtol=0, atol=0)
    assert all(torch.equal(s, t) for s,t in zip(a.block.parameters(), block.parameters()))

def test_reset_head_takes_the_fast_path(taken):
    m = network()
    taken.clear()
    for head in ('linear','relu','bn'):
        m.reset_head(7, head)
        assert m.head[3] is not None and next(m.head.parameters()).dtype==torch.float64
        x = torch.randn(2, 3, 20).double()
        near(m(x), plain(m)(x), 1e-9)
    assert len(taken)==3
    m.block.xception[0].convs[0] = nn.Identity() # a changed body keeps its change
    m.reset_head(2)
    assert not fast.applies(m, x)

@pytest.fixture
def own():
    @register_arch
    class Own(nn.Module):
        def __init__(self, c_in, c_out, nf=6, ks=(5,3)):
            super().__init__()
            self.init_args = dict(c_in=c_in, c_out=c_out, nf=nf, ks=ks)
            self.body = nn.Sequential(Conv1d(c_in, nf, ks[0]), BN1d(nf), nn.ReLU(), Conv1d(nf, nf, ks[1]), GAP1d())
            self.head = nn.Linear(nf, c_out)
        def forward(self, x, lengths=None):
            mask = None if lengths is None else length_mask(lengths, x.shape[2])
            with real_steps(mask): return self.head(self.body(x))
    yield Own
    del ARCHS['Own']

def noise(n=60, lengths=(8,30)):
    "Series of unequal length, whose mean is their class"
    rng = np.random.default_rng(0)
    y = np.arange(n)%2
    return [rng.normal(size=(2,k)).astype(np.float32)+c for k,c in zip(rng.integers(*lengths, n), y)],y

def trained(own):
    X,y = noise()
    dls = TSDataLoaders.from_arrays(X, np.array(['low','high'])[y], (range(40),range(40,60)), bs=10, device='cpu')
    learn = ts_learner(dls, arch=own, nf=4, ks=(7,3), seed=0)
    with learn.no_bar(), learn.no_logging(): learn.fit(6, 1e-2)
    return learn,X

def test_own_architecture_from_training_to_folder(own, tmp_path):
    learn,X = trained(own)
    assert learn.validate()[1]>.9
    learn.freeze()
    names = [n for n,p in learn.model.named_parameters() if p.requires_grad]
    assert names==['body.1.weight','body.1.bias','head.weight','head.bias']
    probs = learn.get_X_preds(X)[0].numpy()
    opened = Predictor.from_pretrained(learn.save_pretrained(tmp_path/'own'))
    assert opened.model.init_args==dict(c_in=3, c_out=2, nf=4, ks=[7,3]) # two channels, and the length
    np.testing.assert_array_equal(opened.predict_proba(X), probs)

@pytest.mark.slow
def test_own_architecture_to_onnx(own, tmp_path):
    pytest.importorskip('onnxruntime')
    learn,X = trained(own)
    probs = learn.get_X_preds(X)[0].numpy()
    session = onnx_session(export_onnx(learn, tmp_path/'own.onnx'))
    x = np.full((3,2,40), np.nan, np.float32)
    for row,s in zip(x, X): row[:,:s.shape[1]] = s
    lengths = np.array([len(s[0]) for s in X[:3]])
    np.testing.assert_allclose(session.run(None, {'x':x, 'lengths':lengths})[0], probs[:3], atol=1e-6)

@pytest.mark.slow
def test_a_class_that_ignores_lengths_is_not_exported_with_them(own, tmp_path):
    pytest.importorskip('onnxruntime')
    @register_arch
    class Careless(own):
        def forward(self, x, lengths=None): return self.head(self.body(x))
    try:
        torch.manual_seed(0)
        preprocess = Preprocess().fit(np.random.default_rng(0).normal(size=(9,2,30)))
        p = Predictor(Careless(2, 2), Classification(['a','b']), preprocess)
        with pytest.raises(ValueError, match='expected the answers of the Predictor'):
            export_onnx(p, tmp_path/'c.onnx', lengths=True)
        assert not (tmp_path/'c.onnx').exists()
    finally: del ARCHS['Careless']

def test_a_learner_wants_a_head(own):
    class Headless(own):
        def __init__(self, c_in, c_out):
            super().__init__(c_in, c_out)
            self.last = self.head
            del self.head
    X = np.random.default_rng(0).normal(size=(20,2,30))
    dls = TSDataLoaders.from_arrays(X, np.arange(20)%2, (range(14),range(14,20)), device='cpu')
    no_head = 'arch: expected a network with a head, the part that freeze leaves to train, got Headless'
    with pytest.raises(TypeError, match=no_head): ts_learner(dls, arch=Headless)
