"The usual steps of a user, on the CPU and on a GPU if there is one"
import copy, pickle, subprocess, sys
import joblib, numpy as np, onnxruntime, pytest, torch
from pathlib import Path
from fastai.callback.core import Callback
from fastai.callback import fp16, schedule # noqa: F401 - give learners `to_fp16` and `fit_one_cycle`
from fastai.callback.mixup import MixUp
from fastai.callback.tracker import SaveModelCallback
from fastai.interpret import ClassificationInterpretation
from fastai.learner import load_learner
from torch import nn
from small import X, call, classes, close, learner, padded, ragged, splits, two_labels
from xceptiontime.data import augment
from xceptiontime.data.augment import TSCutMix, TSMixUp
from xceptiontime.explain.attribution import METHODS, attribute, plot_attribution
from xceptiontime.explain.calibrate import Novelty
from xceptiontime.explain.importance import permutation_importance
from xceptiontime.models.inception import InceptionTime
from xceptiontime.models.xceptiontime import XceptionTime
from xceptiontime.runtime.export import export_onnx, export_program
from xceptiontime.runtime.predictor import Predictor
from xceptiontime.runtime.stream import StreamingPredictor
from xceptiontime.train.checkpoint import Checkpoint
from xceptiontime.train.estimator import XceptionTimeClassifier, XceptionTimeRegressor

pytestmark = pytest.mark.usefixtures('closed')

TARGETS = dict(classes=classes, two_labels=two_labels, values=X.mean((1,2)))
either = pytest.mark.parametrize('Xs', [X,ragged], ids=['array','ragged'])
NEAR = 1e-4 # tolerance of probabilities

def made(Xs=X, y=classes, **kwargs):
    "A learner on fastai's default device"
    return learner(Xs, y, **{'device':None, 'bs':4, 'seed':0, **kwargs})

def quiet(learn, epochs=1, lr=1e-2, **kwargs):
    with learn.no_bar(), learn.no_logging(): learn.fit(epochs, lr, **kwargs)
    return learn

def is_on(device, *tensors): return {t.device.type for t in tensors}=={device.type}
def state(learn): return {k: t.detach().cpu().clone() for k,t in learn.model.state_dict().items()}
def finite(learn): return all(t.isfinite().all() for t in state(learn).values())

@pytest.fixture
def trained(device): return quiet(made())

# ---------------------------------------------------------------- training

@either
@pytest.mark.parametrize('task', TARGETS)
def test_training(device, Xs, task):
    "Batches and weights are on the device, predictions on the CPU, as in fastai"
    learn = quiet(made(Xs, TARGETS[task]))
    assert is_on(device, *learn.dls.one_batch(), *learn.model.parameters(), *learn.dls.preprocess.buffers())
    probs,targets = learn.get_preds()
    new,_,answers = learn.get_X_preds([Xs[i] for i in splits[1]])
    assert is_on(torch.device('cpu'), probs, targets, new) and len(answers)==12
    close(new, probs, NEAR)
    assert finite(learn) and np.isfinite(learn.validate()).all() and np.isfinite(learn.recorder.losses).all()

@pytest.mark.parametrize('arch', [XceptionTime,InceptionTime])
def test_the_same_numbers_as_float64_on_a_cpu(device, arch):
    torch.manual_seed(0)
    exact,x = arch(3, 5, nf=4).double(),torch.randn(8, 3, 70).double()
    m = copy.deepcopy(exact).float().to(device)
    n = torch.tensor([70,50,33,20,9,2,1,70])
    for train in (True,False):
        for lengths in (None,n):
            want = exact.train(train)(x, lengths)
            got = m.train(train)(x.float().to(device), None if lengths is None else lengths.to(device))
            torch.testing.assert_close(got.double().cpu(), want, rtol=1e-3, atol=2e-4)

@pytest.mark.parametrize('precision', ['to_fp16','to_bf16'])
@either
def test_half_precision(device, Xs, precision):
    learn = quiet(getattr(made(Xs), precision)())
    assert finite(learn) and is_on(device, *learn.model.parameters())
    assert learn.get_X_preds(Xs[:3])[0].isfinite().all()

