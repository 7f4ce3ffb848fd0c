"InceptionTime: both layouts give the same, padding has no effect, and it works wherever XceptionTime does"
import copy
import numpy as np, pytest, torch
from torch import nn
from networks import counted, plain, seasoned
from small import onnx_session
from xceptiontime.models import inception
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.runtime.export import export_onnx
from xceptiontime.models.inception import InceptionTime
from xceptiontime.train.learner import ts_learner
from xceptiontime.processing.preprocess import Preprocess
from xceptiontime.runtime.predictor import Predictor
from xceptiontime.processing.tasks import Classification

def network(c_in=3, c_out=5, **kw): return seasoned(InceptionTime, c_in, c_out, **{'nf':3, **kw})

@pytest.fixture
def taken(monkeypatch):
    "A list with an entry per call of the channels-last path"
    return counted(monkeypatch, inception, 'fast_features')

def close(a, b, eps): torch.testing.assert_close(a, b, rtol=eps, atol=eps)

N = [90,3,1,50,90,64,7,88]
OPTIONS = [{}, dict(c_in=1), dict(c_in=12), dict(bottleneck=False), dict(residual=False),
           dict(depth=7, ks=(9,5,1))]

@pytest.mark.parametrize('lengths', [None,N], ids=['full','ragged'])
@pytest.mark.parametrize('kw', OPTIONS, ids=str)
def test_same_numbers_in_either_layout(kw, lengths, taken):
    for train in (True,False):
        m = network(**kw).train(train)
        p,x = plain(m),torch.randn(8, kw.get('c_in',3), 90).double()
        x1,x2 = x.clone().requires_grad_(),x.clone().requires_grad_()
        g = torch.randn(8, 5).double()
        a,b = m(x1, lengths),p(x2, lengths)
        (a*g).sum().backward()
        (b*g).sum().backward()
        close(a, b, 1e-11)
        close(x1.grad, x2.grad, 1e-9)
        for s,t in zip(m.parameters(), p.parameters()): close(s.grad, t.grad, 1e-9)
        for s,t in zip(m.buffers(), p.buffers()): close(s, t, 1e-11)
        with torch.inference_mode(): close(m.eval()(x, lengths), p.eval()(x, lengths), 1e-11)
    assert len(taken)==4

def test_same_second_derivatives(taken):
    m = network().eval()
    p,x = plain(m),torch.randn(8, 3, 64).double()
    def penalty(m):
        z = x.clone().requires_grad_()
        g, = torch.autograd.grad(m(z).sum(), z, create_graph=True)
        weights = list(m.inceptionblock.inception[0].convs.parameters())
        return torch.autograd.grad(g.pow(2).sum(), weights)
    for a,b in zip(penalty(m), penalty(p)): close(a, b, 1e-9)
    assert len(taken)==1

def test_padding_is_exact():
    for double in (False,True):
        m = network(dtype=torch.float64 if double else torch.float32).eval()
        x = torch.randn(8, 3, 90, dtype=next(m.parameters()).dtype)
        for i,n in enumerate(N): x[i,:,n:] = float('nan') if i%2 else 1e6
        eps = 1e-10 if double else 1e-5
        for q in (m, plain(m)):
            with torch.no_grad():
                alone = [q(x[i:i+1,:,:n]) for i,n in enumerate(N)]
                close(q(x, N), torch.cat(alone), eps)

def test_padding_is_exact_in_training():
    "More padding changes no scores, gradients or statistics; and BatchNorm by hand, without the padding"
    for make in (lambda: network(), lambda: plain(network())):
        a,b = make(),make()
        x,g = torch.randn(8, 3, 90).double(),torch.randn(8, 5).double()
        wide = torch.cat([x, torch.full((8,3,130), float('inf')).double()], 2)
        for i,n in enumerate(N): wide[i,:,n:] = -7.
        for m,o in ((a,x), (b,wide)): (m(o, N)*g).sum().backward()
        for s,t in zip(a.parameters(), b.parameters()): close(s.grad, t.grad, 1e-9)
        for s,t in zip(a.buffers(), b.buffers()): close(s, t, 1e-9)
    m = network()
    short,first = m.inceptionblock.shortcut[0],copy.deepcopy(m.inceptionblock.shortcut[0])
    m(x, N)
    steps = torch.cat([first[0](x[i:i+1,:,:n])[0] for i,n in enumerate(N)], 1)
    close(short[1].running_mean, .9*first[1].running_mean + .1*steps.mean(1), 1e-9)
    close(short[1].running_var, .9*first[1].running_var + .1*steps.var(1), 1e-9)

def test_steps_aside(taken):
    m,x = network(dtype=torch.float32),torch.randn(8, 3, 90)
    seen = []
    hook = m.inceptionblock.inception[4].register_forward_hook(lambda l,i,o: seen.append(o.shape))
    m(x)
    hook.remove()
    with torch.autocast('cpu', torch.bfloat16): m(x)
    m(x[:2]) # too small a batch for this path
    torch.func.vmap(m.eval())(x[:,None])
    m.inceptionblock.inception[1].act = nn.GELU()
    m(x)
    assert seen==[(8,12,90)] and not taken
    n = network(dtype=torch.float32)
    n(x)
    n.reset_head(2)(x)
    assert len(taken)==2

