"benchmarks/recipes.py uses only training parts, continues an interrupted run, and averages weights correctly"
import importlib.util, math, sys
from argparse import Namespace
from multiprocessing import active_children
from pathlib import Path
import numpy as np
import pandas as pd
import pytest
import torch
from fastai.callback.core import Callback
from torch import nn
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.data.sets import get_ucr
from xceptiontime.train.learner import ts_learner
from xceptiontime.train.recipe import get_recipe

file = Path(__file__).parent.parent/'benchmarks'/'recipes.py'
spec = importlib.util.spec_from_file_location('recipes', file)
recipes = sys.modules['recipes'] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(recipes)

def test_only_the_training_part():
    X,y = recipes.training_part('ItalyPowerDemand', None)
    every,labels,(train,_) = get_ucr('ItalyPowerDemand')
    assert np.array_equal(X, every[train]) and np.array_equal(y, labels[train])

@pytest.mark.parametrize('counts', [(9,6,3), (8,4,2), (9,2,1)])
def test_folds(counts):
    y = np.repeat(['a','b','c'], counts)
    folds = [recipes.fold_of(y, i, 3) for i in range(6)]
    for train,valid in folds:
        assert np.array_equal(np.sort(np.concatenate([train, valid])), np.arange(len(y)))
        assert set(y[train])==set('abc') and len(valid)>=len(y)//3
        assert set(y[valid])==set('abc'[:sum(n>1 for n in counts)])
    assert not np.array_equal(np.sort(folds[0][1]), np.sort(folds[3][1]))
    if min(counts)>=3: # each series is held back once
        assert np.array_equal(np.sort(np.concatenate([v for _,v in folds[:3]])), np.arange(len(y)))

def test_no_class_can_be_held_back():
    with pytest.raises(ValueError, match='y: expected a class of two series or more, got 4 of one'):
        recipes.fold_of(np.arange(4), 0, 3)

def test_longer_is_the_default_with_more_epochs():
    default,longer = get_recipe(),get_recipe(**recipes.CANDIDATES['longer'].recipe)
    assert {k for k in default if default[k]!=longer[k]}=={'epochs'} and longer['epochs']==3*default['epochs']
    # up to its least set, the default has as many epochs in a fold: 1,500 batches of 16 from two thirds of 240 series
    assert default['min_steps']*16==longer['epochs']*(recipes.CANDIDATES['longer'].sizes[0]-1)*2/3

@pytest.mark.parametrize('steps,want', [(None, ['default','longer']), (400, ['default'])])
def test_a_short_training_is_not_longer(steps, want):
    args = Namespace(csv=Path('none.csv'), sets=['JapaneseVowels'], seeds=[0], path=None, steps=steps,
                     candidates=['default','narrow','longer'], folds=3, repeats=1, only=[0])
    assert [[u[1] for u in todo] for todo in recipes.units(args)]==[want]

class Killed(Exception): pass

def test_a_stopped_run_goes_on(tmp_path, monkeypatch):
    calls = []
    def trained(candidate, X, y, splits, seed, steps, device):
        if len(calls)==3:
            raise Killed
        calls.append((candidate, seed))
        return dict(accuracy=.5, nll=1., seconds=1., steps=steps, n_train=2, n_valid=1, device=device)
    monkeypatch.setattr(recipes, 'trained', trained)
    args = Namespace(csv=tmp_path/'rows.csv', sets=['ItalyPowerDemand'], seeds=[0], steps=2, path=None,
                     candidates=['default','narrow','longer','pool10'], folds=3, repeats=1, only=None, minutes=1,
                     device=['cpu'], workers=[1])
    with pytest.raises(Killed): recipes.run(args)
    assert len(pd.read_csv(args.csv))==3
    done,calls[:] = list(calls),[]
    args.minutes = -1
    recipes.run(args)
    assert not calls # no time is left
    args.minutes = 1
    recipes.run(args)
    assert done+calls==[(c,100*f) for f in range(3) for c in ('default','pool10')] # of sets of this size
    calls.clear()
    recipes.run(args)
    assert not calls and len(pd.read_csv(args.csv))==6

