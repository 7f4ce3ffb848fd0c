"A model for a new wearer: the exact statistics of new series, or a head trained on a few labels"
import numpy as np
import pytest, torch
from torch import nn
from networks import plain, seasoned
from small import X, classes, close, learner, onnx_session, padded, same, two_labels
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.data.sets import get_myo
from xceptiontime.data.windows import sliding_windows
from xceptiontime.models.ensemble import Ensemble
from xceptiontime.models.inception import InceptionTime
from xceptiontime.models.masks import current_mask
from xceptiontime.models.xceptiontime import XceptionTime
from xceptiontime.processing.preprocess import Preprocess
from xceptiontime.processing.tasks import Classification, MultiLabel, Regression
from xceptiontime.runtime.predictor import Predictor
from xceptiontime.runtime.stream import StreamingPredictor
from xceptiontime.train.learner import ts_learner

new_X = X*np.float32([[3],[.2]])+np.float32([[1],[-2]]) # other gains and offsets than in training
new_ragged = [x[:,:20+i%5*4] for i,x in enumerate(new_X)]
vocab = Classification(['a','b','c'])

def predictor(arch=XceptionTime, c_out=3, task=vocab, dtype=torch.float64, n=1, **kwargs):
    kwargs = dict(nf=2, **(dict(head='linear') if arch is XceptionTime else {}), **kwargs)
    nets = [seasoned(arch, 2, c_out, seed=i, dtype=dtype, **kwargs).eval() for i in range(n)]
    model = nets[0] if n==1 else Ensemble(nets, task.activation_name).eval()
    return Predictor(model, task, Preprocess().fit(X), rate=100)

def state(p): return {k: t.clone() for k,t in p.model.state_dict().items()}
def norms(p): return [m for m in p.model.modules() if isinstance(m, nn.BatchNorm1d)]

def inputs(p, X, bs=64):
    "The inputs of each BatchNorm without padding, (steps, channels) float64"
    got = {m: [] for m in norms(p)}
    def look(m, args):
        mask,x = current_mask(),args[0].double().transpose(1, 2) # (batch, length, channels)
        got[m].append((x.flatten(0, 1) if mask is None else x[mask]).numpy().copy())
    hooks = [m.register_forward_pre_hook(look) for m in got]
    p.scores(X, bs)
    for h in hooks: h.remove()
    return {m: np.concatenate(v) for m,v in got.items()}

def check_statistics(p, X):
    "Each BatchNorm holds mean and variance of its own input"
    for m,v in inputs(p, X).items():
        close(m.running_mean, v.mean(0), 1e-10*max(1, abs(v).max()))
        close(m.running_var, v.var(0, ddof=1), 1e-10*max(1, (v**2).max()))

@pytest.mark.parametrize('series', [new_X, new_ragged], ids=['equal','ragged'])
@pytest.mark.parametrize('arch', [XceptionTime, InceptionTime])
def test_each_batchnorm_holds_the_statistics_of_its_input(arch, series):
    p = predictor(arch)
    before = state(p)
    new = p.adapt(series)
    check_statistics(new, series)
    assert same(before, state(p))
    changed = {k for k,t in state(new).items() if not t.equal(before[k])}
    assert changed=={k for k in before if k.endswith(('running_mean','running_var'))}

def test_first_batchnorm_by_numpy():
    p = predictor()
    new = p.adapt(new_X)
    block = p.model.block
    mean,std = X.mean((0,2), dtype=np.float64), X.std((0,2), dtype=np.float64)
    x = (new_X-mean[:,None])/std[:,None]
    conv,norm = block.shortcut[0][0],new.model.block.shortcut[0][1] # a convolution of one step on the input
    v = np.einsum('oc,bct->bto', conv.weight.detach()[:,:,0].numpy(), x).reshape(-1, conv.out_channels)
    close(norm.running_mean, v.mean(0), 1e-5)
    np.testing.assert_allclose(norm.running_var, v.var(0, ddof=1), rtol=1e-5)

