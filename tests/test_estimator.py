"The estimators against scikit-learn's own checks, and beside a classifier of aeon's"
import inspect, pickle, subprocess, sys
from importlib.util import find_spec
from pathlib import Path
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator
from xceptiontime.data.formats import read_series
from xceptiontime.processing.preprocess import Preprocess
from xceptiontime.runtime.predictor import Predictor
from xceptiontime.train.estimator import XceptionTimeClassifier, XceptionTimeRegressor

pytestmark = pytest.mark.usefixtures('on_cpu')

sets = Path(find_spec('aeon').submodule_search_locations[0])/'datasets'/'data'
small = dict(lr=1e-2, bs=32, nf=1, ks=4)
# checks that are known to fail, each with its reason
failing = {
    XceptionTimeClassifier: {},
    XceptionTimeRegressor: {'check_regressors_train': 'wants R² of 0.5 on a table whose columns are in no order; '
                                                      'convolutions get there after some 50 epochs, here are 2'},
}
skipped = {'check_array_api_input'} # scikit-learn runs it only where SCIPY_ARRAY_API is set

def made_up(n=20, shape=(30,), seed=0):
    "Series without meaning, and two classes"
    return np.random.default_rng(seed).normal(size=(n,*shape)),np.arange(n)%2

def classifier(**kwargs): return XceptionTimeClassifier(**{'epochs':1, 'random_state':0, **small, **kwargs})

@pytest.mark.slow
@pytest.mark.parametrize('kind,epochs', [(XceptionTimeClassifier, 5), (XceptionTimeRegressor, 2)])
def test_check_estimator(kind, epochs):
    estimator = kind(epochs=epochs, **small)
    res = check_estimator(estimator, on_fail=None, on_skip=None)
    by_status = {s: {r['check_name']: r['exception'] for r in res if r['status']==s} for s in ('failed','skipped')}
    assert len(res)>40 and set(by_status['failed'])==set(failing[kind]), by_status['failed']
    assert set(by_status['skipped'])<=skipped

@pytest.mark.parametrize('kind', [XceptionTimeClassifier, XceptionTimeRegressor])
def test_main_promises(kind):
    "Those of scikit-learn's checks that a user would miss first; all of them are in the slow part"
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
    np.testing.assert_allclose(estimator.predict(X[::-1])[::-1], first, rtol=1e-4) # each series by itself
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
    if y.dtype.kind=='f': # scikit-learn takes fractions for a regression; 1.0 and 3.0 are labels to it
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
    assert b'torch' not in data # the networks are in it as model folders
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
    "None follows numpy's global state, as everywhere in scikit-learn; a RandomState moves on"
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
    "NaN where `missing` deals with it, in tables and in collections"
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
    "Each keyword of Preprocess is one of the estimators, and reaches it"
    names = set(inspect.signature(Preprocess).parameters)-{'c_in'}
    given = dict(missing='ffill', scale='robust', mu=255., resample=25, crop=None, length_channel=True)
    assert set(given)==names
    X,y = made_up()
    if kind is XceptionTimeRegressor: y = y+X[:,0]
    e = kind(epochs=1, random_state=0, **small, **given).fit(X, y)
    assert {k: getattr(e.predictor_.preprocess, k) for k in names}==given and e.get_params()['mu']==255.
    assert kind(epochs=1, crop=9, **small).fit(X, y).predictor_.preprocess.crop==9

def test_ensemble_by_hand():
    "Five networks, averaged, of which the first is what one alone becomes"
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
