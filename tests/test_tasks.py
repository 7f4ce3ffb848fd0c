"Tasks: the task inferred from y, and networks that learn each task to a checked result"
import warnings
import numpy as np, pandas as pd, pytest, torch
from hypothesis import given, settings, strategies as st
from scipy.special import expit, log_softmax, softmax
from torch import nn
from fastai.callback.mixup import MixUp
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.data.order import batch_cuts, weighted_order
from xceptiontime.data.sets import get_ucr
from xceptiontime.runtime.predictor import Predictor
from xceptiontime.train.learner import ts_learner
from xceptiontime.processing.infer import infer_task
from xceptiontime.processing.tasks import TASKS, Classification, MultiLabel, Regression, TaskLoss

rng = np.random.default_rng(0)

told = dict( # targets by inferred task
    classification=[['b','a','b'], np.array(['b','a']), [True,False,True], np.array([1,5,1], np.uint8),
                    pd.Series(['b','a','b'], index=[5,6,7]), pd.Categorical(['b','a']), torch.tensor([0,1,1])],
    regression=[[.5,1.5,2.], np.array([.5,1.5], np.float16), rng.normal(size=(5,2)), rng.normal(size=(5,1)),
                pd.DataFrame(rng.normal(size=(5,2))), torch.randn(4), [[.5,2.],[1.,3.]]],
    multilabel=[np.array([[0,1],[1,1],[0,0]]), np.array([[True,True],[False,True]]), [[0,1,1],[1,1,0]],
                [['a'],[],['a','b']], [('a',),('b','c')], [{'x'},{'x','y'}], [[3],[4,5]]],
)
@pytest.mark.parametrize('y,name', [(y,name) for name,ys in told.items() for y in ys])
def test_told_without_a_word(y, name):
    "The inferred task; encoded targets are decoded to the same, also by a task made from its settings"
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        task = infer_task(y)
    assert task.name==name
    code = torch.from_numpy(task.encode(y))
    assert code.shape[0]==len(y)
    back = TASKS[name](**{k:v for k,v in task.settings().items() if k!='name'})
    probs = nn.functional.one_hot(code, task.c_out) if task.exclusive else code
    decoded = back.decode(probs.numpy())
    if name=='regression': np.testing.assert_allclose(decoded, np.asarray(y), rtol=1e-3)
    elif getattr(task, 'lists', False): assert decoded==[sorted(o, key=str) for o in y]
    else: np.testing.assert_array_equal(decoded, np.asarray(y))

ambiguous = [
    ([1.,2.,3.], 'regression', 'all whole numbers'),
    (np.array([[1.,2.],[3.,4.]]), 'regression', 'all whole numbers'),
    (np.arange(30), 'classification', '30 different integers in 30 series'),
    (np.array([[0.,1.],[1.,1.]]), 'multilabel', 'all 0 or 1'),
    (np.eye(3, dtype=int), 'multilabel', 'exactly one 1'),
]
@pytest.mark.parametrize('y,name,words', ambiguous)
def test_ambiguous_is_said(y, name, words):
    with pytest.warns(UserWarning, match=words): assert infer_task(y).name==name
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert infer_task(y, task=name).name==name

long = 'a label of many letters '*200
@pytest.mark.parametrize('f', [
    lambda: infer_task([long,long]),
    lambda: infer_task(['a','b'], task=long),
    lambda: infer_task([.1,.2], vocab=[f'{i} {long}' for i in range(3000)], task='regression'),
    lambda: Classification([f'{i} {long}' for i in range(3000)]).encode([long]),
    lambda: Classification(range(100_000)).encode([-1]),
    lambda: Classification([long,long]),
    lambda: MultiLabel([f'{i} {long}' for i in range(3000)]).encode([[long]]),
    lambda: MultiLabel([]),
    lambda: Regression(np.zeros(3000), np.zeros(3000)),
    lambda: Regression(0., 1., target_names=[long]*3000),
    lambda: Regression.fit(np.full((3,3000), np.nan)),
])
def test_errors_are_short(f):
    with pytest.raises(ValueError) as e: f()
    assert len(str(e.value))<300 and str(e.value).isprintable() and ': expected ' in str(e.value)

@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=20)
       .filter(lambda o: np.std(o)>1e-4*max(map(abs,o))+1e-6))
