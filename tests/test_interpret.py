"Attribution and importance on what the page does not show: other tasks and preprocessing, memory maps, scikit-learn's importance, a missing captum"
import builtins, copy
import numpy as np, pytest, torch
import matplotlib.pyplot as plt
from fastai.metrics import Perplexity
from torch import nn
from torch.nn import functional as F
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.data.windows import Windows
from xceptiontime.models.inception import InceptionTime
from xceptiontime.explain.attribution import *
from xceptiontime.train.learner import TSLearner, ts_learner

rng = np.random.default_rng(0)
X = rng.normal(size=(24,2,40)).astype(np.float32)
ragged = [x[:,:20+i%5*4] for i,x in enumerate(X)]
splits = np.arange(12),np.arange(12,24)
classes = np.arange(24)%3

def learner(X=X, y=classes, **kwargs):
    arch = {k: kwargs.pop(k) for k in ('adaptive_size','ks') if k in kwargs}
    return ts_learner(TSDataLoaders.from_arrays(X, y, splits, device='cpu', **kwargs), nf=2, seed=0, **arch)

@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close('all')

def adds_up(a, diff):
    "To 1 % of the difference; of one that is next to nothing, to a thousandth of all that speaks for and against"
    assert (np.abs(a.sum((1,2))-diff) <= .011*np.abs(diff) + 1e-3*np.abs(a).sum((1,2))).all()

def close(a, b, atol): np.testing.assert_allclose(a, b, rtol=0, atol=atol)

def test_shapes():
    learn = learner(X[:,0])
    assert attribute(learn, X[:3,0], 'grad_cam').shape==(3,40)       # (samples, length) of one channel
    assert attribute(learn, X[:3,:1], 'grad_cam').shape==(3,1,40)
    assert attribute(learn, list(X[:3,:1]), 'occlusion').shape==(3,1,40)
    assert [a.shape for a in attribute(learn, [X[0,0], X[1,0,:30]], 'occlusion')]==[(40,), (30,)]
    assert attribute(learn, X[:0,:1]).shape==(0,1,40)
    assert attribute(learn, torch.tensor(X[:1,:1]), 'occlusion', window=100).shape==(1,1,40) # a window longer than the series hides it all
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
    with pytest.raises(ValueError, match="target: expected one of the outputs .'level', 'spread'., got None"): attribute(learn, X[:3])
    assert np.abs(attribute(learn, X[:1], target='spread')-a[:1]).max()>1e-4

@pytest.mark.filterwarnings('ignore:attributions of a series sum')
@pytest.mark.parametrize('kw', [dict(scale='sample'), dict(scale='robust'), dict(scale='minmax', mu=5.), dict(scale=None)])
def test_scales_add_up(kw):
    learn = learner(**kw)
    pre,model = learn.dls.preprocess,learn.model.eval()
    with torch.no_grad(): want = (model(z := pre(torch.tensor(X[3:6])))-model(z*0))[:,1].numpy()
    a = attribute(learn, X[3:6], target=1)
    adds_up(a, want)
    if kw['scale']!='sample': # the way from a raw baseline: the same for what is linear
        base = np.random.default_rng(3).normal(size=(2,40)).astype(np.float32)
        with torch.no_grad(): want = (model(z)-model(pre(torch.tensor(base[None]))))[:,1].numpy()
        adds_up(attribute(learn, X[3:6], target=1, baseline=base), want)

@pytest.mark.parametrize('data', [X,ragged], ids=['equal','ragged'])
@pytest.mark.parametrize('method', METHODS)
def test_crop(data, method):
    "Of the steps that are kept, the map that they get by themselves; of all others 0"
    base = np.random.default_rng(3).normal(size=(2,20)).astype(np.float32)
    pred = learner(data, crop=9, missing='mask').predictor()
    plain = copy.deepcopy(pred)
    plain.preprocess.crop = None
    for x,a in zip(data[:5], attribute(pred, data[:5], method, target=1)):
        n = x.shape[1]
        lo = (n-9)//2
        np.testing.assert_array_equal(a[:,lo:lo+9], attribute(plain, x[None,:,lo:lo+9], method, target=1)[0])
        assert a.shape==x.shape and np.abs(a).max()>0 and not a[:,:lo].any() and not a[:,lo+9:].any()
    if method!='grad_cam': np.testing.assert_array_equal(attribute(pred, data[0][None,:,:20], method, target=1, baseline=base)[0,:,5:14],
                                                         attribute(plain, data[0][None,:,5:14], method, target=1, baseline=base[:,5:14])[0])

