"Attribution beyond the page: other tasks, preprocessing and networks, and without captum"
import builtins, copy
import numpy as np, pytest, torch
import matplotlib.pyplot as plt
from torch import nn
from torch.nn import functional as F
from small import Linear, X, adds_up, close, learner, ragged, splits, two_labels
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.explain import attribution
from xceptiontime.explain.attribution import METHODS, attribute, plot_attribution
from xceptiontime.models.inception import InceptionTime
from xceptiontime.train.learner import TSLearner

pytestmark = pytest.mark.usefixtures('closed')

def same(a, b): np.testing.assert_array_equal(a, b)

def test_shapes():
    learn = learner(X[:,0])
    assert attribute(learn, X[:3,0], 'grad_cam').shape==(3,40)       # (samples, length) of one channel
    assert attribute(learn, X[:3,:1], 'grad_cam').shape==(3,1,40)
    assert attribute(learn, list(X[:3,:1]), 'occlusion').shape==(3,1,40)
    assert [a.shape for a in attribute(learn, [X[0,0], X[1,0,:30]], 'occlusion')]==[(40,), (30,)]
    assert attribute(learn, X[:0,:1]).shape==(0,1,40)
    all_hidden = attribute(learn, torch.tensor(X[:1,:1]), 'occlusion', window=100) # a window longer than the series
    assert all_hidden.shape==(1,1,40)
    a = attribute(learn, X[:2,:1])
    assert a.dtype==np.float32 and np.isfinite(a).all()

def test_regression_in_units():
    "Attributions of an output add up to the difference of its values in the user's units"
    y = np.stack([X.mean((1,2))*1000, X.std((1,2))], 1)
    learn = learner(y=y, target_names=['level','spread'])
    mean = np.broadcast_to(learn.dls.preprocess.mean.numpy()[:,None], X[0].shape)
    a = attribute(learn, X[:3], target='level')
    diff = learn.predictor().predict(X[:3])[:,0]-learn.predictor().predict(mean[None].copy())[0,0]
    np.testing.assert_allclose(a.sum((1,2)), diff, rtol=.011)
    with pytest.raises(ValueError, match="target: expected one of the outputs 'level', 'spread', got None"):
        attribute(learn, X[:3])
    assert np.abs(attribute(learn, X[:1], target='spread')-a[:1]).max()>1e-4

SCALES = dict(scale='sample'), dict(scale='robust'), dict(scale='minmax', mu=5.), dict(scale=None)

@pytest.mark.filterwarnings('ignore:attribution. expected a sum within')
@pytest.mark.parametrize('kw', SCALES, ids=str)
def test_scales_add_up(kw):
    learn,x = learner(**kw),X[3:5]
    pre,model = learn.dls.preprocess,learn.model.eval()
    z = pre(torch.tensor(x))
    with torch.no_grad(): want = (model(z)-model(z*0))[:,1].numpy()
    adds_up(attribute(learn, x, target=1), want)
    if kw['scale']!='sample': # the path from a raw baseline: the same for linear preprocessing
        base = np.random.default_rng(3).normal(size=(2,40)).astype(np.float32)
        with torch.no_grad(): want = (model(z)-model(pre(torch.tensor(base[None]))))[:,1].numpy()
        adds_up(attribute(learn, x, target=1, baseline=base), want)

@pytest.mark.parametrize('data', [X,ragged], ids=['equal','ragged'])
def test_crop(data):
    "The steps that are kept have the map that they have alone; all others have 0"
    base = np.random.default_rng(3).normal(size=(2,20)).astype(np.float32)
    pred = learner(data, crop=9, missing='mask').predictor()
    plain = copy.deepcopy(pred)
    plain.preprocess.crop = None
    data = data[:3]
    for method in METHODS:
        for x,a in zip(data, attribute(pred, data, method, target=1)):
            lo = (x.shape[1]-9)//2
            same(a[:,lo:lo+9], attribute(plain, x[None,:,lo:lo+9], method, target=1)[0])
            assert a.shape==x.shape and np.abs(a).max()>0 and not a[:,:lo].any() and not a[:,lo+9:].any()
        if method=='grad_cam': continue
        whole = attribute(pred, data[0][None,:,:20], method, target=1, baseline=base)
        kept = attribute(plain, data[0][None,:,5:14], method, target=1, baseline=base[:,5:14])
        same(whole[0,:,5:14], kept[0])

