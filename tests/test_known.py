"Facts about weights (epochs, scores, calibration) follow these weights, however they are loaded or changed"
import pickle
import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from fastai.callback.tracker import EarlyStoppingCallback,SaveModelCallback
from fastai.imports import noop
from fastai.learner import Learner,load_learner
from small import Stop, same
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.data.sets import make_bumps
from xceptiontime.explain import calibrate # noqa: F401 - gives learners `calibrate`
from xceptiontime.runtime.predictor import Predictor
from xceptiontime.train.checkpoint import Checkpoint
from xceptiontime.train.learner import ts_learner
from xceptiontime.train.recipe import AverageWeights

X,y,_ = make_bumps(40, c_in=2, length=30, seed=0)
RAGGED = [x[:,:20+i%10] for i,x in enumerate(X)]
SPLITS = np.arange(24),np.arange(24,40)

def loaders(X=X, y=y, **kwargs):
    return TSDataLoaders.from_arrays(X, y, SPLITS, **{'bs':8, 'seed':0, 'device':'cpu', **kwargs})

def learner(path, X=X, y=y, seed=0, **kwargs):
    learn = ts_learner(loaders(X, y, seed=seed), **{'nf':1, 'seed':seed, 'path':path, **kwargs})
    learn.remove_cb(learn.progress)
    learn.logger = noop
    return learn

def weights(learn): return {k: t.clone() for k,t in learn.model.state_dict().items()}
def moments(learn):
    "Copies of the optimizer's averages"
    return [v.clone() for s in learn.opt.state_dict()['state'] for v in s.values() if torch.is_tensor(v)]
def epochs(learn): return learn.trained.get('epochs')
def warm(learn, t=2.):
    "A temperature and tables, as `calibrate` and `calibrate_sets` find them"
    learn.task.temperature = t
    return learn.calibrate_sets()
def calibration(learn): return learn.task.temperature,learn.task.conformal

def test_saved_with_weights_and_loaded_with_them(tmp_path):
    learn = learner(tmp_path)
    learn.fit(2)
    told,found = learn.trained,calibration(warm(learn))
    learn.save('two')
    learn.fit(1)
    assert epochs(learn)==3 and calibration(learn)==(1,None)
    for other in (learn, learner(tmp_path), learner(tmp_path, seed=3)):
        other.load('two')
        assert other.trained==told and calibration(other)==found
        assert other.predictor().training==told
        p = Predictor.from_pretrained(other.save_pretrained(tmp_path/'m'))
        assert p.training==told and (p.task.temperature,p.task.conformal)==found

@pytest.mark.parametrize('with_opt', [True,False])
def test_files_of_plain_fastai(tmp_path, with_opt):
    "Files of plain fastai in both directions; no facts are known about their weights"
    learn = warm(learner(tmp_path))
    learn.fit(1)
    warm(learn).save('ours', with_opt=with_opt)
    model = learner(tmp_path).model
    plain = Learner(learn.dls, model, loss_func=learn.loss_func, path=tmp_path, splitter=learn.splitter)
    plain.load('ours', with_opt=with_opt)
    assert same(weights(plain), weights(learn))
    with torch.no_grad(): plain.model.head[3].bias.add_(.1)
    plain.save('theirs', with_opt=with_opt)
    learn.load('theirs', with_opt=with_opt)
    assert same(weights(plain), weights(learn))
    assert learn.trained=={} and calibration(learn)==(1,None) and learn.predictor().training is None
    assert learn.predictor().lengths is None
    learn.fit(1)
    assert 'epochs' not in learn.trained and learn.trained['series']==24 # the number before is unknown