def test_tensor_subclasses_stay_what_they_are(taken):
    class Series(torch.Tensor): pass
    m,x = network(),torch.randn(8, 3, 90).double()
    assert type(m(x.as_subclass(Series))) is Series
    assert type(plain(m)(x.as_subclass(Series))) is Series
    assert len(taken)==1

def test_reset_head_keeps_device_dtype_and_body():
    m = network()
    body = copy.deepcopy(m.inceptionblock.state_dict())
    m.reset_head(2)
    assert m.fc.weight.dtype==torch.float64 and m.fc.weight.shape==(2,12)
    assert m.init_args==InceptionTime(3, 2, nf=3).init_args and m.head is m.fc
    assert all(torch.equal(t, body[k]) for k,t in m.inceptionblock.state_dict().items())
    with pytest.raises(ValueError, match='c_out: expected'): m.reset_head(0)

@pytest.fixture(scope='module')
def learn():
    rng = np.random.default_rng(0)
    y = np.arange(120)%2
    X = [(rng.normal(size=(2,n)) + np.sin((1+2*c)*np.arange(n)/3)*2).astype(np.float32)
         for n,c in zip(rng.integers(15, 45, 120), y)]
    splits = np.arange(80),np.arange(80,120)
    dls = TSDataLoaders.from_arrays(X, np.array(['slow','fast'])[y], splits, bs=20, device='cpu')
    learn = ts_learner(dls, arch=InceptionTime, nf=4, ks=(9,5,3), seed=0)
    learn.X = X
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(6, 1e-2)
    return learn

def test_learns_and_is_saved(learn, tmp_path):
    assert learn.validate()[1]>.9
    probs = learn.get_X_preds(learn.X)[0].numpy()
    opened = Predictor.from_pretrained(learn.save_pretrained(tmp_path/'m'))
    assert type(opened.model) is InceptionTime
    assert opened.model.init_args=={**learn.model.init_args, 'ks':[9,5,3]}
    np.testing.assert_array_equal(opened.predict_proba(learn.X), probs)
    alone = np.concatenate([opened.predict_proba([x]) for x in learn.X])
    np.testing.assert_allclose(opened.predict_proba(learn.X), alone, atol=1e-5)

@pytest.mark.slow
def test_onnx_at_any_length(learn, tmp_path):
    pytest.importorskip('onnxruntime')
    session = onnx_session(export_onnx(learn, tmp_path/'m.onnx'))
    x = np.full((20,2,77), np.nan, np.float32)
    n = np.array([o.shape[1] for o in learn.X[:20]])
    for i in range(20): x[i,:,:n[i]] = learn.X[i]
    got,want = session.run(None, {'x':x, 'lengths':n})[0], learn.get_X_preds(learn.X[:20])[0]
    np.testing.assert_allclose(got, want, atol=1e-5)

@pytest.mark.slow
def test_onnx_without_lengths(tmp_path):
    pytest.importorskip('onnxruntime')
    pre = Preprocess().fit(np.random.default_rng(0).normal(size=(9,2,30)))
    p = Predictor(network(2, 2, dtype=torch.float32, depth=3), Classification(['a','b']), pre)
    session = onnx_session(export_onnx(p, tmp_path/'m.onnx'))
    for batch,length in ((1,1), (5,123)):
        x = np.random.default_rng(1).normal(size=(batch,2,length)).astype(np.float32)
        np.testing.assert_allclose(session.run(None, {'x':x})[0], p.predict_proba(x), atol=1e-5)

def test_freeze_leaves_the_last_layer(learn):
    learn.freeze()
    free = {n for n,p in learn.model.named_parameters() if p.requires_grad}
    norms = {f'{n}.{k}' for n,m in learn.model.named_modules() if isinstance(m, nn.BatchNorm1d)
             for k in ('weight','bias')}
    assert free=={'fc.weight','fc.bias'}|norms
    learn.unfreeze()
    assert all(p.requires_grad for p in learn.model.parameters())

def test_other_classes_on_the_same_body(learn, tmp_path):
    "`pretrained` gives it a fresh head"
    learn.save_pretrained(tmp_path/'m')
    splits = np.arange(80),np.arange(80,120)
    dls = TSDataLoaders.from_arrays(learn.X, np.arange(120)%3, splits, bs=20, device='cpu')
    on = ts_learner(dls, pretrained=tmp_path/'m')
    assert type(on.model) is InceptionTime and on.model.init_args['c_out']==3
    body = learn.model.inceptionblock.state_dict()
    assert all(torch.equal(t, body[k]) for k,t in on.model.inceptionblock.state_dict().items())
    with pytest.raises(ValueError, match='head: expected None, as an InceptionTime'):
        ts_learner(dls, pretrained=tmp_path/'m', head='linear')