def test_resample_grad_cam():
    "The map of the stretched series, laid over the whole of the raw one"
    learn = learner(resample=64)
    with torch.no_grad(): found = learn.model.eval().block(learn.dls.preprocess(torch.tensor(X[:1])))
    found.requires_grad_()
    g, = torch.autograd.grad(learn.model.head(found)[0,1], found)
    cam = (found.detach()*g.mean(2, keepdim=True)).sum(1, keepdim=True)
    close(attribute(learn, X[:1], 'grad_cam', target=1)[0].sum(0), F.interpolate(cam, 40, mode='linear')[0,0], 1e-6)

def test_missing():
    "What is missing has a share by being missing; NaN in the input gives none in the map"
    Xm = X.copy()
    Xm[:,0,5:9] = np.nan
    learn = learner(Xm, missing='mask')
    model = learn.model.eval()
    base = torch.cat([torch.zeros(1, 2, 40), torch.ones(1, 2, 40)], 1)
    with torch.no_grad(): want = (model(learn.dls.preprocess(torch.tensor(Xm[:3])))-model(base))[:,0].numpy()
    for m in METHODS:
        a = attribute(learn, Xm[:3], m, target=0)
        assert a.shape==(3,2,40) and np.isfinite(a).all()
        if m=='integrated_gradients':
            adds_up(a, want)
            assert np.abs(a[:,0,5:9]).min()>0
    plot_attribution(Xm[:2], a[:2])[0].figure.canvas.draw()
    learn = learner(Xm, missing='mean')
    assert (attribute(learn, Xm[:2], target=0)[:,0,5:9]!=0).sum()==0 # filled in by what says nothing

def test_multilabel_target():
    learn = learner(y=np.c_[classes==0, classes<2].astype(int), vocab=['a','b'])
    both = [attribute(learn, X[:2], target=t) for t in 'ab']
    best = learn.predictor().scores(X[:2]).argmax(1)
    for i,k in enumerate(best): close(attribute(learn, X[i:i+1])[0], both[k][i], 1e-6)
    np.testing.assert_array_equal(attribute(learn, X[:2], target=['b','a'])[0], both[1][0])

@pytest.mark.parametrize('head', ['linear','bn','relu'])
def test_any_module(head):
    "Grad-CAM at modules inside, by name and by object, before and after the pooling of time"
    learn = ts_learner(TSDataLoaders.from_arrays(X, classes, splits, device='cpu'), nf=2, seed=0, head=head, adaptive_size=10)
    for name in ('block','block.xception.0','block.xception.3.convs.1','block.shortcut.0','head.0','head.2'):
        a = attribute(learn, X[:2], 'grad_cam', target=0, layer=name)
        np.testing.assert_array_equal(a, attribute(learn, X[:2], 'grad_cam', target=0, layer=learn.model.get_submodule(name)))
        assert a.shape==(2,2,40) and np.isfinite(a).all()

def test_no_map_there():
    "Modules that the network never runs as such, or that give no tensor"
    learn = learner()
    with pytest.raises(ValueError, match=r'layer: expected a module that gives .*, got nothing from ModuleList'): attribute(learn, X[:1], 'grad_cam', layer='block.xception')
    class Recurrent(nn.Module):
        def __init__(self, c_in, c_out):
            super().__init__()
            self.body,self.head = nn.LSTM(c_in, 4, batch_first=True),nn.Linear(4, c_out)
        def forward(self, x, lengths=None): return self.head(self.body(x.transpose(1,2))[0].mean(1))
    with pytest.raises(ValueError, match=r'layer: expected a module that gives .* from LSTM'): attribute(TSLearner(learn.dls, Recurrent(2, 3)), X[:1], 'grad_cam', layer='body')