def test_regression_back_and_forth(ys):
    "Standardized targets have mean 0 and standard deviation 1, and are decoded to the user's units"
    task = infer_task(ys, task='regression')
    out,z = task.for_loss(torch.zeros(len(ys), 1), torch.from_numpy(task.encode(ys)))
    assert abs(z.mean())<1e-2 and abs(z.std(correction=0)-1)<1e-2
    assert np.abs(task.activation(z[:,None]).numpy()-np.float32(ys)).max()<=1e-5*np.abs(ys).max()+1e-6

def test_losses_by_scipy():
    out,y = rng.normal(size=(6,3)).astype(np.float32),np.array([0,2,1,1,0,2])
    ce = Classification(['a','b','c']).loss_func
    want = -log_softmax(out.astype(float), 1)[range(6),y]
    w = np.array([1,2,5.])
    def given(loss): return loss(torch.tensor(out), torch.tensor(y)).detach().numpy()
    assert given(ce)==pytest.approx(want.mean(), abs=1e-6)
    task = ce.task
    weighted = nn.CrossEntropyLoss(weight=torch.tensor(w, dtype=torch.float32))
    assert given(TaskLoss(weighted, task))==pytest.approx((want*w[y]).sum()/w[y].sum(), abs=1e-6)
    smooth = .9*want - .1*log_softmax(out.astype(float), 1).mean(1)
    def function(o, y, **kw): return nn.functional.cross_entropy(o, y, label_smoothing=.1, **kw)
    for loss in (TaskLoss(nn.CrossEntropyLoss(label_smoothing=.1), task), TaskLoss(function, task)):
        assert given(loss)==pytest.approx(smooth.mean(), abs=1e-6)
        loss.reduction = 'none'
        np.testing.assert_allclose(given(loss), smooth, atol=1e-6)
    Y = (rng.uniform(size=(6,3))>.5)
    bce = MultiLabel(['a','b','c']).loss_func
    bce.reduction = 'none'
    by_hand = -np.log(np.where(Y, expit(out), 1-expit(out))).mean(1)
    np.testing.assert_allclose(bce(torch.tensor(out), torch.tensor(Y)), by_hand, atol=1e-6)
    np.testing.assert_allclose(task.activation(torch.tensor(out)), softmax(out, 1), atol=1e-6)

@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=6), st.integers(1, 70), st.integers(0, 10**6))
def test_balanced_batches(counts, bs, seed):
    "Each batch has each class within one of its share; series of a class are equally frequent, within one"
    strata = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    per_class = np.random.default_rng(seed).uniform(.1, 3, len(counts))
    cuts = batch_cuts(len(strata), bs)
    idx = np.array(weighted_order(per_class[strata], strata, cuts, np.random.default_rng(seed)))
    share = per_class*counts/(per_class*counts).sum()
    assert len(idx)==len(strata)
    for b in np.split(strata[idx], cuts[1:-1]):
        assert (abs(np.bincount(b, minlength=len(counts))-share*len(b))<1+1e-6).all()
    n = np.bincount(idx, minlength=len(strata))
    for k in range(len(counts)): assert np.ptp(n[strata==k])<=1

def test_weights_by_sample():
    w = np.array([0.,1,2,5])
    cuts = batch_cuts(4, 8)
    n = sum(np.bincount(weighted_order(w, None, cuts, np.random.default_rng(i)), minlength=4) for i in range(3000))
    np.testing.assert_allclose(n/n.sum(), w/w.sum(), atol=.01)

class Prior(nn.Module):
    "A network that ignores its input and can only learn the shares of the classes"
    def __init__(self, c_in, c_out):
        super().__init__()
        self.body,self.head = nn.Linear(1, 1),nn.Linear(1, c_out)
    def forward(self, x): return self.head(x.new_zeros(len(x), 1))

