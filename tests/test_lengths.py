"The length channel: a series alone gets the same scores as in a batch, wherever the model is used"
import json
import numpy as np
import pytest
import torch
from fastai.learner import load_learner
from small import adds_up, classes, close, learner, onnx_session, padded, ragged, splits
from xceptiontime.data.augment import (ChannelDropout, Jitter, MagnitudeWarp, Scaling, TimeCrop, TimeMask, TimeShift,
                                       TimeWarp, TSCutMix, TSMixUp)
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.explain.attribution import attribute
from xceptiontime.explain.importance import permutation_importance
from xceptiontime.models.inception import InceptionTime
from xceptiontime.processing.series import check_series
from xceptiontime.runtime.predictor import Predictor
from xceptiontime.runtime.stream import StreamingPredictor
from xceptiontime.train.checkpoint import Checkpoint
from xceptiontime.train.estimator import XceptionTimeClassifier
from xceptiontime.train.learner import ts_learner

n = np.array([x.shape[1] for x in ragged])

def fit(learn, epochs=1, **kw):
    with learn.no_bar(), learn.no_logging(): learn.fit(epochs, **kw)
    return learn

@pytest.fixture(scope='module')
def trained(): return fit(learner(ragged, length_channel=True), 3)

# ---------------------------------------------------------------- when there is one

def has(X=ragged, **kw):
    "Is there a length channel? Loader, preprocessing and learner must agree"
    dls = TSDataLoaders.from_arrays(X, classes, splits, device='cpu', **kw)
    on = dls.preprocess.length_channel
    assert dls.vars==dls.one_batch()[0].shape[1]==dls.preprocess.c_in*(1+(kw.get('missing')=='mask'))+on
    assert ('the network sees the length' in dls.summary())==on==('length_channel=True' in dls.summary())
    return on

def test_where_lengths_of_training_differ():
    assert has() and has(missing='mask') and has(padded(ragged, 50)) # NaN at the end is padding
    equal = [x[:,:20] for x in ragged]
    assert not has(equal) and not has(resample=30) and not has(crop=9)
    assert not has([*equal[:12], *ragged[12:]]) # only validation series have other lengths
    assert not has([x[:,:20-i%2] for i,x in enumerate(equal)]) # a value is missing at the end
    assert not has(length_channel=False) and has(resample=30, length_channel=True)
    with pytest.warns(UserWarning, match='length_channel: expected training series of unequal length, got 20 steps'):
        assert has(equal, length_channel=True)
    with pytest.raises(ValueError, match="length_channel: expected True or False, got 'on'"):
        has(length_channel='on')

def test_windows_have_one_length():
    "Also if the last window of a recording is padded with NaN"
    recs = [np.random.default_rng(i).normal(size=(2,95)).astype(np.float32) for i in range(4)]
    dls = TSDataLoaders.from_recordings(recs, [0,1,0,1], 20, groups=[0,0,1,1], valid_groups=[1], pad=np.nan,
                                        device='cpu')
    assert dls.train_ds.lengths.min()==15 and not dls.preprocess.length_channel
    how = dict(groups=[0,0,1,1], valid_groups=[1], pad=np.nan, device='cpu', length_channel=True)
    assert TSDataLoaders.from_recordings(recs, [0,1,0,1], 20, **how).vars==3

def test_values_by_hand():
    dls = TSDataLoaders.from_arrays(ragged, classes, splits, device='cpu', length_channel=True)
    log = np.log(n[splits[0]])
    x,lengths,_ = dls.valid.one_batch()
    for o,k in zip(x[:,2], lengths):
        close(o[:k], (np.log(int(k))-log.mean())/log.std(), 1e-5)
        assert (o[k:]==0).all() and len(o)==36

# ---------------------------------------------------------------- alone as in a batch

def test_in_double_precision(trained):
    pre,model = trained.dls.preprocess,trained.model.double().eval()
    x,m = (torch.from_numpy(o) for o in check_series(ragged))
    x = x.double()
    with torch.no_grad():
        out = model(pre(x, m), m)
        wide = model(pre(torch.nn.functional.pad(x, (0,99), value=7.), m), m)
        alone = torch.cat([model(pre(o[None,:,:k])) for o,k in zip(x, m)])
    trained.model.float()
    close(out, alone, 1e-12)
    close(wide, alone, 1e-12)

@pytest.mark.parametrize('how', [dict(missing='mask'), dict(resample=30), dict(arch=InceptionTime), dict(n_networks=2)],
                         ids=lambda o: str([*o.values()][0]))
