"What is exported against what it was made from, in ONNX Runtime and from a saved `torch.export` program"
import json, subprocess, sys, zipfile
import numpy as np
import onnxruntime
import pytest
import torch
from xceptiontime.runtime import export
from xceptiontime.runtime.export import export_onnx, export_program
from xceptiontime.models.xceptiontime import XceptionTime
from xceptiontime.processing.preprocess import Preprocess
from xceptiontime.runtime.predictor import Predictor
from xceptiontime.processing.tasks import Classification, MultiLabel, Regression

def make(scale='channel', vocab=('down','naïve','up'), missing='raise', task=None, **kwargs):
    "A predictor whose answers differ from series to series"
    torch.manual_seed(0)
    X = np.random.default_rng(1).normal(5, 3, size=(20,2,30)).astype(np.float32)
    if missing!='raise': X[::3,1,4:9] = np.nan
    pre = Preprocess(missing, scale, **kwargs).fit(X)
    task = Classification(vocab) if task is None else task
    model = XceptionTime(pre.c_out, task.c_out, nf=2, adaptive_size=5, ks=(7,5,3), head='linear')
    for m in model.modules():
        if isinstance(m, torch.nn.BatchNorm1d): m.running_mean.normal_(0, .1); m.running_var.uniform_(.1, .5)
    predictor,last = Predictor(model, task, pre),model.head[3]
    scores = predictor.scores(X)
    last.weight.data /= scores.std(0)[:,None,None]
    last.bias.data = (last.bias.data-scores.mean(0))/scores.std(0)
    return predictor

def session(path): return onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
def series(*shape, seed=0): return np.random.default_rng(seed).normal(5, 3, size=shape).astype(np.float32)

def test_onnx_file(tmp_path):
    predictor = make()
    path = export_onnx(predictor, tmp_path/'a.onnx', channels=['left','right'])
    s = session(path)
    assert [(i.name,i.shape,i.type) for i in s.get_inputs()]==[('x',['batch',2,'length'],'tensor(float)')]
    assert [(o.name,o.shape) for o in s.get_outputs()]==[('probabilities',['batch',3])]
    meta = s.get_modelmeta().custom_metadata_map
    assert json.loads(meta['labels'])==['down','naïve','up'] and json.loads(meta['channels'])==['left','right'] and json.loads(meta['task'])['name']=='classification'
    X = series(33,2,77)
    probs = s.run(None, {'x': X})[0]
    np.testing.assert_allclose(probs, predictor.predict_proba(X), atol=1e-5)
    assert probs.std(0).min()>.01 # else agreement would say little
    assert b'runtime/export.py' not in path.read_bytes() # no path of the machine that wrote it
    assert predictor.model.training # the network is left as it was
    assert [p.name for p in tmp_path.iterdir()]==['a.onnx']

def test_lengths(tmp_path):
    predictor = make('sample')
    s = session(export_onnx(predictor, tmp_path/'a.onnx', lengths=True))
    assert [(i.name,i.shape,i.type) for i in s.get_inputs()]==[('x',['batch',2,'length'],'tensor(float)'), ('lengths',['batch'],'tensor(int64)')]
    Xs = [series(2, n, seed=n) for n in (1,2,7,30,64)]
    want = np.concatenate([predictor.predict_proba(x[None]) for x in Xs])
    for total in (64,100):
        for padding in (0,1e6): # what lies behind the end has no say
            X = np.full((5,2,total), padding, np.float32)
            for x,o in zip(X, Xs): x[:,:o.shape[1]] = o
            np.testing.assert_allclose(s.run(None, {'x': X, 'lengths': np.array([o.shape[1] for o in Xs])})[0], want, atol=1e-5)

def test_what_the_model_knows(tmp_path):
    "Names, rate and whether series were of unequal length come from the model where nothing is said"
    p = make()
    p = Predictor(p.model, p.task, p.preprocess, channels=['left','right'], rate=200, training=dict(shortest=7, longest=29))
    s = session(export_onnx(Predictor.from_pretrained(p.save_pretrained(tmp_path/'m')), tmp_path/'a.onnx'))
    meta = s.get_modelmeta().custom_metadata_map
    assert (json.loads(meta['channels']),json.loads(meta['rate']))==(['left','right'],200)
    assert [i.name for i in s.get_inputs()]==['x','lengths']
    from xceptiontime.data.loaders import TSDataLoaders
    from xceptiontime.train.learner import ts_learner
    X = [series(1,k) for k in (9,9,9,9,7,7)]
    learn = ts_learner(TSDataLoaders.from_arrays(X, list('ababab'), (range(4),range(4,6)), device='cpu'), nf=1)
    assert export._is_ragged(learn, Predictor.of(learn)) # not trained, so what it holds counts
    def ragged_alone(learn): return export._is_ragged(p := learn.predictor(), p)
    with learn.no_bar(), learn.no_logging(): learn.fit(1)
    assert not export._is_ragged(learn, Predictor.of(learn)) and not ragged_alone(learn) # then what it was trained on, as in the folder
    learn.trained = dict(epochs=2) # that of an older folder, in which lengths were not written down
    assert export._is_ragged(learn, Predictor.of(learn)) and not ragged_alone(learn)
    p.training = dict(shortest=29, longest=29)
    assert [i.name for i in session(export_onnx(p, tmp_path/'a.onnx')).get_inputs()]==['x']

