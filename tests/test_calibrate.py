"Confidence: one temperature for all ways to predict, an independent count, coverage over many draws"
import json
import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.spatial.distance import cdist
from scipy.special import expit, log_softmax, softmax
from scipy.stats import betabinom
from small import onnx_session
from xceptiontime.explain.calibrate import Novelty, calibration_error, fit_temperature, plot_reliability
from xceptiontime.processing.conformal import conformal_table, conformal_tables, predict_sets, threshold
from xceptiontime.data.augment import Jitter
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.runtime.export import export_onnx
from xceptiontime.explain.importance import permutation_importance
from xceptiontime.explain.plots import plot_confusion_matrix
from xceptiontime.train.learner import ts_learner
from xceptiontime.models.xceptiontime import XceptionTime
from xceptiontime.processing.preprocess import Preprocess
from xceptiontime.runtime.predictor import Predictor
from xceptiontime.runtime.stream import StreamingPredictor
from xceptiontime.processing.tasks import Classification, MultiLabel, Regression

def make(task, c_in=2):
    "A small predictor with scores that differ"
    torch.manual_seed(0)
    X = np.random.default_rng(0).normal(size=(12,c_in,30)).astype(np.float32)
    net = XceptionTime(c_in, task.c_out, nf=2, adaptive_size=5, ks=(7,5,3), head='linear').eval()
    return Predictor(net, task, Preprocess().fit(X)), X

def softmax_of_rows(s): return softmax(s, 1)

of_both = pytest.mark.parametrize('task,activation', [
    (Classification(['a','b','c']), softmax_of_rows), (MultiLabel(['a','b']), expit)], ids=['classes','labels'])

@of_both
def test_temperature_everywhere(tmp_path, task, activation):
    "Predictor, folder and stream divide the scores by the temperature; the labels do not change"
    predictor,X = make(task)
    before,scores = predictor.predict(X),predictor.scores(X).numpy().astype(np.float64)
    task.temperature = .07
    want = activation(scores/.07)
    assert np.abs(want-activation(scores)).max()>.1 # otherwise agreement would mean little
    np.testing.assert_allclose(predictor.predict_proba(X), want, atol=1e-5)
    np.testing.assert_array_equal(predictor.predict(X), before)
    loaded = Predictor.from_pretrained(predictor.save_pretrained(tmp_path/'m'))
    assert loaded.task.temperature==.07
    np.testing.assert_array_equal(loaded.predict_proba(X), predictor.predict_proba(X))
    live = StreamingPredictor(loaded, 30).push(np.concatenate(list(X), 1))
    np.testing.assert_allclose([o.probs for o in live], want, atol=1e-5)

@pytest.mark.slow
@of_both
def test_temperature_in_onnx(tmp_path, task, activation):
    "An ONNX file divides the scores by the temperature and states it"
    predictor,X = make(task)
    task.temperature = .07
    want = activation(predictor.scores(X).numpy().astype(np.float64)/.07)
    file = export_onnx(predictor, tmp_path/'m.onnx')
    session = onnx_session(file)
    np.testing.assert_allclose(session.run(None, {'x': X})[0], want, atol=1e-5)
    assert json.loads(session.get_modelmeta().custom_metadata_map['task'])['temperature']==.07

def test_folder_from_before(tmp_path):
    "A config without a temperature opens with 1; an invalid temperature raises an error"
    predictor,X = make(Classification(['a','b','c']))
    file = predictor.save_pretrained(tmp_path/'m')/'config.json'
    config = json.loads(file.read_text())
    del config['task']['temperature']
    file.write_text(json.dumps(config))
    assert Predictor.from_pretrained(tmp_path/'m').task.temperature==1
    for bad in (0,-1,'hot',None):
        config['task']['temperature'] = bad
        file.write_text(json.dumps(config))
        with pytest.raises(ValueError, match='temperature: expected a number above 0'):
            Predictor.from_pretrained(tmp_path/'m')

