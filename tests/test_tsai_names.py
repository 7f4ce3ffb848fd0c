"Names of tsai: the error names the successor, which exists, and other behaviour is unchanged"
import copy, inspect, pickle, re
import numpy as np
import pandas as pd
import pytest
from fastai.learner import Learner
import xceptiontime.all
from xceptiontime.base.tsai_names import FIRST, ROWS, instead, name_error

NETWORK = 'get_ucr(' # examples that need the network are not run
EVERY = [(place, names, text) for place,rows in ROWS.items() for names,text in rows.items()]
CALLS = { # calls with arguments of tsai
    'get_splits': 'get_splits(y, {}=1)',
    'get_ts_dls': 'get_ts_dls(X, y, splits=splits, {}=1)',
    'from_arrays': 'TSDataLoaders.from_arrays(X, y, splits, {}=1)',
    'ts_learner': 'ts_learner(dls, nf=1, {}=1)',
    'TSStandardize': 'TSStandardize(by_var=True, {}=1)'}

def learner():
    "A learner of two classes that it learns in a few steps"
    names = vars(xceptiontime.all)
    X,y,groups = names['make_bumps'](24, c_in=2, length=30, seed=0)
    splits = np.arange(16),np.arange(16,24)
    dls = names['TSDataLoaders'].from_arrays(X, y, splits, bs=8, seed=0, device='cpu')
    learn = names['ts_learner'](dls, nf=1, seed=0)
    with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-2)
    probs,targets = learn.get_preds()
    return dict(X=X, y=y, groups=groups, splits=splits, dls=dls, learn=learn,
                probs=probs, targets=targets)

@pytest.fixture(scope='module')
def space(tmp_path_factory):
    "The names that the code of a row can use"
    long = [dict(id=i, time=t, v=float(i%2)+t%3, label='ab'[i%2]) for i in range(12) for t in range(5)]
    of_recordings = dict(recordings=[np.random.default_rng(i).normal(size=(2,40)).astype('float32') for i in range(8)],
                         labels=[0,1]*4)
    res = {**vars(xceptiontime.all), **learner(), **of_recordings, 'df':pd.DataFrame(long)}
    res['model'] = res['XceptionTime'](2, 2, nf=1, head='linear')
    folder = tmp_path_factory.mktemp('tsai')
    res['learn'].path = folder
    res['learn'].save_pretrained(folder/'model')
    return res

@pytest.mark.parametrize('place,names,text', EVERY, ids=[f'{p}-{n.split()[0]}' for p,n,_ in EVERY])
@pytest.mark.filterwarnings('ignore')
def test_the_successor_is_there(place, names, text, space, monkeypatch):
    monkeypatch.chdir(space['learn'].path)
    own = {**space, 'learn':copy.copy(space['learn'])}
    pieces = re.findall('`([^`]+)`', text)
    assert text.count('`')==2*len(pieces)
    for code in pieces:
        if code.startswith(NETWORK): code = NETWORK[:-1]
        if code.endswith('='): continue # an argument
        exec(code, own)

@pytest.mark.parametrize('name', ['TSClassifier','get_UCR_data','XceptionTimePlus','TSMagScale','TSTPlus'])
def test_import_of_a_name(name):
    with pytest.raises(ImportError) as e: exec(f'from xceptiontime.all import {name}')
    assert str(e.value)==name_error('all', name)
    assert not hasattr(xceptiontime.all, name) and name not in dir(xceptiontime.all)
    with pytest.raises(AttributeError, match='got one of tsai'): getattr(xceptiontime.all, name)

def test_star_import(space):
    "Names at the start of tsai scripts raise the error where they are used, also as an argument"
    star = {}
    exec('from xceptiontime.all import *', star)
    there = {n for n in vars(xceptiontime.all) if not n.startswith('_')}
    assert set(star)-there=={'__builtins__',*FIRST}
    for name in FIRST:
        text = name_error('all', name)
        with pytest.raises(NameError) as e: star[name](space['X'], y=space['y'])
        assert str(e.value)==text and repr(star[name])==text
        with pytest.raises(NameError) as e: star[name].some
        assert str(e.value)==text
    with pytest.raises(NameError, match='TSTPlus: .* not here'):
        space['ts_learner'](space['dls'], star['TSTPlus'])
    with pytest.raises(NameError, match='TSNormalize: .*minmax'):
        exec('TSDataLoaders.from_arrays(X, y, splits, batch_tfms=TSNormalize)', {**star, **space})

