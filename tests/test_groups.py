"Groups left out in several processes and by folds, with several labels, regression, and results of other methods"
import json, os, subprocess, sys, warnings
from functools import partial
from pathlib import Path
import numpy as np
import pytest
import torch
from fastai.callback.all import EarlyStoppingCallback, GradientClip
from scipy import stats
from sklearn.model_selection import GroupKFold
from torch import nn
from xceptiontime.bench.group_results import GroupResults
from xceptiontime.bench.groups import _stated, leave_groups_out
from xceptiontime.data.augment import Jitter
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.processing.tasks import Classification
from xceptiontime.train.learner import ts_learner
from xceptiontime.train.recipe import get_recipe
from small import X, classes, ragged, two_labels

groups = np.repeat(np.array(['ann','bob','cleo','dan']), 6)
HOW = dict(nf=1, epochs=1, recipe='base', bs=8, verbose=False, device='cpu')

@pytest.fixture(scope='module')
def res(): return leave_groups_out(X, classes, groups, **HOW)

def made(seed):
    "Results of made-up probabilities"
    return GroupResults(Classification([0,1,2]), classes,
                        np.random.default_rng(seed).dirichlet([1,1,1], 24), groups)

def test_means_by_hand():
    res = made(1)
    accuracy = [(res.probs[groups==g].argmax(1)==classes[groups==g]).mean() for g in np.unique(groups)]
    assert res.table['accuracy'].tolist()==accuracy
    s = res.summary(level=.9).loc['accuracy']
    low,high = stats.t.interval(.9, 3, np.mean(accuracy), stats.sem(accuracy))
    np.testing.assert_allclose(s[['mean','low','high']].astype(float),
                               [np.mean(accuracy), low, high])
    assert res.confusion.to_numpy().trace()==(res.answers==classes).sum()

def test_compare_by_hand():
    res,other = made(1),made(2)
    c,d = res.compare(other),res.table['accuracy']-other.table['accuracy']
    test = stats.ttest_rel(res.table['accuracy'], other.table['accuracy']).confidence_interval(.95)
    np.testing.assert_allclose([c['low'],c['high']], [test.low,test.high])
    assert d.any() and c['p']==stats.wilcoxon(d.round(9)).pvalue

def test_folds_of_groups():
    res = leave_groups_out(X, classes, groups, 2, **HOW)
    for train,out in GroupKFold(2).split(X, groups=groups):
        one = leave_groups_out(X, classes, np.isin(np.arange(24), out),
                               **HOW) # the same two, with other names
        np.testing.assert_allclose(one.probs[out], res.probs[out], atol=1e-6)
    assert len(res.table)==4

def test_ragged_labels_and_numbers():
    several = leave_groups_out(ragged, two_labels, groups, metrics=['f1_macro','accuracy'], **HOW)
    assert several.probs.shape==(24,2) and list(several.table)==['windows','f1_macro','accuracy']
    y = X[:,0,0].astype(float)
    numbers = leave_groups_out(ragged, y, groups, target_names=['x'], units='V',
                               recordings=np.arange(24), **HOW)
    assert numbers.probs.shape==(24,)
    for g in np.unique(groups):
        own = groups==g
        rmse = np.sqrt(np.mean((numbers.probs[own]-y[own])**2))
        np.testing.assert_allclose(numbers.table.loc[g,['rmse','recording_rmse']].astype(float),
                                   rmse, rtol=1e-5)
    lists = leave_groups_out(X, [['a'] if c else ['a','b'] for c in classes], groups, **HOW)
    assert lists.task.vocab.tolist()==['a','b'] and isinstance(lists.answers, list)

def test_a_class_of_one_group_alone():
    y = np.where(groups=='dan', 3, classes)
    with pytest.warns(UserWarning, match=r'in two groups or more, got \[3\] in one alone'):
        res = leave_groups_out(X, y, groups, **HOW)
    assert res.probs.shape==(24,4)

def test_an_error_of_a_training_is_told_and_earlier_folds_stay(tmp_path):
    from fastai.callback.core import Callback
    class StopAtDan(Callback):
        def before_fit(self):
            if 'dan' not in groups[self.dls.train_ds.idxs]:
                raise RuntimeError('stop')
    with pytest.raises(RuntimeError, match='stop'):
        leave_groups_out(X, classes, groups, folder=tmp_path, cbs=StopAtDan(), **HOW)
    assert sorted(p.name for p in tmp_path.glob('*.json'))==[f'fold-00{i}.json' for i in range(3)]

def test_names_of_channels_and_order_of_classes():
    import pandas as pd
    frames = [pd.DataFrame(x.T, columns=['u','v']) for x in X]
    y = pd.Categorical(np.array(['lo','mid','hi'])[classes], ['lo','mid','hi'], ordered=True)
    res = leave_groups_out(frames, y, groups, **HOW)
    assert res.confusion.index.tolist()==['lo','mid','hi']
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        same = GroupResults(Classification(['lo','mid','hi']), y, res.probs, groups)
    assert same.table.equals(res.table)