def test_weights_move_probabilities_as_the_page_says():
    "The learned prior: of the data; uniform with balanced batches or weights; of the data after correction"
    X,y = rng.normal(size=(200,1,12)),np.where(np.arange(200)%10==0, 'rare', 'many')
    def prior(loss=False, **kw):
        splits = np.arange(160),np.arange(160,200)
        dls = TSDataLoaders.from_arrays(X, y, splits, bs=40, seed=0, device='cpu', **kw)
        loss_func = nn.CrossEntropyLoss(weight=dls.class_weights()) if loss else None
        learn = ts_learner(dls, Prior, seed=0, loss_func=loss_func)
        with learn.no_bar(), learn.no_logging(): learn.fit(30, 5e-2, wd=0.)
        return learn.get_X_preds(X[:1])[0][0].numpy(),dls.class_weights().numpy()
    own,_ = prior()
    balanced,w = prior(weights='balanced')
    weighted,_ = prior(loss=True)
    np.testing.assert_allclose(own, [.9,.1], atol=.02)
    np.testing.assert_allclose(balanced, [.5,.5], atol=.02)
    np.testing.assert_allclose(weighted, [.5,.5], atol=.05)
    back = balanced/w
    np.testing.assert_allclose(back/back.sum(), [.9,.1], atol=.02)

def waves(n, seed=0):
    "Waves of 2 to 8 cycles, sizes 0.5 to 2"
    rng = np.random.default_rng(seed)
    freq,size = rng.uniform(2, 8, n),rng.uniform(.5, 2, n)
    phase = freq[:,None]*np.linspace(0, 1, 60) + rng.uniform(size=(n,1)) # (n, steps)
    return size[:,None]*np.sin(2*np.pi*phase) + rng.normal(0, .1, (n,60)), freq, size

X,freq,size = waves(400)
X2,freq2,size2 = waves(200, seed=1)

def trained(y, epochs, X=X, lr=1e-2, **kw):
    dls = TSDataLoaders.from_arrays(X, y, seed=0, bs=32, device='cpu')
    learn = ts_learner(dls, nf=4, seed=0, **kw)
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(epochs, lr)
    return learn

def r2(y, p): return 1-((y-p)**2).sum(0)/((y-y.mean(0))**2).sum(0)

@pytest.mark.slow
def test_binary():
    X,y,splits = get_ucr('ItalyPowerDemand')
    dls = TSDataLoaders.from_arrays(X, y, (splits[0],splits[1][:100]), bs=16, seed=0, device='cpu')
    learn = ts_learner(dls, nf=4, seed=0)
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(20, 5e-3)
    assert (learn.get_X_preds(X[splits[1]])[2]==y[splits[1]]).mean()>.93

def test_classes():
    y = np.array(['slow','some','fast'])
    learn = trained(y[np.digitize(freq, [4,6])], 4)
    assert (learn.get_X_preds(X2)[2]==y[np.digitize(freq2, [4,6])]).mean()>.9

slow = pytest.mark.slow
@pytest.mark.parametrize('loss,cbs', [(None,None), pytest.param(nn.HuberLoss(), None, marks=slow),
                                      pytest.param(nn.L1Loss(), MixUp(.1), marks=slow)])
def test_regression_below_zero(loss, cbs):
    "Targets in [-4, -2], which a head that ends in a ReLU cannot reach"
    learn = trained(-4+(freq-2)/3, 9, loss_func=loss, cbs=cbs)
    p = learn.get_X_preds(X2)[2]
    assert p.shape==(200,) and r2(-4+(freq2-2)/3, p)>.9

@slow
def test_regression_of_two_outputs_far_apart():
    learn = trained(np.c_[1e5+1e4*freq, 1e-3*size], 10)
    p = learn.get_X_preds(X2)[2]
    assert p.shape==(200,2) and (r2(np.c_[1e5+1e4*freq2, 1e-3*size2], p)>.9).all()

@slow
def test_several_labels():
    "Macro F1 is higher than by predicting all labels"
    def labels(f, s): return np.c_[f>5, s>1.2, f>6].astype(int)
    p,y = trained(labels(freq, size), 6).get_X_preds(X2)[2],labels(freq2, size2)
    f1 = (2*(p&y).sum(0)/(p.sum(0)+y.sum(0))).mean()
    assert f1>.9 and f1>(2*y.sum(0)/(len(y)+y.sum(0))).mean()