def test_weights_changed_by_hand(tmp_path):
    learn = learner(tmp_path)
    learn.fit(1)
    told,before = learn.trained,weights(learn)
    found = calibration(warm(learn))
    learn.save('one')
    opt = torch.optim.SGD(learn.model.parameters(), 1e-2)
    xb,yb = learn.dls.train.one_batch()
    learn.loss_func(learn.model(xb), yb).backward()
    opt.step()
    probs = learn.get_preds()[0]
    assert torch.allclose(probs, learn.scores()[0].softmax(1), atol=1e-6) # without the temperature
    assert learn.trained=={} and calibration(learn)==(1,None)
    learn.load('one')
    assert learn.trained==told and calibration(learn)==found and same(before, weights(learn))
    learn.model = learner(tmp_path, seed=1).model
    assert learn.trained=={}

def test_calibrated_then_trained_on(tmp_path):
    learn = warm(learner(tmp_path))
    found,before = calibration(learn),weights(learn)
    learn.fit(0)
    assert calibration(learn)==found # the weights are the same
    with pytest.raises(RuntimeError): learn.fit(1, cbs=Stop(0))
    assert calibration(learn)==found and same(before, weights(learn))
    learn.fit(1)
    assert calibration(learn)==(1,None)

def test_calibration_of_another_task_stays_out(tmp_path):
    learn = learner(tmp_path)
    learn.fit(1)
    warm(learn).save('classes')
    other = learner(tmp_path, y=np.array(['no','yes'])[y])
    other.load('classes')
    assert other.trained==learn.trained and calibration(other)==(1,None)
    numbers = learner(tmp_path, y=y*2.5)
    numbers.calibrate_sets().save('numbers')
    assert numbers.load('numbers').task.conformal is not None
    assert learner(tmp_path, y=y*2.5+1).load('numbers').task.conformal is None # the intervals have other units

def test_best_epoch(tmp_path):
    learn,cb = learner(tmp_path, nf=2),SaveModelCallback(with_opt=True)
    learn.fit(5, 3e-2, cbs=[cb, EarlyStoppingCallback(patience=2)])
    losses = [v[1] for v in learn.recorder.values]
    best = int(np.argmin(losses))
    assert best<len(losses)-1
    assert epochs(learn)==best+1 and learn.trained['last']['valid_loss']==losses[best]
    assert learn.validate()[0]==pytest.approx(losses[best])

def test_stopped_early(tmp_path):
    learn = learner(tmp_path)
    learn.fit(9, 1., cbs=EarlyStoppingCallback(min_delta=9, patience=2))
    assert epochs(learn)==3==len(learn.recorder.values)
    assert learn.trained['last']['valid_loss']==learn.recorder.values[-1][1]

@pytest.mark.parametrize('at_end', [False,True])
def test_averaged_weights_have_no_figures(tmp_path, at_end):
    "The scores of the last epoch belong to the weights before averaging"
    learn,cbs = learner(tmp_path),[AverageWeights(.5)]
    learn.fit(2, cbs=cbs+[SaveModelCallback(at_end=True)]*at_end)
    assert learn.trained==dict(epochs=2, series=24, shortest=30, longest=30, seed=0, last={})
    if at_end: assert learner(tmp_path).load('model').trained==learn.trained

def test_interrupted(tmp_path):
    "Whole epochs count; the scores of the last epoch belong to other weights"
    learn = learner(tmp_path)
    with pytest.raises(KeyboardInterrupt): learn.fit(3, cbs=Stop(4, KeyboardInterrupt))
    assert epochs(learn)==1 and learn.trained['last']=={} and learn.predictor().lengths==(30,30)

def finished(path, *cbs, at=-1, error=RuntimeError, **kwargs):
    learn = learner(path, RAGGED, **kwargs)
    learn.fit_one_cycle(3, 1e-2, cbs=[*cbs, Stop(at, error), Checkpoint(path/'run')])
    return learn

@pytest.mark.parametrize('cbs', [(), (SaveModelCallback,), (AverageWeights,)])
@pytest.mark.parametrize('at', [None,4])
def test_script_that_starts_again(tmp_path, cbs, at):
    "Finished, or killed in the second epoch"
    plain = learner(tmp_path, RAGGED)
    plain.fit_one_cycle(3, 1e-2, cbs=[c() for c in cbs])
    if at:
        with pytest.raises(RuntimeError): finished(tmp_path, *[c() for c in cbs], at=at)
    for _ in range(2):
        learn = finished(tmp_path, *[c() for c in cbs])
        assert same(weights(learn), weights(plain)) and learn.trained==plain.trained
        assert learn.predictor().lengths==(20,29)

