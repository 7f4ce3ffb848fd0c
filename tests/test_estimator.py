"The estimators against scikit-learn's checks, and beside a classifier of aeon"
import inspect, pickle, subprocess, sys
from importlib.util import find_spec
from pathlib import Path
import joblib
import numpy as np
import pytest
import torch
from torch import nn
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, StratifiedKFold, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator
from xceptiontime.data.formats import read_series
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.data.splits import get_splits
from xceptiontime.models.ensemble import Ensemble
from xceptiontime.models.xceptiontime import XceptionTime
from xceptiontime.processing.preprocess import Preprocess
from xceptiontime.runtime.predictor import Predictor
from xceptiontime.processing.tasks import Classification, Regression
from xceptiontime.train.learner import TSLearner
from xceptiontime.train.estimator import XceptionTimeClassifier, XceptionTimeRegressor

sets = Path(find_spec('aeon').submodule_search_locations[0])/'datasets'/'data'
small = dict(lr=1e-2, bs=32, nf=1, ks=4)
# checks that are known to fail, each with its reason
twice = 'a series that is there twice also counts twice in the statistics of scaling and of BatchNorm'
failing = {
    XceptionTimeClassifier: {'check_sample_weight_equivalence_on_dense_data': twice},
    XceptionTimeRegressor: {'check_sample_weight_equivalence_on_dense_data': twice,
                            'check_regressors_train': 'wants R² of 0.5 on a table whose columns are in no order; '
                                                      'convolutions get there after some 50 epochs, here are 2'},
}
skipped = {'check_array_api_input'} # scikit-learn runs it only if SCIPY_ARRAY_API is set

def made_up(n=20, shape=(30,), seed=0):
    "Random series with two classes"
    return np.random.default_rng(seed).normal(size=(n,*shape)),np.arange(n)%2

def classifier(**kwargs): return XceptionTimeClassifier(**{'epochs':1, 'random_state':0, **small, **kwargs})

@pytest.mark.slow
@pytest.mark.parametrize('kind,epochs', [(XceptionTimeClassifier, 5), (XceptionTimeRegressor, 2)])
def test_check_estimator(kind, epochs):
    estimator = kind(**{**small, 'epochs':epochs, 'lr':3e-2})
    res = check_estimator(estimator, on_fail=None, on_skip=None)
    by_status = {s: {r['check_name']: r['exception'] for r in res if r['status']==s} for s in ('failed','skipped')}
    assert len(res)>40 and set(by_status['failed'])==set(failing[kind]), by_status['failed']
    assert set(by_status['skipped'])<=skipped

@pytest.mark.parametrize('kind', [XceptionTimeClassifier, XceptionTimeRegressor])
def test_main_promises(kind):
    "The most important of scikit-learn's checks; all of them run in the slow part"
    X,y = made_up()
    estimator = kind(epochs=1, random_state=0, **small)
    params = estimator.get_params()
    assert clone(estimator).get_params()==params
    assert clone(estimator).set_params(nf=2).get_params()=={**params, 'nf':2}
    with pytest.raises(NotFittedError): estimator.predict(X)
    before = X.copy()
    assert estimator.fit(X, y) is estimator and estimator.get_params()==params
    np.testing.assert_array_equal(X, before)
    assert estimator.n_features_in_==30 and estimator.predict(X).shape==(20,)
    with pytest.raises(ValueError, match='X has 29 features'): estimator.predict(X[:,1:])
    with pytest.raises(ValueError, match='requires y'): clone(estimator).fit(X, None)
    with pytest.raises(ValueError, match='inconsistent numbers of samples'): clone(estimator).fit(X, y[1:])
    first = estimator.predict(X)
    np.testing.assert_allclose(estimator.fit(X, y).predict(X), first, rtol=1e-5)
    np.testing.assert_allclose(estimator.predict(X[::-1])[::-1], first, rtol=1e-4) # in another order
    assert np.isfinite(estimator.score(X, y))

