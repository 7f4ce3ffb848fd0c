"The habits of a user of fastai: other losses, loaders, weights and callbacks than usual"
import warnings
import numpy as np
import pytest
import torch
from fastai.callback.tracker import EarlyStoppingCallback, SaveModelCallback
from fastai.interpret import Interpretation
from fastai.learner import load_learner
from fastai.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat
from fastai.metrics import ExplainedVariance, PearsonCorrCoef, R2Score
from functools import partial
from sklearn.metrics import explained_variance_score, r2_score
from torch import nn
from torch.nn import functional as F
from small import OfX, X, classes, learner, ragged, splits, two_labels
from xceptiontime.data.augment import Jitter, TSMixUp
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.models.xceptiontime import XceptionTime
from xceptiontime.train.learner import TSLearner, ts_learner

numbers = np.random.default_rng(1).normal(10, 5, 24)
two_numbers = np.c_[numbers, 100+numbers[::-1]**2/9]
SMALL = partial(XceptionTime, nf=2)

def small(y=classes, **kwargs): return ts_learner(loaders(y), nf=2, seed=0, **kwargs)

def loaders(y=classes, X=X, **kwargs): return TSDataLoaders.from_arrays(X, y, splits, device='cpu', **kwargs)

@pytest.mark.parametrize('y,other', [(classes, dict(vocab=[2,1,0])), (classes, dict(y=classes+7)),
                                     (numbers, dict(y=numbers*100))])
def test_weights_of_another_task(tmp_path, y, other):
    learner(y=y).save(tmp_path/'weights')
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        learner(y=y).load(tmp_path/'weights', with_opt=False) # the same task
    with pytest.warns(UserWarning, match='file: expected weights for .*, got some for .*until a training'):
        learner(**{'y':y, **other}).load(tmp_path/'weights', with_opt=False)

@pytest.mark.parametrize('y,loss', [(numbers, F.mse_loss), (classes, F.cross_entropy),
                                    (classes, lambda p,t: F.cross_entropy(p, t))])
def test_a_function_as_the_loss_of_a_learner(y, loss):
    "As given to ts_learner: it gets encoded targets; the answers are those of the task"
    given,later = learner(y=y, loss_func=loss),learner(y=y)
    later.loss_func = loss
    assert later.validate()[0]==pytest.approx(given.validate()[0], abs=1e-6)
    for o in (given,later): o.fit(1, 1e-2)
    assert torch.allclose(given.get_preds()[0], later.get_preds()[0])
    there = torch.as_tensor(later.get_X_preds(X[12:])[0])
    assert torch.allclose(later.get_preds()[0].flatten(), there.flatten())

def test_a_loss_that_has_no_reduction():
    learn = learner(loss_func=lambda p,t: F.cross_entropy(p, t))
    says = "function that takes reduction='none' too, to give the loss of each series"
    for f in (lambda: learn.get_preds(with_loss=True), lambda: learn.fit(1, cbs=TSMixUp())):
        with pytest.raises(TypeError, match=says): f()

class Flipped(nn.Module):
    def forward(self, p, t): return F.cross_entropy(p, t)
    def activation(self, p): return p.softmax(1)
    def decodes(self, p): return 2-p.argmax(1)

class Right(Flipped):
    def decodes(self, p): return p.argmax(1)

def test_answers_of_a_loss():
    "A loss with probabilities or answers of its own is refused, unless they are those of the task"
    for loss in (Right(), CrossEntropyLossFlat()): learner(loss_func=loss)
    learner(y=two_labels, loss_func=BCEWithLogitsLossFlat())
    says = 'loss_func: expected one with the decodes of the task, .*got another in '
    with pytest.raises(ValueError, match=says+'Flipped'): learner(loss_func=Flipped())
    with pytest.raises(ValueError, match=says+'BCE'):
        learner(y=two_labels, loss_func=BCEWithLogitsLossFlat(thresh=.95))

@pytest.mark.parametrize('ask', ['validate','get_preds'])
def test_loaders_of_another_task(ask):
    learn,f = learner(),None
    f = getattr(learn, ask)
    for other in (loaders(vocab=[2,1,0]), loaders(numbers)):
        with pytest.raises(ValueError, match='dl: expected data for the task that this learner was made for'):
            f(dl=other.valid)
    with pytest.raises(ValueError, match='dl: expected series preprocessed as in training'):
        f(dl=loaders(X=X*2).valid)
    says = r'dl: expected a loader such as dls.test_dl\(X, y\), got ndarray'
    with pytest.raises(TypeError, match=says): f(dl=X)
    f(dl=learn.dls.test_dl(X[:5], classes[:5]))
    learn.dls = loaders(vocab=[2,1,0])
    with pytest.raises(ValueError, match='expected data for the task'): f()