def test_training_on_one_batch_of_all_leaves_the_same():
    new = predictor()
    adapted = new.adapt(new_X)
    x = new.preprocess(torch.from_numpy(new_X)).double()
    for m in norms(new): m.momentum = 1.
    with torch.no_grad(): new.model.train()(x) # variances inside are over n, not n-1
    for a,b in zip(norms(adapted), norms(new)):
        np.testing.assert_allclose(a.running_var, b.running_var, rtol=1e-2)
        assert (a.running_mean-b.running_mean).abs().max()<1e-2*b.running_var.sqrt().max()

@pytest.mark.parametrize('arch', [XceptionTime, InceptionTime])
def test_neither_padding_nor_order_nor_batch_size_count(arch):
    p = predictor(arch)
    want = state(p.adapt(new_ragged))
    for X,bs in ((padded(new_ragged, 60),64), (new_ragged[::-1],5), (new_ragged,1)):
        for k,t in state(p.adapt(X, bs=bs)).items(): close(t, want[k], 1e-9*max(1, want[k].double().abs().max()))
    new = p.adapt(new_ragged)
    close(new.scores(new_ragged), np.concatenate([new.scores(x[None]) for x in new_ragged]), 1e-5)

@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_the_fast_path_answers_by_the_new_statistics(dtype):
    p = predictor(dtype=dtype)
    p.scores(new_X[:1]) # fills the cache for a single series
    p.scores(new_X)
    new = p.adapt(new_X)
    slow = Predictor(plain(new.model), new.task, new.preprocess)
    for X in (new_X, new_X[:1], new_ragged): close(new.scores(X), slow.scores(X), 1e-4)
    assert (new.scores(new_X)-p.scores(new_X)).abs().max()>.01

@pytest.mark.parametrize('y', [None, classes], ids=['statistics','head'])
def test_an_ensemble_adapts_as_each_network_alone(y):
    names = None if y is None else vocab.vocab[y]
    p = predictor(n=2)
    new = p.adapt(new_X, names, steps=5)
    for i,net in enumerate(p.model.networks):
        alone = Predictor(net, p.task, p.preprocess).adapt(new_X, names, steps=5)
        assert same(alone.model.state_dict(), new.model.networks[i].state_dict())
    assert new.disagreement(new_X).shape==(24,)

@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('y', [None, classes], ids=['statistics','head'])
def test_half_numbers(dtype, y):
    names = None if y is None else vocab.vocab[y]
    p = predictor(dtype=dtype)
    single = Predictor(plain(p.model).float(), p.task, p.preprocess)
    new,want = p.adapt(new_X, names), single.adapt(new_X, names)
    for k,t in want.model.state_dict().items():
        got = new.model.state_dict()[k]
        assert got.dtype==(dtype if t.is_floating_point() else t.dtype)
        close(got.float(), t.to(got.dtype).float(), 1e-2*max(1, t.double().abs().max()))
    too_large = predictor(dtype=torch.float16)
    if y is None:
        with pytest.raises(ValueError, match="adapt: expected finite numbers as '.*running_var'"):
            too_large.adapt(new_X*1e3)

@pytest.mark.parametrize('arch,series', [(XceptionTime,new_X), (XceptionTime,new_ragged), (InceptionTime,new_X)])
def test_a_few_labels_move_the_head_alone_and_not_far(arch, series):
    p,y = predictor(arch, dtype=torch.float32),vocab.vocab[classes]
    before = state(p)
    flags = [q.requires_grad for q in p.model.parameters()]
    new = p.adapt(series, y, steps=20, lr=2e-3)
    assert same(before, state(p))
    after,head = state(new),{f'{n}.{k}' for n in ('head','fc') for k in getattr(p.model, n, nn.Module()).state_dict()}
    changed = {k for k in after if not after[k].equal(before[k])}
    assert changed and changed<=head and not any('running' in k or 'tracked' in k for k in changed)
    assert max((after[k]-before[k]).abs().max() for k in changed)<=20*2e-3*1.2
    loss = vocab.loss_func
    assert loss(new.scores(series), torch.tensor(classes))<loss(p.scores(series), torch.tensor(classes))
    weights = list(new.model.parameters())
    assert [q.requires_grad for q in weights]==flags and all(q.grad is None for q in weights)