@slow
def test_covid():
    "Real targets, end to end; predicting the mean is as good"
    X,y,splits = get_ucr('Covid3Month')
    dls = TSDataLoaders.from_arrays(X, y, splits, scale='sample', seed=0, device='cpu')
    learn = ts_learner(dls, nf=2, seed=0, metrics=['rmse','mae','r2'])
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(5, 1e-3)
    rmse,mae,r = learn.validate()[1:]
    p,t = learn.get_X_preds(X[splits[1]])[2],y[splits[1]]
    assert rmse==pytest.approx(np.sqrt(((p-t)**2).mean()), rel=1e-4)
    assert mae==pytest.approx(np.abs(p-t).mean(), rel=1e-4) and r==pytest.approx(r2(t, p), abs=1e-3)
    assert rmse<1.5*np.sqrt(((t-y[splits[0]].mean())**2).mean())

def test_metrics_of_classes():
    "Against scikit-learn's functions"
    import sklearn.metrics as skm
    y = np.digitize(freq, [4,6])
    dls = TSDataLoaders.from_arrays(X, y, seed=0, bs=32, device='cpu')
    learn = ts_learner(dls, nf=2, seed=0, metrics=['accuracy','balanced_accuracy','f1_macro','roc_auc'])
    with learn.no_bar(): got = learn.validate()[1:]
    i = dls.valid_ds.idxs
    probs,_,pred = learn.get_X_preds(X[i])
    want = [skm.accuracy_score(y[i], pred), skm.balanced_accuracy_score(y[i], pred),
            skm.f1_score(y[i], pred, average='macro'), skm.roc_auc_score(y[i], probs, multi_class='ovr')]
    assert list(got)==pytest.approx(want, abs=1e-6)

def test_nan_leaves_callbacks_and_weights_whole(tmp_path):
    "A loss of NaN with MixUp, which replaces the loss function, and with a best model that was never saved"
    from fastai.callback.core import Callback
    from fastai.callback.tracker import SaveModelCallback
    dls = TSDataLoaders.from_arrays(X, freq>5, seed=0, bs=32, device='cpu')
    learn = ts_learner(dls, nf=2, seed=0, path=tmp_path)
    seen = []
    def state(): return {k: v.clone() for k,v in learn.model.state_dict().items()}
    class Spoil(Callback):
        def before_batch(self):
            if self.training and self.iter==4: self.learn.xb = (self.xb[0]*float('nan'),)
        def after_loss(self):
            if self.training and self.iter<4: seen.append(state())
    loss,cbs = learn.loss_func,list(learn.cbs)
    words = 'got nan in epoch 0, batch 4; the weights are back at'
    with learn.no_bar(), learn.no_logging(), pytest.raises(FloatingPointError, match=words):
        learn.fit(1, 1e-2, cbs=[Spoil(),MixUp(.2),SaveModelCallback()])
    assert learn.loss_func is loss and {id(c) for c in learn.cbs}=={id(c) for c in cbs}
    params = [k for k,_ in learn.model.named_parameters()]
    assert all(torch.equal(learn.model.state_dict()[k], seen[-1][k]) for k in params)
    with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-2)

def test_lr_find_goes_on(tmp_path):
    "It trains until the loss diverges, and restores the weights"
    dls = TSDataLoaders.from_arrays(X, freq>5, seed=0, bs=8, device='cpu')
    learn = ts_learner(dls, nf=2, seed=0, path=tmp_path)
    before = {k: v.clone() for k,v in learn.model.state_dict().items()}
    with learn.no_bar(): learn.lr_find(end_lr=1e30, num_it=30, show_plot=False, suggest_funcs=None)
    assert all(torch.equal(v, before[k]) for k,v in learn.model.state_dict().items())

def test_classes_that_are_numbers_sort_as_numbers(tmp_path):
    "From a file of text labels to the model folder; a folder with another order keeps it"
    X = np.random.default_rng(0).normal(size=(24,1,20)).astype(np.float32)
    y = np.array(['10','9','2'])[np.arange(24)%3]
    np.savez(tmp_path/'a.npz', X=X, y=y)
    learn = ts_learner(TSDataLoaders.from_file(tmp_path/'a.npz', seed=0), nf=1)
    learn.save_pretrained(tmp_path/'m')
    assert Predictor.from_pretrained(tmp_path/'m').task.vocab.tolist()==['2','9','10']
    old = learn.predictor()
    old.task = Classification(['10','2','9'])
    old.save_pretrained(tmp_path/'old')
    again = Predictor.from_pretrained(tmp_path/'old')
    assert again.task.vocab.tolist()==['10','2','9']
    assert again.predict(X).tolist()==[['10','2','9'][i] for i in again.scores(X).argmax(1)]
