"Each way to predict, and each form of input, gives the same numbers"
import fastai.losses as fl
import numpy as np, pandas as pd, pytest, torch
from xceptiontime.data.augment import Jitter
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.data.sets import make_bumps
from xceptiontime.runtime import Predictor
from xceptiontime.train.learner import ts_learner
from torch import nn

rng = np.random.default_rng(0)
splits = np.arange(30), np.arange(30,40)
targets = dict(
    classification=np.array(['rest','fist','wave'])[np.arange(40)%3],
    multilabel=(rng.uniform(size=(40,2))>.5).astype(int),
    lists=[['a'],['a','b'],[],['b']]*10,
    regression=rng.normal(-3, .5, 40),
    outputs=rng.normal(size=(40,2))*[1,5]+[0,10])

def make(kind, c_in):
    X = (rng.normal(size=(40,c_in,30))*5+20).astype(np.float32)
    dls = TSDataLoaders.from_arrays(X, targets[kind], splits, bs=8, device='cpu')
    learn = ts_learner(dls, nf=2, seed=0)
    with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-2)
    return learn

class Learners(dict):
    "Learners by task and number of channels, made when first used"
    def __missing__(self, key): return self.setdefault(key, make(*key))

@pytest.fixture(scope='module')
def learners(): return Learners()

def readonly(X, tmp_path):
    np.save(tmp_path/'X.npy', X)
    return np.load(tmp_path/'X.npy', mmap_mode='r')

new = (np.random.default_rng(1).normal(size=(13,3,30))*5+20).astype(np.float32)
cut = [x[:,:n] for x,n in zip(new, (30,7,12,30,9))]
forms = { # name: channels, input, and the same as float32 (samples, channels, length), or a list of series
    'one 1-d series': (1, lambda d: new[0,0], new[:1,:1]),
    '2-d array': (1, lambda d: new[:,0], new[:,:1]),
    '3-d array': (3, lambda d: new, new),
    'unequal arrays': (3, lambda d: cut, [x[None] for x in cut]),
    'unequal 1-d arrays': (1, lambda d: [x[0] for x in cut], [x[None,:1] for x in cut]),
    'DataFrame': (1, lambda d: pd.DataFrame(new[:,0]), new[:,:1]),
    'float64': (3, lambda d: new.astype(np.float64), new),
    'integers': (3, lambda d: new.astype(np.int16), new.astype(np.int16).astype(np.float32)),
    'read-only memmap': (3, lambda d: readonly(new, d), new),
    'float64 memmap': (3, lambda d: readonly(new.astype(np.float64), d), new),
    'tensor': (3, lambda d: torch.tensor(new), new),
    'tensor with gradient': (3, lambda d: torch.tensor(new, requires_grad=True), new),
    'nested lists': (3, lambda d: new.tolist(), new),
    'not contiguous': (3, lambda d: np.asfortranarray(new)[:, ::-1][:, ::-1], new),
    'big-endian': (3, lambda d: new.astype('>f4'), new),
}

def bare(learn, X):
    "The outputs of network, preprocessing and task for one series after another"
    p = learn.predictor()
    p.model.eval()
    xs = [torch.tensor(x if x.ndim==3 else x[None]) for x in X] # (1, channels, length)
    with torch.no_grad(): return torch.cat([p.task.activation(p.model(p.preprocess(x))) for x in xs]).numpy()

def same(a, b, scale=1.):
    a,b = (np.asarray(o, dtype=np.float64) for o in (a,b))
    assert a.shape==b.shape, (a.shape, b.shape)
    assert np.abs(a-b).max(initial=0)<=1e-6*scale, np.abs(a-b).max()

QUICK = [(kind,form) for kind in targets for form in forms if kind=='classification' or form=='unequal arrays']
LONG = [(kind,form) for kind in targets for form in forms if (kind,form) not in QUICK]

@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('kind,form', [*QUICK, *(pytest.param(*o, marks=pytest.mark.slow) for o in LONG)])
def test_every_way_agrees(learners, kind, form, tmp_path):
    c_in,given,X = forms[form]
    learn,x = learners[kind,c_in],given(tmp_path)
    want,p = bare(learn, X),learn.predictor()
    scale = 1 if p.task.vocab is not None else np.abs(want).max() # relative error for a regression
    before = learn.recorder.values.copy(), [m.training for m in learn.model.modules()]
    values,none,decoded = learn.get_X_preds(x)
    assert none is None
    same(values, want, scale)
    for bs in (1,4096): same(learn.get_X_preds(x, bs=bs)[0], want, scale)
    with_input = learn.get_X_preds(x, with_input=True)[0]
    for i,o in zip(with_input, X): same(i[:, :o.shape[-1]], o[0] if o.ndim==3 else o)
    assert (learn.recorder.values, [m.training for m in learn.model.modules()])==before
    for bs in (1,4096):
        with learn.no_bar(): preds = learn.get_preds(dl=learn.dls.test_dl(x, bs=bs))
        same(preds[0], want, scale)
    loaded = Predictor.from_pretrained(learn.save_pretrained(tmp_path/'model'))
    same(loaded.predict_proba(x) if loaded.task.vocab is not None else loaded.predict(x), want, scale)
    answers = [np.array(o, dtype=object).tolist() for o in (decoded, loaded.predict(x), p.predict(x))]
    assert answers[0]==answers[1]==answers[2]
    for i,o in enumerate(X):
        answer,idx,ps = learn.predict(o[0] if o.ndim==3 else o)
        same(ps, want[i], scale)
        if kind=='classification': assert answer==decoded[i] and p.task.vocab[idx]==answer
        elif kind=='lists': assert answer==decoded[i]
        else: same(answer, decoded[i], scale)
    if kind=='classification': same(np.sum(want, 1), np.ones(len(want)))

