"Exported models against their originals, in ONNX Runtime and as a saved `torch.export` program"
import json, subprocess, sys, zipfile
import numpy as np
import pytest
import small
import torch
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.models.xceptiontime import XceptionTime
from xceptiontime.processing.preprocess import Preprocess
from xceptiontime.processing.tasks import Classification, MultiLabel, Regression
from xceptiontime.runtime import Predictor, export
from xceptiontime.runtime.export import export_onnx, export_program
from xceptiontime.train.learner import ts_learner

def make(scale='channel', missing='raise', task=Classification(['down','naïve','up']), mu=None, **kwargs):
    "A predictor whose predictions differ between series"
    torch.manual_seed(0)
    X = np.random.default_rng(1).normal(5, 3, size=(20,2,30)).astype(np.float32)
    if missing!='raise': X[::3,1,4:9] = np.nan
    pre = Preprocess(missing, scale, mu=mu, **kwargs).fit(X)
    model = XceptionTime(pre.c_out, task.c_out, nf=2, adaptive_size=5, ks=(7,5,3), head='linear')
    for m in model.modules():
        if not isinstance(m, torch.nn.BatchNorm1d): continue
        m.running_mean.normal_(0, .1)
        m.running_var.uniform_(.1, .5)
    predictor,last = Predictor(model, task, pre),model.head[3]
    scores = predictor.scores(X)
    last.weight.data /= scores.std(0)[:,None,None]
    last.bias.data = (last.bias.data-scores.mean(0))/scores.std(0)
    return predictor

session = small.onnx_session
def inputs(session): return [(i.name,i.shape,i.type) for i in session.get_inputs()]
def series(*shape, seed=0): return np.random.default_rng(seed).normal(5, 3, size=shape).astype(np.float32)

def padded(Xs, total, padding=0.):
    "Series of unequal length as one array, and their lengths"
    return dict(x=small.padded(Xs, total, padding), lengths=np.array([o.shape[1] for o in Xs]))

def alone(predictor, Xs): return np.concatenate([predictor.predict_proba(x[None]) for x in Xs])

X_INPUT = ('x',['batch',2,'length'],'tensor(float)')
LENGTHS_INPUT = ('lengths',['batch'],'tensor(int64)')

@pytest.fixture(scope='module')
def exported(tmp_path_factory):
    "A predictor that was saved and opened, and the folder of its ONNX file"
    p,folder = make('sample'),tmp_path_factory.mktemp('onnx')
    known = dict(channels=['left','right'], rate=200, training=dict(shortest=7, longest=29))
    p = Predictor(p.model, p.task, p.preprocess, **known)
    p = Predictor.from_pretrained(p.save_pretrained(tmp_path_factory.mktemp('model')/'m'))
    p.model.train()
    export_onnx(p, folder/'a.onnx')
    assert p.model.training # the mode of the network is unchanged
    return p,folder

def test_onnx_file(exported):
    "By default, names, rate and the input of lengths come from the model"
    predictor,folder = exported
    assert [p.name for p in folder.iterdir()]==['a.onnx']
    s = session(folder/'a.onnx')
    assert inputs(s)==[X_INPUT, LENGTHS_INPUT]
    assert [(o.name,o.shape) for o in s.get_outputs()]==[('probabilities',['batch',3])]
    meta = s.get_modelmeta().custom_metadata_map
    assert json.loads(meta['labels'])==['down','naïve','up']
    assert json.loads(meta['channels'])==['left','right']
    assert json.loads(meta['rate'])==200
    assert json.loads(meta['task'])['name']=='classification'
    assert b'runtime/export.py' not in (folder/'a.onnx').read_bytes() # no path of this machine

def test_equal_lengths(exported):
    predictor,folder = exported
    X = series(33,2,77)
    probs = session(folder/'a.onnx').run(None, dict(x=X, lengths=np.full(33, 77)))[0]
    np.testing.assert_allclose(probs, predictor.predict_proba(X), atol=1e-5)
    assert probs.std(0).min()>.01 # otherwise agreement would mean little

def test_lengths(exported):
    predictor,folder = exported
    s,Xs = session(folder/'a.onnx'),[series(2, n, seed=n) for n in (1,2,7,30,64)]
    want = alone(predictor, Xs)
    for total in (64,100):
        for padding in (0,1e6): # padding has no effect
            np.testing.assert_allclose(s.run(None, padded(Xs, total, padding))[0], want, atol=1e-5)

@pytest.mark.slow
def test_without_lengths(tmp_path):
    predictor = make()
    predictor.training = dict(shortest=29, longest=29)
    s = session(export_onnx(predictor, tmp_path/'a.onnx', channels=['left','right']))
    assert inputs(s)==[X_INPUT]
    assert json.loads(s.get_modelmeta().custom_metadata_map['channels'])==['left','right']
    X = series(33,2,77)
    probs = s.run(None, {'x': X})[0]
    np.testing.assert_allclose(probs, predictor.predict_proba(X), atol=1e-5)
    assert probs.std(0).min()>.01

def test_what_a_learner_knows():
    "Whether a file has an input of lengths, for a Learner before and after training, and for its folder"
    def ragged(o): return export._takes_lengths(o, Predictor.of(o), None)
    def ragged_alone(learn): return ragged(learn.predictor())
    X = [series(1,k) for k in (9,9,9,9,7,7)]
    learn = ts_learner(TSDataLoaders.from_arrays(X, list('ababab'), (range(4),range(4,6)), device='cpu'), nf=1)
    assert ragged(learn) # not trained: its loaders decide
    with learn.no_bar(), learn.no_logging(): learn.fit(1)
    assert not ragged(learn) and not ragged_alone(learn) # trained: the training series decide, as in the folder
    learn.trained = dict(epochs=2) # as in an older folder, without lengths
    assert ragged(learn) and not ragged_alone(learn)