@pytest.mark.slow
def test_beside_aeon():
    "cross_val_score on BasicMotions, six channels"
    from aeon.classification.feature_based import SummaryClassifier
    parts = [read_series(sets/'BasicMotions'/f'BasicMotions_{part}.ts') for part in ('TRAIN','TEST')]
    X,y = (np.concatenate(o) for o in zip(*parts))
    assert X.shape==(80,6,100)
    clf = XceptionTimeClassifier(epochs=15, lr=1e-2, bs=16, nf=2, random_state=0)
    ours = cross_val_score(clf, X, y, cv=2)
    aeons = cross_val_score(SummaryClassifier(random_state=0), X, y, cv=2)
    assert ours.mean()>.8 and aeons.mean()>.8, (ours,aeons)

def test_unequal_lengths():
    X,y = read_series(sets/'PickupGestureWiimoteZ'/'PickupGestureWiimoteZ_TRAIN.ts')
    assert isinstance(X, list) and len({x.shape[1] for x in X})>5
    clf = classifier().fit(X, y)
    probs = clf.predict_proba(X)
    np.testing.assert_allclose(np.concatenate([clf.predict_proba(X[i:i+1]) for i in range(5)]), probs[:5], atol=1e-5)
    assert set(clf.predict(X))<=set(y) and not hasattr(clf, 'n_features_in_')

@pytest.mark.parametrize('y', [[.5,1.5,.5,1.5]*3, [True,False,False,True]*3,
                               np.array(['a','b','c','a']*3, object), [3,-1,3,7]*3], ids=str)
def test_labels_come_back_as_they_were(y):
    X,_ = made_up(12, (1,20))
    y = np.asarray(y)
    if y.dtype.kind=='f': # scikit-learn treats fractions as a regression, but 1.0 and 3.0 as labels
        with pytest.raises(ValueError, match='Unknown label type'): classifier().fit(X, y)
        y = y*2
    clf = classifier().fit(X, y)
    assert clf.classes_.tolist()==sorted(set(y.tolist())) and clf.predict(X).dtype==y.dtype
    assert clf.predict(X).tolist()==clf.classes_[clf.predict_proba(X).argmax(1)].tolist()

def each_network(estimator):
    "A Predictor for each network of an ensemble"
    p = estimator.predictor_
    return [Predictor(net, p.task, p.preprocess) for net in p.model.networks]

def test_several_outputs():
    rng = np.random.default_rng(0)
    X,y = rng.normal(size=(20,2,15)),rng.normal([100,-5], [10,.1], size=(20,2))
    reg = XceptionTimeRegressor(epochs=3, random_state=0, n_estimators=2, **small).fit(X, y)
    assert np.abs(reg.predict(X).mean(0)-y.mean(0)).max()<10 and reg.predict(X).shape==(20,2)
    np.testing.assert_allclose(reg.predict(X), np.mean([p.predict(X) for p in each_network(reg)], 0), rtol=1e-6)
    np.testing.assert_allclose(clone(reg).fit(X, y).predict(X), reg.predict(X), rtol=1e-5)

@pytest.fixture(scope='module')
def pickled():
    "An estimator of two networks, the series that it was trained on, and its pickle"
    X,y = made_up()
    clf = classifier(n_estimators=2).fit(X, np.array(['no','yes'])[y])
    return clf,X,pickle.dumps(clf)

def test_pickle(pickled):
    clf,X,data = pickled
    assert b'torch' not in data # it holds the networks as model folders
    again = pickle.loads(data)
    np.testing.assert_allclose(again.predict_proba(X), clf.predict_proba(X), atol=1e-6)
    assert again.get_params()==clf.get_params() and again.predict(X).tolist()==clf.predict(X).tolist()