@pytest.mark.parametrize('mix', [MixUp,TSMixUp,TSCutMix])
@pytest.mark.parametrize('kwargs', [{},dict(missing='mask')], ids=['whole','masks'])
def test_mixing(device, mix, kwargs):
    Xs = X.copy()
    if kwargs: Xs[::2,0,5:9] = np.nan
    for series in [Xs]+[ragged]*(mix is not MixUp): assert finite(quiet(made(series, **kwargs), cbs=mix()))

@pytest.mark.parametrize('name', [n for n in augment.__all__ if not n.startswith('TS') and n!='SeriesTransform'])
def test_augmentation(device, name):
    kind = getattr(augment, name)
    for Xs in (X,ragged):
        learn = quiet(made(Xs, batch_tfms=[kind(p=1)]), 1)
        assert is_on(device, learn.dls.train.one_batch()[0]) and finite(learn)
        probs,_ = learn.tta(n=2)
        assert probs.shape==(12,3) and probs.isfinite().all()

def test_padded_as_alone(device):
    pred = quiet(made(ragged)).predictor()
    alone = np.concatenate([pred.predict_proba(x[None]) for x in ragged])
    close(pred.predict_proba(ragged), alone, NEAR)

class _Spoil(Callback):
    "Makes the loss NaN in one batch"
    def after_pred(self):
        if self.training and self.epoch==1: self.learn.pred = self.pred*float('nan')

def test_a_loss_of_nan(device):
    "The earlier weights are restored, on their device"
    learn = quiet(made())
    with pytest.raises(FloatingPointError, match='got nan in epoch 1, batch 0'): quiet(learn, 3, cbs=_Spoil())
    assert finite(learn) and is_on(device, *learn.model.parameters())
    assert finite(quiet(learn, 1)) and np.isfinite(learn.recorder.losses).all()

def test_several_networks(device):
    learn = quiet(made(n_networks=3))
    assert is_on(device, *learn.model.parameters()) and finite(learn)
    close(learn.get_X_preds(X[12:])[0], learn.get_preds()[0], NEAR)

def test_frozen_and_searched(device):
    "Only the head trains after `freeze`; `lr_find` does not change the weights"
    learn = made()
    before = state(learn)
    learn.freeze()
    quiet(learn, 1, [1e-4,1e-2])
    body = [k for k in before if k.startswith('block') and k.endswith('weight') and before[k].dim()>1]
    assert body and all(before[k].equal(state(learn)[k]) for k in body)
    before = state(learn)
    with learn.no_bar(), learn.no_logging(): learn.lr_find(num_it=8, show_plot=False)
    assert all(before[k].equal(t) for k,t in state(learn).items())

def test_weights_of_classes(device):
    "A loss with weights on the device is computed there"
    loss = nn.CrossEntropyLoss(weight=torch.tensor([1.,2.,3.], device=device))
    learn = quiet(made(loss_func=loss))
    *_,losses = learn.get_X_preds(X[12:], classes[12:], with_loss=True)
    *_,want = learn.get_preds(with_loss=True)
    close(losses.cpu(), want.cpu(), 1e-3)

@either
def test_worker_processes(device, Xs):
    learn = quiet(made(Xs, num_workers=1), 1)
    assert finite(learn) and is_on(device, *learn.dls.one_batch())

def test_checkpoint_goes_on(device, tmp_path):
    "After an interruption, about the weights of an undisturbed training"
    def run(folder, *cbs):
        learn = made()
        with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(3, 1e-3, cbs=[*cbs,Checkpoint(folder)])
        return learn
    whole = run(tmp_path/'a')
    with pytest.raises(RuntimeError, match='stop'): run(tmp_path/'b', _StopLate())
    again = run(tmp_path/'b')
    assert is_on(device, *again.model.parameters()) and again.trained['epochs']==3
    for k,t in state(whole).items(): torch.testing.assert_close(state(again)[k], t, rtol=.05, atol=.01)

class _StopLate(Callback):
    looks_only = True
    def before_batch(self):
        if self.training and self.epoch==2:
            raise RuntimeError('stop')

def test_best_epoch_is_kept(device, tmp_path):
    learn = made()
    learn.path = tmp_path
    quiet(learn, 2, cbs=SaveModelCallback(monitor='valid_loss'))
    assert is_on(device, *learn.model.parameters())
    before = state(learn)
    learn.save('a')
    quiet(learn)
    learn.load('a')
    assert is_on(device, *learn.model.parameters()) and all(before[k].equal(t) for k,t in state(learn).items())

