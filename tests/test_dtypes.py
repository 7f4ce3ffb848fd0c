"Networks in half or double precision predict like the network in float32"
import copy
import numpy as np
import pytest
import torch
from small import onnx_session
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.data.sets import make_bumps
from xceptiontime.explain.attribution import attribute
from xceptiontime.models.inception import InceptionTime
from xceptiontime.models.xceptiontime import XceptionTime
from xceptiontime.runtime.export import export_onnx
from xceptiontime.runtime.predictor import dtype_of
from xceptiontime.runtime.stream import StreamingPredictor
from xceptiontime.train.learner import ts_learner

X,y,_ = make_bumps(24, c_in=2, length=60, noise=.1, seed=0)
SPLITS = np.arange(16),np.arange(16,24)
RAGGED = [x[:,:30+i] for i,x in enumerate(X)]
LONG = [np.tile(x, (1,60))[:,:3000+i] for i,x in enumerate(X)] # more steps than half precision counts exactly
DTYPES = {'half': 3e-3, 'double': 1e-5, 'bfloat16': 1e-2} # largest difference to float32

def learner(X=X, y=y, arch=XceptionTime, epochs=10, **kwargs):
    dls = TSDataLoaders.from_arrays(X, y, SPLITS, bs=8, seed=0, device='cpu', **kwargs)
    learn = ts_learner(dls, arch, seed=0, **({'nf':2} if arch is XceptionTime else {'nb_filters':4}))
    with learn.no_bar(),learn.no_logging(): learn.fit(epochs, 1e-2)
    return learn

DATA = dict(classes=dict(), ragged=dict(X=RAGGED), long=dict(X=LONG, epochs=6), masks=dict(missing='mask'),
            resampled=dict(X=RAGGED, resample=40), labels=dict(y=np.stack([y,1-y], 1)), numbers=dict(y=y*2.5),
            inception=dict(X=RAGGED, arch=InceptionTime))

@pytest.mark.parametrize('kind', [pytest.param(k, marks=[pytest.mark.slow]*(k=='long')) for k in DATA])
def test_answers(kind):
    X = DATA[kind].get('X', globals()['X'])
    learn = learner(**DATA[kind])
    want,features = learn.get_X_preds(X)[0],learn.features()
    assert want.std(0).max()>5*max(DTYPES.values()) # predictions differ between series
    of_loader,loss = learn.get_preds()[0],learn.validate()[0]
    for name,atol in DTYPES.items():
        other = learner(**{**DATA[kind], 'epochs':0})
        other.model.load_state_dict(learn.model.state_dict())
        getattr(other.model, name)()
        got = other.get_X_preds(X)[0]
        assert got.dtype==torch.float32
        assert torch.allclose(got, want, rtol=atol, atol=atol), (name, (got-want).abs().max())
        assert other.get_preds()[0].dtype==dtype_of(other.model) # fastai's, in the dtype of the weights
        if name!='double': continue
        assert other.predictor().scores(X).dtype==other.features().dtype==torch.float32
        assert torch.allclose(other.features(), features, rtol=1e-4, atol=1e-4)
        assert torch.allclose(other.get_preds()[0], of_loader.double(), atol=1e-5)
        assert other.validate()[0]==pytest.approx(loss, rel=1e-4)

@pytest.mark.parametrize('name', DTYPES)
def test_whoever_asks(name):
    learn,atol = learner(),DTYPES[name]
    want = learn.predictor().predict_proba(X[:3])
    assert want.std(0).max()>5*atol
    told = learn.trained
    getattr(learn.model, name)()
    p = learn.predictor()
    stream = StreamingPredictor(p, 60)
    got = [stream.push(x)[0].probs for x in X[:3]]
    assert np.allclose(got, want, atol=atol) and got[0].dtype==np.float32
    assert np.allclose(learn.predict(X[0])[2], want[0], atol=atol)
    assert p.predict_proba(X[:3]).dtype==np.float32
    if name!='bfloat16': assert p.training==told # the same weights, to three digits
    of_loader = learn.get_preds()[0]
    assert of_loader.dtype==learn.tta(n=1)[0].dtype==getattr(torch.ones(1), name)().dtype
    assert torch.allclose(of_loader.float(), learn.get_X_preds(X[16:])[0], atol=2*atol)

def test_attribution_of_double():
    learn = learner()
    want = attribute(learn, X[:2], method='occlusion')
    learn.model.double()
    assert np.allclose(attribute(learn, X[:2], method='occlusion'), want, atol=1e-4)

@pytest.mark.slow
@pytest.mark.parametrize('name', ['half','double'])
def test_export(name, tmp_path):
    "An exported file computes in float32, for weights of any dtype"
    pytest.importorskip('onnxruntime')
    learn = learner()
    getattr(learn.model, name)()
    as_file = copy.deepcopy(learn.model).float() # half-precision weights in float32
    export_onnx(learn, tmp_path/'a.onnx')
    learn.model = as_file
    session = onnx_session(tmp_path/'a.onnx')
    assert [o.type for o in (*session.get_inputs(), *session.get_outputs())]==['tensor(float)']*2
    got,want = session.run(None, {'x': X})[0],learn.predictor().predict_proba(X)
    np.testing.assert_allclose(got, want, atol=1e-5)
    assert want.std(0).max()>.1