@pytest.mark.slow
def test_pickle_in_another_process(pickled, tmp_path):
    clf,X,data = pickled
    (tmp_path/'clf.pickle').write_bytes(data)
    np.save(tmp_path/'X.npy', X)
    code = ("import pickle, numpy as np\nclf = pickle.load(open('clf.pickle','rb'))\n"
            "np.save('out.npy', clf.predict_proba(np.load('X.npy')))")
    subprocess.run([sys.executable, '-W', 'ignore', '-c', code], cwd=tmp_path, check=True)
    np.testing.assert_allclose(np.load(tmp_path/'out.npy'), clf.predict_proba(X), atol=1e-6)

def test_seeds():
    "None uses numpy's global state, as in scikit-learn; a RandomState advances"
    X,y = made_up()
    def probs(random_state): return classifier(random_state=random_state).fit(X, y).predict_proba(X)
    def same(a, b): return np.allclose(a, b, atol=1e-6)
    np.random.seed(3)
    a,b = probs(None),probs(None)
    np.random.seed(3)
    assert same(probs(None), a) and not same(a, b)
    state = np.random.RandomState(3)
    assert same(probs(state), a) and not same(probs(state), a)
    assert same(probs(5), probs(5)) and not same(probs(5), probs(6))

def test_verbose(capfd):
    X,y = made_up(12, (20,))
    clf = classifier(epochs=2)
    clf.fit(X, y).predict(X)
    assert tuple(capfd.readouterr())==('','')
    clf.set_params(verbose=1).fit(X, y)
    out = capfd.readouterr().out.splitlines()
    assert 'train_loss' in out[0] and [l.split()[0] for l in out[1:]]==['0','1']

def test_missing_values():
    "NaN with a `missing` that accepts it, in tables and in collections"
    X,y = made_up(24, (20,))
    X[np.random.default_rng(1).random(X.shape)<.2] = np.nan
    for missing in ('interpolate','mask'):
        clf = classifier(missing=missing).fit(X, y)
        probs = clf.predict_proba(X)
        assert np.isfinite(probs).all()
        np.testing.assert_allclose(clf.predict_proba(X[:,None]), probs, atol=1e-6)
    with pytest.raises(ValueError, match='Input X contains NaN'): clone(clf).set_params(missing='raise').fit(X, y)

@pytest.mark.filterwarnings('ignore:length_channel')
@pytest.mark.parametrize('kind', [XceptionTimeClassifier, XceptionTimeRegressor])
def test_every_preprocessing_is_there(kind):
    "Each keyword of Preprocess is a keyword of the estimators, and is passed on"
    names = set(inspect.signature(Preprocess).parameters)-{'c_in'}
    given = dict(missing='ffill', scale='robust', mu=255., resample=25, crop=None, length_channel=True)
    assert set(given)==names
    X,y = made_up()
    if kind is XceptionTimeRegressor: y = y+X[:,0]
    e = kind(epochs=1, random_state=0, **small, **given).fit(X, y)
    assert {k: getattr(e.predictor_.preprocess, k) for k in names}==given and e.get_params()['mu']==255.
    assert kind(epochs=1, crop=9, **small).fit(X, y).predictor_.preprocess.crop==9

def test_ensemble_by_hand():
    "The mean of five networks, of which the first equals a network trained alone"
    X,y = made_up()
    clf = classifier(n_estimators=5, random_state=7).fit(X, np.array(['a','b'])[y])
    single = [p.predict_proba(X).astype(np.float64) for p in each_network(clf)]
    assert len(single)==5
    assert min(np.abs(a-b).max() for i,a in enumerate(single) for b in single[:i])>1e-4 # they differ
    np.testing.assert_allclose(clf.predict_proba(X), sum(single)/5, atol=1e-6)
    assert clf.predict(X).tolist()==clf.classes_[(sum(single)/5).argmax(1)].tolist()
    one = classifier(random_state=7).fit(X, np.array(['a','b'])[y])
    np.testing.assert_allclose(one.predict_proba(X), single[0], atol=1e-5)