def test_each_kind_of_target():
    multi = predictor(c_out=2, task=MultiLabel(['u','v']))
    assert multi.adapt(new_X, two_labels, steps=5).predict(new_X).shape==(24,2)
    number = predictor(c_out=1, task=Regression(3., 2.))
    values = np.linspace(0, 6, 24)
    def miss(p): return np.abs(p.predict(new_X)-values).mean()
    assert miss(number.adapt(new_X, values, steps=30, lr=1e-2))<miss(number)
    report = number.adapt_report(new_X, values, np.arange(24)%2, steps=5)
    close(report[0][0], np.abs(number.predict(new_X[::2])-values[::2]).mean(), 1e-4)

def test_what_does_not_fit_is_told():
    p = predictor()
    names = vocab.vocab[classes]
    with pytest.raises(ValueError, match='y: expected 24 targets for as many series, got 5'): p.adapt(new_X, names[:5])
    said = "y: expected labels among the 3 classes 'a', 'b', 'c', got 'z' for series 0"
    with pytest.raises(ValueError, match=said): p.adapt(new_X, ['z',*names[1:]])
    with pytest.warns(UserWarning, match=r"got none of \['c'\]: the new model may forget them"):
        p.adapt(new_X[:2], names[:2])
    with pytest.raises(TypeError, match='adapt: expected a network with BatchNorms, .* got XceptionTime without'):
        Predictor(p.model.fuse(), p.task, p.preprocess).adapt(new_X)
    for y in (None, names):
        with pytest.raises(ValueError, match='X: expected finite numbers, got 1 value that is NaN'):
            p.adapt(with_nan(new_X), y)

def with_nan(X):
    X = X.copy()
    X[2,1,3] = np.nan
    return X

def test_calibration_goes_and_the_old_one_keeps_it():
    learn = learner()
    learn.task.temperature = 2.
    p = learn.predictor()
    with pytest.warns(UserWarning, match='adapt: the new model goes without the temperature of 2, found'):
        new = learn.adapt(new_X)
    assert (new.task.temperature,p.task.temperature,learn.task.temperature)==(1.,2.,2.)

def test_of_a_learner():
    learn = learner()
    with learn.no_bar(), learn.no_logging(): learn.fit(1)
    learn.model.train() # as between two epochs
    before = {k: t.clone() for k,t in learn.model.state_dict().items()}
    for y in (None, classes):
        new = learn.adapt(new_X, y)
        assert isinstance(new, Predictor) and not any(m.training for m in new.model.modules())
        assert same(before, learn.model.state_dict()) and learn.model.training
        want = learn.predictor().adapt(new_X, y)
        assert same(new.model.state_dict(), want.model.state_dict())
        assert 'last' not in new.training and new.training['adapted']==24
        assert new.training['epochs']==1 and 'last' in learn.predictor().training

def test_preprocessing_where_asked():
    p = predictor()
    kept,new = p.adapt(new_X),p.adapt(new_X, preprocess=True)
    assert kept.preprocess.mean.equal(p.preprocess.mean)
    close(new.preprocess.mean, new_X.mean((0,2)), 1e-5)
    close(p.preprocess.mean, X.mean((0,2)), 1e-5)
    check_statistics(new, new_X)

@pytest.mark.parametrize('y', [None, classes], ids=['statistics','head'])
def test_folder(tmp_path, y):
    new = learner().adapt(new_X, y, steps=5)
    opened = Predictor.from_pretrained(new.save_pretrained(tmp_path/'m'))
    assert same(opened.model.state_dict(), new.model.state_dict()) and opened.training==new.training
    assert opened.config()['format']==1
    assert torch.equal(opened.scores(new_X), new.scores(new_X))
    assert opened.adapt(new_X[:3], y if y is None else y[:3], steps=5).training['adapted']==3

@pytest.mark.slow
def test_onnx_of_the_new_one(tmp_path):
    pytest.importorskip('onnxruntime')
    new = learner().adapt(new_X).adapt(new_X, classes, steps=5)
    from xceptiontime.runtime.export import export_onnx
    run = onnx_session(export_onnx(new, tmp_path/'m.onnx'))
    close(run.run(None, {run.get_inputs()[0].name: new_X})[0], new.predict_proba(new_X), 1e-5)