def test_answers_alone(how):
    own = {k: how[k] for k in how if k in ('missing','resample')}
    dls = TSDataLoaders.from_arrays(ragged, classes, splits, device='cpu', length_channel=True, **own)
    learn = fit(ts_learner(dls, nf=2, seed=0, **{k: how[k] for k in how if k not in own}))
    probs = learn.get_X_preds(ragged)[0]
    close(torch.cat([learn.get_X_preds([x])[0] for x in ragged]), probs, 1e-5)
    close(learn.get_preds(dl=dls.test_dl(ragged))[0], probs, 1e-5)
    close(learn.predict(ragged[3])[2], probs[3], 1e-5)

def test_it_tells_what_nothing_else_does():
    "Short or long noise: the network can tell them apart only with the channel"
    rng = np.random.default_rng(0)
    y = np.arange(80)%2
    lengths = np.where(y, rng.integers(20, 24, 80), rng.integers(30, 34, 80))
    X = [rng.normal(size=(1,k)).astype(np.float32) for k in lengths]
    def right(on):
        dls = TSDataLoaders.from_arrays(X, y, (np.arange(40),np.arange(40,80)), bs=20, device='cpu', seed=0,
                                        length_channel=on)
        learn = fit(ts_learner(dls, nf=2, seed=0), 25, lr=1e-2)
        return (learn.get_X_preds(X[40:])[2]==y[40:]).mean()
    assert right(True)==1 and right(False)<.8

def test_far_lengths_are_clipped(trained):
    "A length far from those in training is clipped to 3 standard deviations"
    pre = trained.dls.preprocess
    z = pre(torch.zeros(1,2,4000))[0,2]
    assert (z==3).all() and (pre(torch.zeros(1,2,1))[0,2]==-3).all()

# ---------------------------------------------------------------- in files

def test_folder(trained, tmp_path):
    folder = trained.save_pretrained(tmp_path/'a')
    config = json.loads((folder/'config.json').read_text())
    assert config['format']==1 and config['preprocess']['length_channel'] is True
    assert config['arguments']['c_in']==3
    opened = Predictor.from_pretrained(folder)
    close(opened.predict_proba(ragged), trained.predictor().predict_proba(ragged), 0)
    assert 'length_channel=True' in opened.facts()['preprocessing']
    off = fit(learner(ragged, length_channel=False)).save_pretrained(tmp_path/'b')
    assert 'length_channel' not in (off/'config.json').read_text()
    del config['fingerprint']
    for v,said in ((1,'expected True or False, got 1'), (False,'a network of 2 channels')):
        config['preprocess']['length_channel'] = v
        (folder/'config.json').write_text(json.dumps(config))
        with pytest.raises(ValueError, match=said): Predictor.from_pretrained(folder)

def test_a_deviation_of_zero_is_refused(tmp_path):
    learn = fit(learner(ragged, length_channel=True))
    learn.dls.preprocess.length_std.zero_()
    with pytest.raises(ValueError, match="model: expected numbers above 0 as 'preprocess.length_std'"):
        learn.save_pretrained(tmp_path/'a')

def test_exported_learner(trained, tmp_path):
    trained.path = tmp_path
    trained.export('a.pkl')
    close(load_learner(tmp_path/'a.pkl').get_X_preds(ragged)[0], trained.get_X_preds(ragged)[0], 1e-6)

@pytest.mark.slow
def test_onnx(trained, tmp_path):
    pytest.importorskip('onnxruntime')
    from xceptiontime.runtime.export import export_onnx
    session = onnx_session(export_onnx(trained, tmp_path/'a.onnx'))
    want = trained.predictor().predict_proba(ragged)
    x = padded(ragged, 77, content=5.)
    close(session.run(None, dict(x=x, lengths=n))[0], want, 1e-5)
    one = ragged[4]
    close(session.run(None, dict(x=one[None], lengths=n[4:5]))[0], want[4:5], 1e-5)
    assert session.get_inputs()[0].shape[1]==2 # the user's channels

@pytest.mark.slow
def test_program_without_lengths(trained, tmp_path):
    "The length is then that of the array"
    from xceptiontime.runtime.export import export_program
    run = torch.export.load(export_program(trained, tmp_path/'a.pt2', lengths=False)).module()
    for i in (0,4):
        got = run(torch.from_numpy(ragged[i][None]))
        close(got, trained.predictor().predict_proba([ragged[i]]), 1e-5)

def test_checkpoint_of_another(tmp_path):
    def run(on): return fit(learner(ragged, length_channel=on, seed=0), cbs=Checkpoint(tmp_path))
    run(True)
    with pytest.raises(ValueError, match='differs in .*length_channel|statistics'): run(False)

def test_stream(trained):
    x = np.random.default_rng(5).normal(size=(2,90)).astype(np.float32)
    live = StreamingPredictor(trained.predictor(), 30, 20)
    got = [p.probs for i in range(0, 90, 7) for p in live.push(x[:,i:i+7])]
    close(np.stack(got), trained.predictor().predict_proba(np.stack([x[:,i:i+30] for i in (0,20,40,60)])), 1e-5)