@pytest.mark.parametrize('kind', targets)
def test_order_and_empty(learners, kind, tmp_path):
    learn = learners[kind,3]
    p,order = learn.predictor(),np.random.default_rng(2).permutation(13)
    values = learn.get_X_preds(new)[0]
    same(learn.get_X_preds(new[order])[0], values[order], 20)
    ragged = [x[:,:5+i] for i,x in enumerate(new)]
    same(learn.get_X_preds([ragged[i] for i in order], bs=3)[0], learn.get_X_preds(ragged, bs=5)[0][order], 20)
    for empty in ([], new[:0]):
        probs,_,decoded = learn.get_X_preds(empty)
        assert probs.shape==(0,*values.shape[1:]) and len(decoded)==0
        assert type(decoded) is type(learn.get_X_preds(new)[2])
        preds = learn.get_preds(dl=learn.dls.test_dl(empty), with_decoded=True)
        assert preds[0].shape==probs.shape and len(preds[2])==0
        assert len(p.predict(empty))==0

@pytest.mark.parametrize('kind', targets)
def test_targets_and_losses(learners, kind):
    "fastai's targets, losses and answers are those of get_X_preds"
    learn = learners[kind,3]
    y = targets[kind][:13]
    dl = learn.dls.test_dl(new, y)
    with learn.no_bar(): probs,ys,decoded,losses = learn.get_preds(dl=dl, with_decoded=True, with_loss=True)
    own = learn.get_X_preds(new, y, with_loss=True)
    same(probs, own[0], 20)
    assert torch.equal(ys.as_subclass(torch.Tensor).float(), own[1].float())
    assert losses.shape==(13,)
    same(losses, own[3], 20)
    p = learn.predictor()
    if kind=='classification': assert p.task.vocab[decoded].tolist()==own[2].tolist()
    elif kind!='lists': same(decoded, own[2], 20)
    with learn.no_bar(): same(learn.validate(dl=learn.dls.test_dl(new, y))[0], losses.mean(), 20)

def test_unequal_after_equal_and_equal_after_unequal():
    "Series of unequal length for a learner trained on equal lengths, with targets, and the reverse"
    y,ragged = np.arange(13)%2,[x[:,:20+i%5] for i,x in enumerate(new)]
    for train in (new,ragged):
        dls = TSDataLoaders.from_arrays(train, y, (np.arange(9),np.arange(9,13)), device='cpu')
        learn = ts_learner(dls, nf=2, seed=0)
        with learn.no_bar():
            for X in (new,ragged):
                probs,ys,losses = learn.get_preds(dl=dls.test_dl(X, y), with_loss=True)
                same(probs, learn.get_X_preds(X)[0], 10)
                assert ys.tolist()==y.tolist() and losses.shape==(13,)

def test_mode_of_each_module_stays(learners):
    learn = learners['classification',3]
    mods = list(learn.model.modules())
    for i,m in enumerate(mods): m.training = i%2==0
    learn.get_X_preds(new), learn.predict(new[0])
    assert [m.training for m in mods]==[i%2==0 for i in range(len(mods))]

@pytest.mark.parametrize('loss', ['CrossEntropyLoss','smooth','Flat','function','focal'])
def test_probabilities_for_every_loss(loss):
    f = dict(CrossEntropyLoss=nn.CrossEntropyLoss(), smooth=nn.CrossEntropyLoss(label_smoothing=.1),
             Flat=fl.CrossEntropyLossFlat(), function=nn.functional.cross_entropy, focal=fl.FocalLossFlat())[loss]
    splits = np.arange(20),np.arange(20,26)
    dls = TSDataLoaders.from_arrays(np.repeat(new, 2, 0), np.arange(26)%3, splits, device='cpu')
    learn = ts_learner(dls, nf=2, seed=0, loss_func=f)
    with learn.no_bar():
        probs,_,losses = learn.get_preds(with_loss=True)
        same(probs.sum(1), np.ones(6))
        same(probs, learn.get_X_preds(np.repeat(new, 2, 0)[20:])[0])
        same(losses.mean(), learn.validate()[0], 10)

def test_the_training_split_is_predicted_without_chance():
    "Predictions of training series use no random transforms, weights or shuffling"
    X,y,_ = make_bumps(60, length=40, seed=0)
    chance = dict(batch_tfms=[Jitter(5.)], weights='balanced', seed=0)
    dls = TSDataLoaders.from_arrays(X, y, (list(range(40)), list(range(40,60))), bs=16, device='cpu', **chance)
    learn = ts_learner(dls, nf=2, seed=0)
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
        probs,targets = learn.get_preds(ds_idx=0)[:2]
        again = learn.get_preds(dl=dls.train.in_order())[0]
    own = learn.get_X_preds(X[:40])[0]
    assert (probs-own).abs().max()<1e-6 and (again-own).abs().max()<1e-6
    assert targets.tolist()==dls.task.encode(y[:40]).tolist()
    x,_ = dls.train.one_batch()
    assert (x.std()>2).item() # training still uses its jitter