def test_numbers_of_numpy():
    learn = learner()
    for kw in (dict(window=5, step=2), dict(window=3), dict(step=3)):
        np.testing.assert_array_equal(attribute(learn, X[:2], 'occlusion', **{k: np.int64(v) for k,v in kw.items()}), attribute(learn, X[:2], 'occlusion', **kw))
    np.testing.assert_array_equal(attribute(learn, X[:2], n_steps=np.int64(32), bs=np.int64(5)), attribute(learn, X[:2], n_steps=32, bs=5))
    a,b = (permutation_importance(learn, 'time', spans=n, n_repeats=2, seed=0, bs=m) for n,m in ((3,7), (np.int64(3),np.int64(7))))
    assert a.names==b.names==['0-12','13-26','27-39']
    np.testing.assert_array_equal(a.drops, b.drops)

def test_other_networks():
    "InceptionTime as it comes; a network without a known body is asked for its layer"
    learn = ts_learner(TSDataLoaders.from_arrays(X, classes, splits, device='cpu'), InceptionTime, nf=2, seed=0)
    for m in METHODS: assert np.isfinite(attribute(learn, X[:2], m, target=0)).all()
    np.testing.assert_array_equal(attribute(learn, X[:2], 'grad_cam', target=0), attribute(learn, X[:2], 'grad_cam', target=0, layer='inceptionblock'))
    dls = TSDataLoaders.from_arrays(X[:,0], X.mean((1,2)), splits, device='cpu')
    with pytest.raises(ValueError, match='layer: expected a module or the name of one for a Linear, got None'): attribute(TSLearner(dls, Linear(1, 1)), X[:1,:1], 'grad_cam')

def test_padding_gets_none():
    "In a padded batch what lies in the padding has no say: its gradient is 0, and maps are of each series' own length"
    learn = learner(ragged)
    maps = attribute(learn, ragged[:5])
    assert [a.shape for a in maps]==[x.shape for x in ragged[:5]]
    n = torch.tensor([x.shape[1] for x in ragged[:5]])
    x = torch.zeros(5, 2, 36).requires_grad_()
    with torch.no_grad():
        for i,r in enumerate(ragged[:5]): x[i,:,:n[i]] = learn.dls.preprocess(torch.tensor(r[None]))[0]
    g, = torch.autograd.grad(learn.model.eval()(x, n).sum(), x)
    for gi,k in zip(g, n): assert not gi[:,k:].any() and gi[:,:k].any()

def test_captum_missing(monkeypatch):
    real = builtins.__import__
    def without(name, *args, **kwargs):
        if name.startswith('captum'): raise ImportError(name)
        return real(name, *args, **kwargs)
    monkeypatch.setattr(builtins, '__import__', without)
    with pytest.raises(ImportError, match=r"captum: expected it .* pip install 'xceptiontime\[interpret\]'"): attribute(learner(), X[:1])

def test_warns_where_it_does_not_add_up(monkeypatch):
    import xceptiontime.explain.attribution as m
    monkeypatch.setattr(m, 'MOST_STEPS', 1)
    with pytest.warns(UserWarning, match='did not bring them within 1 %'): attribute(learner(), X[:4], n_steps=1)

class Linear(nn.Module):
    "As simple as a network with known importances gets"
    def __init__(self, c_in, c_out):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.,0.,-2.,.5]))
        self.head = nn.Identity()
    def forward(self, x, lengths=None): return (x[:,0,:4]*self.weight).sum(1, keepdim=True)