def test_import_of_other_names():
    with pytest.raises(ImportError, match="cannot import name 'Foo' from 'xceptiontime.all'"):
        exec('from xceptiontime.all import Foo')
    with pytest.raises(AttributeError, match="module 'xceptiontime.all' has no attribute 'Foo'"): xceptiontime.all.Foo

def test_none_of_the_names_is_here():
    "A name that exists here has no row"
    names = [n for row in ROWS['all'] for n in row.split()]
    assert [n for n in names if n in vars(xceptiontime.all)]==[]
    learn = learner()['learn']
    for place,o in dict(learn=learn, dls=learn.dls).items():
        assert [n for row in ROWS[place] for n in row.split() if hasattr(o, n)]==[]

def test_attributes(space):
    learn = space['learn']
    valid = learn.dls.valid
    for o,place in ((learn,'learn'), (learn.dls,'dls'), (valid,'dls'), (valid.dataset,'dls')):
        for name in ' '.join(ROWS[place]).split():
            with pytest.raises(AttributeError) as e: getattr(o, name)
            assert str(e.value)==name_error(place, name) and not hasattr(o, name) and name not in dir(o)
            assert getattr(o, name, 3)==3
        with pytest.raises(AttributeError, match="object has no attribute 'foo'"): o.foo
        assert not hasattr(o, 'foo')

def test_attributes_that_are_there_stay(space):
    "Also attributes of the network and of the series, which fastai delegates; copies and pickles"
    learn = space['learn']
    assert learn.block is learn.model.block and learn.head is learn.model.head # through fastai's `GetAttr`
    for l in (copy.copy(learn), pickle.loads(pickle.dumps(learn))):
        assert type(l) is type(learn) and set(vars(l))==set(vars(learn))
        assert not hasattr(l, 'plot_metrics') and l.dls.vars==2
    ds = learn.dls.valid.dataset
    for d in (copy.copy(ds), copy.deepcopy(ds), pickle.loads(pickle.dumps(ds))): assert len(d)==len(ds)
    assert set(dir(learn)) >= {n for n in dir(Learner) if not n.startswith('_')}
    assert {'block','head','init_args'} <= set(dir(learn))

@pytest.mark.parametrize('place', CALLS)
def test_arguments(place, space):
    for name in ' '.join(ROWS[place]).split():
        with pytest.raises((TypeError,ValueError)) as e: eval(CALLS[place].format(name), space)
        text = instead(place, name).replace('`', '')
        assert str(e.value).startswith(f'{name}: expected to be left out, got 1; ') and str(e.value).endswith(text)
    with pytest.raises(TypeError, match='foo'): eval(CALLS[place].format('foo'), space)

def test_signatures_stay(space):
    "Signatures are as written, and functions are pickled by name"
    names = space['get_splits'],space['TSDataLoaders'].from_arrays,space['TSStandardize']
    for f,first in zip(names, ('y','X','by_sample')):
        p = inspect.signature(f).parameters
        assert next(iter(p))==first and not any(o.kind is o.VAR_KEYWORD for o in p.values())
    assert pickle.loads(pickle.dumps(space['get_splits'])) is space['get_splits']
    t = space['TSStandardize'](by_var=True)
    assert vars(pickle.loads(pickle.dumps(t)))==vars(t)

def test_other_places(space):
    X,y = space['X'],space['y']
    load,splits = space['TSDataLoaders'].from_arrays,space['splits']
    with pytest.raises(TypeError, match=r'random_state: .* instead: get_splits\(y, seed=0\)'):
        load(X, y, dict(random_state=0))
    for tfm,scale in ((space['TSStandardize'],'channel'), (space['TSStandardize'](by_sample=True),'sample')):
        with pytest.raises(ValueError, match=f"got TSStandardize; scale='{scale}' scales"):
            load(X, y, splits, batch_tfms=tfm)
    with pytest.raises(TypeError, match='arch: TSTPlus: .* not here'):
        space['ts_learner'](space['dls'], 'TSTPlus')
    assert len(space['dls'].valid.new_dl(X[:5]).dataset)==5