def nll(task, out, y, temperature):
    "Mean cross entropy in float64"
    s = np.asarray(out, np.float64)/temperature
    if task.name=='classification': return -log_softmax(s, 1)[range(len(y)),y].mean()
    return np.mean(np.logaddexp(0, s)-y*s)

BY_SCIPY = [('binary',5.), ('classes',.2), ('classes',1e3), ('labels',3.), ('labels',1e-3)]

@pytest.mark.parametrize('name,scale', BY_SCIPY)
def test_temperature_by_scipy(name, scale):
    "The same minimum as scipy, and never a larger loss than before"
    rng = np.random.default_rng(0)
    task = MultiLabel(['a','b','c']) if name=='labels' else Classification(range(2 if name=='binary' else 4))
    z = rng.normal(size=(300,task.c_out))
    if name=='labels': y = (rng.random(z.shape)<expit(z)).astype(int)
    else: y = np.array([rng.choice(task.c_out, p=p) for p in softmax(z, 1)])
    out = torch.tensor(scale*z, dtype=torch.float32)
    def loss(log_t): return nll(task, out, y, np.exp(log_t))
    around = np.log(scale)-4, np.log(scale)+4
    best = minimize_scalar(loss, bounds=around, method='bounded', options=dict(xatol=1e-10))
    t = fit_temperature(task, out, y)
    assert abs(t/np.exp(best.x)-1)<1e-4 and .5<t/scale<2 # the factor of the scores
    for before in (.01,.5,1.,t*1.001,20.,1e4):
        assert nll(task, out, y, t)<=nll(task, out, y, before)+1e-12

def test_error_by_count():
    rng = np.random.default_rng(1)
    p,y = softmax(3*rng.normal(size=(500,4)), 1),rng.integers(0, 4, 500)
    want = 0
    for lo in np.arange(15)/15: # claims in [lo, lo + 1/15)
        i = [k for k in range(500) if lo<=p[k].max()<lo+1/15]
        if i: want += abs(sum(p[k].argmax()==y[k] for k in i)-sum(p[k].max() for k in i))/500
    assert abs(calibration_error(p, y)-want)<1e-12 and want>.05
    labels = rng.integers(0, 2, p.shape)
    bins = [(p>=lo)&(p<lo+.1) for lo in np.arange(10)/10]
    want = sum(abs(labels[b].sum()-p[b].sum()) for b in bins)/p.size
    assert abs(calibration_error(torch.tensor(p), torch.tensor(labels), bins=10)-want)<1e-9

@pytest.mark.parametrize('probs,y,words', [
    ([[3.,-2.],[0.,5.]], [0,1], 'probs: expected numbers between 0 and 1, got 3'),
    ([[.5,np.nan],[.5,.5]], [0,1], 'probs: expected numbers between 0 and 1, got nan'),
    ([[.9,.05],[.5,.5]], [0,1],
        'probs: expected probabilities of classes, which sum to 1 for each series, got 0.95 for series 0'),
    ([[.9,.1],[.5,.5]], ['a','b'], "y: expected class indices from 0 to 1, got 'a'"),
    ([[.9,.1],[.5,.5]], ['0','1'], "y: expected class indices from 0 to 1, got '0'"),
    ([[.9,.1],[.5,.5]], [0,2], 'y: expected class indices from 0 to 1, got 2'),
    ([[.9,.1],[.5,.5]], [0,.5], 'y: expected class indices from 0 to 1, got 0.5'),
    ([[.9,.2],[.5,.5]], [[0,1],[1,2]], 'y: expected 0 and 1, got 2'),
])
def test_what_is_no_claim(probs, y, words):
    for f in (calibration_error,plot_reliability):
        with pytest.raises(ValueError) as e: f(np.array(probs), np.array(y))
        assert str(e.value)==words