@pytest.mark.slow
def test_workers_train_the_same(tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(file.parent)) # workers import it
    how = dict(sets=['ItalyPowerDemand','GunPoint'], seeds=[0], steps=3, path=None, folds=3, repeats=1, only=None,
               candidates=['default','pool10'], minutes=math.inf, device=['cpu'])
    alone,several = (Namespace(csv=tmp_path/f'{n}.csv', workers=[n], **how) for n in (1,2))
    before = active_children() # of other tests
    for args in (alone,several): recipes.run(args)
    one,two = (pd.read_csv(o.csv).drop(columns='seconds').sort_values(recipes.COLUMNS[:4], ignore_index=True)
               for o in (alone,several))
    pd.testing.assert_frame_equal(two, one)
    assert len(one)==12 and set(one['device'])=={'cpu'} and set(active_children())<=set(before)
    capsys.readouterr()
    recipes.summary(alone)
    assert 'pool10' in capsys.readouterr().out

def test_no_set_begins_that_would_not_end():
    "A set begins only if all its candidates can end in time"
    plan = recipes.Plan(Namespace(csv=Path('none.csv'), sets=['ItalyPowerDemand','GunPoint'], seeds=[0], path=None,
                                  candidates=['default','pool10'], folds=3, repeats=1, only=[0], minutes=1,
                                  workers=[2], steps=None))
    begins = plan.begins()
    assert next(begins)==('ItalyPowerDemand','default',0,0)
    plan.note(dict(seconds=50))
    assert list(begins)==[('ItalyPowerDemand','pool10',0,0)] # less than 75 s are left

def test_average_of_the_weights():
    rng = np.random.default_rng(0)
    X,y = rng.normal(size=(16,1,12)).astype(np.float32),np.repeat(['a','b'], 8)
    dls = TSDataLoaders.from_arrays(X, y, (np.arange(16),), bs=16, seed=0, device='cpu')
    learn = ts_learner(dls, nf=4, seed=0)
    seen = []
    class Look(Callback):
        def after_step(self): seen.append(self.model.head[-2].bias.detach().clone())
    with learn.no_bar(),learn.no_logging():
        learn.fit_one_cycle(5, 3e-3, cbs=[Look(),recipes.FreshAverage()])
    mean = seen[0]
    for t,new in enumerate(seen[1:], 1): mean = mean + (1-(1+t)/(10+t))*(new-mean)
    torch.testing.assert_close(learn.model.head[-2].bias, mean)
    first = learn.model.block.shortcut[0]
    x = dls.train.one_batch()[0]
    expected = first[0](x).var((0,2)) # statistics of the only batch
    torch.testing.assert_close(first[1].running_var, expected, atol=1e-6, rtol=1e-4)

def test_channels_are_dropped_in_training_alone():
    dls = TSDataLoaders.from_arrays(np.eye(4,12)[:,None], list('abab'), (np.arange(4),), device='cpu')
    learn = ts_learner(dls, nf=4, seed=0)
    x = torch.randn(2,1,12)
    with torch.no_grad():
        before = learn.model.eval()(x)
        recipes.drop_channels(learn.model)
        torch.testing.assert_close(learn.model.eval()(x), before)
    drop = learn.model.head[-2].train()
    assert isinstance(drop[0], nn.Dropout1d)
    torch.manual_seed(0)
    gone = (drop[0](torch.ones(50,40,6))==0)
    assert (gone.all(2)==gone.any(2)).all() and .15<gone.float().mean()<.25

def test_hand_made_filters():
    "As in the paper on H-InceptionTime; a padded series gets what it gets alone"
    filters = list(recipes.hand_made_filters(2))
    assert [f.shape[1] for f in filters]==[2,2,4,4,6,8,8,12,16,16,24,32,32,48,64,64,96]
    assert [f[1].tolist() for f in filters[2:5]]==[[-1,1,-1,1],[1,-1,1,-1],[-1,-1,2,2,-1,-1]]
    assert filters[7][0].tolist()==[-.25,-1,-1,-.25,.5,2,2,.5,-.25,-1,-1,-.25]
    net,x = recipes.HandMade(2, 3).eval(),torch.randn(2, 2, 40)
    x[1,:,25:] = 0
    alone = torch.cat([net(x[:1]), net(x[1:,:,:25])])
    torch.testing.assert_close(net(x, torch.tensor([40,25])), alone)
