"Model folders: their contents, the first format, and hostile files"
import hashlib, json, os, pickle, shutil, struct, subprocess, sys
from pathlib import Path
import numpy as np, pandas as pd, pytest, torch
from fastai.learner import load_learner
from safetensors.torch import load_file, save_file
from xceptiontime.cli import main
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.models.xceptiontime import XceptionTime
from xceptiontime.processing.preprocess import Preprocess
from xceptiontime.processing.tasks import Classification
from xceptiontime.runtime import Predictor
from xceptiontime.runtime.config import MAX_CONFIG
from xceptiontime.train.learner import ts_learner

first = Path(__file__).parent/'fixtures'/'format1'

@pytest.mark.parametrize('name', ['classes','labels','numbers'])
def test_first_format(name):
    "Folders written by version 0.1, with its predictions"
    expected = np.load(first/'expected.npz')
    X,scores = (expected[f'{name}/{o}'] for o in ('X','scores'))
    answers,predicted = (expected[f'{name}/{o}'] for o in ('answers','predict'))
    p = Predictor.from_pretrained(first/name)
    np.testing.assert_allclose(p.scores(X), scores, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(p.task.activation(p.scores(X)), answers, rtol=1e-5, atol=1e-6)
    if name=='numbers': np.testing.assert_allclose(p.predict(X), predicted, rtol=1e-5)
    else: assert p.predict(X).tolist()==predicted.tolist()
    assert (p.channels,p.rate,p.training)==(None,None,None)
    keys = {'format','xceptiontime','architecture','arguments','task','preprocess'}
    assert set(json.loads((first/name/'config.json').read_text()))==keys

def test_first_format_is_written_back(tmp_path):
    "Opened and saved again, it is the same, except version, fingerprint and later settings, which are None"
    again = Predictor.from_pretrained(first/'numbers').save_pretrained(tmp_path/'m')
    a,b = (json.loads((f/'config.json').read_text()) for f in (first/'numbers',again))
    assert {k for k,v in b['task'].items() if v is not None} <= a['task'].keys()
    b['task'] = {k: b['task'][k] for k in a['task']}
    data = (first/'numbers'/'model.safetensors').read_bytes()
    assert b.pop('fingerprint')==f'sha256:{hashlib.sha256(data).hexdigest()}'
    assert a|{'xceptiontime':None}==b|{'xceptiontime':None}
    assert (again/'model.safetensors').read_bytes()==data

# contents of a folder

def table():
    "Twelve walks of ten steps with two channels"
    rng = np.random.default_rng(0)
    return pd.DataFrame([dict(walk=i, step=t, left=rng.normal(), right=rng.normal(), how='fast' if i%2 else 'slow')
                         for i in range(12) for t in range(10)])

def series(channels=1): return np.random.default_rng(0).normal(size=(30,channels,20))
splits = np.arange(20),np.arange(20,30)

def fit(dls, *epochs):
    learn = ts_learner(dls, nf=1, seed=3)
    with learn.no_bar(), learn.no_logging():
        for n in epochs: learn.fit(n, 1e-3)
    return learn

def test_channels_from_tables(tmp_path):
    df = table()
    keys = dict(label='how', id='walk', time='step', device='cpu')
    loaders = [TSDataLoaders.from_df(df, seed=0, **keys)]
    df.to_csv(tmp_path/'a.csv', index=False)
    df.to_parquet(tmp_path/'a.parquet', index=False)
    for name in ('a.csv','a.parquet'):
        loaders.append(TSDataLoaders.from_file(tmp_path/name, seed=0, **keys))
        loaders.append(TSDataLoaders.from_file(tmp_path/name, tmp_path/name, **keys))
    assert [d.channels for d in loaders]==[['left','right']]*5
    assert TSDataLoaders.from_df(df, columns=['right'], seed=0, **keys).channels==['right']
    assert TSDataLoaders.from_df(df, channels=['l','r'], seed=0, **keys).channels==['l','r']
    df[['walk','step','right','left','how']].to_csv(tmp_path/'b.csv', index=False)
    words = "b.csv: expected channels 'left', 'right' as in 'a.csv', got 'right', 'left'"
    with pytest.raises(ValueError, match=words): TSDataLoaders.from_file(tmp_path/'a.csv', tmp_path/'b.csv', **keys)
    wide = pd.DataFrame({'how': ['a','b']*6, **{f't{i}': np.arange(12.)+i for i in range(5)}})
    assert TSDataLoaders.from_df(wide, label='how', seed=0, device='cpu').channels is None

def test_what_is_known_comes_back(tmp_path, capsys):
    known = dict(channels=('biceps','triceps'), rate=200)
    learn = fit(TSDataLoaders.from_arrays(series(2), np.arange(30)%3, splits, device='cpu', **known), 1, 2)
    loss,acc = learn.validate()
    p = Predictor.from_pretrained(learn.save_pretrained(tmp_path/'m'))
    assert (p.channels,p.rate)==(['biceps','triceps'],200.)
    t,last = p.training,p.training['last']
    assert [t[k] for k in ('epochs','series','seed','shortest','longest')]==[3,20,3,20,20]
    assert p.lengths==(20,20)
    assert set(last)=={'train_loss','valid_loss','accuracy'}
    assert last['valid_loss']==pytest.approx(loss, rel=1e-5) and last['accuracy']==pytest.approx(acc)
    assert 'date' not in t and 'time' not in str(t)
    assert main(['info', str(tmp_path/'m')])==0
    out = capsys.readouterr().out
    trained = '3 epochs, 20 series, 20 steps, seed 3, train_loss'
    for words in ('biceps, triceps', '200 Hz', trained, f'accuracy {acc:.4g}', 'classification', '0, 1, 2', ' MB',
                  'parameters'):
        assert words in out, words
    learn.export(tmp_path/'learner.pkl') # an exported Learner keeps them
    assert load_learner(tmp_path/'learner.pkl').predictor().config()==learn.predictor().config()

def test_units_come_back(tmp_path):
    X = series()
    names = dict(target_names=['angle'], units='°')
    learn = ts_learner(TSDataLoaders.from_arrays(X, X.mean((1,2)), splits, device='cpu', **names), nf=1)
    p = Predictor.from_pretrained(learn.save_pretrained(tmp_path/'m'))
    assert (p.task.target_names,p.task.units)==(['angle'],['°']) and p.facts()['outputs']=='angle [°]'

@pytest.mark.parametrize('given,words', [
    (dict(channels=['a']), 'channels: expected 2 different names'),
    (dict(channels=['a','a']), 'channels: expected 2 different'),
    (dict(rate=0), 'rate: expected a number'),
    (dict(rate=float('nan')), 'rate: expected'),
    (dict(rate='200'), 'rate: expected')])
def test_what_is_known_is_checked(given, words):
    with pytest.raises(ValueError, match=words):
        TSDataLoaders.from_arrays(series(2)[:4], [0,1,0,1], ([0,1],[2,3]), device='cpu', **given)

def test_search_for_a_rate_and_none_is_no_training(tmp_path):
    learn = fit(TSDataLoaders.from_arrays(series(), np.arange(30)%2, splits, device='cpu'))
    assert learn.predictor().training is None
    assert 'training' not in json.loads((learn.save_pretrained(tmp_path/'m')/'config.json').read_text())
    with learn.no_bar(): learn.lr_find(show_plot=False, num_it=5)
    assert learn.predictor().training is None

# hostile folders

@pytest.fixture
def folder(tmp_path): return Path(shutil.copytree(first/'numbers', tmp_path/'m'))
@pytest.fixture
def classes(tmp_path): return Path(shutil.copytree(first/'classes', tmp_path/'c'))

def edit(folder, **changes):
    "Change settings of config.json; two underscores separate levels"
    c = json.loads((folder/'config.json').read_text())
    for k,v in changes.items():
        *path,last = k.split('__')
        at = c
        for o in path: at = at[o]
        at[last] = v
    (folder/'config.json').write_text(json.dumps(c))

def refuses(folder, words, error=ValueError):
    "Opening raises one short, printable sentence with `words`"
    with pytest.raises(error) as e: Predictor.from_pretrained(folder)
    text = str(e.value)
    assert words in text and len(text.splitlines())==1 and text.isprintable(), text
    assert len(text.replace(str(folder), ''))<300, text

COUNTS = ('epochs','series','shortest','longest')
SETTINGS = [
    (dict(architecture='../../../etc/passwd'), "as 'architecture'"),
    (dict(architecture='os.system'), "as 'architecture'"),
    (dict(architecture='x'*10**5), 'expected text of at most 256 characters'),
    (dict(arguments__nf=10**9), "expected a size of at most 16777216 as 'arguments.nf'"),
    (dict(arguments__nf=10**30), 'expected finite numbers'),
    (dict(arguments__nf=2**24), 'model.safetensors: expected F32'),
    (dict(arguments__nf=-4), 'nf'),
    (dict(arguments__nf=0), 'nf'),
    (dict(arguments__nf=1.5), 'nf'),
    (dict(arguments__nf='4'), 'nf'),
    (dict(arguments__nf=2), 'model.safetensors: expected F32 (2, 2, 1)'),
    (dict(arguments__adaptive_size=10**7), "at most 10000 as 'arguments.adaptive_size'"),
    (dict(arguments__ks=[10**6+1,5,3]), 'model.safetensors: expected F32'),
    (dict(arguments__ks=[3]*10**5), "at most 100 numbers as 'arguments.ks'"),
    (dict(arguments__path='/etc/passwd'), "unexpected keyword argument 'path'"),
    (dict(arguments={'c_in':2,'c_out':2,'\x1b[31mred\n':1}), 'unexpected keyword argument'),
    (dict(arguments={'c_in':2,'c_out':2,'x'*256:1}), 'unexpected keyword argument'),
    (dict(arguments={'x'*256: 10**9}), 'expected a size of at most 16777216 as'),
    (dict(arguments__custom_head='os.system'), 'custom_head: expected a module'),
    (dict(arguments__head=['linear']), 'head'),
    (dict(preprocess__c_in=-1), 'expected arguments that fit'),
    (dict(preprocess__c_in=10**12), "as 'preprocess.c_in'"),
    (dict(preprocess__c_in=3), 'expected a network of 3 channels'),
    (dict(preprocess__missing='/etc/passwd'), 'missing'),
    (dict(preprocess__mu=-1), 'mu'),
    (dict(preprocess__scale={}), 'scale'),
    (dict(task__name='eval'), "as 'task.name'"),
    (dict(task__name=['regression']), "as 'task.name'"),
    (dict(task__mean=[0.]*3), 'std: expected'),
    (dict(task__std=[0.,1.]), 'std: expected'),
    (dict(task__std=[-1.,1.]), 'std'),
    (dict(task__mean=[[1.,2.]]), "text or numbers as 'task.mean'"),
    (dict(task__mean='1'), 'expected'),
    (dict(task__mean=[0.]*10**6, task__std=[1.]*10**6), 'config.json: expected at most'),
    (dict(task__units=5), 'expected arguments that fit'),
    (dict(format=5), 'expected format 4 or older, got 5'),
    (dict(format=0), 'expected format'),
    (dict(format='1'), "a whole number as 'format'"),
    (dict(format=-10**40), 'expected finite numbers'),
    (dict(task=None), "settings by name as 'task'"),
    (dict(preprocess=[]), "settings by name as 'preprocess'"),
    (dict(channels='ab'), "a list of names as 'channels'"),
    (dict(channels=['a','a']), 'channels: expected 2 different names'),
    (dict(channels=['a','\ud800']), 'expected text'),
    (dict(rate=-1), 'rate'),
    (dict(rate='fast'), 'rate'),
    (dict(rate=True), 'rate'),
    (dict(training=[1]), "numbers by name as 'training'"),
    (dict(training={'last':{'loss':'x'}}), "a number as 'training.last.loss'"),
    (dict(training={'last':5}), "numbers by name as 'training.last'"),
    (dict(training={'seed':[1]}), "no list as 'training.seed'"),
    *[(dict(training={k:v}), f"a whole number as 'training.{k}'") for k in COUNTS for v in ('x',1.5,True,-1,{})],
]

@pytest.mark.parametrize('change,words', SETTINGS)
def test_hostile_settings(folder, change, words):
    edit(folder, **change)
    refuses(folder, words)

@pytest.mark.parametrize('vocab,words', [
    (['a','b','a'], "expected each class once, got 'a' 2 times"),
    (['a','b'], 'expected 2 scores, as the task has, got 3'),
    ('abc', "a list as 'task.vocab'"),
    (['a'], '2 or more'),
    ({'a':1,'b':2,'c':3}, "text or numbers as 'task.vocab'"),
    ([['a'],['b'],['c']], "text or numbers as 'task.vocab'"),
    (['a',1,True], 'one kind'),
    (['a','b',None], 'none of them missing'),
    ([1.5,2.5,3.5], 'class labels'),
    (list(range(200_000)), 'at most 100000 entries'),
    (['x'*10**6,'b','c'], 'text of at most 256 characters'),
    (['a','b',2**70], 'expected finite numbers'),
])
def test_hostile_vocab(classes, vocab, words):
    edit(classes, task__vocab=vocab)
    refuses(classes, words)

@pytest.mark.parametrize('text,words', [
    (b'', 'expected JSON'),
    (b'{', 'expected JSON'),
    (b'\xff\xfe{}', 'expected JSON'),
    (b'[]', 'the settings of an xceptiontime model'),
    (b'null', 'the settings of an xceptiontime model'),
    (b'7', 'the settings of an xceptiontime model'),
    (b'['*10**6, 'expected JSON'),
    (b'{"a":'*10**5+b'1'+b'}'*10**5, 'expected JSON'),
    (b'['*200+b']'*200, 'lists in lists'),
    (b'{"format":'+b'9'*5000+b'}', 'expected JSON'),
    (b'{"format": NaN}', 'NaN is no number'),
    (b'{"format": 1, "rate": Infinity}', 'Infinity is no number'),
    (b'{"format": 1, "rate": 1e999}', 'expected finite numbers'),
    (b'{"format": 1, "format": "2"}', "a whole number as 'format'"),
])
def test_hostile_json(folder, text, words):
    (folder/'config.json').write_bytes(text)
    refuses(folder, words)

def test_ten_million_classes(classes):
    "Refused by size, before it is read completely"
    with open(classes/'config.json', 'w') as f:
        f.write('{"format":1,"architecture":"XceptionTime","arguments":{"c_in":2,"c_out":10000000},"preprocess":{},')
        f.write('"task":{"name":"classification","vocab":[')
        for _ in range(10): f.write('1234567,'*10**6)
        f.write('0]}}')
    refuses(classes, f'expected at most {MAX_CONFIG} bytes')

def rewrite(folder, **tensors):
    state = load_file(folder/'model.safetensors')
    for k,t in tensors.items():
        k = k.replace('__', '.')
        if t is None: del state[k]
        else: state[k] = t(state[k]) if callable(t) else t
    save_file(state, folder/'model.safetensors')

def last(v):
    "A function that sets the last value of a copy of a tensor to `v`"
    def f(t):
        t = t.clone()
        t.view(-1)[-1] = v
        return t
    return f

@pytest.mark.parametrize('tensors,words', [
    (dict(model__head__3__weight=last(float('nan'))), "expected finite numbers as 'model.head.3.weight', got NaN"),
    (dict(preprocess__median=last(float('inf'))), "expected finite numbers as 'preprocess.median'"),
    (dict(preprocess__iqr=last(0.)), "expected numbers above 0 as 'preprocess.iqr'"),
    (dict(model__head__1__1__running_var=last(-1.)), "expected variances of 0 or more"),
    (dict(model__head__3__weight=lambda t: t[:1].clone()),
     "expected F32 (2, 8, 1) as 'model.head.3.weight', as config.json says, got F32 (1, 8, 1)"),
    (dict(model__head__3__weight=lambda t: t.double()), 'got F64 (2, 8, 1)'),
    (dict(model__head__3__weight=None), 'got nothing'),
    ({'../../x': torch.zeros(3)}, "expected nothing as '../../x', as config.json says, got F32 (3,)"),
    (dict(extra=torch.zeros(3)), "expected nothing as 'extra'"),
])
def test_hostile_weights(folder, tensors, words):
    rewrite(folder, **tensors)
    refuses(folder, words)

SIZES = [struct.pack('<Q', n) for n in (2**63, 10**8, 2)]

@pytest.mark.parametrize('data', [b'', b'1234567', SIZES[0], SIZES[1]+b'{', SIZES[2]+b'{}', SIZES[2]+b'[]',
                                  b'\x80\x04cos\nsystem\n'])
def test_hostile_header(folder, data):
    (folder/'model.safetensors').write_bytes(data)
    refuses(folder, 'model.safetensors: expected')

def test_hostile_pickle_is_not_run(folder, tmp_path):
    "A pickle in place of the weights"
    class Boom:
        def __reduce__(self): return os.mkdir, (str(tmp_path/'boom'),)
    (folder/'model.safetensors').write_bytes(pickle.dumps(Boom()))
    refuses(folder, 'expected a whole safetensors file')
    assert not (tmp_path/'boom').exists()

@pytest.mark.parametrize('name', ['model.pkl','pytorch_model.bin','numpy.py','lib.SO','weights.pth'])
def test_files_that_can_run(folder, name):
    (folder/name).write_bytes(b'')
    refuses(folder, f'expected no file beside a model that can run code when it is opened, got {name}')

def test_other_files_are_welcome(folder):
    for name in ('README.md','.gitattributes','confusion_matrix.png','model.onnx','tokenizer.json'):
        (folder/name).write_text('x')
    (folder/'.git').mkdir()
    (folder/'.git'/'hook.py').write_text('x')
    edit(folder, tags=['emg'], _commit_hash='abc')
    Predictor.from_pretrained(folder)

@pytest.mark.parametrize('name', ['config.json','model.safetensors'])
def test_links(folder, tmp_path, name):
    path = folder/name
    path.rename(tmp_path/name)
    path.symlink_to(tmp_path/name)
    refuses(folder, f'folder: expected {name} itself in the model folder')
    for target in (path, '/dev/zero'):
        path.unlink()
        path.symlink_to(target)
        refuses(folder, f'expected {name} in the model folder', FileNotFoundError)
    path.unlink()
    os.mkfifo(path)
    refuses(folder, f'expected {name} in the model folder', FileNotFoundError)

def test_linked_folder(folder, tmp_path):
    "A link to the folder works like the folder"
    (tmp_path/'link').symlink_to(folder)
    Predictor.from_pretrained(tmp_path/'link')

def test_odd_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('','.','..','/dev/null','no-such', '../x', 'a/b/c', 'a\0b'):
        with pytest.raises((FileNotFoundError,ValueError)): Predictor.from_pretrained(name)

def untrained(task=Classification(['a','b']), model=None, **known):
    X = np.random.default_rng(0).normal(size=(9,1,20)).astype(np.float32)
    return Predictor(model or XceptionTime(1, 2, nf=1), task, Preprocess().fit(X), **known)

@pytest.mark.parametrize('bad,words', [
    (dict(model=XceptionTime(1, 2, nf=1).double()), 'weights of torch.float32'),
    (dict(task=Classification(['a','b'*300])), 'text of at most 256'),
    (dict(training=dict(last=dict(loss=float('nan')))), 'JSON'),
    (dict(model=XceptionTime(1, 2, nf=1, adaptive_size=20_000)), 'adaptive_size')])
def test_what_could_not_be_opened_is_not_saved(tmp_path, bad, words):
    with pytest.raises(ValueError, match=words): untrained(**bad).save_pretrained(tmp_path/'m')
    assert not list(tmp_path.iterdir())

def test_info_cannot_move_the_cursor(tmp_path, capsys):
    "Labels are printed without control characters"
    untrained(Classification(['a','\x1b[2Jb\nc'])).save_pretrained(tmp_path/'m')
    assert main(['info', str(tmp_path/'m')])==0
    assert '\x1b' not in (out := capsys.readouterr().out) and '\\x1b[2Jb c' in out

def fuzz(rounds, tmp_path):
    "Damaged files give a predictor or one sentence, within half a gigabyte"
    code = Path(__file__).with_name('fuzz_folder.py')
    env = {**os.environ, 'OMP_NUM_THREADS':'1', 'TMPDIR':str(tmp_path)}
    command = [sys.executable, '-W', 'ignore', code, first/'numbers', str(rounds)]
    res = subprocess.run(command, capture_output=True, text=True, env=env)
    assert res.returncode==0, res.stderr[-3000:]
    for counts in json.loads(res.stdout).values():
        assert sum(counts.values())==rounds and counts['ValueError']>.6*rounds, counts
    assert not list(tmp_path.iterdir()) # no other file was written

def test_fuzz(tmp_path): fuzz(100, tmp_path)

@pytest.mark.slow
def test_fuzz_long(tmp_path): fuzz(5000, tmp_path)