def test_windows_and_stream():
    p = predictor(dtype=torch.float32)
    signal = np.concatenate(list(new_X), 1)
    lazy,whole = (sliding_windows(signal, 40, 40, lazy=o)[0] for o in (True,False))
    new = p.adapt(lazy)
    assert same(new.model.state_dict(), p.adapt(whole).model.state_dict())
    live = StreamingPredictor(new, 40).push(signal)
    close(np.stack([o.probs for o in live]), new.predict_proba(whole), 1e-6)

def test_report_by_groups():
    p,names = predictor(),vocab.vocab[classes]
    groups = np.repeat(['s1','s2'], 12)
    for labels in (True,False):
        report = p.adapt_report(new_ragged, names, groups, labels, steps=5)
        new = p.adapt(new_ragged[12:], names[12:] if labels else None, steps=5)
        want = [(o.predict(new_ragged[:12])==names[:12]).mean() for o in (p,new)]
        assert list(report)==['s1','s2']
        close(report['s1'], want, 1e-12)

@pytest.mark.slow
def test_adapting_to_the_training_people_changes_little():
    X,y,groups = get_myo()
    dls = TSDataLoaders.from_arrays(X, y, (np.flatnonzero(groups<2),np.flatnonzero(groups==2)), groups=groups, seed=0)
    learn = ts_learner(dls, nf=4, seed=0)
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(8, 5e-3)
    p = learn.predictor()
    known,held = groups<2,groups==2
    def right(p, i): return (p.predict(X[i])==y[i]).mean()
    assert right(p, held)>.9
    for new in (p.adapt(X[known]), p.adapt(X[known], preprocess=True), p.adapt(X[known][::10], y[known][::10])):
        for i in (known,held): assert abs(right(new, i)-right(p, i))<.01

@pytest.mark.parametrize('scale', ['channel','robust','minmax'])
@pytest.mark.parametrize('missing', ['raise','mean','mask'])
def test_gain_and_offset_from_rest(scale, missing):
    "gain * x + offset gets the prediction of x, whatever gesture is in the reference"
    pre = Preprocess(missing, scale).fit(X)
    p = Predictor(seasoned(XceptionTime, pre.c_out, 3, nf=2, head='linear').eval(), vocab, pre)
    gain,offset = np.float32([[3],[.2]]),np.float32([[1],[-2]])
    rest = np.random.default_rng(5).normal(.5, .1, size=(2,90)).astype(np.float32)
    old,series = state(p),X.copy()
    if missing!='raise': series[3,1,5:9] = np.nan
    for reference in ([rest], list(X[:4])): # movements do as well
        now = [gain*x+offset for x in reference]
        new = p.adapt(now, reference=reference)
        close(new.scores(gain*series+offset), p.scores(series), 1e-3)
        assert same(old, state(new)) and new.training['adapted']==len(reference)
    close(p.adapt(rest[None], reference=[rest]).scores(series), p.scores(series), 1e-4) # the gains are 1
    assert (p.scores(gain*series+offset)-p.scores(series)).abs().max()>.01

def test_reference_and_labels():
    "The gains are adapted first, then the head is trained; no BatchNorm changes"
    p,names = predictor(),vocab.vocab[classes]
    new = p.adapt(new_X, names, reference=X, steps=5)
    close(new.preprocess.std, p.preprocess.std*torch.tensor([3,.2]), 1e-4)
    changed = {k.split('.')[0] for k,t in state(new).items() if not t.equal(state(p)[k])}
    assert changed=={'head'}
    for kind in ('sample',None):
        other = Predictor(p.model, vocab, Preprocess(scale=kind).fit(X))
        with pytest.raises(TypeError, match='reference: expected a model that scales channels by statistics'):
            other.adapt(new_X, reference=X)
    with pytest.raises(ValueError, match=r'reference: expected values that vary .* none in channels \[0, 1\]'):
        p.adapt(new_X, reference=X*0)