@pytest.mark.parametrize('how', [dict(resample=25), dict(crop=9)])
def test_one_length(tmp_path, how):
    predictor = make(**how)
    s = session(export_onnx(predictor, tmp_path/'a.onnx', lengths=True))
    X,n = series(4,2,40),np.array([9,40,17,33])
    want = np.concatenate([predictor.predict_proba(x[None,:,:k]) for x,k in zip(X, n)])
    np.testing.assert_allclose(s.run(None, {'x': X, 'lengths': n})[0], want, atol=1e-5)
    assert want.std(0).min()>.01
    for short,steps in ((n-1,40), (np.full(4, 8),8)): # nothing is made up for a series that is too short
        if 'crop' in how:
            with pytest.raises(Exception, match='Out of range value in index'): s.run(None, {'x': X[:,:,:steps], 'lengths': short})

@pytest.mark.parametrize('task,name', [(MultiLabel(['a','b']),'probabilities'), (Regression([100.,-.5], [20.,.01], ['angle','force'], 'N'),'values'), (Regression(3., 2.),'values')])
def test_other_tasks(tmp_path, task, name):
    "Labels by themselves; a regression in the units of its targets"
    predictor = make(None, task=task)
    s = session(export_onnx(predictor, tmp_path/'a.onnx'))
    assert s.get_outputs()[0].name==name
    X = series(9,2,41)
    got,want = s.run(None, {'x': X})[0],task.activation(predictor.scores(X)).numpy()
    assert got.shape==want.shape
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    meta = s.get_modelmeta().custom_metadata_map
    assert json.loads(meta['task'])==task.settings() and ('labels' in meta)==(name=='probabilities')

@pytest.mark.parametrize('missing,scale,mu', [('ffill','minmax',255.), ('interpolate','robust',2048.), ('mask','sample',None)])
def test_missing_values(tmp_path, missing, scale, mu):
    "What fills in, compands and scales is in the file"
    predictor = make(scale, missing=missing, mu=mu)
    s = session(export_onnx(predictor, tmp_path/'a.onnx', lengths=True))
    Xs = [series(2, n, seed=n) for n in (2,11,40)]
    for x in Xs[1:]: x[0,:4] = x[1,-3:] = x[:,6] = np.nan
    X = np.full((3,2,50), np.nan, np.float32)
    for x,o in zip(X, Xs): x[:,:o.shape[1]] = o
    got = s.run(None, {'x': X, 'lengths': np.array([2,11,40])})[0]
    np.testing.assert_allclose(got, np.concatenate([predictor.predict_proba(x[None]) for x in Xs]), atol=1e-5)

def test_program(tmp_path):
    predictor = make(None)
    path = export_program(predictor, tmp_path/'a.pt2', lengths=True)
    Xs = [series(2, n, seed=n) for n in (3,20)]
    X = np.zeros((2,2,25), np.float32)
    for x,o in zip(X, Xs): x[:,:o.shape[1]] = o
    code = f"""import sys, torch, numpy as np
sys.modules['xceptiontime'] = sys.modules['fastai'] = None # torch is enough
np.save('out.npy', torch.export.load('a.pt2').module()(torch.from_numpy(np.load('X.npy')), torch.tensor([3,20])).numpy())"""
    np.save(tmp_path/'X.npy', X)
    subprocess.run([sys.executable, '-c', code], cwd=tmp_path, check=True)
    np.testing.assert_allclose(np.load(tmp_path/'out.npy'), predictor.predict_proba(Xs), atol=1e-5)
    with zipfile.ZipFile(path) as z: assert not [n for n in z.namelist() if b'runtime/export.py' in z.read(n) or str(tmp_path).encode() in z.read(n)]

@pytest.mark.parametrize('write,name', [(export_onnx,'a.onnx'), (export_program,'a.pt2')])
def test_what_disagrees_is_not_written(tmp_path, monkeypatch, write, name):
    predictor,path = make(),tmp_path/name
    class Off(export.Deployed):
        def forward(self, x, lengths=None): return super().forward(x, lengths)*(1+(x[:,:,:1].sum((1,2))>14)[:,None]*.01) # wrong for some series only
    monkeypatch.setattr(export, 'Deployed', Off)
    path.write_text('mine')
    with pytest.raises(ValueError, match=f'{name}: expected the answers of the Predictor within 0.0001'): write(predictor, path)
    assert path.read_text()=='mine' and [p.name for p in tmp_path.iterdir()]==[name]

@pytest.mark.parametrize('missing', ['onnxruntime','onnxscript'])
def test_without_the_extra(tmp_path, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=r"onnx\w+ is needed to write and check ONNX: pip install 'xceptiontime\[onnx\]'"): export_onnx(make(), tmp_path/'a.onnx')
    assert not list(tmp_path.iterdir())

def test_room_is_light():
    code = "import sys, xceptiontime.runtime.export; print([m for m in ('fastai','onnx','onnxruntime','onnxscript','pandas','matplotlib') if m in sys.modules])"
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout.strip()=='[]'