# ---------------------------------------------------------------- answers

def test_targets_that_are_too_few(trained):
    with pytest.raises(ValueError, match='y: expected 3 targets for as many series, got 2'):
        trained.get_X_preds(X[:3], classes[:2])

def test_arrays_and_pictures(trained, device):
    x,_ = trained.dls.valid.one_batch()
    assert is_on(device, x)
    np.testing.assert_array_equal(np.asarray(x), x.cpu().numpy())
    assert np.array(x[0], dtype=np.float64).dtype==np.float64
    x[0].show()
    trained.dls.show_batch(max_n=2)
    trained.show_results(max_n=2)
    trained.recorder.plot_loss()
    assert 'XceptionTime' in str(trained.summary())
    ClassificationInterpretation.from_learner(trained).plot_confusion_matrix()
    label,i,probs = trained.predict(X[0])
    assert probs.argmax()==i and is_on(torch.device('cpu'), probs) and label==i

@either
def test_model_folder(device, Xs, tmp_path):
    "Saved from a network on the device, opened on either"
    learn = quiet(made(Xs))
    want = learn.get_X_preds(Xs[:5])[0]
    learn.save_pretrained(tmp_path/'m')
    for place in ('cpu',device):
        pred = Predictor.from_pretrained(tmp_path/'m', device=place)
        assert pred.device.type==torch.device(place).type
        close(pred.predict_proba(Xs[:5]), want, NEAR)
        assert pred.predict(Xs[:5]).tolist()==learn.get_X_preds(Xs[:5])[2].tolist()
        pred.save_pretrained(tmp_path/'again')
        close(Predictor.from_pretrained(tmp_path/'again').predict_proba(Xs[:5]), want, NEAR)

def test_pickled_learner(trained, device, tmp_path):
    trained.path = tmp_path
    want = trained.get_X_preds(X[:5])[0]
    trained.export('a.pkl')
    for cpu in (True,False):
        again = load_learner(tmp_path/'a.pkl', cpu=cpu)
        close(again.get_X_preds(X[:5])[0], want, NEAR)
        assert again.get_preds(dl=again.dls.test_dl(X[:5]))[0].shape==(5,3)

def test_network_moved_to_the_cpu(trained):
    want = trained.get_X_preds(X[:5])[0]
    trained.model.cpu()
    close(trained.get_X_preds(X[:5])[0], want, NEAR)

@pytest.mark.slow
@either
def test_exported(device, Xs, tmp_path):
    learn = quiet(made(Xs))
    want = learn.get_X_preds(Xs[:3])[0]
    export_onnx(learn, tmp_path/'a.onnx')
    export_program(learn, tmp_path/'a.pt2')
    session = onnxruntime.InferenceSession(str(tmp_path/'a.onnx'), providers=['CPUExecutionProvider'])
    given = dict(x=X[:3]) if Xs is X else dict(x=padded(Xs[:3], 40, 0.), lengths=np.array([20,24,28]))
    close(session.run(None, given)[0], want, NEAR)
    assert is_on(device, *learn.model.parameters()) # still on its device

def test_stream(trained):
    pred = trained.predictor()
    signal = X[:3].transpose(1, 0, 2).reshape(2, -1)
    stream = StreamingPredictor(pred, 40)
    answers = [p for chunk in np.split(signal, [7,50], 1) for p in stream.push(chunk)]
    close(np.stack([p.probs for p in answers]), pred.predict_proba(X[:3]), NEAR)

def test_adapted(trained, device):
    pred = trained.adapt(X[:9]*2)
    assert pred.device.type==device.type and np.isfinite(pred.predict_proba(X[:3])).all()

@pytest.mark.parametrize('method', METHODS)
@either
def test_attribution(device, Xs, method):
    learn = quiet(made(Xs))
    res = attribute(learn, Xs[:3], method=method, **(dict(n_steps=8) if method=='integrated_gradients' else {}))
    assert all(np.shape(a)==np.shape(x) and np.isfinite(a).all() for a,x in zip(res, Xs))
    plot_attribution(Xs[:2], res[:2])