def test_searches_and_pipelines():
    X,y = made_up(24, (1,20))
    X,groups = X+y[:,None,None]*np.sin(np.arange(20))*3,np.arange(24)//4
    clf = classifier(epochs=4)
    folds = GroupKFold(3)
    scores = cross_val_score(clf, X, y, groups=groups, cv=folds)
    by_hand = [clone(clf).fit(X[a], y[a]).score(X[b], y[b]) for a,b in folds.split(X, y, groups)]
    np.testing.assert_allclose(scores, by_hand)
    search = GridSearchCV(clf, dict(epochs=[1,2], scale=['channel','sample']), cv=2).fit(X, y)
    assert len(search.cv_results_['params'])==4 and search.predict(X).shape==(24,)
    assert search.best_estimator_.epochs in (1,2)
    pipe = make_pipeline(FunctionTransformer(lambda x: x*2), clone(clf).set_params(scale=None)).fit(X, y)
    np.testing.assert_allclose(pipe.predict_proba(X), pipe[-1].predict_proba(X*2))
    assert np.abs(pipe[-1].predict_proba(X)-pipe.predict_proba(X)).max()>1e-3

def gradients(model, task, x, y, weights=None):
    "Gradients of the loss of a batch, with fixed statistics of BatchNorm"
    model.zero_grad()
    for m in model.modules():
        if isinstance(m, nn.BatchNorm1d): m.eval()
    task.loss_func(model(x), y, weights).backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])

@pytest.mark.parametrize('n_networks', [1,2])
@pytest.mark.parametrize('task,y', [(Classification([0,1,2]), [0,1,2]), (Regression(1., 2.), [.5,3.,2.]),
                                    (Regression([0.,1.], [1.,2.]), [[.5,3.],[1.,2.],[2.,0.]])])
def test_weight_two_is_a_row_twice(task, y, n_networks):
    "Up to rounding of float64: the loss is a sum over the series of a batch, in any order"
    torch.manual_seed(0)
    nets = [XceptionTime(2, task.c_out, nf=2, head='linear').double() for _ in range(n_networks)]
    model = nets[0] if n_networks==1 else Ensemble(nets, task.activation_name)
    x,y = torch.randn(3, 2, 30).double(),torch.from_numpy(task.encode(np.array(y)))
    twice = [0,0,1,2,2,2]
    want = gradients(model, task, x[twice], y[twice])
    got = gradients(model, task, x, y, torch.tensor([2.,1.,3.]).double()/2)
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)
    assert (gradients(model, task, x, y)-want).abs().max()>1e-3

def trained(X, y, loss_weights=None):
    "Weights of a network without BatchNorm, trained in one batch, so that the order has no effect"
    dls = TSDataLoaders.from_arrays(X, y, (range(len(X)),), scale=None, bs=64, seed=0)
    dls.train_ds.loss_weights = loss_weights
    torch.manual_seed(0)
    learn = TSLearner(dls, nn.Sequential(nn.Flatten(), nn.Linear(X[0].size, 2)))
    with learn.no_bar(),learn.no_logging(): learn.fit(4, 1e-2)
    return learn.model[1].weight.detach()

def test_a_training_with_weights():
    X,y = made_up(10, (2,15))
    times = np.arange(10)%3+1
    want = trained(X.repeat(times, 0), y.repeat(times))
    torch.testing.assert_close(trained(X, y, times.astype(float)), want, rtol=1e-4, atol=1e-6)
    assert (trained(X, y)-want).abs().max()>1e-3

def same_weights(a, b):
    pairs = zip(a.predictor_.model.state_dict().values(), b.predictor_.model.state_dict().values())
    return all(torch.equal(p, q) for p,q in pairs)

