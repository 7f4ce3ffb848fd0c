"Confidence: one temperature for every way to a probability, calibration by an independent count, and coverage over many draws"
import json
import numpy as np
import onnxruntime
import pytest
import torch
from scipy.special import expit, softmax
from xceptiontime.export import export_onnx
from xceptiontime.models import XceptionTime
from xceptiontime.preprocess import Preprocess
from xceptiontime.runtime import Predictor
from xceptiontime.stream import StreamingPredictor
from xceptiontime.tasks import Classification, MultiLabel, Regression

def make(task, c_in=2):
    "A small predictor with scores that differ"
    torch.manual_seed(0)
    X = np.random.default_rng(0).normal(size=(12,c_in,30)).astype(np.float32)
    return Predictor(XceptionTime(c_in, task.c_out, nf=2, adaptive_size=5, ks=(7,5,3), head='linear').eval(), task, Preprocess().fit(X)), X

tempered = [(Classification(['a','b','c']), lambda s: softmax(s, 1)), (MultiLabel(['a','b']), expit)]

@pytest.mark.parametrize('task,activation', tempered, ids=['classification','multilabel'])
def test_temperature_everywhere(tmp_path, task, activation):
    "Predictor, folder, stream and ONNX file divide the scores by it; the answers stay"
    predictor,X = make(task)
    before,scores = predictor.predict(X),predictor.scores(X).numpy().astype(np.float64)
    task.temperature = .07
    want = activation(scores/.07)
    assert np.abs(want-activation(scores)).max()>.1 # else agreement would say little
    np.testing.assert_allclose(predictor.predict_proba(X), want, atol=1e-5)
    np.testing.assert_array_equal(predictor.predict(X), before)
    loaded = Predictor.from_pretrained(predictor.save_pretrained(tmp_path/'m'))
    assert loaded.task.temperature==.07
    np.testing.assert_array_equal(loaded.predict_proba(X), predictor.predict_proba(X))
    live = StreamingPredictor(loaded, 30).push(np.concatenate(list(X), 1))
    np.testing.assert_allclose([o.probs for o in live], want, atol=1e-5)
    file = export_onnx(loaded, tmp_path/'m.onnx')
    session = onnxruntime.InferenceSession(str(file), providers=['CPUExecutionProvider'])
    np.testing.assert_allclose(session.run(None, {'x': X})[0], want, atol=1e-5)
    assert json.loads(session.get_modelmeta().custom_metadata_map['task'])['temperature']==.07

def test_folder_from_before(tmp_path):
    "A folder whose config knows of no temperature opens with 1; one with nonsense is refused"
    predictor,X = make(Classification(['a','b','c']))
    file = predictor.save_pretrained(tmp_path/'m')/'config.json'
    config = json.loads(file.read_text())
    del config['task']['temperature']
    file.write_text(json.dumps(config))
    assert Predictor.from_pretrained(tmp_path/'m').task.temperature==1
    for bad in (0,-1,'hot',None):
        config['task']['temperature'] = bad
        file.write_text(json.dumps(config))
        with pytest.raises(ValueError, match='temperature: expected a positive number'): Predictor.from_pretrained(tmp_path/'m')