@pytest.mark.slow
@pytest.mark.parametrize('how', [dict(resample=25), dict(crop=9)])
def test_one_length(tmp_path, how):
    predictor = make(**how)
    s = session(export_onnx(predictor, tmp_path/'a.onnx', lengths=True))
    X,n = series(4,2,40),np.array([9,40,17,33])
    want = alone(predictor, [x[:,:k] for x,k in zip(X, n)])
    np.testing.assert_allclose(s.run(None, {'x': X, 'lengths': n})[0], want, atol=1e-5)
    assert want.std(0).min()>.01
    if 'resample' in how: return
    for short,steps in ((n-1,40), (np.full(4, 8),8)): # a series that is too short raises an error
        with pytest.raises(Exception, match='Out of range value in index'):
            s.run(None, {'x': X[:,:,:steps], 'lengths': short})

@pytest.mark.slow
@pytest.mark.parametrize('task,name', [
    (MultiLabel(['a','b']), 'probabilities'),
    (Regression([100.,-.5], [20.,.01], ['angle','force'], 'N'), 'values'),
    (Regression(3., 2.), 'values')])
def test_other_tasks(tmp_path, task, name):
    "Independent labels; a regression in the units of its targets"
    predictor = make(None, task=task)
    s = session(export_onnx(predictor, tmp_path/'a.onnx'))
    assert s.get_outputs()[0].name==name
    X = series(9,2,41)
    got,want = s.run(None, {'x': X})[0],task.activation(predictor.scores(X)).numpy()
    assert got.shape==want.shape
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    meta = s.get_modelmeta().custom_metadata_map
    assert json.loads(meta['task'])==task.settings() and ('labels' in meta)==(name=='probabilities')

@pytest.mark.slow
@pytest.mark.parametrize('missing,scale,mu', [('ffill','minmax',255.), ('interpolate','robust',2048.),
                                              ('mask','sample',None)])
def test_missing_values(tmp_path, missing, scale, mu):
    "Filling, companding and scaling are in the file"
    predictor = make(scale, missing, mu=mu)
    s = session(export_onnx(predictor, tmp_path/'a.onnx', lengths=True))
    Xs = [series(2, n, seed=n) for n in (2,11,40)]
    for x in Xs[1:]: x[0,:4] = x[1,-3:] = x[:,6] = np.nan
    np.testing.assert_allclose(s.run(None, padded(Xs, 50, np.nan))[0], alone(predictor, Xs), atol=1e-5)

RUN_PROGRAM = """import sys, torch, numpy as np
sys.modules['xceptiontime'] = sys.modules['fastai'] = None # torch is enough
run = torch.export.load('a.pt2').module()
np.save('out.npy', run(torch.from_numpy(np.load('X.npy')), torch.tensor([3,20])).numpy())"""

@pytest.mark.slow
def test_program(tmp_path):
    predictor,Xs = make(None),[series(2, n, seed=n) for n in (3,20)]
    path = export_program(predictor, tmp_path/'a.pt2', lengths=True)
    np.save(tmp_path/'X.npy', padded(Xs, 25)['x'])
    subprocess.run([sys.executable, '-c', RUN_PROGRAM], cwd=tmp_path, check=True)
    np.testing.assert_allclose(np.load(tmp_path/'out.npy'), predictor.predict_proba(Xs), atol=1e-5)
    with zipfile.ZipFile(path) as z: content = [z.read(n) for n in z.namelist()]
    for words in (b'runtime/export.py', str(tmp_path).encode()): assert not any(words in o for o in content)

@pytest.mark.slow
@pytest.mark.parametrize('write,name', [(export_onnx,'a.onnx'), (export_program,'a.pt2')])
def test_what_disagrees_is_not_written(tmp_path, monkeypatch, write, name):
    predictor,path = make(),tmp_path/name
    class Off(export.Deployed):
        def forward(self, x, lengths=None): # wrong for some series only, on purpose
            high = (x[:,:,:1].sum((1,2))>14)[:,None] # (batch, 1)
            return super().forward(x, lengths)*(1+high*.01)
    monkeypatch.setattr(export, 'Deployed', Off)
    path.write_text('mine')
    words = f'{name}: expected the answers of the Predictor within 0.0001'
    with pytest.raises(ValueError, match=words): write(predictor, path)
    assert path.read_text()=='mine' and [p.name for p in tmp_path.iterdir()]==[name]

@pytest.mark.parametrize('missing', ['onnxruntime','onnxscript'])
def test_without_the_extra(tmp_path, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    words = r"onnx\w+: expected it to be installed, .* got none; pip install 'xceptiontime\[onnx\]'"
    with pytest.raises(ImportError, match=words): export_onnx(make(), tmp_path/'a.onnx')
    assert not list(tmp_path.iterdir())

HEAVY = ('fastai','onnx','onnxruntime','onnxscript','pandas','matplotlib')

def test_room_is_light():
    code = f"import sys, xceptiontime.runtime.export; print([m for m in {HEAVY} if m in sys.modules])"
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert run.stdout.strip()=='[]'