@pytest.mark.parametrize('kind,n', [(XceptionTimeClassifier,1), (XceptionTimeClassifier,2), (XceptionTimeRegressor,2)])
def test_weight_zero_is_a_row_less(kind, n):
    "Bit-identical, as the row is in no batch and no statistic; equal weights are the same as no weights"
    X,y = made_up()
    if kind is XceptionTimeRegressor: y = np.stack([y+X[:,0], X[:,1]], 1)
    w = np.where(np.arange(20)%5==4, 0, np.linspace(1, 3, 20))
    X[w==0] *= 100
    def fit(X, y, w=None):
        return kind(epochs=2, random_state=0, n_estimators=n, **small).fit(X, y, sample_weight=w)
    weighted = fit(X, y, w)
    assert same_weights(weighted, fit(X[w>0], y[w>0], w[w>0]))
    assert same_weights(weighted, fit(X, y, 4*w)) and not same_weights(weighted, fit(X[w>0], y[w>0]))
    assert same_weights(fit(X, y), fit(X, y, np.full(20, .3)))
    assert weighted.predictor_.training['series']==16
    for heavy in (0,1):
        w = np.where(np.arange(20)==heavy, 1e4, 1)
        assert np.isfinite(fit(X, y, w).predict(X)).all()

def test_class_weights():
    "The same as weights of series, by scikit-learn's formulas; a class with a large weight is predicted"
    X,_ = made_up(24)
    y = np.array(['a','b','b','c'])[np.arange(24)%4]
    def fit(class_weight=None, w=None):
        return classifier(epochs=2, class_weight=class_weight).fit(X, y, w)
    assert same_weights(fit('balanced'), fit(w=np.where(y=='b', .5, 1)))
    w = np.linspace(1, 2, 24)
    by_hand = {c: w.sum()/w[y==c].sum()/3 for c in 'abc'}
    a,b = fit('balanced', w),fit(w=w*np.array([by_hand[c] for c in y]))
    np.testing.assert_allclose(a.predict_proba(X), b.predict_proba(X), atol=1e-5)
    assert same_weights(fit({'c':5}), fit(w=np.where(y=='c', 5, 1)))
    heavy = classifier(epochs=8, class_weight={'a':1e4}).fit(X, y)
    assert set(heavy.predict(X))=={'a'} and heavy.classes_.tolist()==['a','b','c']
    assert clone(heavy).get_params()['class_weight']=={'a':1e4}
    for wrong,said in (({'a':-1}, 'class_weight: expected 0 or a number above 0, got -1'),
                       ('even', "'class_weight' parameter .* must be"),
                       ({'d':2}, "class_weight: expected some of the classes .*, got 'd'")):
        with pytest.raises(ValueError, match=said): fit(wrong)
    with pytest.raises(TypeError, match='class_weight'): XceptionTimeRegressor(class_weight='balanced')

def test_weights_that_cannot_be():
    X,y = made_up()
    for w,said in ((np.ones(19), 'sample_weight.shape'), (-np.ones(20), 'Negative values'),
                   (np.full(20, np.nan), 'NaN'), (np.zeros(20), 'zero'),
                   (y, 'expected 2 or more classes of a weight above 0, got one class, 1')):
        with pytest.raises(ValueError, match=said): classifier().fit(X, y, w)
        if w is not y:
            with pytest.raises(ValueError, match=said): XceptionTimeRegressor(epochs=1, **small).fit(X, y, w)

def test_score_with_weights():
    X,y = made_up()
    w = np.arange(20.)
    clf = classifier().fit(X, y)
    assert clf.score(X, y, w)==pytest.approx((w*(clf.predict(X)==y)).sum()/w.sum())
    reg = XceptionTimeRegressor(epochs=1, random_state=0, **small).fit(X, y)
    mean = (w*y).sum()/w.sum()
    want = 1-(w*(y-reg.predict(X))**2).sum()/(w*(y-mean)**2).sum()
    assert reg.score(X, y, w)==pytest.approx(want)

stopping = dict(early_stopping=True, validation_fraction=.3)