def test_predictions_for_the_training_loader():
    "As for `ds_idx=0`: each series once, in order, without random transforms"
    weights = np.where(np.arange(24)==0, 50., 1.)
    learn = learner(batch_tfms=Jitter(3., p=1.), weights=weights)
    learn.fit(1, 1e-2)
    probs,targets,losses = learn.get_preds(ds_idx=0, with_loss=True)
    assert targets.tolist()==classes[:12].tolist()
    given = learn.get_preds(dl=learn.dls.train, with_loss=True)
    for o,want in zip(given, (probs,targets,losses)): assert o.equal(want)
    top,i = Interpretation.from_learner(learn, dl=learn.dls.train).top_losses(4)
    assert torch.allclose(top, losses[i])
    changed = learn.tta(dl=learn.dls.train, n=2, beta=None)[0][0]
    assert not torch.allclose(changed, probs) # with these transforms

def test_less_is_better(tmp_path):
    "For a metric that is an error, the best epoch is the one with the least"
    learn = small(numbers, metrics=['rmse'], path=tmp_path)
    best = SaveModelCallback(monitor='rmse', min_delta=.01)
    for _ in range(2): # the second has the callback as the first left it
        learn.fit(4, .3, cbs=best)
        assert (best.comp,best.min_delta)==(np.less,-.01)
        seen = [v[2] for v in learn.recorder.values]
        assert best.best==pytest.approx(min(seen), abs=.01) and best.best<max(seen)
        assert learn.validate()[1]==pytest.approx(best.best, abs=1e-5)
    # without steps, the statistics of BatchNorm come nearer to those of the series
    learn.fit(3, 0., cbs=EarlyStoppingCallback(monitor='rmse'))
    seen = [v[2] for v in learn.recorder.values]
    assert len(seen)==3 and seen[0]>seen[1]>seen[2]

def test_validation_leaves_the_best_weights(tmp_path):
    learn = small(path=tmp_path, cbs=SaveModelCallback())
    learn.fit(1, 1e-2)
    file = tmp_path/'models'/'model.pth'
    there,bias = file.read_bytes(),learn.model.head[-2].bias
    with torch.no_grad(): bias += 9.
    kept = bias.clone()
    learn.validate()
    assert file.read_bytes()==there and bias.equal(kept)

def test_metrics_of_several_outputs():
    "The mean over outputs, as of scikit-learn, not of all values together"
    learn = small(two_numbers, metrics=[R2Score(), ExplainedVariance(), 'r2'])
    y,pred = two_numbers[12:],learn.get_X_preds(X[12:])[0]
    want = [f(y, pred) for f in (r2_score, explained_variance_score, r2_score)]
    np.testing.assert_allclose(learn.validate()[1:], want, rtol=1e-4)
    with pytest.raises(ValueError, match="metrics: expected one for several outputs, such as 'r2', got pearsonr"):
        small(two_numbers, metrics=PearsonCorrCoef())
    small(numbers, metrics=PearsonCorrCoef()).validate()

def test_a_network_that_does_not_fit():
    ts_learner(loaders(), OfX).fit(1)
    with pytest.raises(TypeError, match='model: expected a network whose forward takes x and lengths'):
        ts_learner(loaders(X=ragged), OfX)
    says = 'model: expected a network that is built'
    with pytest.raises(TypeError, match=says): TSLearner(loaders(), SMALL)
    for n in (1,5):
        with pytest.raises(ValueError, match=f'model: expected 3 outputs for a series, got {n}'):
            TSLearner(loaders(), SMALL(2, n)).fit(1)
    with pytest.raises(TypeError, match="arguments of XceptionTime .*, got 'width'"):
        ts_learner(loaders(), SMALL, width=3)

def test_a_new_head_trains():
    "Also if the learner has been trained with the old one; what was frozen stays so"
    learn = learner()
    learn.freeze()
    learn.fit(1, 1e-2)
    learn.model.reset_head(3)
    before = [{k: v.clone() for k,v in o.named_parameters()} for o in (learn.model.head,learn.model.block)]
    learn.fit(1, 1e-2)
    now = [dict(o.named_parameters()) for o in (learn.model.head,learn.model.block)]
    assert all(not v.equal(before[0][k]) for k,v in now[0].items())
    same = [v.equal(before[1][k]) for k,v in now[1].items() if v.ndim>1]
    assert same and all(same)
    opt = learn.opt
    learn.fit(1, 1e-2)
    assert learn.opt is opt

def test_refused_in_one_sentence(tmp_path):
    learn = small(path=tmp_path)
    learn.fit(1, np.logspace(-4, -2, 3)[0]) # a number of numpy
    learn.export()
    empty = load_learner(tmp_path/'export.pkl')
    for f,error,words in (
        (lambda: learn.fit(1.5), ValueError, 'n_epoch: expected a whole number'),
        (lambda: empty.lr_find(), ValueError, 'dls: expected series to train on, got none'),
        (lambda: learn.predict(learn.dls.valid_ds[0]), TypeError, 'item: expected one series'),
        (lambda: ts_learner(loaders(), SMALL, opt_func=torch.optim.AdamW), TypeError,
         r'got AdamW of torch; partial\(OptimWrapper, opt=torch.optim.AdamW\) wraps it'),
        (lambda: ts_learner(loaders(), SMALL, opt_func='adam'), TypeError, "opt_func: expected a function .*'adam'")):
        with pytest.raises(error, match=words): f()