def test_as_scikit_learn():
    "A series of four steps and one channel is a table of four columns"
    from sklearn.base import BaseEstimator
    from sklearn.inspection import permutation_importance as sk
    T = np.random.default_rng(5).normal(size=(30,4)).astype(np.float32)
    y = T@[1.,0.,-2.,.5] + np.random.default_rng(6).normal(0, .3, 30)
    dls = TSDataLoaders.from_arrays(T, y, (np.arange(5),np.arange(5,30)), scale=None, device='cpu')
    learn = TSLearner(dls, Linear(1, 1))
    class Estimator(BaseEstimator):
        def fit(self, X, y): return self
        def predict(self, X): return learn.predictor().predict(X.astype(np.float32))
    scoring = lambda e, X, y: -np.sqrt(np.mean((e.predict(X)-y)**2))
    want = sk(Estimator(), T[5:], y[5:], scoring=scoring, n_repeats=200, random_state=0)
    got = permutation_importance(learn, 'time', 'rmse', spans=4, n_repeats=200, seed=0)
    assert got.names==['0','1','2','3']
    se = np.hypot(want.importances_std, got.drops.std(1))/200**.5
    assert (np.abs(want.importances_mean-got.mean)<=4*se+1e-6).all()
    close(got.drops.std(1), want.importances_std, .1*want.importances_std.max())
    close(got.mean[1], 0, 1e-7)
    close(got.base, -scoring(Estimator(), T[5:], y[5:]), 1e-5)
    a = attribute(learn, T[:3]) # and what a linear model does with each value is known
    np.testing.assert_allclose(a, T[:3]*[1,0,-2,.5]*dls.task.std, atol=1e-5)
    np.testing.assert_allclose(attribute(learn, T[:3], 'occlusion', window=1), a, atol=1e-5)

def test_interval():
    "That of Student's t, by hand for three repeats: 4.3027 standard errors"
    imp = Importance(['a'], np.array([[.1,.2,.6]]), 1., 'accuracy')
    half = 4.302653*np.std([.1,.2,.6], ddof=1)/np.sqrt(3)
    close([imp.mean[0],imp.low[0],imp.high[0]], [.3,.3-half,.3+half], 1e-6)