def test_resample_grad_cam():
    "The map of the resampled series, stretched over the raw series"
    learn = learner(resample=64)
    with torch.no_grad(): found = learn.model.eval().block(learn.dls.preprocess(torch.tensor(X[:1])))
    found.requires_grad_()
    g, = torch.autograd.grad(learn.model.head(found)[0,1], found)
    cam = (found.detach()*g.mean(2, keepdim=True)).sum(1, keepdim=True)
    close(attribute(learn, X[:1], 'grad_cam', target=1)[0].sum(0), F.interpolate(cam, 40, mode='linear')[0,0], 1e-6)

def test_missing():
    "Missing values have a share through the mask; NaN in the input gives no NaN in the map"
    Xm = X.copy()
    Xm[:,0,5:9] = np.nan
    learn = learner(Xm, missing='mask')
    model = learn.model.eval()
    base = torch.cat([torch.zeros(1, 2, 40), torch.ones(1, 2, 40)], 1)
    z = learn.dls.preprocess(torch.tensor(Xm[:3]))
    with torch.no_grad(): want = (model(z)-model(base))[:,0].numpy()
    for m in METHODS:
        a = attribute(learn, Xm[:3], m, target=0)
        assert a.shape==(3,2,40) and np.isfinite(a).all()
        if m=='integrated_gradients':
            adds_up(a, want)
            assert np.abs(a[:,0,5:9]).min()>0
    plot_attribution(Xm[:2], a[:2])[0].figure.canvas.draw()
    learn = learner(Xm, missing='mean')
    assert (attribute(learn, Xm[:2], target=0)[:,0,5:9]!=0).sum()==0 # filled in by the mean, which has no share

def test_multilabel_target():
    learn = learner(y=two_labels, vocab=['a','b'])
    both = [attribute(learn, X[:2], target=t) for t in 'ab']
    best = learn.predictor().scores(X[:2]).argmax(1)
    for i,k in enumerate(best): close(attribute(learn, X[i:i+1])[0], both[k][i], 1e-6)
    same(attribute(learn, X[:2], target=['b','a'])[0], both[1][0])

@pytest.mark.parametrize('head', ['linear','bn','relu'])
def test_any_module(head):
    "Grad-CAM at modules inside, by name and by object, before and after the pooling of time"
    learn = learner(head=head, adaptive_size=10)
    def at(layer): return attribute(learn, X[:2], 'grad_cam', target=0, layer=layer)
    for name in ('block','block.xception.0','block.xception.3.convs.1','block.shortcut.0','head.0','head.2'):
        a = at(name)
        same(a, at(learn.model.get_submodule(name)))
        assert a.shape==(2,2,40) and np.isfinite(a).all()

class Recurrent(nn.Module):
    def __init__(self, c_in, c_out):
        super().__init__()
        self.body,self.head = nn.LSTM(c_in, 4, batch_first=True),nn.Linear(4, c_out)
    def forward(self, x, lengths=None): return self.head(self.body(x.transpose(1,2))[0].mean(1))

def test_no_map_there(learn):
    "Modules that the network does not call, or that return no tensor"
    no_map = 'layer: expected a module that gives .*, got nothing from '
    with pytest.raises(ValueError, match=no_map+'ModuleList'):
        attribute(learn, X[:1], 'grad_cam', layer='block.xception')
    with pytest.raises(ValueError, match=no_map+'LSTM'):
        attribute(TSLearner(learn.dls, Recurrent(2, 3)), X[:1], 'grad_cam', layer='body')