def parts_of(y, seed, size):
    "The training and validation parts of an estimator with `random_state=seed`"
    return get_splits(y, valid_size=size, seed=int(np.random.RandomState(seed).randint(2**31-1)))

@pytest.mark.parametrize('kind', [XceptionTimeClassifier, XceptionTimeRegressor])
def test_early_stopping(kind):
    "The weights are those of the epoch with the smallest weighted loss, computed here by hand"
    X,y = made_up(30)
    if kind is XceptionTimeRegressor: y = np.stack([y+X[:,0], X[:,1]], 1)
    w = np.linspace(1, 3, 30)
    e = kind(random_state=0, n_estimators=2, **{**small, 'epochs':12, 'lr':.1}, **stopping, n_iter_no_change=3)
    e.fit(X, y, w)
    train,valid = parts_of(y, 0, 9)
    best = int(np.argmin(e.validation_loss_curve_))
    assert e.n_iter_==len(e.loss_curve_)==len(e.validation_loss_curve_)==min(best+4, 12)
    assert e.predictor_.training['epochs']==best+1 and e.predictor_.training['series']==21
    if kind is XceptionTimeRegressor:
        sizes = y[train].std(0)
        each = (((e.predict(X[valid])-y[valid])/sizes)**2).mean(1)
    else: each = -np.log(e.predict_proba(X[valid])[np.arange(9),y[valid]])
    want = (w[valid]*each).sum()/w[valid].sum()
    assert e.best_validation_loss_==min(e.validation_loss_curve_)==pytest.approx(want, rel=1e-4)
    same = clone(e).fit(X, y, w)
    assert same_weights(e, same) and same.validation_loss_curve_==e.validation_loss_curve_
    assert clone(e).set_params(early_stopping=False).fit(X, y, w).validation_loss_curve_ is None

@pytest.mark.parametrize('kind', [XceptionTimeClassifier, XceptionTimeRegressor])
def test_the_part_held_back_judges_only(kind):
    "The validation series do not change statistics or weights, and have the classes in proportion"
    X,y = made_up(30)
    train,valid = parts_of(y, 0, 9)
    assert np.bincount(y[valid]).tolist() in ([4,5],[5,4])
    if kind is XceptionTimeRegressor: y = y.astype(float)+X[:,0]
    train,valid = parts_of(y, 0, 9)
    def fit(X, y, **kwargs):
        how = dict(epochs=2, n_iter_no_change=99, random_state=0, **small, **stopping, **kwargs)
        return kind(**how).fit(X, y, np.where(np.isin(np.arange(30), valid), 2, 1))
    other = X.copy()
    other[valid] *= 3
    a,b = fit(X, y),fit(other, y)
    pairs = zip(a.predictor_.preprocess.buffers(), b.predictor_.preprocess.buffers())
    assert all(torch.equal(p, q) for p,q in pairs)
    assert a.loss_curve_==b.loss_curve_ and a.validation_loss_curve_!=b.validation_loss_curve_
    if kind is XceptionTimeRegressor: assert a.predictor_.task.mean==pytest.approx(y[train].mean())
    else:
        odd = np.where(np.isin(np.arange(30), valid), 7, 1.) # their weights have no effect on 'balanced'
        clf = classifier(class_weight='balanced', **stopping)
        assert clone(clf).fit(X, y).loss_curve_==clone(clf).fit(X, y, odd).loss_curve_

def test_early_stopping_says_so():
    X,y = made_up()
    for kwargs,said in ((dict(validation_fraction=0), 'validation_fraction: expected a number above 0 and below 1'),
                        (dict(validation_fraction=.05), 'validation_fraction: expected a share of the 20 series that '
                                                        'leaves 2 or more in each part, got 0.05, which is 1'),
                        (dict(n_iter_no_change=0), 'n_iter_no_change: expected a whole number of 1 or more, got 0')):
        with pytest.raises(ValueError, match=said): classifier(early_stopping=True, **kwargs).fit(X, y)
    y[0] = 2
    with pytest.raises(ValueError, match='y: expected 2 or more series of each class .* got 1 of 2'):
        classifier(early_stopping=True).fit(X, y)

