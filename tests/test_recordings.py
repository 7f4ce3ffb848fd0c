"Tables whose rows are time steps: as recordings, as loaders and at the command"
import csv
from pathlib import Path
import numpy as np
import pandas as pd
import polars
import pyarrow
import pytest
from small import call
from xceptiontime.data.formats import read_series
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.data.recordings import read_recordings
from xceptiontime.data.windows import sliding_windows
from xceptiontime.runtime.predictor import Predictor
from xceptiontime.train.learner import ts_learner

CHANNELS = ['ax','ay','az']
HOW = dict(label='activity', id='file', groups='person', time='t', length=20, step=10, seed=0,
           device='cpu')

def har(files=8, people=4, steps=200, learnable=True, seed=0):
    "Activities in turn, in files of people; without activities, a random walk"
    rng = np.random.default_rng(seed)
    parts = []
    for i in range(files):
        how = np.repeat(rng.permutation(['sit','walk','run','lie']), steps//4)
        X = rng.normal(size=(steps,3)).cumsum(0)
        if learnable: X = rng.normal(size=(steps,3))+(how[:,None]==['sit','walk','run'])*3
        df = pd.DataFrame(X, columns=CHANNELS)
        person = f'p{i%people}'
        parts.append(df.assign(activity=how, file=f'f{i}', person=person, t=np.arange(steps)/50))
    return pd.concat(parts, ignore_index=True)

def load(df, **kwargs):
    return TSDataLoaders.from_df(df, **{**HOW, **kwargs})

def tables(df, tmp):
    "The table in each form"
    for end in ('csv','csv.gz','parquet'):
        path = tmp/f't.{end}'
        df.to_parquet(path) if end=='parquet' else df.to_csv(path, index=False)
        yield path
    yield df
    yield df.set_index(['file','t'])
    yield polars.from_pandas(df)
    yield polars.from_pandas(df).lazy()
    yield pyarrow.Table.from_pandas(df)

def test_recordings_of_any_table(tmp_path):
    df = har(3, 2, 40)
    for table in tables(df.sample(frac=1, random_state=0), tmp_path): # in any order, as `time=` sorts them
        recs = read_recordings(table, label='activity', id='file', time='t', groups='person')
        assert recs.channels==CHANNELS and recs.rate==50
        of = {id: i for i,id in enumerate(recs.ids)}
        for id,part in df.groupby('file'):
            i = of[id]
            np.testing.assert_array_equal(recs.X[i], part[CHANNELS].to_numpy(np.float32).T)
            assert recs.labels[i].tolist()==part.activity.tolist() and recs.groups[i]==part.person.iloc[0]

def test_loaders_of_any_table(tmp_path):
    df = har(4, 2, 80)
    want = load(df)
    for table in tables(df, tmp_path):
        by = TSDataLoaders.from_file if isinstance(table, Path) else TSDataLoaders.from_df
        dls = by(table, **HOW)
        np.testing.assert_array_equal(dls.train_ds.X[:], want.train_ds.X[:])
        np.testing.assert_array_equal(dls.valid_ds.idxs, want.valid_ds.idxs)
        assert dls.channels==CHANNELS and dls.train_ds.rate==50

@pytest.mark.parametrize('how', ['majority','last','pure'])
def test_windows_are_those_of_sliding_windows(how):
    df = har(4, 2, 160)
    dls = load(df, window_label=how)
    recs = [df[df.file==f] for f in df.file.unique()]
    X,y,groups = sliding_windows([o[CHANNELS].to_numpy().T for o in recs], 20, 10,
                                 [o.activity.to_numpy() for o in recs],
                                 [o.person.iloc[0] for o in recs], how)
    np.testing.assert_array_equal(dls.train_ds.X[:], X)
    assert dls.vocab[dls.train_ds.y].tolist()==y.tolist()
    on = [{*groups[dl.dataset.idxs]} for dl in dls.loaders]
    assert not on[0] & on[1] # no person is in both parts

def test_a_random_walk_is_not_learned():
    "With a row per series, trees reach .8, as neighbouring rows are in both parts"
    from sklearn.ensemble import ExtraTreesClassifier
    df = har(24, 12, 200, learnable=False)
    def score(dls):
        parts = [dl.dataset for dl in dls.loaders]
        X,y = zip(*[(o.X[o.idxs].reshape(len(o), -1), o.y[o.idxs]) for o in parts])
        return ExtraTreesClassifier(50, random_state=0).fit(X[0], y[0]).score(X[1], y[1])
    with pytest.warns(UserWarning, match='length= of from_file and from_df, or read_recordings, cuts it into windows'):
        wide = TSDataLoaders.from_df(df[:800], label='activity', columns=CHANNELS, seed=0, device='cpu')
    assert score(wide)>.8 # of four files
    assert score(load(df, scale=None))<.45 # .25 by chance

def test_missing_labels_and_gaps():
    df = har(2, 2, 80)
    df.loc[30:39,'activity'] = None
    with pytest.warns(UserWarning, match='label: expected one in each row, got none in 10 of 160'):
        recs = read_recordings(df, label='activity', id='file', columns=CHANNELS)
    assert [x.shape[1] for x in recs.X]==[30,40,80] and recs.groups.tolist()==[0,0,1]
    assert recs.ids.tolist()==['f0','f0','f1']
    with pytest.raises(ValueError, match='label: expected one in some of 160 rows, got none'):
        read_recordings(df.assign(activity=None), label='activity', id='file', columns=CHANNELS)
    df = har(2, 2, 80)
    with pytest.warns(UserWarning, match='time: expected even steps, of 0.02 as most are, got 1 of 148 that are not'):
        recs = read_recordings(df.drop(index=range(20, 30)), id='file', time='t', columns=CHANNELS)
    assert recs.rate==50 # from the other steps
    df['t'] = np.random.default_rng(0).exponential(size=160).cumsum()
    with pytest.warns(UserWarning, match='time: expected even steps'):
        assert read_recordings(df, id='file', time='t', columns=CHANNELS).rate is None

@pytest.mark.parametrize('times,rate', [
    (pd.date_range('2020-01-01', periods=80, freq='10ms'), 100), (pd.timedelta_range(0, periods=80, freq='20ms'), 50),
    (np.arange(80)*16//1, None), ([f'{i//60:02d}:{i%60:02d}:00' for i in range(80)], round(1/60, 7)),
    ([f'01.02.2020 10:{i//60:02d}:{i%60:02d}' for i in range(80)], 1)])
def test_rates(times, rate):
    df = har(1, 1, 80).assign(t=times)
    assert read_recordings(df, time='t', columns=CHANNELS).rate==(rate and float(f'{rate:.6g}'))

def test_one_recording():
    df = har(1, 1, 400)
    how = dict(id=None, groups=None, columns=CHANNELS)
    with pytest.raises(ValueError, match=r'of one recording or group, got None; splits=dict\(ordered=True\) validates'):
        load(df, **how)
    df['activity'] = np.where(np.arange(400)//20%2, 'sit', 'walk')
    dls = load(df, splits=dict(ordered=True), **how)
    train,valid = (dl.dataset.idxs for dl in dls.loaders)
    assert train.max()+2==valid.min() # the parts share no samples

def test_steps_with_numbers():
    "A number per step: a window has the last one"
    df = har(4, 4, 80).assign(angle=np.arange(320.)/7)
    dls = load(df, label=None, target='angle', columns=CHANNELS)
    assert dls.task.name=='regression'
    want = [df.angle[80*f+10*j+19] for f in range(4) for j in range(7)]
    np.testing.assert_allclose(np.ravel(dls.train_ds.y), want, rtol=1e-5)
    recs = read_recordings(df, target='angle', id='file', columns=CHANNELS)
    np.testing.assert_allclose(np.concatenate(recs.labels), df.angle)

def test_two_files(tmp_path):
    a,b = har(4, 2, 80),har(2, 2, 80, seed=1)
    b['person'] = b.person+'b'
    for df,name in ((a,'a.csv'),(b,'b.csv')): df.to_csv(tmp_path/name, index=False)
    how = dict(label='activity', id='file', groups='person', time='t', length=20, device='cpu')
    dls = TSDataLoaders.from_file(tmp_path/'a.csv', tmp_path/'b.csv', **how)
    assert [len(dl.dataset) for dl in dls.loaders]==[16,8]
    with pytest.raises(ValueError, match="groups: expected none in both files, got 'p0', 'p1'"):
        TSDataLoaders.from_file(tmp_path/'a.csv', tmp_path/'a.csv', **how)
    with pytest.raises(ValueError, match='splits: expected None where .* is the validation split'):
        TSDataLoaders.from_file(tmp_path/'a.csv', tmp_path/'b.csv', splits=dict(valid_size=.5), **how)

def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    df = har(8, 4, 200)
    df.drop(columns='t').to_csv('har.csv', index=False)
    cut = '--id','file','--length',20,'--step',10
    assert call('train', 'har.csv', '--label','activity','--groups','person', *cut, '--epochs',2, '--scale','none')==0
    out = capsys.readouterr().out
    assert "114 series to train on, 38 to validate on; channels 'ax', 'ay', 'az', 4 classes" in out
    assert call('evaluate', 'har-model', 'har.csv', '--label','activity', *cut)==0
    assert 'accuracy' in capsys.readouterr().out
    df[['file','az','ay','ax']].to_csv('new.csv', index=False) # channels are found by name
    assert call('predict', 'har-model', 'new.csv', *cut)==0
    rows = list(csv.reader(capsys.readouterr().out.splitlines()))
    assert rows[0][:4]==['file','start','stop','label'] and len(rows)==1+8*19
    assert rows[2][:3]==['f0','10','30']
    X,_,_ = sliding_windows([df[df.file==f][CHANNELS].to_numpy().T for f in df.file.unique()], 20, 10)
    assert [o[3] for o in rows[1:]]==Predictor.from_pretrained('har-model').predict(X).tolist()
    assert call('predict', 'har-model', 'new.csv', '--id','file','--length','0.4','--step','.2','--rate',50)==0
    assert capsys.readouterr().out.splitlines()[2].startswith('f0,0.200000,0.600000,')

@pytest.mark.parametrize('args,words', [
    (['--step',5], '--step: expected with --length, got it alone'),
    (['--window-label','pure'], '--window-label: expected with --length'),
    (['--length',500], 'length: expected windows of 500 samples, got none'),
    (['--length','.5'], 'length: expected a whole number of samples, got 0.5; give --rate to state it in seconds'),
])
def test_what_the_command_says(tmp_path, capsys, monkeypatch, args, words):
    monkeypatch.chdir(tmp_path)
    har(2, 2, 40).drop(columns='t').to_csv('har.csv', index=False)
    assert call('train', 'har.csv', '--label','activity', '--id','file', '--groups','person', *args)==2
    assert words in capsys.readouterr().err

def test_groups_for_validation_are_named(tmp_path, capsys, monkeypatch):
    "For windows and whole series, exactly the named groups are used for validation"
    monkeypatch.chdir(tmp_path)
    df = har(8, 4, 80)
    df.drop(columns='t').to_csv('har.csv', index=False)
    people = sorted(df.person.unique())
    wide = pd.DataFrame(np.random.default_rng(0).normal(size=(16,9))).add_prefix('s')
    wide.assign(person=people*4, activity=list('ab')*8).to_csv('wide.csv', index=False)
    asked = '--label','activity', '--groups','person'
    seen = []
    monkeypatch.setattr('xceptiontime.cli.train._fit', lambda args, data: seen.append(data))
    for table in (['wide.csv'], ['har.csv', '--id','file', '--length',20]):
        assert call('train', *table, *asked, '--valid-groups', ','.join(people[1:3]))==0
        for part,there in zip(seen[-1]['splits'], ([people[0],people[3]], people[1:3])):
            assert sorted(set(np.asarray(seen[-1]['groups'])[part]))==there
    capsys.readouterr()
    for args,words in (([*asked, '--valid-groups','nobody'], '--valid-groups: expected some of the groups'),
                       ([*asked[:2], '--valid-groups','p'], 'of the column --groups of TRAIN, got no --groups'),
                       ([*asked, '--valid-groups','p', '--valid','wide.csv'], 'got --valid, which holds')):
        assert call('train', 'wide.csv', *args)==2
        assert words in capsys.readouterr().err

def test_the_command_with_one_recording(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    df = har(1, 1, 400)[CHANNELS].assign(activity=np.where(np.arange(400)//20%2, 'sit', 'walk'))
    df.to_csv('one.csv', index=False)
    assert call('train', 'one.csv', '--label','activity', '--length',20, '--step',10, '--epochs',1)==0
    out = capsys.readouterr().out
    assert 'one recording, the last 20% of it to validate on' in out
    assert '30 series to train on, 8 to validate on' in out

def test_a_model_of_windows(tmp_path, capsys, monkeypatch):
    "Trained in Python, used on a table at the command: the same windows"
    monkeypatch.chdir(tmp_path)
    df = har(4, 2, 80)
    learn = ts_learner(load(df), nf=2, seed=0)
    with learn.no_bar(),learn.no_logging(): learn.fit(2, 1e-2)
    learn.save_pretrained('m')
    df[['file',*CHANNELS]].to_csv('a.csv', index=False)
    assert call('predict', 'm', 'a.csv', '--id','file', '--length',20, '--step',10)==0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    p = learn.predictor()
    X,_,_ = sliding_windows([part[CHANNELS].to_numpy().T for _,part in df.groupby('file')], 20, 10)
    wanted = p.predict(X).tolist()
    assert [o['label'] for o in rows]==wanted and len(set(wanted))>1
    probs = [[float(o[f'prob_{c}']) for c in p.task.vocab] for o in rows]
    np.testing.assert_allclose(probs, p.predict_proba(X), atol=1e-5)

def test_steps_read_as_series(tmp_path):
    "Rows that are time steps of a recording, read as series, give a warning"
    har(4, 2, 400)[[*CHANNELS,'activity']].to_csv(tmp_path/'a.csv', index=False)
    with pytest.warns(UserWarning, match='a recording with a label per step'):
        read_series(tmp_path/'a.csv', label='activity')