# ---------------------------------------------------------------- training further, from a folder

def test_going_on(trained, tmp_path):
    folder = trained.save_pretrained(tmp_path/'a')
    def data(y=classes, **kw): return TSDataLoaders.from_arrays(ragged, y, splits, device='cpu', **kw)
    learn = ts_learner(data(length_channel=True), pretrained=folder)
    close(learn.get_X_preds(ragged)[0], trained.get_X_preds(ragged)[0], 1e-6)
    said = "pretrained: expected data with length_channel=True, as the model's, got False"
    with pytest.raises(ValueError, match=said): ts_learner(data(length_channel=False), pretrained=folder)
    fresh = ts_learner(data(y=np.arange(24)%2, length_channel=True), pretrained=folder) # other classes
    assert fresh.get_X_preds(ragged)[0].shape==(24,2)

# ---------------------------------------------------------------- it is not a channel of the user

@pytest.mark.parametrize('method', ['integrated_gradients','occlusion','grad_cam'])
def test_attribution(trained, method):
    "Attributions of the user's channels; integrated gradients add up to the difference to a mean series"
    pytest.importorskip('captum')
    some = ragged[:4]
    a = attribute(trained, some, method, target=1)
    assert [o.shape for o in a]==[o.shape for o in some]
    base = trained.dls.preprocess.mean[:,None].numpy()
    def score(X): return trained.predictor().scores(X)[:,1].numpy()
    diff = score(some)-score([np.broadcast_to(base, x.shape).copy() for x in some])
    if method=='integrated_gradients': adds_up(np.stack([np.pad(o, ((0,0),(0,40-o.shape[1]))) for o in a]), diff)

def test_importance_and_pictures(trained):
    imp = permutation_importance(trained, n_repeats=2, seed=0)
    assert imp.names==['0','1']
    close(trained.get_X_preds(ragged[:3], with_input=True)[0][0,:,:n[0]], ragged[0], 0)
    x,*_ = trained.dls.valid.decode_batch(trained.dls.valid.one_batch())[0]
    assert x.shape[0]==2

changes = [lambda: Jitter(p=1), lambda: Scaling(p=1), lambda: MagnitudeWarp(p=1), lambda: TimeShift(p=1),
           lambda: ChannelDropout(p=1), lambda: TimeWarp(p=1), lambda: TimeCrop(p=1), lambda: TimeMask(p=1)]
@pytest.mark.parametrize('make', changes, ids=lambda f: f().__class__.__name__)
@pytest.mark.parametrize('missing', ['raise','mask'])
def test_augmentation_leaves_it(make, missing):
    made = [TSDataLoaders.from_arrays(ragged, classes, splits, bs=6, seed=0, device='cpu', missing=missing,
                                      length_channel=True, batch_tfms=t) for t in (None,[make()])]
    for b,p in zip(*(d.train for d in made)):
        assert torch.equal(b[0][:,-1], p[0][:,-1]) and not torch.equal(b[0][:,:2], p[0][:,:2])
        assert b[0].shape==p[0].shape

@pytest.mark.parametrize('mix', [TSMixUp,TSCutMix])
def test_mixes_leave_it(mix):
    learn = learner(ragged, bs=6, length_channel=True)
    seen = []
    forward = type(learn.model).forward
    def spy(self, x, lengths=None):
        if self.training: seen.append((x.as_subclass(torch.Tensor).clone(), lengths))
        return forward(self, x, lengths)
    type(learn.model).forward = spy
    try: fit(learn, cbs=mix())
    finally: type(learn.model).forward = forward
    pre = learn.dls.preprocess
    for x,k in seen:
        k = k.as_subclass(torch.Tensor)
        assert torch.equal(x[:,-1], pre(torch.zeros(len(x), 2, x.shape[2]), k)[:,-1])
    assert len(seen)==2

# ---------------------------------------------------------------- other ways to use it

def test_estimator():
    def c_out(on): return XceptionTimeClassifier(epochs=1, nf=1, random_state=0, length_channel=on).fit(
        ragged, classes).predictor_.preprocess.c_out
    assert [c_out(o) for o in (True,False)]==[3,2]

def test_command(tmp_path):
    from xceptiontime.cli import main
    from xceptiontime.data.formats import write_ts
    write_ts(tmp_path/'a.ts', ragged, [f'c{o}' for o in classes])
    def c_out(*args):
        folder = tmp_path/'model'
        told = ['train', tmp_path/'a.ts', '--epochs', 1, '--nf', 1, '--out', folder, '--force', *args]
        assert main(list(map(str, told)))==0
        return Predictor.from_pretrained(folder).preprocess.c_out
    assert [c_out(), c_out('--no-length-channel'), c_out('--length-channel', '--crop', 9)]==[3,2,3]
