"Usual data that went in wrong without a word: names, order, pieces and lost recordings"
from functools import partial
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, strategies as st
from xceptiontime.data.columns import as_names
from xceptiontime.data.formats import read_series
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.data.recordings import read_recordings
from xceptiontime.data.tables import from_frame
from xceptiontime.data.windows import sliding_windows
from xceptiontime.processing.infer import infer_task
from xceptiontime.train.estimator import XceptionTimeClassifier

rng = np.random.default_rng(0)
from_arrays = partial(TSDataLoaders.from_arrays, seed=0, device='cpu')

def told(recwarn): return [str(o.message) for o in recwarn]

# ---- channels

def frames(n=12, **more):
    "DataFrames with a heart rate about 70 and an acceleration about 0, and the class of each"
    def frame(i): return dict(hr=rng.normal(70, 5, 20), acc=rng.normal(size=20), **{k: f(i) for k,f in more.items()})
    return [pd.DataFrame(frame(i)) for i in range(n)], list('ab')*(n//2)

def test_names_of_channels_do_not_rename_data():
    X,y = frames()
    assert from_arrays(X, y, channels=['hr','acc']).train_ds.channels==['hr','acc']
    assert from_arrays(X, y, channels=['x','z']).train_ds.channels==['x','z'] # other names for the same data
    for names in (['acc','hr'], ['acc','x']):
        with pytest.raises(ValueError, match=r"channels: expected the names in the data, \['hr', 'acc'\], got"):
            from_arrays(X, y, channels=names)
    long = pd.concat([x.assign(id=i, y=l) for i,(x,l) in enumerate(zip(X, y))])
    with pytest.raises(ValueError, match='channels: expected the names in the data'):
        TSDataLoaders.from_df(long, label='y', id='id', channels=['acc','hr'])
    with pytest.raises(ValueError, match='channels: expected the names in the data'):
        TSDataLoaders.from_recordings(X, y, 5, channels=['acc','hr'], seed=0)
    unnamed = [x.set_axis([0,1], axis=1) for x in X]
    assert from_arrays(unnamed, y, channels=['acc','hr']).train_ds.channels==['acc','hr'] # their only names

@pytest.mark.parametrize('name,values,says', [
    ('id', lambda i: i, 'one value in each of 12 series, 12 different'),
    ('label', lambda i: i%2, 'one value in each of 12 series, 2 different'),
    ('time', lambda i: np.arange(20)/10, 'numbers that count the rows')])
def test_columns_of_dataframes_that_are_no_channels(name, values, says, recwarn):
    X,y = frames(**{name: values})
    from_arrays(X, y)
    said, = told(recwarn)
    assert says in said and repr(name) in said and 'leave it out of the DataFrames' in said
    recwarn.clear()
    TSDataLoaders.from_recordings(X, y, 5, seed=0)
    assert any(repr(name) in o for o in told(recwarn))
    recwarn.clear()
    from_arrays(*frames())
    assert not len(recwarn)
    long = [pd.DataFrame(dict(x=rng.normal(size=5000), on=np.arange(5000)>4000+i, time=np.arange(5000))) for i in (0,9)]
    TSDataLoaders.from_recordings(long, ['a','b'], 500, splits=(np.arange(0, 20, 2),np.arange(1, 20, 2)))
    said, = told(recwarn)
    assert "in 'time', taken" in said and 'columns like that' not in said

# ---- names

def steps(n): return pd.DataFrame(rng.normal(size=(n,10))).add_prefix('t')

@given(st.lists(st.integers(-10**6, 10**6), min_size=1))
def test_whole_numbers_have_one_name(values):
    want = [str(v) for v in values]
    for same in (values, want, map(float, values), (f'{v}.0' for v in values)): assert as_names(same)==want

@pytest.mark.parametrize('end', ['csv','parquet'])
def test_one_person_in_two_files(tmp_path, end):
    df = steps(8).assign(y=[1,2]*4, who=[1,1,2,2,3,3,4,4])
    paths = [tmp_path/f'{o}.{end}' for o in 'ab']
    with_a_gap = df.astype(dict(y=float, who=float)) # as pandas reads columns with a gap
    for path,part in zip(paths, (df, with_a_gap)):
        part.to_csv(path, index=False) if end=='csv' else part.to_parquet(path)
    dls = TSDataLoaders.from_file(*paths, label='y')
    assert dls.vocab.tolist()==['1','2']
    with pytest.raises(ValueError, match="no group in both train and valid, got '1', '2'"):
        TSDataLoaders.from_file(*paths, label='y', groups='who')
    recs = [read_recordings(p, label='y', id='who', groups='who') for p in paths]
    for o in recs:
        assert o.groups.tolist()==o.ids.tolist()==['1','2','3','4']
        assert set(np.concatenate(o.labels))=={'1','2'}

def test_order_of_classes_that_are_floats():
    y = pd.Categorical([2.,1.]*4, [2.,1.], ordered=True)
    dls = TSDataLoaders.from_df(steps(8).assign(y=y), label='y', seed=0)
    assert dls.vocab.tolist()==['2','1']

@pytest.mark.parametrize('two', [('Walk','walk'), ('1','1.0'), ('up  hill','up hill'), ('7','07')])
def test_classes_that_are_nearly_the_same(two, recwarn):
    infer_task([*two,'run']*5)
    said, = told(recwarn)
    assert all(repr(o) in said for o in two) and 'vocab=' in said
    recwarn.clear()
    infer_task([*two,'run']*5, vocab=[*two,'run'])
    infer_task(['N','n','V']*5) # symbols of heart beats
    infer_task(['a1','a2','1','2']*5)
    assert not len(recwarn)

def test_numbers_to_predict_need_no_task(tmp_path, recwarn):
    df = steps(40).assign(age=rng.permutation(40))
    df.to_csv(tmp_path/'a.csv', index=False)
    assert TSDataLoaders.from_df(df, target='age', seed=0).task.name=='regression'
    assert TSDataLoaders.from_file(tmp_path/'a.csv', target='age', seed=0).task.name=='regression'
    assert not len(recwarn)

# ---- steps

def wide(names):
    return pd.DataFrame(rng.normal(size=(20,len(names))), columns=names).assign(y=list('ab')*10)

@pytest.mark.parametrize('names', [['t0','t1','t10','t11','t2'], [0,1,10,11,2]])
def test_steps_that_were_sorted_as_text(names, recwarn):
    from_frame(wide(names), label='y')
    said, = told(recwarn)
    assert 'in the order of their numbers' in said and '11' in said and '2' in said
    recwarn.clear()
    from_frame(wide(names), label='y', columns=names)
    from_frame(wide(['t0','t1','t2','t10','t11']), label='y')
    assert not len(recwarn)

def test_two_levels_of_names():
    long = pd.DataFrame(rng.normal(size=(20,2)), columns=['x','g'])
    long = long.assign(id=np.repeat(range(4), 5), t=[*range(5)]*4)
    two = long.pivot(index='id', columns='t', values=['x','g'])
    with pytest.raises(ValueError, match='expected columns with one name each, got 2 levels of names'):
        from_frame(two)

def test_a_validation_file_with_a_column_more(tmp_path):
    paths = [tmp_path/f'{o}.csv' for o in 'ab']
    names = [f't{i}' for i in range(6)]
    wide(names).to_csv(paths[0], index=False)
    def load(names):
        wide(names).to_csv(paths[1], index=False)
        return TSDataLoaders.from_file(*paths, label='y')
    with pytest.raises(ValueError, match="b.csv: expected 6 columns of values as in 'a.csv', got 'who' as well"):
        load([*names,'who'])
    assert load([*names,'t6']).len==7 # a longer series

@pytest.mark.parametrize('times', [[0,.1,.2,5.], [0,.1,.2,.6]])
def test_uneven_steps_of_series(times, recwarn):
    df = pd.DataFrame(dict(id=np.repeat(range(6), 4), time=times*6, y=np.repeat(list('ab')*3, 4)))
    df['x'] = rng.normal(size=24)
    from_frame(df, label='y', id='id', time='time')
    said, = told(recwarn)
    assert 'time: expected even steps, of 0.1 as most are, got 6 of 18 that are not' in said
    recwarn.clear()
    from_frame(df.assign(time=[0,.1,.2,.3]*6), label='y', id='id', time='time')
    assert not len(recwarn)

@pytest.mark.parametrize('t', [np.inf, -np.inf])
def test_an_endless_time(t):
    df = pd.DataFrame(dict(id=1, time=[0.,1,t], x=[1.,2,3]))
    with pytest.raises(ValueError, match='expected a time: a number or a date, got -?inf in row 2'):
        from_frame(df, id='id', time='time')
    with pytest.warns() as given:
        from_frame(df.assign(time=[-1e308,1e308,1.2e308]), id='id', time='time') # the first step is infinite
    assert {type(o.message) for o in given}=={UserWarning} and 'expected even steps' in str(given[0].message)

# ---- recordings

@pytest.mark.parametrize('role', [dict(id='who'), dict(groups='who')])
def test_recordings_in_several_pieces(role, recwarn):
    who = np.repeat(['A','B','A','B'], 30) # each in the morning and in the evening
    df = pd.DataFrame(dict(who=who, x=rng.normal(size=120), y=np.tile(np.repeat(list('uv'), 15), 4)))
    read_recordings(df, label='y', **role)
    said, = told(recwarn)
    assert said.startswith(f"{[*role][0]}: expected the rows of each series together, got 'A' in 2 places")
    recwarn.clear()
    read_recordings(df.sort_values('who', kind='stable'), label='y', **role)
    assert not len(recwarn)

def test_recordings_that_are_too_short(recwarn):
    recs,labels = [rng.normal(size=(2,n)) for n in (40,15,30,12)],['walk','jump','run','walk']
    _,y,of = sliding_windows(recs, 20, labels=labels)
    said, = told(recwarn)
    assert 'got 2 of 4 that are shorter, the shortest of 12, which give no window' in said
    assert "no window has the label 'jump'" in said and of.tolist()==[0,0,2]
    recwarn.clear()
    sliding_windows(recs, 20, labels=[[l]*r.shape[1] for l,r in zip(labels, recs)])
    assert "no window has the label 'jump'" in told(recwarn)[0]
    recwarn.clear()
    sliding_windows(recs, 20, labels=[.1,.2,.3,.4])
    assert 'no window has' not in told(recwarn)[0]
    recwarn.clear()
    sliding_windows(recs, 20, labels=labels, pad=0.)
    sliding_windows(recs, 10, labels=labels)
    assert not len(recwarn)

def test_rows_of_an_array_are_no_recordings():
    X,y = rng.normal(size=(20,300)),[0,1]*10
    says = r'labels: expected one for a recording .* got 20; list\(X\)'
    with pytest.raises(ValueError, match=says): sliding_windows(X, 30, labels=y)
    with pytest.raises(ValueError, match=says): TSDataLoaders.from_recordings(X, y, 30, seed=0)
    assert TSDataLoaders.from_recordings(list(X), y, 30, seed=0).vars==1

# ---- columns with two roles

@pytest.mark.parametrize('role', [dict(id='who'), dict(id='id', groups='who')])
def test_a_column_with_a_role_is_no_channel(role, tmp_path):
    df = pd.DataFrame(dict(who=np.repeat(range(6), 10), y=np.repeat(list('ab')*3, 10)))
    df = df.assign(id=df['who'], x=rng.normal(size=60))
    df.to_csv(tmp_path/'a.csv', index=False)
    for table in (df, tmp_path/'a.csv'):
        with pytest.raises(ValueError, match="columns: expected columns of values, got 'who'"):
            read_recordings(table, label='y', columns=['who','x'], **role)

# ---- arguments of the wrong kind

def test_sentences_for_files_and_tables(tmp_path):
    (tmp_path/'folder.csv').mkdir()
    with pytest.raises(IsADirectoryError, match='folder.csv: expected a file, got a folder'):
        TSDataLoaders.from_file(tmp_path/'folder.csv', label='y')
    with pytest.raises(TypeError, match='train: expected the path of a file, got .list.; length='):
        TSDataLoaders.from_file(['a.csv','b.csv'], label='y')
    for odd in (dict(x=[1]), np.zeros((3,4)), steps(4).assign(y=1).groupby('y')):
        with pytest.raises(TypeError, match='table: expected a DataFrame or the path of a file, got'):
            TSDataLoaders.from_df(odd, label='y')
    (tmp_path/'a.tsv').write_text('up\t1\t2\n')
    with pytest.raises(TypeError, match='label: expected none for a file that ends in .tsv, got .y.'):
        read_series(tmp_path/'a.tsv', label='y')

def test_half_numbers_of_torch():
    X = torch.randn(8, 2, 12)
    one,two = (from_arrays(x, list('ab')*4) for x in (X.bfloat16(), X.bfloat16().float().numpy()))
    assert np.array_equal(one.train_ds.X, two.train_ds.X)
    y = torch.arange(8).bfloat16()/3
    assert from_arrays(X, y).train_ds.task.name=='regression'

def test_weight_of_an_unknown_class():
    X,y = rng.normal(size=(8,1,12)),[1,2]*4
    with pytest.raises(ValueError, match='class_weight: expected some of the classes .1, 2., got 7'):
        XceptionTimeClassifier(epochs=1, nf=1, class_weight={1:2., 7:3.}).fit(X, y)