def test_claims_in_other_forms():
    "Rows that sum to 1 up to rounding, labels with any sum, and targets of another dtype"
    p = softmax(np.random.default_rng(0).normal(size=(50,4)), 1)
    y = np.arange(50)%4
    want,two = calibration_error(p, y),[[.9,.1],[.2,.8]]
    for probs in (p.astype(np.float32),torch.tensor(p)): assert abs(calibration_error(probs, y)-want)<1e-6
    for truth in (y.astype(np.float32),y.astype(np.uint8),torch.tensor(y),y.tolist()):
        assert calibration_error(p, truth)==want
    assert calibration_error(two, np.array([True,False]), np.int64(2))==calibration_error(two, [1,0], 2)

def test_temperature_of_targets_that_fit():
    "A column of class indices, or labels without columns, would be broadcast wrongly"
    out,y = torch.tensor([[2.,0.],[2.,0.],[2.,0.],[-2.,0.],[0.,1.],[0.,1.]]),np.array([0,0,0,0,1,0])
    two,label = Classification(['a','b']),MultiLabel(['a'])
    assert 0<fit_temperature(two, out, y)==fit_temperature(two, out, torch.tensor(y))<10
    for task,s,t,words in (
        (two, out, y[:,None], r'class indices \(6,\), for scores \(6, 2\), got shape \(6, 1\)'),
        (label, out[:,:1], y, r'0 and 1 \(6, 1\), for scores \(6, 1\), got shape \(6,\)'),
        (two, out, y[:5], r'.* got shape \(5,\)'),
        (two, out[:0], y[:0], r'.* got shape \(0,\)'),
        (two, out, y+1, 'class indices from 0 to 1, got 2')):
        with pytest.raises(ValueError, match='y: expected '+words): fit_temperature(task, s, t)
    assert 0<fit_temperature(label, out[:,:1], 1-y[:,None])<10

@pytest.mark.parametrize('value', [0.,1.,.1,-7.3])
def test_scores_that_are_all_the_same(value):
    for task in (Classification(range(3)),*([MultiLabel(range(3))] if value==0 else [])):
        y = np.zeros(7, int) if task.name=='classification' else np.ones((7,3))
        with pytest.warns(UserWarning, match='whose scores do not predict the targets; it stays 1'):
            assert fit_temperature(task, torch.full((7,3), value), y)==1

def test_the_alpha_that_is_told_will_do():
    for n in range(1, 1000):
        table = conformal_table(np.arange(float(n)))
        with pytest.raises(ValueError) as e: threshold(table, 1e-6)
        told = float(str(e.value).split()[2])
        assert threshold(table, told)==n-1 and 1/(n+1)-1e-9<=told<1.01/(n+1)

def draws(task, n, new, seed, per_class=False, alpha=.1):
    "How many of `new` series `predict_sets` covers after `n` held-back series: in total and per class"
    rng = np.random.default_rng(seed)
    def series(m):
        if task.name=='regression':
            y = rng.normal(3, 5, size=(m,*task.mean.shape))
            out = (y+rng.standard_t(3, size=y.shape)-task.mean)/task.std
            return torch.tensor(out.reshape(m, -1), dtype=torch.float32),y
        z = rng.normal(size=(m,task.c_out))*2
        if task.name=='multilabel':
            return torch.tensor(z, dtype=torch.float32),(rng.random(z.shape)<expit(.5*z)).astype(int)
        y = rng.choice(task.c_out, size=m, p=[.6,.3,.1])
        z[np.arange(m),y] += 4-1.5*y # the rare class is the hard one
        return torch.tensor(z, dtype=torch.float32),y
    task.conformal = conformal_tables(task, *series(n))
    out,y = series(new)
    got = predict_sets(task, out, alpha, per_class)
    if task.name=='classification': hit = np.array([t in s for s,t in zip(got, y)])
    else: hit = ((got[0]<=y)&(y<=got[1]))
    if task.name=='multilabel' and not per_class: hit = hit.all(1)
    return hit,y