def test_a_second_fit_after_all_that(tmp_path):
    "The order of its batches is that of an undisturbed learner"
    whole = learner(tmp_path)
    whole.fit(2)
    whole.save('two')
    whole.fit(2)
    learn = learner(tmp_path)
    learn.load('two').fit(2)
    assert same(weights(learn), weights(whole)) and learn.trained==whole.trained
    def script(at):
        learn = learner(tmp_path)
        for k in (-1,at): learn.fit(2, cbs=[Stop(k, RuntimeError), Checkpoint(tmp_path/'run')])
        return learn
    with pytest.raises(RuntimeError): script(1) # killed in the second fit
    for learn in (script(-1),script(-1)):
        assert same(weights(learn), weights(whole)) and learn.trained==whole.trained
    learn = learner(tmp_path)
    learn.fit(2)
    learn = pickle.loads(pickle.dumps(learn))
    learn.fit(2)
    assert same(weights(learn), weights(whole)) and learn.trained==whole.trained

def test_a_search_leaves_the_order_too(tmp_path):
    learn,other = learner(tmp_path),learner(tmp_path)
    learn.lr_find(num_it=6, show_plot=False, suggest_funcs=None)
    for l in (learn,other): l.fit(1)
    assert same(weights(learn), weights(other)) and learn.trained==other.trained

@pytest.mark.parametrize('error', [RuntimeError,KeyboardInterrupt,SystemExit])
@pytest.mark.parametrize('when', ['after_step','before_batch','after_loss'])
def test_a_search_that_an_error_ends(tmp_path, error, when):
    learn = learner(tmp_path)
    learn.fit(1)
    told,found = learn.trained,calibration(warm(learn))
    before,opt = weights(learn),moments(learn)
    class Fail(Callback):
        def at(self):
            if self.train_iter==4:
                raise error('stop')
    setattr(Fail, when, Fail.at)
    with learn.added_cbs(Fail()),pytest.raises(error): learn.lr_find(num_it=20, show_plot=False)
    assert same(before, weights(learn)) and learn.trained==told and calibration(learn)==found
    assert all(a.equal(b) for a,b in zip(opt, moments(learn), strict=True))
    assert [p.name for p in (tmp_path/'models').iterdir()]==[]
    learn.fit(1)
    assert epochs(learn)==2

def test_export_and_folder(tmp_path):
    learn = learner(tmp_path, RAGGED)
    learn.fit(2)
    told,found = learn.trained,calibration(warm(learn))
    learn.export('learn.pkl')
    loaded = load_learner(tmp_path/'learn.pkl')
    assert loaded.trained==told and calibration(loaded)==found
    folder = learn.save_pretrained(tmp_path/'m')
    on = ts_learner(loaders(RAGGED), pretrained=folder, path=tmp_path)
    assert on.trained==told and calibration(on)==found
    with on.no_bar(),on.no_logging(): on.fit(1)
    assert epochs(on)==3 and calibration(on)==(1,None)

def test_validation_inside_a_training(tmp_path):
    "The average of weights continues"
    class Look(Callback):
        looks_only = True
        def after_epoch(self):
            if self.this_run.kind=='training': self.learn.validate()
    one,two = learner(tmp_path),learner(tmp_path)
    one.fit(3, 1e-2, cbs=AverageWeights(.5))
    two.fit(3, 1e-2, cbs=[AverageWeights(.5), Look()])
    assert same(weights(one), weights(two)) and one.trained==two.trained

def test_error_leaves_no_average(tmp_path):
    "If the weights diverge, the last finite weights are kept"
    learn = learner(tmp_path)
    with pytest.raises(FloatingPointError, match='the weights are back at'): learn.fit(2, 1e30, cbs=AverageWeights())
    assert all(t.isfinite().all() for t in weights(learn).values())