@pytest.mark.slow
def test_other_processes(res):
    again = leave_groups_out(X, classes, groups, n_jobs=2, **HOW)
    np.testing.assert_allclose(again.probs, res.probs, atol=1e-5)

def train(dls):
    learn = ts_learner(dls, nf=1, seed=0)
    with learn.no_bar(),learn.no_logging(): learn.fit_one_cycle(1, get_recipe('base')['lr'])
    return learn

OWN = dict(recipe='base', bs=8, device='cpu')

@pytest.mark.parametrize('make', [train, lambda dls: train(dls).predictor()])
def test_a_training_of_ones_own(make):
    seen = []
    def spy(dls):
        seen.append((dls.bs, len(dls.train_ds), dls.task.c_out))
        return make(dls)
    mine = leave_groups_out(X, classes, groups, train=spy, verbose=False, **OWN)
    assert seen==[(8,18,3)]*4
    out = groups=='bob'
    dls = TSDataLoaders.from_arrays(X, classes, (np.flatnonzero(~out),), vocab=range(3), bs=8,
                                    seed=0, device='cpu')
    np.testing.assert_allclose(mine.probs[out], train(dls).predictor().predict_proba(X[out]),
                               atol=1e-5)

@pytest.mark.slow
def test_dask(res, capsys, tmp_path):
    "On the cluster of this process: the same numbers, with a line per fold, also for a user's training"
    from distributed import Client
    with Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None):
        how = {**HOW, 'verbose': True}
        again = leave_groups_out(X, classes, groups, backend='dask', n_jobs=2,
                                 folder=tmp_path/'a', **how)
        lines = capsys.readouterr().err.splitlines()
        assert [l.split(', about')[0][-6:] for l in lines if ' of 4' in l]==[f'{i} of 4' for i in (1,2,3,4)]
        mine = leave_groups_out(X, classes, groups, train=train, backend='dask', n_jobs=2,
                                verbose=False, **OWN)
    np.testing.assert_allclose(again.probs, res.probs, atol=1e-5)
    alone = leave_groups_out(X, classes, groups, train=train, verbose=False, **OWN)
    np.testing.assert_allclose(mine.probs, alone.probs, atol=1e-5)

def scaled(by):
    def loss(out, y): return nn.functional.cross_entropy(out, y)*by
    return loss

def statements():
    "Settings as they are saved in the folder of a run"
    torch.manual_seed(0)
    own = [scaled(2), partial(scaled(2), y=None), nn.Linear(2, 2), Jitter(.1), EarlyStoppingCallback(), {'a','b','c'},
           torch.device('cpu'), lambda x: x in {'a','b','c'}, object()]
    return _stated(own)

def test_another_process_states_the_same():
    code = 'import json,test_groups; print(json.dumps(test_groups.statements()))'
    env = {**os.environ, 'PYTHONHASHSEED': '1'}
    run = subprocess.run([sys.executable, '-c', code], cwd=Path(__file__).parent, env=env,
                         capture_output=True, text=True, check=True)
    assert json.loads(run.stdout.splitlines()[-1])==statements()

def refused(name, X=X, **settings):
    with pytest.raises(ValueError, match=f'folder: expected a new one .* with another {name}, '):
        leave_groups_out(X, classes, groups, **settings)

def test_a_folder_of_other_settings(tmp_path):
    own = {**HOW, 'folder': tmp_path, 'loss_func': scaled(1), 'batch_tfms': [Jitter(.01)], 'cbs': [GradientClip(.1)]}
    first = leave_groups_out(X, classes, groups, **own)
    times = [p.stat().st_mtime_ns for p in sorted(tmp_path.glob('fold*'))]
    again = leave_groups_out(X, classes, groups, **own)
    assert [p.stat().st_mtime_ns for p in sorted(tmp_path.glob('fold*'))]==times
    np.testing.assert_array_equal(again.probs, first.probs)
    refused('loss_func', **{**own, 'loss_func': scaled(2)})
    refused('batch_tfms', **{**own, 'batch_tfms': [Jitter(5.)]})
    refused('cbs', **{**own, 'cbs': [GradientClip(.2)]})
    for i in range(len(X)):
        other = X.copy()
        other[i] *= -3
        refused('data', other, **own)

def test_a_folder_of_another_training(tmp_path):
    def trainer(lr):
        def train(dls):
            learn = ts_learner(dls, nf=1, seed=0)
            with learn.no_bar(),learn.no_logging(): learn.fit(1, lr)
            return learn
        return train
    own = {**OWN, 'folder': tmp_path, 'verbose': False}
    leave_groups_out(X, classes, groups, 2, train=trainer(1e-5), **own)
    leave_groups_out(X, classes, groups, 2, train=trainer(1e-5), **own)
    refused('train', n_splits=2, train=trainer(1e-1), **own)

def test_without_a_folder_nothing_is_stated(monkeypatch):
    "The data may be large"
    def stated(*args): raise AssertionError(args)
    monkeypatch.setattr('xceptiontime.bench.groups._fingerprint', stated)
    assert len(leave_groups_out(X, classes, groups, **HOW).table)==len(set(groups))