def sd(n, alpha, new, repeats):
    "Deviation of the mean share covered: of the beta-binomial law"
    l = int((n+1)*alpha)
    return betabinom(new, n+1-l, l).std()/new/repeats**.5

TASKS = [Classification(range(3)), MultiLabel(range(3)), Regression(3., 5.)]

@pytest.mark.parametrize('task', TASKS, ids=['classes','labels','values'])
def test_coverage(task):
    "Over 300 draws of 59 held-back series at least 1 - alpha; of intervals, without ties, at most 1/(n+1) more"
    hits = np.concatenate([draws(task, 59, 40, s)[0] for s in range(300)])
    slack = 4*sd(59, .1, 40, 300)
    assert hits.mean()>=.9-slack
    if task.name=='regression': assert hits.mean()<=.9+1/60+slack

@pytest.mark.slow
def test_coverage_per_class():
    "Each class has the coverage asked for; with one threshold for all, one class has too little"
    task,shares = Classification(range(3)),{}
    for per_class in (True,False):
        both = [draws(task, 300, 100, s, per_class) for s in range(150)]
        hit,y = (np.concatenate(o) for o in zip(*both))
        shares[per_class] = np.array([hit[y==k].mean() for k in range(3)])
    slack = 4*sd(20, .1, 8, 150) # of the rarest class there are about 30 and 10
    assert (shares[True]>=.9-slack).all()
    assert shares[False].min()<.9-slack

def test_coverage_per_label_and_output():
    for task,per_class in ((MultiLabel(range(2)),True), (Regression([3.,3.], [5.,5.]),False)):
        hit = np.concatenate([draws(task, 59, 40, s, per_class)[0] for s in range(200)])
        assert (hit.mean(0)>=.9-4*sd(59, .1, 40, 200)).all()

@pytest.mark.slow
def test_coverage_by_group():
    "Windows of a new recording are covered; if windows count as independent, too few are"
    rng,hits = np.random.default_rng(0),np.zeros(2)
    ids,repeats = np.repeat(np.arange(12), 30),1500
    for _ in range(repeats):
        s = rng.normal(size=13).repeat(30) + .1*rng.normal(size=13*30)
        hits += [s[-1]<=threshold(conformal_table(s[:-30], g), .1) for g in (ids,None)]
    grouped,alone = hits/repeats
    sd = (.09/repeats)**.5
    assert grouped>=.9-4*sd and alone<.9-4*sd

def test_group_weights():
    "Groups of unequal size have equal weight: by hand, with three series of one group and one of each other group"
    table = conformal_table([1.,2.,3.,4.,5.], groups=['a','a','a','b','c'])
    np.testing.assert_allclose(table['levels'], [11/12,10/12,9/12,6/12,3/12], atol=1e-9)
    assert (table['series'],table['groups'])==(5,3) and threshold(table, .5)==4.

def test_sets_after_reload(tmp_path):
    "The folder keeps the tables; sets are the same for ties, many classes and after a temperature"
    predictor,X = make(Classification(['a','b','c']))
    y = np.arange(12)%3
    predictor.task.conformal = conformal_tables(predictor.task, predictor.scores(X), y)
    want = predictor.predict_set(X, .2)
    predictor.task.temperature = .05
    loaded = Predictor.from_pretrained(predictor.save_pretrained(tmp_path/'m'))
    assert loaded.predict_set(X, .2)==want and loaded.predict_set([])==[]
    assert all(s[0]==p for s,p in zip(want, loaded.predict(X)))
    with pytest.raises(ValueError, match='alpha: expected 0.077 or more, as 12 series were held back, got 0.05'):
        loaded.predict_set(X, .05)
    file = tmp_path/'m'/'config.json'
    config = json.loads(file.read_text())
    good = config['task']['conformal']
    lists = {**good['all'], 'scores':[[1]]*12}
    for bad in ('x', {'all':1,'each':[]}, {**good, 'each':[{'series':1}]*3}, {**good, 'all':lists}):
        file.write_text(json.dumps({**config, 'task':{**config['task'], 'conformal':bad}}))
        with pytest.raises(ValueError, match='conformal: expected what conformal_tables gives'):
            Predictor.from_pretrained(tmp_path/'m')