def test_ragged_importance():
    "By hand: the other series, stretched to the length of this one"
    learn = learner(ragged)
    got = permutation_importance(learn, metric=F.cross_entropy, higher_is_better=False, n_repeats=2, seed=4, bs=5)
    xs = [ragged[i] for i in splits[1]]
    order,ys = np.random.default_rng(4).permutation(12),classes[splits[1]]
    new = [x.copy() for x in xs]
    for x,j in zip(new, order):
        for t in range(x.shape[1]): x[0,t] = xs[j][0,t*xs[j].shape[1]//x.shape[1]]
    loss = lambda xs: F.cross_entropy(learn.predictor().scores(xs), torch.tensor(ys)).item()
    close(got.drops[0,0], loss(new)-loss(xs), 1e-5)
    time = permutation_importance(learn, 'time', F.cross_entropy, higher_is_better=False, spans=4, n_repeats=2, seed=4)
    assert time.names==['0%-25%','25%-50%','50%-75%','75%-100%'] and (time.drops!=0).any(1).all()
    with pytest.raises(ValueError, match='spans: expected a number of equal parts'): permutation_importance(learn, 'time', spans=[(0,3)])

def test_shortest_of_the_split():
    "A short series among those for training does not limit the spans of the validation split"
    data = [ragged[0][:,:5], *ragged[1:]]
    learn = learner(data)
    assert len(permutation_importance(learn, 'time', spans=20, n_repeats=2).names)==20
    with pytest.raises(ValueError, match='spans: expected 1 to 20, the steps of the shortest series, got 21'): permutation_importance(learn, 'time', spans=21)
    with pytest.raises(ValueError, match='spans: expected 1 to 5, '): permutation_importance(learn, 'time', dl=learn.dls.train)

def test_names_of_new_series():
    "A loader of new series knows the channels as the others do"
    learn = learner(channels=['left','right'])
    new = learn.dls.test_dl(X[12:], classes[12:])
    a,b = (permutation_importance(learn, dl=dl, channels=c, n_repeats=2, seed=0) for dl,c in ((None,None), (new,['left','right'])))
    assert a.names==b.names==['left','right']
    np.testing.assert_array_equal(a.drops, b.drops)

def test_memmap_is_read_in_batches(tmp_path):
    "The same numbers from a file as from memory, and never more than a batch at a time"
    signal = np.random.default_rng(2).normal(size=(2,600)).astype(np.float32)
    np.save(tmp_path/'a.npy', signal)
    np.save(tmp_path/'b.npy', -signal)
    args = ['x','y'],40
    split = np.arange(0, 30, 2),np.arange(1, 30, 2)
    mapped = TSDataLoaders.from_recordings([tmp_path/'a.npy',tmp_path/'b.npy'], *args, splits=split, device='cpu')
    inside = TSDataLoaders.from_recordings([signal,-signal], *args, splits=split, device='cpu')
    most = []
    class Spy(Windows):
        def __getitem__(self, i):
            most.append(np.size(i))
            return super().__getitem__(i)
    spy = mapped.valid_ds.X
    assert isinstance(spy, Windows) and mapped.train_ds.X is spy
    mapped.valid_ds.X = Spy(spy.recordings, spy.rec, spy.start, spy.length, spy.pad)
    res = [permutation_importance(ts_learner(d, nf=2, seed=0), metric=F.cross_entropy, higher_is_better=False, n_repeats=2, seed=0, bs=4).drops for d in (mapped,inside)]
    np.testing.assert_array_equal(*res)
    assert max(most)==4 and len(most)==2*4*(1+2*2)
    mm = np.lib.format.open_memmap(tmp_path/'x.npy', 'w+', np.float32, X.shape)
    mm[:] = X
    learn = learner(np.load(tmp_path/'x.npy', mmap_mode='r'))
    assert np.shares_memory(learn.dls.valid_ds.X, learn.dls.train_ds.X)
    before = mm.copy()
    np.testing.assert_array_equal(permutation_importance(learn, seed=0).drops, permutation_importance(learner(), seed=0).drops)
    np.testing.assert_array_equal(mm, before)

def test_metrics_and_loaders():
    learn = learner()
    assert permutation_importance(learn, n_repeats=2).metric=='accuracy' # the learner's own
    assert permutation_importance(learn, metric='f1_macro', n_repeats=2).metric=='f1_macro'
    other = learn.dls.test_dl(X[:5], classes[:5])
    for o in (learn, learner(y=10+X.mean((1,2)))): # one of the loss
        perplexed = permutation_importance(o, metric=Perplexity(), n_repeats=2)
        close(perplexed.base, np.exp(o.validate()[0]), 1e-5)
        assert perplexed.metric=='perplexity'
    imp = permutation_importance(learn, 'time', dl=other, spans=[(0,10),(30,40)], names=['start','end'], n_repeats=2)
    assert imp.names==['start','end'] and imp.base==(learn.predictor().predict(X[:5])==classes[:5]).mean()
    r = learner(y=X.mean((1,2)))
    worse = permutation_importance(r, n_repeats=2, seed=0)           # rmse: the lower the better
    assert worse.metric=='rmse'
    mse = lambda values, y: ((values-y)**2).mean()
    up,down = (permutation_importance(r, metric=mse, higher_is_better=h, n_repeats=2, seed=0).drops for h in (True,False))
    close(up, -down, 1e-7)
    for kw,words in ((dict(metric=mse), "higher_is_better: expected True or False for the metric"), (dict(n_repeats=1), 'n_repeats: expected a whole number of 2 or more, got 1'),
                     (dict(over='steps'), "over: expected 'channel' or 'time', got 'steps'"), (dict(spans=3), "spans: expected only with over='time'"),
                     (dict(over='time', spans=41), 'spans: expected 1 to 40'), (dict(over='time', spans=[(5,50)]), r'spans: expected a number, or a list of \(start, stop\) within 0 to 40, got \[\(5, 50\)\]'),
                     (dict(over='time', spans=(0,10)), r'or a list of \(start, stop\) within 0 to 40, got \(0, 10\)'), (dict(over='time', spans=[]), r'within 0 to 40, got \[\]'),
                     (dict(over='time', spans=[(0,.5)]), 'spans: expected a number'), (dict(over='time', spans=2.5), 'spans: expected a number'),
                     (dict(channels=0), r'channels: expected a list with some of \[0, 1\], got 0'), (dict(channels='left'), "channels: expected a list with some of .*, got 'left'"),
                     (dict(channels=[]), r'channels: expected a list with some of .*, got \[\]'), (dict(channels=[[]]), r'channels: expected some of .*, or lists of them, got \[\]'),
                     (dict(bs=0), 'bs: expected a whole number of 1 or more, got 0'),
                     (dict(names=['a']), 'names: expected one for each of 2 parts, got 1'), (dict(dl=r.dls.test_dl(X[:2])), 'dl: expected a loader with targets'),
                     (dict(confidence=95), 'confidence: expected a number between 0 and 1'), (dict(metric='accuracy'), "metrics: expected for regression some of")):
        with pytest.raises(ValueError, match=words): permutation_importance(r, **kw)
    with pytest.raises(TypeError, match='learn: expected a TSLearner, got Predictor'): permutation_importance(learn.predictor())

def test_importance_leaves_nothing():
    learn = learner()
    learn.model.train()
    kept,state,nums = X.copy(),{k: t.clone() for k,t in learn.model.state_dict().items()},torch.get_rng_state()
    permutation_importance(learn, n_repeats=2, seed=0)
    assert learn.model.training and all(t.equal(state[k]) for k,t in learn.model.state_dict().items())
    assert all(p.grad is None for p in learn.model.parameters()) and torch.get_rng_state().equal(nums)
    np.testing.assert_array_equal(X, kept)

@pytest.mark.parametrize('data', [X,ragged], ids=['equal','ragged'])
@pytest.mark.parametrize('task', ['classes','labels','numbers'])
def test_pictures(data, task):
    "Every picture of every task, on axes of one's own, which come back"
    y = dict(classes=classes, labels=np.c_[classes==0, classes<2].astype(int), numbers=X.mean((1,2)))[task]
    learn = learner(data, y)
    fig,axs = plt.subplots(2, 2)
    axs = axs.ravel()
    assert list(plot_top_losses(learn, k=4, ax=axs))==list(axs)
    losses = learn.get_preds(with_loss=True)[2]
    assert [ax.get_title().split('loss ')[1] for ax in axs]==[f'{l:.3g}' for l in losses.topk(4)[0].tolist()]
    i = splits[1][int(losses.argmax())]
    close(axs[0].lines[1].get_ydata(), data[i][1], 1e-5)
    assert len(plot_top_losses(learn, k=50, largest=False))==12
    _,ax = plt.subplots()
    assert plot_embedding(learn, ax=ax) is ax
    assert sum(len(c.get_offsets()) for c in ax.collections if len(c.get_offsets()))>=12
    if task=='classes':
        markers = {tuple(map(tuple, c.get_paths()[0].vertices.round(3))) for c in ax.collections}
        assert len(markers)==3 # told apart without colour
        assert plot_confusion_matrix(learn).get_xlabel()=='Predicted label'
    else:
        with pytest.raises(TypeError, match='learn: expected a classification'): plot_confusion_matrix(learn)
    assert plot_embedding(learn, learn.dls.test_dl(list(data[:5]))) is not ax
    n = len(plt.get_fignums())
    plot_importance(permutation_importance(learn, metric=lambda s,y: s.mean(), higher_is_better=True, n_repeats=2), ax=ax)
    assert len(plt.get_fignums())==n
    fig.canvas.draw()

@pytest.mark.parametrize('how', [dict(resample=16), dict(crop=16)], ids=['resample','crop'])
@pytest.mark.parametrize('task', ['classes','labels'])
def test_pictures_of_one_length(how, task):
    "Series of unequal length that the network gets in one: drawn as they were, each with its own target"
    y = np.array(list('abc'))[classes] if task=='classes' else np.c_[classes==0, classes<2].astype(int)
    words = list(y) if task=='classes' else ['0; 1','1','(none)']*8
    learn = learner(ragged, y, **how)
    order = learn.get_preds(with_loss=True)[2].argsort(descending=True)
    for ax,i in zip(plot_top_losses(learn, 12), splits[1][order], strict=True):
        assert ax.get_title().split(' → ')[0]==words[i]
        close(ax.lines[1].get_ydata(), ragged[i][1], 1e-5)
    assert sorted(t.get_text() for t in plot_embedding(learn).get_legend().get_texts())==sorted(set(words))

def test_how_many_losses():
    learn = learner()
    assert [len(plot_top_losses(learn, *a, **kw)) for a,kw in (((),{}), ((4,),{}), ((),dict(k=3)), ((np.int64(2),),{}))]==[9,4,3,2]
    for k in (0,-1,2.5,'4'):
        with pytest.raises(ValueError, match=f'k: expected a whole number of 1 or more, got {k!r}'): plot_top_losses(learn, k)
    with pytest.raises(ValueError, match='ax: expected axes for 3 series, got 1'): plot_top_losses(learn, 3, ax=plt.subplots()[1])

def test_embedding_without_features():
    dls = TSDataLoaders.from_arrays(X[:,0], X.mean((1,2)), splits, device='cpu')
    two = learner(y=np.stack([X.mean((1,2)), X.std((1,2))], 1))
    for output in (None,2):
        with pytest.raises(ValueError, match='output: expected'): plot_embedding(two, output=output)
    with pytest.raises(TypeError, match='learn: expected a network with forward_features, got Linear'): plot_embedding(TSLearner(dls, Linear(1, 1)))

def test_shuffled_training_loader_is_told_in_order():
    "The training loader shuffles; pictures of it go by the series' own targets"
    learn = learner()
    answers = learn.predictor().predict(X[splits[0]])
    ax = plot_confusion_matrix(learn, learn.dls.train)
    got = np.array([int(t.get_text()) for t in ax.texts]).reshape(3, 3)
    want = np.zeros((3,3), int)
    np.add.at(want, (classes[splits[0]],answers), 1)
    np.testing.assert_array_equal(got, want)
    losses = learn.get_X_preds(X[splits[0]], classes[splits[0]], with_loss=True)[-1]
    ax = plot_embedding(learn, learn.dls.train)
    with torch.no_grad(): f = learn.model.eval().forward_features(learn.dls.preprocess(torch.tensor(X[splits[0]]))).double().numpy()
    u,d,_ = np.linalg.svd(f-f.mean(0), full_matrices=False)
    for k,c in enumerate(ax.collections): close(np.abs(c.get_offsets()), np.abs(u*d)[classes[splits[0]]==k,:2], 1e-5)
    axs = plot_top_losses(learn, k=12, dl=learn.dls.train)
    for ax,i in zip(axs, losses.argsort(descending=True).tolist()): close(ax.lines[0].get_ydata(), X[i,0], 1e-5)

def test_plot_attribution_ax():
    a = rng.normal(size=X.shape).astype(np.float32)
    _,axs = plt.subplots(1, 2)
    assert plot_attribution(X[:2], a[:2], ax=axs)==list(axs)
    with pytest.raises(ValueError, match='ax: expected axes for 3 series, got 2'): plot_attribution(X[:3], a[:3], ax=axs)
    with pytest.raises(ValueError, match='names: expected one for each of 2 channels, got 1'): plot_attribution(X[:1], a[:1], names=['a'])
    assert len(plot_attribution(X, a))==len(plot_attribution(X, a, titles=list('abcdefghi')))==9
    for kw,words in ((dict(max_n=0), 'max_n: expected a whole number of 1 or more, got 0'), (dict(titles=['a']), 'titles: expected one for each of 9 series, got 1')):
        with pytest.raises(ValueError, match=words): plot_attribution(X, a, **kw)
    with pytest.raises(ValueError, match=r'X: expected 1 or more series, got shape \(0, 2, 40\)'): plot_attribution(X[:0], a[:0])