def test_numbers_of_numpy(learn):
    for kw in (dict(window=5, step=2), dict(window=3), dict(step=3)):
        numpys = {k: np.int64(v) for k,v in kw.items()}
        same(attribute(learn, X[:2], 'occlusion', **numpys), attribute(learn, X[:2], 'occlusion', **kw))
    same(attribute(learn, X[:1], n_steps=np.int64(32), bs=np.int64(5)), attribute(learn, X[:1], n_steps=32, bs=5))

def test_other_networks():
    "InceptionTime works by default; a network without a known body needs the layer's name"
    learn = learner(arch=InceptionTime)
    for m in METHODS: assert np.isfinite(attribute(learn, X[:2], m, target=0)).all()
    body = attribute(learn, X[:2], 'grad_cam', target=0, layer='inceptionblock')
    same(attribute(learn, X[:2], 'grad_cam', target=0), body)
    dls = TSDataLoaders.from_arrays(X[:,0], X.mean((1,2)), splits, device='cpu')
    with pytest.raises(ValueError, match='layer: expected a module or the name of one for a Linear, got None'):
        attribute(TSLearner(dls, Linear(1, 1)), X[:1,:1], 'grad_cam')

def test_padding_gets_none():
    "Values in the padding have no effect: their gradient is 0, and maps have the length of the series"
    learn = learner(ragged)
    maps = attribute(learn, ragged[:5])
    assert [a.shape for a in maps]==[x.shape for x in ragged[:5]]
    n = torch.tensor([x.shape[1] for x in ragged[:5]])
    x = torch.zeros(5, learn.dls.vars, 36).requires_grad_()
    with torch.no_grad():
        for i,r in enumerate(ragged[:5]): x[i,:,:n[i]] = learn.dls.preprocess(torch.tensor(r[None]))[0]
    g, = torch.autograd.grad(learn.model.eval()(x, n).sum(), x)
    for gi,k in zip(g, n): assert not gi[:,k:].any() and gi[:,:k].any()

def test_captum_missing(monkeypatch, learn):
    real = builtins.__import__
    def without(name, *args, **kwargs):
        if name.startswith('captum'):
            raise ImportError(name)
        return real(name, *args, **kwargs)
    monkeypatch.setattr(builtins, '__import__', without)
    with pytest.raises(ImportError, match=r"captum: expected it .* pip install 'xceptiontime\[interpret\]'"):
        attribute(learn, X[:1])

def test_warns_where_it_does_not_add_up(monkeypatch, learn):
    monkeypatch.setattr(attribution, 'MOST_STEPS', 1)
    with pytest.warns(UserWarning, match='expected a sum within 1 %') as said: attribute(learn, X[:4], n_steps=1)
    assert {w.filename for w in said}=={__file__} # it points to the call

def test_plot_attribution_ax():
    a = np.random.default_rng(0).normal(size=X.shape).astype(np.float32)
    _,axs = plt.subplots(1, 2)
    assert plot_attribution(X[:2], a[:2], ax=axs)==list(axs)
    assert len(plot_attribution(X, a))==len(plot_attribution(X, a, titles=list('abcdefghi')))==9
    for n,kw,words in ((3, dict(ax=axs), 'ax: expected axes for 3 series, got 2'),
                       (1, dict(names=['a']), 'names: expected one for each of 2 channels, got 1'),
                       (24, dict(max_n=0), 'max_n: expected a whole number of 1 or more, got 0'),
                       (24, dict(titles=['a']), 'titles: expected one for each of 9 series, got 1'),
                       (0, {}, r'X: expected 1 or more series, got shape \(0, 2, 40\)')):
        with pytest.raises(ValueError, match=words): plot_attribution(X[:n], a[:n], **kw)