HALVES = np.arange(20),np.arange(20,40)

def loaders(**kwargs):
    X = np.random.default_rng(0).normal(size=(40,2,20)).astype(np.float32)
    y = np.arange(40)%2
    return X,y,TSDataLoaders.from_arrays(X, y, HALVES, device='cpu', **kwargs)

def test_each_series_with_its_target():
    "Unequal lengths and a last batch that is not full: scores are those of the Predictor, in order"
    X = [x[:,:5+i%13] for i,x in enumerate(loaders()[0])]
    dls = TSDataLoaders.from_arrays(X, np.arange(40)%2, HALVES, bs=3, device='cpu')
    learn = ts_learner(dls, nf=2, seed=0)
    out,y = learn.scores(dls.valid)
    np.testing.assert_allclose(out, learn.predictor().scores(X[20:]), atol=1e-5)
    np.testing.assert_array_equal(y, np.arange(20,40)%2)
    assert learn.calibrate()==fit_temperature(learn.task, out, y)

def test_training_windows_are_refused():
    rec = [np.random.default_rng(i).normal(size=(2,200)).astype(np.float32) for i in range(4)]
    dls = TSDataLoaders.from_recordings(rec, ['a','b','a','b'], 20, splits=HALVES, device='cpu')
    learn = ts_learner(dls, nf=2, seed=0)
    with pytest.raises(ValueError, match='got 20 of 20 that are in the training split'):
        learn.calibrate_sets(dls.train)
    learn.calibrate_sets(groups=np.repeat([2,3], 10))
    assert learn.task.conformal['all']['groups']==2 and dls.task.conformal is None

@pytest.mark.parametrize('held_back', ['ragged','equal'])
def test_training_series_of_unequal_length_are_refused(held_back):
    "Also if the loader pads the other series further; held-back series are accepted"
    X = [x[:,:5+i%13] for i,x in enumerate(loaders()[0])]
    y = np.arange(40)%2
    learn = ts_learner(TSDataLoaders.from_arrays(X, y, HALVES, bs=8, device='cpu'), nf=2, seed=0)
    def calibrate(X, y): learn.calibrate_sets(learn.dls.test_dl(X, y))
    train = [i for i in range(20) if (X[i].shape[1]<17 if held_back=='ragged' else X[i].shape[1]==9)]
    assert len(train)>1
    n,known = len(train),learn.dls.test_dl([X[i] for i in train], y[train])
    for f in (learn.calibrate,learn.calibrate_sets):
        with pytest.raises(ValueError, match=f'got {n} of {n} that are in the training split'):
            f(known)
    more = [X[i] for i in train]+[np.ones((2,30))]
    with pytest.raises(ValueError, match=f'got {n} of {n+1} that'): calibrate(more, [0]*(n+1))
    calibrate(X[20:], y[20:])
    with pytest.raises(ValueError, match='got 20 of 25 that'): calibrate(X[:25], y[:25])

def test_training_series_among_equal_ones_are_refused():
    "A network trained on equal lengths, with a longer held-back series"
    X,y,dls = loaders()
    learn = ts_learner(dls, nf=2, seed=0)
    with pytest.raises(ValueError, match='got 20 of 21 that'):
        learn.calibrate_sets(dls.test_dl([*X[:20],np.ones((2,30))], [0]*21))