def test_warm_start():
    "A second fit starts from the weights and statistics of the first, as its loss shows"
    X,y = made_up(24)
    X = X+y[:,None]*np.sin(np.arange(30))*2
    clf = classifier(epochs=6, warm_start=True, n_estimators=2).fit(X, y)
    first = [o.clone() for o in clf.predictor_.preprocess.buffers()]
    weights,mid = clone(clf).fit(X, y),clf.score(X, y)
    assert same_weights(clf, weights)
    clf.fit(X*2, y) # in other units
    assert clf.predictor_.training['epochs']==12 and not same_weights(clf, weights)
    assert all(torch.equal(a, b) for a,b in zip(first, clf.predictor_.preprocess.buffers()))
    tiny = clone(weights).set_params(lr=1e-9, epochs=1).fit(X, y)
    on = weights.set_params(lr=1e-9, epochs=1).fit(X, y) # with almost no change of the weights
    assert on.score(X, y)>=mid-.1 and on.loss_curve_[0]<tiny.loss_curve_[0]-.05
    anew = clone(clf).set_params(warm_start=False)
    assert same_weights(anew.fit(X, y), anew.fit(X, y))

def test_warm_start_of_a_regression():
    X,y = made_up(24)
    reg = XceptionTimeRegressor(epochs=2, warm_start=True, random_state=0, **small).fit(X, y+X[:,0])
    mean = reg.predictor_.task.mean
    assert reg.fit(X[:,:20], y+X[:,0]+5).predictor_.task.mean==mean and reg.n_features_in_==20
    with pytest.raises(ValueError, match='y: expected as many outputs as .* goes on from, 1, got shape'):
        reg.fit(X, X[:,:2])

def test_warm_start_fits_or_says_so():
    "After an error, the earlier networks are kept"
    X,y = made_up(20, (2,15))
    clf,names = classifier(warm_start=True),np.array(['a','b'])[y]
    before = clf.fit(X, names).predict_proba(X)
    for args,changes,said in (
            ((X, np.array(['a','c'])[y]), {}, r"y: expected the classes .*, \['a', 'b'\], got \['a', 'c'\]"),
            ((X[:,:1], names), {}, 'X: expected 2 channels'),
            ((X, names), dict(nf=2), 'the networks of the fit before, n_estimators=1, nf=1, ks=4, got .* nf=2'),
            ((X, names), dict(n_estimators=2), 'got n_estimators=2'),
            ((X, names), dict(scale='sample'), 'expected the preprocessing of the fit before'),
            ((X, None), {}, 'requires y')):
        old = clf.get_params()
        with pytest.raises(ValueError, match=said): clf.set_params(**changes).fit(*args)
        clf.set_params(**old)
        np.testing.assert_array_equal(clf.predict_proba(X), before)
        assert clf.classes_.tolist()==['a','b']

@pytest.mark.parametrize('kind,n', [(XceptionTimeClassifier,1), (XceptionTimeRegressor,2)])
def test_transform(kind, n):
    "The inputs of the last layer, which gives the scores from them"
    X,y = made_up(24, (2,20))
    e = kind(epochs=1, random_state=0, n_estimators=n, **{**small, 'nf':2}).fit(X, y)
    features = e.transform(X)
    assert features.shape==(24, 8*2*n) and features.dtype==np.float32
    np.testing.assert_array_equal(features, e.predictor_.features(X))
    names = e.get_feature_names_out()
    assert len(names)==16*n and names[0]==kind.__name__.lower()+'0'
    with pytest.raises(NotFittedError): clone(e).transform(X)
    table = e.set_output(transform='pandas').transform(X)
    assert table.columns.tolist()==names.tolist() and np.array_equal(table.to_numpy(), features)
    np.testing.assert_array_equal(clone(e).set_output(transform='default').fit_transform(X, y), features)

