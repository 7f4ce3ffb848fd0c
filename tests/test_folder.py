"Model folders: what they keep, that the first format opens for ever, and what hostile ones come to"
import csv, json, os, random, resource, shutil, struct, subprocess, sys
from pathlib import Path
import numpy as np, pandas as pd, pytest, torch
from safetensors.torch import load_file, save_file
from xceptiontime.cli import main
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.train.learner import ts_learner
from xceptiontime.models.xceptiontime import XceptionTime
from xceptiontime.processing.preprocess import Preprocess
from xceptiontime.runtime import Predictor
from xceptiontime.runtime.folder import MAX_CONFIG
from xceptiontime.processing.tasks import Classification, MultiLabel, Regression

first = Path(__file__).parent/'fixtures'/'format1'

@pytest.mark.parametrize('name', ['classes','labels','numbers'])
def test_first_format(name):
    "Folders written by version 0.1, and what it predicted"
    expected = np.load(first/'expected.npz')
    X,scores,answers,predicted = (expected[f'{name}/{o}'] for o in ('X','scores','answers','predict'))
    p = Predictor.from_pretrained(first/name)
    np.testing.assert_allclose(p.scores(X), scores, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(p.task.activation(p.scores(X)), answers, rtol=1e-5, atol=1e-6)
    if name=='numbers': np.testing.assert_allclose(p.predict(X), predicted, rtol=1e-5)
    else: assert p.predict(X).tolist()==predicted.tolist()
    assert (p.channels,p.rate,p.training)==(None,None,None)
    assert set(json.loads((first/name/'config.json').read_text()))=={'format','xceptiontime','architecture','arguments','task','preprocess'}

def test_first_format_is_written_back(tmp_path):
    "What is opened and saved again is the same folder, but for the version and for settings that came later, which are None"
    again = Predictor.from_pretrained(first/'numbers').save_pretrained(tmp_path/'m')
    a,b = (json.loads((f/'config.json').read_text()) for f in (first/'numbers',again))
    assert {k for k,v in b['task'].items() if v is not None} <= a['task'].keys()
    b['task'] = {k: b['task'][k] for k in a['task']}
    assert a|{'xceptiontime':None}==b|{'xceptiontime':None}
    assert (again/'model.safetensors').read_bytes()==(first/'numbers'/'model.safetensors').read_bytes()

# what a folder keeps

def table(tmp_path, valid=False):
    rng = np.random.default_rng(valid)
    df = pd.DataFrame([dict(walk=i, step=t, left=rng.normal(), right=rng.normal(), how='fast' if i%2 else 'slow') for i in range(12) for t in range(10)])
    return df

def fit(dls, epochs=2):
    learn = ts_learner(dls, nf=1, seed=3)
    with learn.no_bar(), learn.no_logging():
        for n in epochs if isinstance(epochs, tuple) else (epochs,): learn.fit(n, 1e-3)
    return learn

def test_channels_from_tables(tmp_path):
    df = table(tmp_path)
    keys = dict(label='how', id='walk', time='step')
    dfs = [TSDataLoaders.from_df(df, seed=0, device='cpu', **keys)]
    df.to_csv(tmp_path/'a.csv', index=False); df.to_parquet(tmp_path/'a.parquet', index=False)
    for name in ('a.csv','a.parquet'):
        dfs.append(TSDataLoaders.from_file(tmp_path/name, seed=0, device='cpu', **keys))
        dfs.append(TSDataLoaders.from_file(tmp_path/name, tmp_path/name, device='cpu', **keys))
    assert [d.channels for d in dfs]==[['left','right']]*5
    assert TSDataLoaders.from_df(df, columns=['right'], seed=0, device='cpu', **keys).channels==['right']
    assert TSDataLoaders.from_df(df, channels=['l','r'], seed=0, device='cpu', **keys).channels==['l','r']
    df[['walk','step','right','left','how']].to_csv(tmp_path/'b.csv', index=False)
    with pytest.raises(ValueError, match="b.csv: expected channels 'left', 'right' as in 'a.csv', got 'right', 'left'"):
        TSDataLoaders.from_file(tmp_path/'a.csv', tmp_path/'b.csv', device='cpu', **keys)
    wide = pd.DataFrame({'how': ['a','b']*6, **{f't{i}': np.arange(12.)+i for i in range(5)}})
    assert TSDataLoaders.from_df(wide, label='how', seed=0, device='cpu').channels is None

def test_what_is_known_comes_back(tmp_path, capsys):
    X = np.random.default_rng(0).normal(size=(30,2,20))
    dls = TSDataLoaders.from_arrays(X, np.arange(30)%3, (np.arange(20),np.arange(20,30)), channels=('biceps','triceps'), rate=200, device='cpu')
    learn = fit(dls, (2,3))
    loss,acc = learn.validate()
    p = Predictor.from_pretrained(learn.save_pretrained(tmp_path/'m'))
    assert (p.channels,p.rate)==(['biceps','triceps'],200.)
    t = p.training
    assert (t['epochs'],t['series'],t['seed'],t['shortest'],t['longest'])==(5,20,3,20,20) and set(t['last'])=={'train_loss','valid_loss','accuracy'}
    assert t['last']['valid_loss']==pytest.approx(loss, rel=1e-5) and t['last']['accuracy']==pytest.approx(acc)
    assert 'date' not in t and 'time' not in str(t)
    assert main(['info', str(tmp_path/'m')])==0
    out = capsys.readouterr().out
    for words in ('biceps, triceps', '200 Hz', '5 epochs, 20 series, 20 steps, seed 3, train_loss', f'accuracy {acc:.4g}', 'classification', '0, 1, 2', ' MB', 'parameters'): assert words in out, words
    learn.export(tmp_path/'learner.pkl') # an exported Learner still knows
    from fastai.learner import load_learner
    assert load_learner(tmp_path/'learner.pkl').predictor().config()==learn.predictor().config()

def test_units_come_back(tmp_path):
    X = np.random.default_rng(0).normal(size=(30,1,20))
    dls = TSDataLoaders.from_arrays(X, X.mean((1,2)), (np.arange(20),np.arange(20,30)), target_names=['angle'], units='°', device='cpu')
    p = Predictor.from_pretrained(fit(dls).save_pretrained(tmp_path/'m'))
    assert (p.task.target_names,p.task.units)==(['angle'],['°']) and p.facts()['outputs']=='angle [°]'

@pytest.mark.parametrize('given,words', [(dict(channels=['a']), 'channels: expected 2 different names'), (dict(channels=['a','a']), 'channels: expected 2 different'),
                                         (dict(rate=0), 'rate: expected a number'), (dict(rate=float('nan')), 'rate: expected'), (dict(rate='200'), 'rate: expected')])
def test_what_is_known_is_checked(given, words):
    with pytest.raises(ValueError, match=words): TSDataLoaders.from_arrays(np.zeros((4,2,9))+np.arange(9)+np.arange(4)[:,None,None], [0,1,0,1], ([0,1],[2,3]), device='cpu', **given)

def test_search_for_a_rate_and_none_is_no_training(tmp_path):
    X = np.random.default_rng(0).normal(size=(30,1,20))
    learn = ts_learner(TSDataLoaders.from_arrays(X, np.arange(30)%2, (np.arange(20),np.arange(20,30)), device='cpu'), nf=1)
    assert learn.predictor().training is None and 'training' not in json.loads((learn.save_pretrained(tmp_path/'m')/'config.json').read_text())
    with learn.no_bar(): learn.lr_find(show_plot=False, num_it=5)
    assert learn.predictor().training is None

# hostile folders

@pytest.fixture
def folder(tmp_path): return Path(shutil.copytree(first/'numbers', tmp_path/'m'))
@pytest.fixture
def classes(tmp_path): return Path(shutil.copytree(first/'classes', tmp_path/'c'))

def edit(folder, **changes):
    "Change settings of config.json; dots go down"
    c = json.loads((folder/'config.json').read_text())
    for k,v in changes.items():
        *path,last = k.split('__')
        at = c
        for o in path: at = at[o]
        at[last] = v
    (folder/'config.json').write_text(json.dumps(c))

def refuses(folder, words, error=ValueError):
    with pytest.raises(error) as e: Predictor.from_pretrained(folder)
    text = str(e.value)
    assert words in text and len(text.splitlines())==1 and len(text)<1000 and text.isprintable(), text

@pytest.mark.parametrize('change,words', [
    (dict(architecture='../../../etc/passwd'), "under 'architecture'"),
    (dict(architecture='os.system'), "under 'architecture'"),
    (dict(architecture='x'*10**5), 'expected text of at most 256 characters'),
    (dict(arguments__nf=10**9), "expected a size of at most 16777216 as 'nf'"),
    (dict(arguments__nf=10**30), 'expected numbers'),
    (dict(arguments__nf=2**24), "model.safetensors: expected F32"),
    (dict(arguments__nf=-4), 'nf'), (dict(arguments__nf=0), 'nf'), (dict(arguments__nf=1.5), 'nf'), (dict(arguments__nf='4'), 'nf'),
    (dict(arguments__nf=2), 'model.safetensors: expected F32 (2, 2, 1)'),
    (dict(arguments__adaptive_size=10**7), "at most 10000 as 'adaptive_size'"),
    (dict(arguments__ks=[10**6+1,5,3]), 'model.safetensors: expected F32'),
    (dict(arguments__ks=[3]*10**5), "at most 100 numbers as 'ks'"),
    (dict(arguments__path='/etc/passwd'), "unexpected keyword argument 'path'"),
    (dict(arguments={'c_in':2,'c_out':2,'\x1b[31mred\n':1}), 'unexpected keyword argument'),
    (dict(arguments__custom_head='os.system'), 'custom_head: expected a module'),
    (dict(arguments__head=['linear']), 'head'),
    (dict(preprocess__c_in=-1), 'expected arguments that fit'), (dict(preprocess__c_in=10**12), "as 'c_in'"), (dict(preprocess__c_in=3), 'expected a network of 3 channels'),
    (dict(preprocess__missing='/etc/passwd'), 'missing'), (dict(preprocess__mu=-1), 'mu'), (dict(preprocess__scale={}), 'scale'),
    (dict(task__name='eval'), "as the task's name"), (dict(task__name=['regression']), "as the task's name"), (dict(task__mean=[0.]*3), 'std: expected'),
    (dict(task__std=[0.,1.]), 'std: expected'), (dict(task__std=[-1.,1.]), 'std'), (dict(task__mean=[[1.,2.]]), 'of the task'), (dict(task__mean='1'), 'expected'),
    (dict(task__mean=[0.]*10**6, task__std=[1.]*10**6), 'config.json: expected at most'),
    (dict(task__units=5), 'expected arguments that fit'),
    (dict(format=2), 'expected format 1 or older, got 2'), (dict(format=0), 'expected format'), (dict(format='1'), "no number under 'format'"), (dict(format=-10**40), 'expected numbers'),
    (dict(task=None), "a dict under 'task'"), (dict(preprocess=[]), "a dict under 'preprocess'"),
    (dict(channels='ab'), 'a list of names'), (dict(channels=['a','a']), 'channels: expected 2 different names'), (dict(channels=['a','\ud800']), 'expected text'),
    (dict(rate=-1), 'rate'), (dict(rate='fast'), 'rate'), (dict(rate=True), 'rate'),
    (dict(training=[1]), 'under training'), (dict(training={'last':{'loss':'x'}}), 'under last'), (dict(training={'last':5}), 'under last'),
    *[(dict(training={k:v}), f"a whole number as '{k}' under training") for k in ('epochs','series','shortest','longest') for v in ('x',1.5,True,-1,{})],
])
def test_hostile_settings(folder, change, words):
    edit(folder, **change)
    refuses(folder, words)

@pytest.mark.parametrize('vocab,words', [
    (['a','b','a'], "expected each class once, got 'a' 2 times"), (['a','b'], 'expected 2 scores as the task has, got c_out 3'), ('abc', 'a list as the vocab'), (['a'], '2 or more'),
    ({'a':1,'b':2,'c':3}, 'of the task'), ([['a'],['b'],['c']], 'of the task'), (['a',1,None], 'one kind'), ([1.5,2.5,3.5], 'class labels'), (list(range(200_000)), 'at most 100000 entries'),
    (['x'*10**6,'b','c'], 'text of at most 256 characters'), (['a','b',2**70], 'expected numbers'),
])
def test_hostile_vocab(classes, vocab, words):
    edit(classes, task__vocab=vocab)
    refuses(classes, words)

@pytest.mark.parametrize('text,words', [
    (b'', 'expected JSON'), (b'{', 'expected JSON'), (b'\xff\xfe{}', 'expected JSON'), (b'[]', "no number under 'format'"), (b'null', "no number under 'format'"), (b'7', "no number under 'format'"),
    (b'['*10**6, 'expected JSON'), (b'{"a":'*10**5+b'1'+b'}'*10**5, 'expected JSON'), (b'['*200+b']'*200, 'lists in lists'), (b'{"format":'+b'9'*5000+b'}', 'expected JSON'),
    (b'{"format": NaN}', 'NaN is no number'), (b'{"format": 1, "rate": Infinity}', 'Infinity is no number'), (b'{"format": 1, "rate": 1e999}', 'expected numbers'), (b'{"format": 1, "format": "2"}', "no number under 'format'"),
])
def test_hostile_json(folder, text, words):
    (folder/'config.json').write_bytes(text)
    refuses(folder, words)

def test_ten_million_classes(classes):
    "Refused by its size, and not read to its end"
    with open(classes/'config.json', 'w') as f:
        f.write('{"format":1,"architecture":"XceptionTime","arguments":{"c_in":2,"c_out":10000000},"preprocess":{},"task":{"name":"classification","vocab":[')
        f.write(','.join(map(str, range(10**7)))+']}}')
    refuses(classes, f'expected at most {MAX_CONFIG} bytes')

def rewrite(folder, **tensors):
    state = load_file(folder/'model.safetensors')
    for k,t in tensors.items():
        k = k.replace('__', '.')
        if t is None: del state[k]
        else: state[k] = t(state[k]) if callable(t) else t
    save_file(state, folder/'model.safetensors')

def fill(v):
    def f(t):
        t = t.clone(); t.view(-1)[-1] = v
        return t
    return f

@pytest.mark.parametrize('tensors,words', [
    (dict(model__head__3__weight=fill(float('nan'))), "expected finite numbers as 'model.head.3.weight', got NaN"),
    (dict(preprocess__median=fill(float('inf'))), "expected finite numbers as 'preprocess.median'"),
    (dict(preprocess__iqr=fill(0.)), "expected numbers above 0 as 'preprocess.iqr'"),
    (dict(model__head__1__1__running_var=fill(-1.)), "expected variances of 0 or more"),
    (dict(model__head__3__weight=lambda t: t[:1].clone()), "expected F32 (2, 8, 1) as 'model.head.3.weight', as config.json says, got F32 (1, 8, 1)"),
    (dict(model__head__3__weight=lambda t: t.double()), 'got F64 (2, 8, 1)'),
    (dict(model__head__3__weight=None), 'got nothing'),
    ({'../../x': torch.zeros(3)}, "expected nothing as '../../x', as config.json says, got F32 (3,)"),
    (dict(extra=torch.zeros(3)), "expected nothing as 'extra'"),
])
def test_hostile_weights(folder, tensors, words):
    rewrite(folder, **tensors)
    refuses(folder, words)

@pytest.mark.parametrize('data', [b'', b'1234567', struct.pack('<Q', 2**63), struct.pack('<Q', 10**8)+b'{', struct.pack('<Q', 2)+b'{}', struct.pack('<Q', 2)+b'[]', b'\x80\x04cos\nsystem\n'])
def test_hostile_header(folder, data):
    (folder/'model.safetensors').write_bytes(data)
    refuses(folder, 'model.safetensors: expected')

def test_hostile_pickle_is_not_run(folder, tmp_path):
    "A pickle under the name of the weights"
    import pickle
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
    for name in ('README.md','.gitattributes','confusion_matrix.png','model.onnx','tokenizer.json'): (folder/name).write_text('x')
    (folder/'.git').mkdir(); (folder/'.git'/'hook.py').write_text('x')
    edit(folder, tags=['emg'], _commit_hash='abc')
    Predictor.from_pretrained(folder)

@pytest.mark.parametrize('name', ['config.json','model.safetensors'])
def test_links(folder, tmp_path, name):
    (folder/name).rename(tmp_path/name)
    (folder/name).symlink_to(tmp_path/name)
    refuses(folder, f'folder: expected {name} itself in the model folder')
    (folder/name).unlink(); (folder/name).symlink_to(folder/name)
    refuses(folder, f'expected {name} in the model folder', FileNotFoundError)
    (folder/name).unlink(); (folder/name).symlink_to('/dev/zero')
    refuses(folder, f'expected {name} in the model folder', FileNotFoundError)
    (folder/name).unlink(); os.mkfifo(folder/name)
    refuses(folder, f'expected {name} in the model folder', FileNotFoundError)

def test_linked_folder(folder, tmp_path):
    "A link to the folder is a name for it"
    (tmp_path/'link').symlink_to(folder)
    Predictor.from_pretrained(tmp_path/'link')

def test_odd_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('','.','..','/dev/null','no-such', '../x', 'a/b/c', 'a\0b'):
        with pytest.raises((FileNotFoundError,ValueError)): Predictor.from_pretrained(name)

def test_what_could_not_be_opened_is_not_saved(tmp_path):
    X = np.random.default_rng(0).normal(size=(9,1,20)).astype(np.float32)
    def p(model=None, task=Classification(['a','b']), **kwargs): return Predictor(model or XceptionTime(1, 2, nf=1), task, Preprocess().fit(X), **kwargs)
    for bad,words in ((p(XceptionTime(1, 2, nf=1).double()), 'weights of a XceptionTime'), (p(task=Classification(['a','b'*300])), 'text of at most 256'),
                      (p(training=dict(last=dict(loss=float('nan')))), 'JSON'), (p(XceptionTime(1, 2, nf=1, adaptive_size=20_000)), 'adaptive_size')):
        with pytest.raises(ValueError, match=words): bad.save_pretrained(tmp_path/'m')
    assert not list(tmp_path.iterdir())

def test_info_cannot_move_the_cursor(tmp_path, capsys):
    "Labels are printed without what a terminal would obey"
    X = np.random.default_rng(0).normal(size=(9,1,20)).astype(np.float32)
    Predictor(XceptionTime(1, 2, nf=1), Classification(['a','\x1b[2Jb\nc']), Preprocess().fit(X)).save_pretrained(tmp_path/'m')
    assert main(['info', str(tmp_path/'m')])==0
    assert '\x1b' not in (out := capsys.readouterr().out) and '\\x1b[2Jb c' in out

# fuzzing, in a process whose memory and time are limited

fuzz = '''
import json, random, resource, shutil, sys, tempfile
from pathlib import Path
import torch
from xceptiontime.runtime import Predictor
from xceptiontime.runtime.folder import _build, _read_config, _read_weights, _state
part,source,rounds = sys.argv[1],Path(sys.argv[2]),int(sys.argv[3])
rng = random.Random(0)
now = int(open('/proc/self/statm').read().split()[0])*resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now+2**29, now+2**29))
resource.setrlimit(resource.RLIMIT_CPU, (120, 120))
d = Path(tempfile.mkdtemp())
shutil.copytree(source, d, dirs_exist_ok=True)
counts = {}

def values():
    return rng.choice([0, 1, -1, 2**31, 2**62, 10**40, 1.5, -1e308, 1e-320, True, None, '', 'x', '../../etc/passwd', 'a'*300, '\\ud800', '\\0', [], {}, [[]], [1]*50, [0]*5000, ['a','a'],
        {'a':{'b':{}}}, {'__class__':'os.system'}, [None], [True,False], list(range(200)), {str(i): i for i in range(50)}])

def nodes(o):
    for k in (list(o) if isinstance(o, dict) else range(len(o))):
        yield o,k
        if isinstance(o[k], (dict,list)): yield from nodes(o[k])

def by_bytes(data):
    data = bytearray(data)
    for _ in range(rng.choice([1,1,2,4,16])):
        i = rng.randrange(len(data)+1)
        how = rng.random()
        if how<.5 and i<len(data): data[i] = rng.choice([rng.randrange(256), *b'"{}[],:0123456789-.eE'])
        elif how<.65: del data[i:i+rng.choice([1,1,5,50])]
        elif how<.8: data[i:i] = rng.choice([b'9', b'-', b'0', b'"', b'1e99', b'null', b'[', b'{', b'99999999999999999999', b'\\xff'])
        elif how<.9: data[i:i] = data[i:i+rng.choice([3,20,200])]
        else: data = data[:i]
    return bytes(data)

def by_parts(text):
    o = json.loads(text)
    for _ in range(rng.choice([1,1,2,3])):
        at = list(nodes(o))
        if not at: break
        parent,k = rng.choice(at)
        how = rng.random()
        if how<.7: parent[k] = values()
        elif how<.85: del parent[k]
        elif isinstance(parent, dict): parent[rng.choice(['x','path','nf','c_in','vocab','name','mean','custom_head','channels','rate','training'])] = values()
        else: parent.append(values())
    return json.dumps(o).encode()

def run(f):
    try: kind = type(f()).__name__
    except (ValueError, TypeError, FileNotFoundError) as e:
        text = str(e)
        assert len(text.splitlines())==1 and len(text)<2000 and text.isprintable(), text
        kind = type(e).__name__
    counts[kind] = counts.get(kind, 0)+1

if part=='config':
    text = (d/'config.json').read_bytes()
    for i in range(rounds):
        (d/'config.json').write_bytes(by_bytes(text) if i%2 else by_parts(text))
        run(lambda: Predictor.from_pretrained(d))
else:
    model,_,preprocess,_ = _build(_read_config(d/'config.json'), 'config.json')
    expected,data = _state(model, preprocess),(d/'model.safetensors').read_bytes()
    n = int.from_bytes(data[:8], 'little')
    for i in range(rounds):
        head = by_bytes(data[8:8+n]) if i%3 else by_parts(data[8:8+n])
        size = len(head).to_bytes(8, 'little') if i%4 else by_bytes(data[:8])[:8]
        (d/'model.safetensors').write_bytes(size+head+data[8+n:])
        if i%25: run(lambda: _read_weights(d/'model.safetensors', expected))
        else: run(lambda: Predictor.from_pretrained(d))
shutil.rmtree(d)
print(json.dumps(dict(counts=counts, cpu=resource.getrusage(resource.RUSAGE_SELF).ru_utime)))
'''

@pytest.mark.parametrize('part', ['config','weights'])
def test_fuzz(part, tmp_path):
    "5,000 damaged files each: a predictor or one sentence comes out, within half a gigabyte"
    res = subprocess.run([sys.executable, '-W', 'ignore', '-c', fuzz, part, first/'numbers', '5000'], capture_output=True, text=True, env={**os.environ, 'OMP_NUM_THREADS':'1', 'TMPDIR':str(tmp_path)})
    assert res.returncode==0, res.stderr[-3000:]
    counts = json.loads(res.stdout)['counts']
    assert sum(counts.values())==5000 and counts['ValueError']>3000, counts
    assert not list(tmp_path.iterdir()) # nothing was written beside it