@pytest.mark.usefixtures('closed')
def test_other_loaders_are_refused():
    "Loaders with other classes, another task or other preprocessing; its own loaders and equal ones are accepted"
    X,y,dls = loaders()
    learn = ts_learner(dls, nf=2, seed=0)
    def load(X=X, y=y, splits=HALVES, **kwargs):
        return TSDataLoaders.from_arrays(X, y, splits, device='cpu', **kwargs).valid
    def importance(dl): return permutation_importance(learn, dl=dl, n_repeats=2)
    def confusion(dl): return plot_confusion_matrix(learn, dl)
    task = 'dl: expected data for the task that this learner was made for, Classification'
    other = 'dl: expected series preprocessed as in training'
    new = np.random.default_rng(1).normal(size=X.shape)
    numbers,labels = load(y=y.astype(float), task='regression'),load(y=np.c_[y,1-y], task='multilabel')
    refused = [(dl,task) for dl in (load(vocab=[1,0]), load(y=y+1), numbers, labels)]
    refused += [(dl,other) for dl in (load(scale='robust'), load(mu=255), load(X=new), load(splits=HALVES[::-1]))]
    again = dls.train.new(dls.valid.dataset, shuffle=False)
    for f in (learn.calibrate,learn.calibrate_sets,importance,confusion):
        for dl,words in refused:
            with pytest.raises(ValueError, match=words) as e: f(dl)
            assert len(str(e.value).splitlines())==1
        for dl in (None, dls.valid, dls.test_dl(X[20:], y[20:]), again, load()): f(dl)

def test_most_of_novelty():
    dls = loaders()[2]
    learn = ts_learner(dls, nf=2, seed=0)
    for bad in (0,-1,2.5,True):
        with pytest.raises(ValueError, match=f'most: expected a whole number of 1 or more, got {bad}'):
            Novelty(learn, most=bad)
        with pytest.raises(ValueError, match=f'keep: expected a whole number of 1 or more, got {bad}'):
            conformal_table([1.,2.], keep=bad)
    assert len(Novelty(learn, k=np.int64(3), most=np.int64(7)).known)==7

@pytest.mark.usefixtures('closed')
def test_plots_are_headless():
    X,y,dls = loaders()
    learn = ts_learner(dls, nf=2, seed=0)
    learn.task.temperature = 2.
    ax = learn.plot_reliability()
    assert [t.get_text().split(':')[0] for t in ax.get_legend().get_texts()]==['before','after']
    assert plot_reliability([[.9,.1],[.2,.8]], [0,0], ax=ax) is ax

def test_novelty():
    "As with scipy's neighbours; held-back series have p-values of ranks; augmentation is not applied"
    X,y,dls = loaders(batch_tfms=Jitter(p=1.))
    learn = ts_learner(dls, nf=2, seed=0)
    novelty,f = Novelty(learn, k=3),learn.predictor().features(X).numpy().astype(np.float64)
    f /= np.linalg.norm(f, axis=1, keepdims=True)
    want = np.sort(cdist(f[20:], f[:20]), 1)[:,2]
    np.testing.assert_allclose(novelty.score(X[20:]), want, atol=1e-4)
    np.testing.assert_allclose(np.sort(novelty.held_back), np.sort(want), atol=1e-4)
    assert novelty.p_value(X[20:]).min()>=1/21 and np.unique(novelty.p_value(X)).max()<=1
    far = novelty.p_value(1e3*np.random.default_rng(2).normal(size=(5,2,20)))
    assert ((far>0)&(far<=1)).all()

def test_a_network_without_numbers_says_so():
    "The error does not name the temperature, and no table is kept"
    learn = ts_learner(loaders()[2], nf=2, seed=0)
    with torch.no_grad(): learn.model.head[3].bias[0] = torch.nan
    for call in (learn.calibrate, learn.calibrate_sets, learn.plot_reliability):
        with pytest.raises(ValueError, match='outputs of the network, got nan for series 0'): call()
    assert learn.task.temperature==1 and learn.task.conformal is None