def test_importance(trained):
    for over in ('channel','time'):
        res = permutation_importance(trained, over, n_repeats=2, seed=0)
        assert np.isfinite(res.mean).all()
    assert np.isfinite(permutation_importance(trained, metric=trained.metrics[0], n_repeats=2, seed=0).mean).all()

def test_sure_or_not(trained, tmp_path):
    "Temperature, sets and novelty, all saved in the folder"
    trained.calibrate()
    trained.calibrate_sets()
    trained.plot_reliability()
    sets = trained.predict_set(X[:4], alpha=.2)
    novel = Novelty(trained, k=3)
    assert len(sets)==4 and (novel.p_value(X[:4])>0).all() and np.isfinite(novel.score(X[:4])).all()
    pred = Predictor.from_pretrained(trained.save_pretrained(tmp_path/'m'))
    close(pred.predict_proba(X[:4]), trained.get_X_preds(X[:4])[0], NEAR)
    assert [list(s) for s in pred.predict_set(X[:4], alpha=.2)]==[list(s) for s in sets]

# ---------------------------------------------------------------- estimators and the command

@pytest.mark.parametrize('kind', [XceptionTimeClassifier,XceptionTimeRegressor])
def test_estimator(device, kind, tmp_path):
    estimator = kind(epochs=2, lr=1e-2, bs=8, nf=2, random_state=0, n_estimators=2)
    y = np.array(['a','b','c'])[classes] if kind is XceptionTimeClassifier else X.mean((1,2))
    estimator.fit(X, y)
    want = estimator.predict(X)
    joblib.dump(estimator, tmp_path/'a.joblib')
    for again in (pickle.loads(pickle.dumps(estimator)), copy.deepcopy(estimator), joblib.load(tmp_path/'a.joblib')):
        if want.dtype.kind=='f': close(again.predict(X), want, 1e-3)
        else: assert (again.predict(X)==want).mean()>.9 # near a tie a label may differ
    assert np.isfinite(estimator.score(X, y))

def test_command(device, tmp_path, capsys):
    np.savez(tmp_path/'a.npz', X=X, y=np.array(['a','b','c'])[classes])
    at = '--device',device.type
    small = '--epochs',2,'--nf',2,'--bs',8
    assert call('train', tmp_path/'a.npz', '--valid', tmp_path/'a.npz', *small, '--out', tmp_path/'m', *at)==0
    assert device.type in capsys.readouterr().out
    assert call('predict', tmp_path/'m', tmp_path/'a.npz', '--out', tmp_path/'p.csv', *at)==0
    assert call('evaluate', tmp_path/'m', tmp_path/'a.npz', '--json', *at)==0
    assert call('info', tmp_path/'m')==0
    assert len((tmp_path/'p.csv').read_text().splitlines())==25

# ---------------------------------------------------------------- the same weights again

tests = Path(__file__).parent
SCRIPT = '''
import sys, torch, hashlib
from small import X, classes, learner, ragged
from xceptiontime.data.augment import Jitter, TimeWarp, TSMixUp
kind = sys.argv[1]
torch.use_deterministic_algorithms(True)
data = ragged if kind=='ragged' else X
own = dict(batch_tfms=[Jitter(), TimeWarp()]) if kind=='augmented' else {}
learn = learner(data, device=None, bs=4, seed=0, **own)
if kind=='bf16': learn.to_bf16()
with learn.no_bar(), learn.no_logging(): learn.fit(2, 1e-2, cbs=[TSMixUp()] if kind=='mixed' else [])
print(hashlib.sha256(b''.join(t.cpu().numpy().tobytes() for t in learn.model.state_dict().values())).hexdigest())
'''

@pytest.mark.slow
@pytest.mark.parametrize('kind', ['array','ragged','augmented','mixed','bf16'])
def test_two_fresh_processes(device, kind):
    "Bit-identical weights, on a GPU where a fixed order is asked for"
    def digest():
        res = subprocess.run([sys.executable, '-c', SCRIPT, kind], capture_output=True, text=True, cwd=tests)
        assert res.returncode==0, res.stderr
        return res.stdout.strip()
    a = digest()
    assert len(a)==64 and digest()==a