def test_features_in_a_pipeline():
    X,y = made_up(24, (1,20))
    X = X+y[:,None,None]*np.sin(np.arange(20))*3
    pipe = make_pipeline(classifier(epochs=4, nf=2), LogisticRegression()).fit(X, y)
    by_hand = LogisticRegression().fit(pipe[0].transform(X), y)
    np.testing.assert_allclose(pipe.predict_proba(X), by_hand.predict_proba(pipe[0].transform(X)), rtol=1e-6)
    assert pipe.score(X, y)>.8
    search = GridSearchCV(pipe, {'xceptiontimeclassifier__nf':[1,2]}, cv=2).fit(X, y)
    assert len(search.cv_results_['params'])==2

def test_weights_in_searches():
    "With and without metadata routing: each training gets the weights of its own series"
    X,y = made_up(16, (1,20))
    w,cv = np.linspace(1, 5, 16),KFold(2)
    clf = classifier()
    plain = [clone(clf).fit(X[a], y[a], w[a]).predict_proba(X[b]) for a,b in cv.split(X)]
    def probs(estimators):
        return [e.predict_proba(X[b]) for e,(_,b) in zip(estimators, cv.split(X))]
    res = cross_validate(clf, X, y, cv=cv, params=dict(sample_weight=w), return_estimator=True)
    np.testing.assert_allclose(probs(res['estimator']), plain)
    without = cross_validate(clf, X, y, cv=cv, return_estimator=True)
    assert np.abs(np.array(probs(without['estimator']))-plain).max()>1e-4
    with config_context(enable_metadata_routing=True):
        routed = clone(clf).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        res = cross_validate(routed, X, y, cv=cv, params=dict(sample_weight=w), return_estimator=True)
        np.testing.assert_allclose(probs(res['estimator']), plain)
        scores = [e.score(X[b], y[b], w[b]) for e,(_,b) in zip(res['estimator'], cv.split(X))]
        np.testing.assert_allclose(res['test_score'], scores)
        search = GridSearchCV(routed, dict(nf=[1]), cv=cv).fit(X, y, sample_weight=w)
        assert search.cv_results_['mean_test_score'][0]==pytest.approx(np.mean(scores))
    assert same_weights(search.best_estimator_, clone(clf).fit(X, y, w))

def test_calibrated_classifier():
    "The mean of one calibrated network per fold, also with weights"
    X,y = made_up(24, (1,20))
    X,cv = X+y[:,None,None]*np.sin(np.arange(20)),StratifiedKFold(2)
    clf,w = classifier(epochs=3),np.linspace(1, 2, 24)
    res = CalibratedClassifierCV(clf, cv=cv).fit(X, y, sample_weight=w)
    for (a,_),own in zip(cv.split(X, y), res.calibrated_classifiers_):
        assert same_weights(own.estimator, clone(clf).fit(X[a], y[a], w[a]))
    probs = res.predict_proba(X)
    np.testing.assert_allclose(probs.sum(1), 1)
    np.testing.assert_allclose(probs, np.mean([o.predict_proba(X) for o in res.calibrated_classifiers_], 0))

@pytest.mark.parametrize('kind', [XceptionTimeClassifier, XceptionTimeRegressor])
def test_joblib(kind, tmp_path):
    X,y = made_up()
    e = kind(epochs=2, random_state=0, **small, **stopping, warm_start=True).fit(X, y)
    joblib.dump(e, tmp_path/'e.joblib')
    again = joblib.load(tmp_path/'e.joblib')
    np.testing.assert_allclose(again.predict(X), e.predict(X), atol=1e-6)
    assert again.get_params()==e.get_params()
    assert again.validation_loss_curve_==e.validation_loss_curve_
    assert same_weights(again.fit(X, y), e.fit(X, y)) # both continue from the same weights
